# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks as files of other programs.

- No ``bpy`` module use; numpy only.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from .angles import euler_degrees
from .arkit import ARKIT_NAMES
from .errors import ExitCode, UserError
from .files import check_writable, write_bytes
from .tracks import FaceTracks

_SIDES: Final = ("Left", "Right")
_EYE: Final = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint",
               "eyeWide")  # fmt: skip
LIVE_LINK_NAMES: Final[tuple[str, ...]] = (
    *(f"{n}{side}" for side in _SIDES for n in _EYE),
    "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker",
    "mouthRight", "mouthLeft",
    *(f"mouth{n}{side}" for n in ("Smile", "Frown", "Dimple", "Stretch") for side in _SIDES),
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *(f"mouth{n}{side}" for n in ("Press", "LowerDown", "UpperUp") for side in _SIDES),
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""The 52 shapes in the order of Live Link Face's .csv."""

_POSE: Final = tuple(f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye")
                     for axis in ("Yaw", "Pitch", "Roll"))  # fmt: skip


def arkit_csv(tracks: FaceTracks) -> bytes:
    """Live Link Face's .csv: time code, 52 weights 0..1, then head and eye angles in radians.

    Angles keep the project's sense: yaw to the character's left, pitch up, roll to the right
    shoulder.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    shapes = [n[0].upper() + n[1:] for n in LIVE_LINK_NAMES]
    table.writerow(["Timecode", "BlendShapeCount", *shapes, *_POSE])
    order = [ARKIT_NAMES.index(n) for n in LIVE_LINK_NAMES]
    pose = _pose(tracks)
    for i, row in enumerate(tracks.arkit_weights()[:, order]):
        values = [f"{v:.9g}" for v in (*row, *pose[i])]
        table.writerow([timecode(tracks, i), len(values), *values])
    return out.getvalue().encode()


def arkit_json(tracks: FaceTracks) -> bytes:
    """All 52 weights, the head and the eyes as one JSON object with lists by frame."""
    return (json.dumps({
        "fps": [tracks.fps.numerator, tracks.fps.denominator],
        "start": tracks.start,
        "names": list(ARKIT_NAMES),
        "weights": np.round(tracks.arkit_weights().astype(float), 6).tolist(),
        "head_rotation": np.round(tracks.head_rotation.astype(float), 7).tolist(),
        "head_translation": np.round(tracks.head_translation.astype(float), 7).tolist(),
        "gaze": np.round(tracks.gaze.astype(float), 7).tolist(),
    }) + "\n").encode()  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A kind of file that tracks can be written as."""

    summary: str
    """what it is, for the help"""
    write: Callable[[FaceTracks], bytes]


FORMATS: Final = {
    "arkit-csv": Format("Live Link Face's table of the 52 ARKit shapes", arkit_csv),
    "arkit-json": Format("the 52 ARKit shapes, head and eyes as JSON", arkit_json),
}


def export(tracks: FaceTracks, kind: str, path: str | os.PathLike[str]) -> None:
    """Write tracks in one of :data:`FORMATS`.

    Raises:
        UserError: no such format, or a place that cannot be written.

    """
    if kind not in FORMATS:
        raise UserError(f"There is no format '{kind}'.", f"Use {', '.join(sorted(FORMATS))}.",
                        ExitCode.USAGE)  # fmt: skip
    check_writable(path)
    write_bytes(path, FORMATS[kind].write(tracks))


def timecode(tracks: FaceTracks, index: int) -> str:
    """``HH:MM:SS:FF.mmm`` of a frame, non-drop: seconds, whole frames in them, the rest."""
    rate = round(tracks.fps)
    seconds, frame = divmod(index, rate)
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours:02}:{m:02}:{s:02}:{frame:02}.000"


def _pose(tracks: FaceTracks) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(T, 9) yaw, pitch, roll of head, left eye, right eye, radians."""
    head = np.radians(euler_degrees(tracks.head_rotation))
    still = np.zeros((len(tracks), 1))
    eyes = [np.hstack([tracks.gaze[:, side], still]) for side in (0, 1)]
    return np.hstack([head, *eyes])
