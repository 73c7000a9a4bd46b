# SPDX-License-Identifier: GPL-3.0-or-later
"""The voice of a character: a file, or a sound strip as it is trimmed."""

from __future__ import annotations

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
    strip = find_strip(scene, settings.voice_strip)
    if strip is None:
        raise UserError(f"The Sequencer has no sound strip '{settings.voice_strip}'.",
                        "Choose one of its sound strips.")  # fmt: skip
    if compat.is_retimed(strip):
        raise UserError(f"The strip '{strip.name}' is retimed.",
                        "Mix it down to a file first (Render, Render Audio), and use that.")  # fmt: skip
    begin, end = compat.strip_span(strip)
    trim = compat.strip_trim(strip)
    return Voice(_file(strip, folder), begin, max(0.0, float(trim / fps)), float((end - begin) / fps), strip.name)


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
