# SPDX-License-Identifier: GPL-3.0-or-later
"""The voice of a character: a file, or a sound strip as it is trimmed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..core.errors import UserError
from . import blender_compat as compat

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass(frozen=True)
class Voice:
    """A piece of a sound file and where it lies in the scene."""

    path: Path
    first: int
    """scene frame"""
    start: float = 0.0
    """seconds of the file to skip"""
    length: float | None = None
    """seconds to take; None: to the end"""
    strip: str = ""
    """the name of the strip that it came from; an undo makes a kept strip itself invalid"""


def find_strip(scene: bpy.types.Scene | None, name: str) -> Any:
    strips = compat.all_strips(scene)
    return next((s for s in strips if s.name == name and s.type == "SOUND"), None)


def of(obj: bpy.types.Object, scene: bpy.types.Scene, fps: Fraction, folder: Path) -> Voice:
    """The voice that the character is set to.

    Args:
        obj: the character.
        scene: the Sequencer's scene.
        fps: its frame rate.
        folder: where the sound of a packed strip may be written.

    Raises:
        UserError: there is no such file or strip, or the strip cannot be read as it plays.

    """
    settings = obj.gmtalker
    if settings.voice_source == "FILE":
        path = Path(bpy.path.abspath(settings.voice))
        if not path.is_file():
            raise UserError(f"There is no voice file '{path}'.", "Choose a file that exists.")
        return Voice(path.absolute(), settings.frame_start)
    strip = _strip(scene, settings.voice_strip)
    begin, end = compat.strip_span(strip)
    zero = _zero(strip, fps)
    # A handle that was pulled out before the sound shows silence; a hair of room for its fraction.
    first = max(begin, math.ceil(zero - 1e-3))
    if first >= end:
        raise UserError(f"The strip '{strip.name}' ends before its sound begins.",
                        "Pull its right handle out, or choose another.")  # fmt: skip
    start = max(0.0, float((first - zero) / fps))
    return Voice(_file(strip, folder), first, start, float((end - first) / fps), strip.name)


def first_frame(obj: bpy.types.Object, scene: bpy.types.Scene, fps: Fraction, start: float) -> int:
    """The scene frame of a take's first frame: where its voice lies now, however it is trimmed now.

    Args:
        obj: the character.
        scene: the Sequencer's scene.
        fps: its frame rate.
        start: seconds of the voice's file before the take.

    Raises:
        UserError: there is no such strip, or it is retimed.

    """
    settings = obj.gmtalker
    from_file = settings.voice_source == "FILE"
    zero = settings.frame_start if from_file else _zero(_strip(scene, settings.voice_strip), fps)
    return round(zero + start * fps)


def seconds(path: Path) -> float | None:
    """How long a sound file plays, or None where this Blender cannot tell."""
    try:
        import aud  # Debian's Blender has none
    except ImportError:
        return None
    try:
        sound = aud.Sound(str(path))
        return sound.length / sound.specs[0] if sound.length > 0 else None
    except aud.error:
        return None


def _strip(scene: bpy.types.Scene, name: str) -> Any:
    strip = find_strip(scene, name)
    if strip is None:
        raise UserError(f"The Sequencer has no sound strip '{name}'.", "Choose one of its sound strips.")
    if compat.is_retimed(strip):
        raise UserError(f"The strip '{strip.name}' is retimed.",
                        "Mix it down to a file first (Render, Render Audio), and use that.")  # fmt: skip
    return strip


def _zero(strip: Any, fps: Fraction) -> float:
    """The scene frame where the strip's file begins, whether it is trimmed away or not."""
    return compat.strip_span(strip)[0] - compat.strip_trim(strip) + compat.sound_offset(strip) * float(fps)


def _file(strip: Any, folder: Path) -> Path:
    sound = strip.sound
    if sound.packed_file is not None:
        path = folder / (Path(sound.filepath.replace("\\", "/")).name or "voice")
        path.write_bytes(sound.packed_file.data)
        return path
    path = Path(bpy.path.abspath(sound.filepath, library=sound.library))
    if not path.is_file():
        raise UserError(f"The sound file of the strip '{strip.name}' is missing: '{path}'.",
                        "Relink the strip to its file.")  # fmt: skip
    return path.absolute()
