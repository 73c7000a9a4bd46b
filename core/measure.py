# SPDX-License-Identifier: GPL-3.0-or-later
"""What the face does in face tracks, as seen on the built-in head: the table ``measures.csv``.

- No ``bpy`` module use; numpy only.
"""

from __future__ import annotations

import csv
import io
import os
from typing import Final

import numpy as np
import numpy.typing as npt

from .angles import euler_degrees
from .files import write_bytes
from .head.model import HeadModel
from .progress import Progress, silent
from .tracks import FaceTracks

Array = npt.NDArray[np.float64]

COLUMNS: Final = (
    "frame", "time", "lip_gap", "lip_width", "jaw_drop", "blink_left", "blink_right",
    "gaze_yaw", "gaze_pitch", "yaw", "pitch", "roll",
)  # fmt: skip
"""Frame counts from 1; time is in seconds of the audio. Lengths are in units of the distance between
the outer eye corners at rest: the opening between the inner lips, the distance of the mouth corners,
how far the chin has sunk. Blinks: the share of the lids' opening at rest that is shut. Angles are in
degrees: gaze is the mean of both eyes in the head, to the character's left and up; the head's yaw to
the left, pitch up, roll to the right shoulder."""

_BLOCK: Final = 128


def measure(
    tracks: FaceTracks, head: HeadModel | None = None, progress: Progress = silent
) -> Array:
    """Measure every frame.

    Args:
        tracks: T frames.
        head: the head to see them on; None is the built-in one.
        progress: told the stage ``measure``.

    Returns:
        (T, 12), columns as in :data:`COLUMNS`.

    """
    model = head or HeadModel.load()
    weights = tracks.arkit_weights()
    rest = _openings(model, np.zeros((1, weights.shape[1]), np.float32))[0]
    seen = np.empty((len(tracks), 5))
    for first in range(0, len(tracks), _BLOCK):
        block = slice(first, first + _BLOCK)
        seen[block] = _openings(model, weights[block])
        progress("measure", min(first + _BLOCK, len(tracks)), len(tracks))
    shut = np.clip(1 - seen[:, 3:] / rest[3:], 0, 1)
    gaze = np.degrees(tracks.gaze.astype(np.float64).mean(1))
    return np.column_stack([
        np.arange(1, len(tracks) + 1), tracks.times(), np.clip(seen[:, 0], 0, None), seen[:, 1],
        rest[2] - seen[:, 2], shut, gaze, euler_degrees(tracks.head_rotation),
    ])  # fmt: skip


def write_measures(table: Array, path: str | os.PathLike[str]) -> None:
    """Write a table of :func:`measure` as .csv.

    Raises:
        UserError: the place cannot be written.

    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for row in table:
        rows.writerow([int(row[0]), f"{row[1]:.6f}", *(f"{v:.5f}" for v in row[2:])])
    write_bytes(path, out.getvalue().encode())


def _openings(model: HeadModel, weights: npt.NDArray[np.float32]) -> Array:
    """(T, 5) lip gap, lip width, chin height, openings of the left and right lids.

    The head stays upright, so that a gap is a gap however it is turned.
    """
    vertices = model.deform(weights).astype(np.float64)
    unit = np.linalg.norm(_rest(model, "eye_outer_left") - _rest(model, "eye_outer_right"))

    def at(name: str) -> Array:
        return np.asarray(vertices[:, model.landmark(name)])

    def height(upper: str, lower: str) -> Array:
        return np.asarray(at(upper)[:, 1] - at(lower)[:, 1])

    width = np.linalg.norm(at("lip_corner_left") - at("lip_corner_right"), axis=1)
    lids = [height(f"lid_upper_{side}", f"lid_lower_{side}") for side in ("left", "right")]
    gap = height("lip_upper_inner", "lip_lower_inner")
    return np.asarray(np.stack([gap, width, at("chin")[:, 1], *lids], axis=1) / unit)


def _rest(model: HeadModel, name: str) -> Array:
    return np.asarray(model.vertices[model.landmark(name)], np.float64)
