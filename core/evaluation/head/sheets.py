# SPDX-License-Identifier: GPL-3.0-or-later
"""Sheets to look at: true frames beside made ones, what an avatar can do, and its emotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...arkit import ARKIT_NAMES, EMOTIONS
from ...avatars import Avatar
from ...training.head_poses import EMOTION_POSES, MOUTHS, Pose, add_pose, set_lids
from .frames import Maker, Pictures

Array = NDArray[np.float32]

_MARGIN: Final = 88
"""Pixels for the names beside the lines."""


@dataclass(frozen=True)
class Face:
    """One picture of the sheet."""

    pose: Pose = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)
    """Yaw and pitch of both eyes, radians."""
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the head, axis-angle, radians."""
    emotion: int = 0
    """Index of `EMOTIONS`."""

    def weights(self) -> Array:
        """(52,) ARKit weights."""
        values = np.zeros(len(ARKIT_NAMES))
        add_pose(values, self.pose, 1.0)
        add_pose(values, EMOTION_POSES[self.emotion], 1.0)
        set_lids(values, np.tile(np.array(self.gaze, np.float32), (2, 1)))
        return values.clip(0, 1).astype(np.float32)


def _blink(left: float, right: float) -> Pose:
    return {"eyeBlinkLeft": left, "eyeBlinkRight": right}


LINES: tuple[tuple[Face, ...], ...] = (
    tuple(Face(pose) for pose in MOUTHS[:8]),
    tuple(Face(pose) for pose in MOUTHS[7:15]),
    (
        *(Face(_blink(v, v)) for v in (0.25, 0.5, 0.75, 1.0)),
        *(Face(gaze=g) for g in ((0.3, 0.0), (-0.3, 0.0), (0.0, 0.2), (0.0, -0.2))),
    ),
    (
        *(Face(rotation=(0.0, yaw, 0.0)) for yaw in (-0.25, -0.12, 0.12, 0.25)),
        *(Face(rotation=r) for r in ((-0.15, 0, 0), (0.15, 0, 0), (0, 0, -0.12), (0, 0, 0.12))),
    ),
    tuple(Face(emotion=index) for index in range(len(EMOTIONS))),
    tuple(Face(MOUTHS[2], emotion=index) for index in range(len(EMOTIONS))),
)


def sheet(truth: Pictures, made: Pictures, columns: int = 4) -> bytes:
    """PNG of pairs (truth left, made right), ``columns`` pairs a line; pairs of a last line not full go."""
    pairs = np.concatenate([truth, made], 2)
    pairs = pairs[: len(pairs) // columns * columns]
    return _png(_tiled(pairs.reshape(-1, columns, *pairs.shape[1:])))


def pose_sheet(avatar: Avatar, seed: int = 0) -> bytes:
    """PNG of `LINES`: mouth shapes, blinks, gazes, head turns, emotions; eight pictures a line."""
    maker = Maker(avatar, seed)
    return _png(_tiled(np.stack([maker.make(_rows(line)) for line in LINES])))


def named_sheet(frames: NDArray[np.uint8], names: Sequence[str]) -> bytes:
    """PNG of (N, M, H, W, 3) frames in N lines, each line's name beside it."""
    picture = Image.fromarray(_tiled(frames))
    page = Image.new("RGB", (picture.width + _MARGIN, picture.height), "white")
    page.paste(picture, (_MARGIN, 0))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, name in enumerate(names):
        line = (number + 0.5) * frames.shape[2]
        draw.text((_MARGIN - 6, line), name, "black", font, anchor="rm")
    return _png(np.asarray(page))


def _rows(faces: Sequence[Face]) -> dict[str, Array]:
    """Rows of a render set that show these faces."""
    return {
        "arkit": np.stack([face.weights() for face in faces]),
        "gaze": np.stack([np.tile(np.array(face.gaze, np.float32), (2, 1)) for face in faces]),
        "head_rotation": np.array([face.rotation for face in faces], np.float32),
        "head_translation": np.zeros((len(faces), 3), np.float32),
        "emotion": np.eye(len(EMOTIONS), dtype=np.float32)[[face.emotion for face in faces]],
    }


def _tiled(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, M, H, W, 3) -> (N H, M W, 3)."""
    lines, columns, height, width, _ = frames.shape
    return frames.transpose(0, 2, 1, 3, 4).reshape(lines * height, columns * width, 3)


def _png(picture: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
