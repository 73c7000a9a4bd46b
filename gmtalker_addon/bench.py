# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast keys are written here: ten minutes of tracks at 30 frames a second on the built-in head."""

from __future__ import annotations

import time
from fractions import Fraction

import bpy
import numpy as np

from ..core.arkit import EXPRESSION_NAMES
from ..core.tracks import FaceTracks
from . import baking, channels, character, head_object

FRAMES = 18_000
PARTS = ("SPEECH", "HEAD", "BLINK", "GAZE")


def tracks(count: int) -> FaceTracks:
    """Tracks that wave, so that no key is like the next."""
    wave = np.sin(np.arange(count, dtype=np.float32))[:, None] * 0.5 + 0.5
    names = len(EXPRESSION_NAMES)
    return FaceTracks(
        fps=Fraction(30),
        expression=np.repeat(wave, names, axis=1),
        blink=np.repeat(wave, 2, axis=1),
        gaze=np.repeat(wave, 4, axis=1).reshape(count, 2, 2) * 0.2,
        head_rotation=np.repeat(wave, 3, axis=1) * 0.1,
        head_translation=np.repeat(wave, 3, axis=1) * 0.01,
        emotion=np.repeat(wave, 8, axis=1) / 8,
    )


def run() -> str:
    """One line with the time of a first bake and of a second one over it."""
    owner = head_object.create_head(bpy.context, name="Bench")
    rig = character.resolve(owner)
    face = tracks(FRAMES)
    count = sum(len(channels.channels(part, face, rig)) for part in PARTS)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        baking.bake(face, rig, face.fps, 1, PARTS)
        times.append(time.perf_counter() - begin)
    baking.clear(rig)
    for obj in (*owner.children_recursive, owner):
        bpy.data.objects.remove(obj)
    return (f"{count} channels x {FRAMES} frames in Blender {bpy.app.version_string}: "
            f"{times[0]:.2f} s, again {times[1]:.2f} s")  # fmt: skip
