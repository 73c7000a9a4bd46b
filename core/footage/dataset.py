# SPDX-License-Identifier: GPL-3.0-or-later
"""Films of a person to a render set: scanned, chosen, fitted, cut, registered.

What is done lies in the work folder and is not done again: a scan under its film's hash, a set under
the hash of all that it is made from, and in it every frame that is there.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..arkit import EMOTIONS
from ..files import digest, read_npz, write_bytes, written_beside
from ..progress import Progress, silent
from ..raster import Camera
from ..tracking.tracker import run_tracker
from ..training.head_data import (
    REGISTERED,
    RenderSet,
    SetInfo,
    frame_file,
    load_set,
    take_over,
    write_plan,
)
from ..training.head_looks import Looks
from .follow import Motion, follow
from .likeness import Likeness, Sight, likeness, turned, turned_gaze
from .photometric import register_heads
from .pieces import LONGEST, Findings, Piece, Scan, check_enough, framed_alike, pieces_of
from .shoulders import register_shoulders

Array = npt.NDArray[np.float64]

SCAN_VERSION: Final = 2
"""Goes up with every change that sees something else in the same film."""
VERSION: Final = 3
"""Goes up with every change that gives another set from the same films."""
_FIFTH: Final = 5
_FEW: Final = 10
"""Pieces that few films are divided into at least, so that some can be held out."""
_SHORT: Final = 1.0
"""Seconds of such a piece at least."""
_AXES: Final = 20
"""Principal components that pictures are told apart by."""


@dataclass(frozen=True)
class Request:
    """What set is asked for."""

    films: tuple[Path, ...]
    name: str
    size: int
    """pixels"""
    frames: int
    """to train on, at most"""
    consent: str
    licence: str = ""
    credits: str = ""


@dataclass(frozen=True)
class Prepared:
    """A set that is there, whole."""

    data: RenderSet
    looks: Looks
    findings: tuple[Findings, ...]
    """of each film"""


def prepare(request: Request, work: Path, progress: Progress = silent) -> Prepared:
    """Make the render set of some films, or what is left to make of it.

    Raises:
        UserError: a film cannot be read, too little of it can be used (code 3), or there is no
            tracker (code 4).

    """
    hashes = [digest(film) for film in request.films]
    scans = scan_all(request.films, hashes, work / "scans", progress)
    longest = LONGEST
    if len(request.films) < _FIFTH:
        seconds = sum(float(scan["times"][-1] - scan["times"][0]) for scan in scans)
        longest = min(LONGEST, max(_SHORT, seconds / _FEW))
    found = [pieces_of(scan, index, request.size, longest) for index, scan in enumerate(scans)]
    pieces = [piece for mine, _ in found for piece in mine]
    pieces = framed_alike(pieces, [tuple(scans[piece.film]["size"].tolist()) for piece in pieces])
    findings = tuple(told for _, told in found)
    check_enough(pieces, list(findings), [str(film) for film in request.films])
    folder = work / f"set-{_key(request, hashes)}"
    if not (folder / "set.json").is_file():
        _plan(request, folder, pieces, scans, progress)
    data = load_set(folder)
    _cut(data, _chosen(data, pieces, scans, request), progress)
    register(load_set(folder), progress)
    data = load_set(folder)
    return Prepared(data, Looks.of(data), findings)


def register(data: RenderSet, progress: Progress = silent) -> None:
    """Write where head and shoulders are in all frames that are there; not done again for the same frames."""
    path, numbers = data.folder / REGISTERED, list(data.numbers)
    if path.is_file() and np.array_equal(read_npz(path, ["numbers"])["numbers"], numbers):
        return
    looks = Looks.of(data)
    head = register_heads(data, looks, progress)
    found = {"numbers": np.array(numbers, np.float32), "head_rotation": head.rotation,
             "head_translation": head.translation, "shoulders": np.zeros((len(numbers), 2, 3), np.float32)}  # fmt: skip
    take_over(data.params, found)
    found["shoulders"] = register_shoulders(data, looks, progress)
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **found)


def scan_all(
    films: Sequence[Path], hashes: Sequence[str], folder: Path, progress: Progress
) -> list[Scan]:
    """A scan of each film, from the folder where it is there, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / f"{SCAN_VERSION}-{hash_[:16]}.npz" for hash_ in hashes]
    scans = {place: scan for place in places if (scan := _kept_scan(place)) is not None}
    todo = {place: film for film, place in zip(films, places) if place not in scans}
    if todo:
        plan = [(str(film.absolute()), str(place.absolute())) for place, film in todo.items()]
        _in_tracker("scan", plan, "faces", progress)
        scans |= {place: read_npz(place) for place in todo}
    return [scans[place] for place in places]


def _kept_scan(place: Path) -> Scan | None:
    """What there is of a scan; None where it is missing or damaged."""
    try:
        return read_npz(place)
    except (OSError, ValueError):
        return None


def sight_of(piece: Piece, scan: Scan, camera: Camera, size: int) -> Sight:
    """The face of one piece, on frames of ``size`` pixels."""
    x, y, width = piece.crop
    points: npt.NDArray[np.float32] = scan["points"][piece.first : piece.last + 1]
    within = (points - np.array([x, y, 0])) * (size / width)
    return Sight(within.astype(np.float32), camera, size)


def held_out(pieces: Sequence[Piece], films: int) -> npt.NDArray[np.bool_]:
    """(P,) pieces never trained on: of every fifth film, or every fifth piece of few films."""
    order = [piece.film for piece in pieces] if films >= _FIFTH else range(len(pieces))
    return np.array([number % _FIFTH == _FIFTH - 1 for number in order], bool)


def apart(features: Array, count: int) -> npt.NDArray[np.int64]:
    """Rows that stand for all: half of them evenly spread over time, half each farthest from the rest.

    The first have the frequencies of the whole, the second its extremes (farthest-point sampling:
    Gonzalez 1985).

    Args:
        features: (N, F), in which distances count.
        count: rows wanted, N at most.

    """
    total = len(features)
    if count >= total:
        return np.arange(total)
    middle = features - features.mean(0)
    axes = np.linalg.svd(middle[:: max(1, total // 2000)], full_matrices=False)[2][:_AXES]
    values = middle @ axes.T
    picked = list(np.linspace(0, total - 1, count - count // 2).astype(int))
    away = np.full(total, np.inf)
    for row in picked:
        away = np.minimum(away, np.square(values - values[row]).sum(1))
    for _ in range(count // 2):
        picked.append(int(away.argmax()))
        away = np.minimum(away, np.square(values - values[picked[-1]]).sum(1))
    return np.asarray(np.unique(picked), np.int64)


def _key(request: Request, hashes: Sequence[str]) -> str:
    """Of everything that a set is made from; where the films lie is in it, as the set tells that."""
    said = [VERSION, [str(f.absolute()) for f in request.films], list(hashes), request.name, request.size,
            request.frames, request.consent, request.licence, request.credits]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _plan(
    request: Request, folder: Path, pieces: Sequence[Piece], scans: Sequence[Scan], progress: Progress
) -> None:
    """Write the proxy, what every frame shows, and last the set's own file."""
    camera, size = Camera(), request.size
    sights = [sight_of(piece, scans[piece.film], camera, size) for piece in pieces]
    progress("likeness", 0, 1)
    known = likeness(Sight(np.concatenate([s.points for s in sights]), camera, size))
    progress("likeness", 1, 1)
    motions = _followed(sights, known, pieces, progress)
    # The middle of where the head is becomes its rest, which tracks of a voice move about.
    place = np.concatenate([m.pose.translation for m in motions])
    middle = np.median(place, axis=0)
    turns = Rotation.from_matrix(np.concatenate([m.pose.rotation for m in motions]))
    rest = turns.mean()
    x, y, z = (float(v) for v in np.asarray(camera.position) - middle)
    rows: dict[str, npt.NDArray[Any]] = {
        "arkit": np.concatenate([m.arkit for m in motions]),
        "gaze": turned_gaze(np.concatenate([m.gaze for m in motions]), rest.as_matrix()),
        "head_rotation": (turns * rest.inv()).as_rotvec(),
        "head_translation": place - middle,
        "emotion": np.tile(np.eye(1, len(EMOTIONS)), (len(place), 1)),
        **_origin(pieces, scans),
    }
    held = np.repeat(held_out(pieces, len(request.films)), [len(p) for p in pieces])
    info = SetInfo(
        name=request.name, size=size, camera=Camera(camera.fov_y, (x, y, z)),
        held_out=tuple(int(n) + 1 for n in np.flatnonzero(held)), licence=request.licence,
        source=_source(request), consent=request.consent, credits=request.credits,
        films=tuple(str(film.absolute()) for film in request.films),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / "proxy.npz") as beside, beside.open("wb") as file:
        np.savez_compressed(file, **turned(known, rest.as_matrix()))
    write_plan(folder, info, {name: values.astype(np.float32) for name, values in rows.items()})


def _followed(
    sights: Sequence[Sight], known: Likeness, pieces: Sequence[Piece], progress: Progress
) -> list[Motion]:
    motions = []
    for index, (sight, piece) in enumerate(zip(sights, pieces)):
        progress("fit", index, len(sights))
        motions.append(follow(sight, known, piece.fps))
    progress("fit", len(sights), len(sights))
    return motions


def _origin(pieces: Sequence[Piece], scans: Sequence[Scan]) -> dict[str, npt.NDArray[Any]]:
    """Where each frame comes from, as `core.training.head_data` has it."""
    pictures = [np.arange(piece.first, piece.last + 1) for piece in pieces]
    return {
        "film": np.repeat([piece.film for piece in pieces], [len(p) for p in pieces]),
        "picture": np.concatenate(pictures),
        "time": np.concatenate([scans[p.film]["times"][rows] for p, rows in zip(pieces, pictures)]),
        "crop": np.concatenate([np.tile([*p.crop, p.crop[2]], (len(p), 1)) for p in pieces]),
    }


def _source(request: Request) -> str:
    films = ", ".join(film.name for film in request.films[:3])
    more = f" and {len(request.films) - 3} more" if len(request.films) > 3 else ""
    return f"Footage of a person: {films}{more}."


def _chosen(
    data: RenderSet, pieces: Sequence[Piece], scans: Sequence[Scan], request: Request
) -> list[int]:
    """Frames to be cut, counted from 1: all that are held out, and of the rest those that differ."""
    held = np.zeros(len(data.params["arkit"]), bool)
    held[np.asarray(data.info.held_out, np.int64) - 1] = True
    sights = [sight_of(piece, scans[piece.film], data.info.camera, request.size) for piece in pieces]
    seen = np.concatenate([np.concatenate(s.pixels(), 1) for s in sights])
    rest = np.flatnonzero(~held)
    kept = rest[apart(seen[rest].reshape(len(rest), -1), request.frames)]
    return sorted(int(n) + 1 for n in np.concatenate([kept, np.flatnonzero(held)]))


def _cut(data: RenderSet, numbers: Sequence[int], progress: Progress) -> None:
    """Cut the frames that are not there."""
    frames, masks = data.folder / "frames", data.folder / "masks"
    for place in (frames, masks):
        place.mkdir(exist_ok=True)
    films: list[dict[str, Any]] = [{"path": path, "pictures": []} for path in data.info.films]
    for number in numbers:
        if not (frames / frame_file(number)).is_file():
            row = {name: data.params[name][number - 1] for name in ("film", "picture", "crop")}
            x, y, width, _ = (int(v) for v in row["crop"])
            films[int(row["film"])]["pictures"].append([int(row["picture"]), number, x, y, width])
    films = [film for film in films if film["pictures"]]
    if films:
        plan = {"size": data.info.size, "frames": str(frames.absolute()), "masks": str(masks.absolute())}
        _in_tracker("cut", {**plan, "films": films}, "frames", progress)


def _in_tracker(module: str, plan: Any, stage: str, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix="gmtalker-") as folder:
        path = Path(folder) / "plan.json"
        write_bytes(path, json.dumps(plan).encode())
        run_tracker(f"{__package__}.{module}", [str(path)], stage, progress)
