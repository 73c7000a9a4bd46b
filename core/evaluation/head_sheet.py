# SPDX-License-Identifier: GPL-3.0-or-later
"""A sheet of what an avatar can do: mouth shapes, blink and gaze, head turns, emotions.

It needs no renders to compare with; it is for looking at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..arkit import ARKIT_NAMES, EMOTIONS
from ..avatars import Avatar
from ..conditioning import HeadRenderer
from ..precision import autocast
from ..training.head_poses import EMOTION_POSES, MOUTHS, Pose, add_pose, set_lids

Array = NDArray[np.float32]


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


@torch.inference_mode()
def pose_sheet(avatar: Avatar, seed: int = 0) -> bytes:
    """PNG of `LINES`, a line of eight pictures each."""
    network = avatar.network()
    renderer = HeadRenderer(avatar.proxy, avatar.camera, avatar.config.resolution)
    noise = torch.randn(1, avatar.config.noise, generator=torch.Generator().manual_seed(seed))
    still = np.zeros((1, 3), np.float32)
    lines = []
    for line in LINES:
        pictures = []
        for face in line:
            gaze = np.tile(np.array(face.gaze, np.float32), (1, 2, 1))
            rotation = np.array([face.rotation], np.float32)
            seen = renderer.render(face.weights()[None], gaze, rotation, still)
            emotion = torch.eye(len(EMOTIONS))[face.emotion][None]
            with autocast(renderer.device):
                rgb = network.picture(seen, network.style(emotion, noise))
            pictures.append(rgb.float().clamp(0, 1)[0])
        lines.append(torch.cat(pictures, 2))
    pixels = (torch.cat(lines, 1).permute(1, 2, 0) * 255).round().to(torch.uint8)
    file = BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG")
    return file.getvalue()
