# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pictures of some films an avatar can be made from, and why not the others.

A piece is a run of pictures that follow each other without a cut, each fit for use: one face, lit,
large enough, within the crop, not turned far away, no hand before the mouth. The crop is one square
for all pieces between two cuts, and for all films of one framing, so that the head moves in it and what
is still stays still; it is as wide as shows the head as the built-in one is framed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.spatial.transform import Rotation

from ..errors import UserError
from ..head.model import HeadModel
from ..raster import Camera
from ..tracking import mesh
from ..tracking.pose import similarity
from ..tracking.timing import rational_rate

Array = npt.NDArray[np.float64]
Scan = dict[str, npt.NDArray[Any]]
Flags = npt.NDArray[np.bool_]

ENOUGH: Final = 10.0
"""Seconds of usable pictures that an avatar takes at least."""
SHORTEST, LONGEST = 0.5, 6.0
"""Seconds of a piece; what is longer is divided evenly, so that parts can be held out whole."""
_DARK: Final = 24.0
"""Luma of a face, 0..255, below which nothing can be learnt from it."""
_GLASSES: Final = 0.07
"""Contrast across the bridge of the nose from which glasses sit there: in 204 films of five GRID speakers bare noses
have .034 at most, in that of a sixth thin metal frames .147."""
_SOFT, _SMALL = 0.9, 0.4
"""Crop over frame: below the first frames are enlarged and soft, below the second worthless."""
_FRAMING: Final = 0.15
"""Of a crop's width: crops of one framing differ by less, as somebody sits down again before a camera."""
_TURNED: Final = np.radians(50)
_JUMP: Final = 0.6
"""Of the distance between the outer eye corners: no face goes so far from one picture to the next."""
_CHANGE, _SURGE = 8.0, 4.0
"""Of a cut: difference between pictures, 0..255, and how many times that around it."""
_MIDDLE: Final = (0.0, 0.0, 0.06)
"""Metres from where the camera looks, in the built-in head: half-way between face and ears."""


class Reason(StrEnum):
    """Why a picture is left out."""

    NONE = "without a face"
    TWO = "with two faces"
    HAND = "with a hand before the mouth"
    DARK = "too dark"
    SMALL = "with a face too small"
    TURNED = "turned far away"
    EDGE = "with the face cut off by the border"
    SHORT = "in pieces shorter than half a second"


@dataclass(frozen=True)
class Piece:
    """Pictures of one film that follow each other, all of use."""

    film: int
    first: int
    last: int
    """pictures, counted from 0, the last included"""
    crop: tuple[int, int, int]
    """x, y, width of a square"""
    fps: float

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Findings:
    """What came of one film."""

    total: int
    """pictures"""
    left_out: dict[Reason, int]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        """In words."""
        used = self.total - sum(self.left_out.values())
        lost = [f"{count} {reason}" for reason, count in self.left_out.items()]
        return "; ".join([f"{used} of {self.total} pictures used", *lost, *self.remarks])


def pieces_of(
    scan: Scan, film: int, size: int, longest: float = LONGEST
) -> tuple[list[Piece], Findings]:
    """The pieces of one film.

    Args:
        scan: as `core.footage.scan` gives it.
        film: its number, for the pieces.
        size: pixels of the frames to be made.
        longest: seconds of a piece.

    """
    times, total = scan["times"], len(scan["times"])
    fps = float(rational_rate(times, _stated(scan)))
    seen = np.isfinite(scan["points"][:, 0, 0])
    why = np.full(total, None, object)
    cuts = cuts_of(scan)
    pieces: list[Piece] = []
    soft = 0
    for first, last in zip([0, *cuts], [*cuts, total]):
        shot = np.arange(first, last)
        if not seen[shot].any():
            why[shot] = Reason.NONE
            continue
        crop, scale = crop_of(scan["points"][shot][seen[shot]], scan["size"])
        why[shot] = _reasons(scan, shot, crop, scale, size)
        fit = np.array([reason is None for reason in why[shot]])
        for start, stop in runs(fit):
            if (stop - start) / fps < SHORTEST:
                why[shot[start:stop]] = Reason.SHORT
                continue
            parts = int(np.ceil((stop - start) / (longest * fps)))
            for part in np.array_split(shot[start:stop], parts):
                pieces.append(Piece(film, int(part[0]), int(part[-1]), crop, fps))
        soft += int(crop[2] < _SOFT * size) * sum(reason is None for reason in why[shot])
    left = {r: int(np.sum([w is r for w in why])) for r in Reason}
    return pieces, Findings(total, {r: n for r, n in left.items() if n}, _remarks(scan, cuts, soft, size))


def framed_alike(pieces: Sequence[Piece], sizes: Sequence[tuple[int, int]]) -> list[Piece]:
    """The pieces, those of one framing with one crop: the middle of theirs.

    Args:
        pieces: each with the crop of its own shot.
        sizes: width and height of each piece's pictures.

    """
    crops = np.array([piece.crop for piece in pieces], float)
    out = list(pieces)
    free = np.ones(len(pieces), bool)
    while free.any():
        alike = free & [size == sizes[int(free.argmax())] for size in sizes]
        middle = np.median(crops[alike], axis=0).round()
        near = alike & (np.abs(crops - middle).max(1) < _FRAMING * middle[2])
        if not near.any():  # as far from each other as from their middle
            near = free & (np.arange(len(pieces)) == free.argmax())
            middle = crops[near][0]
        for row in np.flatnonzero(near):
            out[row] = replace(pieces[row], crop=(int(middle[0]), int(middle[1]), int(middle[2])))
        free &= ~near
    return out


def check_enough(pieces: list[Piece], findings: list[Findings], names: list[str]) -> None:
    """Refuse footage of which too little is left.

    Raises:
        UserError: it says what was lost to what, and what is needed.

    """
    seconds = sum(len(p) / p.fps for p in pieces)
    if seconds >= ENOUGH:
        return
    lost: dict[Reason, int] = {}
    for found in findings:
        for reason, count in found.left_out.items():
            lost[reason] = lost.get(reason, 0) + count
    worst = sorted(lost, key=lambda r: -lost[r])[:2]
    because = f" ({', '.join(f'{lost[r]} pictures {r}' for r in worst)})" if worst else ""
    where = f"'{names[0]}'" if len(names) == 1 else f"{len(names)} films"
    raise UserError(
        f"Expected at least {ENOUGH:.0f} s of one face, got {seconds:.1f} s in {where}{because}.",
        "Film one person from the front for a minute or more: lit, sharp, head and shoulders in the picture, talking.",
    )


def cuts_of(scan: Scan) -> list[int]:
    """Pictures with which something else begins: another view, or a face in another place."""
    change = scan["change"].astype(np.float64)
    around = median_filter(change, 9, mode="nearest")
    cut = (change > _CHANGE) & (change > _SURGE * around)
    eyes = scan["points"][:, [33, 263], :2].astype(np.float64)
    middle, apart = eyes.mean(1), np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
    with np.errstate(invalid="ignore"):
        cut[1:] |= np.linalg.norm(np.diff(middle, axis=0), axis=1) > _JUMP * apart[:-1]
    return [int(t) for t in np.flatnonzero(cut) if t > 0]


def crop_of(points: npt.NDArray[np.float32], size: npt.NDArray[np.int64]) -> tuple[tuple[int, int, int], float]:
    """The square that frames the head of (T, 478, 3) points as the render set's camera does.

    Returns:
        x, y and width, within a picture of ``size``; and pixels a metre of the head.

    """
    rest = HeadModel.load().vertices[[mesh.VERTICES[p] for p in mesh.RIGID]].astype(np.float64)
    upright = points[:, list(mesh.RIGID)].astype(np.float64) * (1, -1, -1)
    pose = similarity(rest, upright)
    scale = float(np.median(pose.scale))
    camera = Camera()
    width = 2 * np.tan(np.radians(camera.fov_y) / 2) * (camera.position[2] - _MIDDLE[2]) * scale
    width = int(min(round(width), size.min()))
    looked_at = np.add(_MIDDLE, (camera.position[0], camera.position[1], 0))
    centre = np.median(pose.scale[:, None] * (pose.rotation @ looked_at) + pose.translation, axis=0)
    corner = np.round(np.array([centre[0], -centre[1]]) - width / 2).astype(int)
    x, y = np.clip(corner, 0, size - width)
    return (int(x), int(y), width), scale


def runs(fit: Flags) -> list[tuple[int, int]]:
    """First and one after the last of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fit, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def _reasons(
    scan: Scan, shot: npt.NDArray[np.int64], crop: tuple[int, int, int], scale: float, size: int
) -> npt.NDArray[Any]:
    """(T,) why each picture of a shot is left out, or None; the first reason counts."""
    points = scan["points"][shot]
    seen = np.isfinite(points[:, 0, 0])
    x, y, width = crop
    place = points[:, list(mesh.VERTICES), :2]
    low, high = place.min(1), place.max(1)
    inside = (low >= (x, y)).all(1) & (high <= (x + width, y + width)).all(1)
    turned = np.zeros(len(shot), bool)
    rest = HeadModel.load().vertices[[mesh.VERTICES[p] for p in mesh.RIGID]].astype(np.float64)
    upright = points[seen][:, list(mesh.RIGID)].astype(np.float64) * (1, -1, -1)
    turned[seen] = Rotation.from_matrix(similarity(rest, upright).rotation).magnitude() > _TURNED
    with np.errstate(invalid="ignore"):
        tests = (
            (Reason.NONE, ~seen),
            (Reason.TWO, scan["faces"][shot] > 1),
            (Reason.HAND, scan["hand"][shot]),
            (Reason.DARK, scan["light"][shot] < _DARK),
            (Reason.SMALL, np.full(len(shot), width < _SMALL * size)),
            (Reason.TURNED, turned),
            (Reason.EDGE, seen & ~inside),
        )
    why = np.full(len(shot), None, object)
    for reason, flags in reversed(tests):
        why[flags] = reason
    return why


def _remarks(scan: Scan, cuts: list[int], soft: int, size: int) -> tuple[str, ...]:
    """What was done about a film, or is to be known of it."""
    steps = np.diff(scan["times"])
    uneven = len(steps) > 1 and np.ptp(steps) > 0.5 * np.median(steps)
    said = (
        (bool(cuts), f"cuts: {len(cuts)}"),
        (bool(scan["woven"]), "interlaced, fields woven"),
        (bool(scan["bright"]), "high dynamic range, brought to sRGB"),
        (uneven, "variable frame rate, pictures kept at their own times"),
        (_middle(scan["light"]) < 2 * _DARK, "dark: frames will be noisy"),
        (_middle(scan["bridge"]) > _GLASSES,
         "glasses, it seems: frames and reflections will be part of the skin; films without them give a better avatar"),
        (bool(soft), f"{soft} pictures enlarged to {size} pixels, soft"),
    )  # fmt: skip
    return tuple(text for true, text in said if true)


def _middle(values: Array) -> float:
    """Median of what is known; nan where nothing is."""
    return float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def _stated(scan: Scan) -> Any:
    from fractions import Fraction

    return Fraction(*(int(v) for v in scan["rate"]))
