# SPDX-License-Identifier: GPL-3.0-or-later
"""``core track``: footage of a face to face tracks.

The points come from the tracker's own environment (``installer setup --tracker``), in a process of
their own; everything else happens here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import platformdirs
from scipy.spatial.transform import Rotation

from ..arkit import EMOTIONS
from ..errors import ExitCode, UserError
from ..files import check_writable, digest, read_npz
from ..head.model import HeadModel
from ..progress import Progress, silent
from ..tracks import FaceTracks, made_from
from . import mesh
from .film import Film
from .fit import POINTS, Rest, fit
from .pose import Pose, similarity, skull_of
from .timing import bridge, frame_times, rational_rate, resample

VERSION: Final = 1
"""Goes up with every change that gives other tracks from the same film."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_ENOUGH: Final = 5000
"""Frames that suffice to know a person."""
_EASE: Final = 0.25
"""Seconds in which a face that is lost goes to rest."""
_LEAN: Final = np.radians(9.0)
"""The mesh's faces lean forward on the built-in head: the mean of six GRID speakers, who look ahead."""
_FOCAL: Final = 1.1
"""Focal length over the picture's longer side, where nothing is known of the lens: 49 degrees."""


_WANTED: Final = [*POINTS, *mesh.IRISES]
_RIGID: Final = [POINTS.index(p) for p in mesh.RIGID]


@dataclass(frozen=True)
class TrackResult:
    """What was written."""

    tracks: FaceTracks
    lost: int
    """frames without a face"""
    skipped: bool
    """it was there already, made from the same film"""


def track_to_file(
    video: str | os.PathLike[str],
    output: str | os.PathLike[str],
    fps: Fraction | None = None,
    progress: Progress = silent,
    *,
    overwrite: bool = False,
) -> TrackResult:
    """Track and write the tracks, unless they are there, made from the same film.

    Raises:
        UserError: no film, no face in it, no tracker (code 4), or a place that cannot be written.

    """
    check_writable(output, video)
    said = {"film": digest(video), "fps": str(fps), "version": VERSION}
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    tracks = None if overwrite else made_from(output, key)
    skipped = tracks is not None
    if tracks is None:
        tracks = track(video, fps, progress)
        tracks.save(output, key)
    return TrackResult(tracks, int((~tracks.extra["tracked"].astype(bool)).sum()), skipped)


def track(
    video: str | os.PathLike[str], fps: Fraction | None = None, progress: Progress = silent
) -> FaceTracks:
    """Track a film.

    Args:
        video: any film that ffmpeg reads.
        fps: of the tracks; None is the film's own.
        progress: told the stages ``faces`` and ``fit``.

    Returns:
        Tracks whose ``extra["tracked"]`` (T,) bool tells where the face was seen.

    Raises:
        UserError: no film, no face in it, or no tracker (code 4).

    """
    film = film_points(video, progress)
    if not _found(film["points"]).any():
        raise UserError(f"No face was found in '{video}'.",
                        "Give a film that shows one face, lit and from the front.")  # fmt: skip
    progress("fit", 0, 1)
    tracks = to_tracks(film, fps)
    progress("fit", 1, 1)
    return tracks


@dataclass(frozen=True)
class Person:
    """What is a person's own, whatever the face does."""

    skull: npt.NDArray[np.float64]
    """(R, 3) metres, the mesh's rigid points in the head's frame"""
    apart: float
    """metres in that frame between the outer eye corners"""
    rest: Rest

    @staticmethod
    def of(films: Sequence[Film]) -> Person:
        """Learn it from films of one person, best of all calm ones; at least one face in them."""
        seen = np.concatenate([f["points"][_found(f["points"])][:, _WANTED] for f in films])
        points = _upright(seen[:: max(1, len(seen) // _ENOUGH)])
        head = HeadModel.load()
        skull = skull_of(points[:, _RIGID], head.vertices[[mesh.VERTICES[p] for p in mesh.RIGID]].astype(np.float64))
        local = similarity(skull, points[:, _RIGID]).undo(points)
        outer = [POINTS.index(eye[0]) for eye in mesh.EYES]
        apart = float(np.median(np.linalg.norm(local[:, outer[0]] - local[:, outer[1]], axis=1)))
        face, irises = np.split(local / apart, [len(POINTS)], axis=1)
        return Person(skull, apart, Rest.of(face, irises))


def to_tracks(film: Film, fps: Fraction | None = None, person: Person | None = None) -> FaceTracks:
    """Face tracks of the points of :func:`~.film.track_film`, at least one face among them.

    Args:
        film: the points.
        fps: of the tracks; None is the film's own.
        person: who is seen; None is to be learnt from this film.

    """
    who = person or Person.of([film])
    fps = fps or rational_rate(film["times"], Fraction(*(int(v) for v in film["rate"])))
    at = frame_times(film["times"], fps)
    sampled = resample(film["points"][:, _WANTED], film["times"], at)
    found = _found(sampled)
    points = _upright(sampled[found])
    pose = similarity(who.skull, points[:, _RIGID])
    face, irises = np.split(pose.undo(points) / who.apart, [len(POINTS)], axis=1)
    seen = fit(face, irises, who.rest)

    ease = max(1, round(_EASE * fps))
    on = len(found)  # however long the gap: the head and the eyes just go on
    return FaceTracks(
        fps=fps,
        expression=_as_float(bridge(seen.expression, found, 0.0, ease)),
        blink=_as_float(bridge(seen.blink, found, 0.0, ease)),
        gaze=_as_float(bridge(seen.gaze.reshape(-1, 4), found, 0.0, on).reshape(-1, 2, 2)),
        head_rotation=_as_float(bridge(_rotation(pose), found, 0.0, on)),
        head_translation=_as_float(bridge(_translation(pose, film["size"]), found, 0.0, on)),
        emotion=np.tile(np.eye(1, len(EMOTIONS), dtype=np.float32), (len(at), 1)),
        start=float(at[0]),
        extra={"tracked": found},
    )


def film_points(video: str | os.PathLike[str], progress: Progress = silent) -> Film:
    """What :func:`~.film.track_film` finds, by way of the tracker's environment.

    Raises:
        UserError: the film is at fault, or there is no tracker (code 4).

    """
    with tempfile.TemporaryDirectory(prefix="gmtalker-") as folder:
        points = Path(folder) / "points.npz"
        run_tracker(f"{__package__}.film", [str(Path(video).absolute()), str(points)], "faces", progress)
        return read_npz(points)


def tracker_python() -> Path:
    """The interpreter of the tracker's environment.

    Raises:
        UserError: it is not set up (code 4).

    """
    home = Path(os.environ.get("GMTALKER_HOME") or platformdirs.user_data_dir("gmtalker"))
    home = home.expanduser().absolute()
    python = home / "tracker" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (home / "tracker.json").is_file() or not python.exists():
        raise UserError(f"There is no face tracker in {home}.",
                        "Set it up with 'python3 -m installer setup --tracker'.", ExitCode.MISSING)  # fmt: skip
    return python


def run_tracker(module: str, arguments: list[str], stage: str, progress: Progress) -> None:
    """Run a module in the tracker's environment to its end, or end it with this one's work.

    Args:
        module: says on stdout how far it is, as `.film` does.
        arguments: its own; paths absolute.
        stage: what ``progress`` is told.
        progress: may raise to end it.

    Raises:
        UserError: what the module says, or there is no tracker (code 4).

    """
    python = tracker_python()
    command = [str(python), "-m", module, *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    quiet = {"GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUTF8": "1",
             "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": str(python.parents[1] / "cache")}  # fmt: skip
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, cwd=_ROOT, env={**kept, **quiet}, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                if "error" in said:
                    raise UserError(*said["error"])
                progress(stage, said["done"], said["total"])
            code = process.wait()
        finally:
            process.kill()
            process.communicate()
        if code:
            complaints.seek(0)
            raise RuntimeError(f"the tracker ended with {code}:\n{complaints.read().decode('utf-8', 'replace')}")  # fmt: skip


def _found(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(T,) where there is a face."""
    return np.asarray(np.isfinite(points[:, 0, 0]))


def _upright(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N, K, 3) with y up and z towards the camera."""
    return np.asarray(points.astype(np.float64) * (1, -1, -1))


def _rotation(pose: Pose) -> npt.NDArray[np.float64]:
    """(T, 3) of the head, without the lean of the mesh."""
    upright = Rotation.from_matrix(pose.rotation) * Rotation.from_rotvec([-_LEAN, 0, 0])
    return np.asarray(upright.as_rotvec())


def _translation(pose: Pose, size: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(T, 3) metres of the head's pivot from its median place."""
    across = pose.translation[:, :2] - np.array([size[0], -size[1]]) / 2
    place = np.column_stack([across, np.full(len(across), -_FOCAL * size.max())])
    place /= pose.scale[:, None]
    return np.asarray(place - np.median(place, axis=0))


def _as_float(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)
