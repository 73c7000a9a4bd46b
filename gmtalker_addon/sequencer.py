# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and voice as strips of the Sequencer, and the film that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bpy

from ..core.errors import UserError
from . import blender_compat as compat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARK: Final = "gmtalker"
"""The custom property of our strips: what they are, and whose."""

PIECE: Final = 2000
"""Frames in one strip: each added element copies those before it."""


def mark(kind: str, owner: bpy.types.Object) -> str:
    return f"{kind}:{owner.name}"


def ours(scene: bpy.types.Scene, kind: str, owner: bpy.types.Object) -> list[Any]:
    return [s for s in compat.all_strips(scene) if s.get(MARK) == mark(kind, owner)]


def place_sound(
    scene: bpy.types.Scene, owner: bpy.types.Object, path: Path, first: int, length: int
) -> Any:
    """The voice as a strip from ``first`` on, at most ``length`` frames; replaces an earlier one.

    Raises:
        UserError: Blender cannot read the file.

    """
    old = ours(scene, "voice", owner)
    if len(old) == 1 and _plays(old[0], path, first):
        return old[0]
    _remove(scene, old)
    strips = compat.strips(scene)
    channel = _free_channel(scene, first, first + length)
    try:
        strip = strips.new_sound(f"{owner.name} voice", str(path), channel, first)
    except RuntimeError as error:
        reason = str(error).strip().removeprefix("Error: ").rstrip(".")
        raise UserError(f"Blender cannot use the sound of '{path}' ({reason}).",
                        "Switch 'Add Sound' off, or convert the file to wav.") from error  # fmt: skip
    strip[MARK] = mark("voice", owner)
    strip.sound.filepath = relative(path)
    if compat.strip_span(strip)[1] > first + length:
        compat.set_strip_end(strip, first + length)
    return strip


def _plays(strip: Any, path: Path, first: int) -> bool:
    same = bpy.path.abspath(strip.sound.filepath) == str(path)
    return same and compat.strip_span(strip)[0] == first


def place_frames(
    scene: bpy.types.Scene, owner: bpy.types.Object, frames: Sequence[Path], first: int, sound: Any
) -> None:
    """The frames as an image strip above the sound strip (a long one in pieces); replaces an earlier one."""
    _remove(scene, ours(scene, "frames", owner))
    above = sound.channel + 1 if sound is not None else 1
    channel = _free_channel(scene, first, first + len(frames), above)
    for begin in range(0, len(frames), PIECE):
        piece = frames[begin : begin + PIECE]
        strip = compat.strips(scene).new_image(
            f"{owner.name} frames", str(piece[0]), channel, first + begin, fit_method="FIT"
        )
        for frame in piece[1:]:
            strip.elements.append(frame.name)
        strip.directory = relative(frames[0].parent) + "/"
        strip[MARK] = mark("frames", owner)
    compat.show_in_sequencer(scene)


def relative(path: Path) -> str:
    """Relative to the saved file, so that both can move together."""
    if not bpy.data.filepath:
        return str(path)
    try:
        return bpy.path.relpath(str(path))
    except ValueError:  # another drive
        return str(path)


def _remove(scene: bpy.types.Scene, old: Sequence[Any]) -> None:
    strips = compat.strips(scene)
    for strip in old:
        if strip.name in strips:
            strips.remove(strip)


def _free_channel(scene: bpy.types.Scene, first: int, end: int, lowest: int = 1) -> int:
    """The lowest channel with room in a span."""
    spans = [(s.channel, compat.strip_span(s)) for s in compat.strips(scene)]
    taken = {channel for channel, (begin, stop) in spans if begin < end and stop > first}
    return next(c for c in range(lowest, 129) if c not in taken)


def film_span(scene: bpy.types.Scene, owner: bpy.types.Object) -> tuple[int, int, tuple[int, int]]:
    """First and last frame of the character's frames, and their size in pixels.

    Raises:
        UserError: there are none.

    """
    found = ours(scene, "frames", owner)
    if not found:
        raise UserError(f"'{owner.name}' has no rendered frames in the Sequencer.",
                        "Press 'Render Frames' first.")  # fmt: skip
    spans = [compat.strip_span(strip) for strip in found]
    element = found[0].elements[0]
    size = (element.orig_width, element.orig_height)
    return min(b for b, _ in spans), max(e for _, e in spans) - 1, size


def set_film(scene: bpy.types.Scene, owner: bpy.types.Object, path: str) -> None:
    """Set the scene's output to an MP4 of the character's frames and voice."""
    first, last, (width, height) = film_span(scene, owner)
    if not width:
        image = bpy.data.images.load(str(_first_file(ours(scene, "frames", owner)[0])))
        width, height = image.size
        bpy.data.images.remove(image)
    compat.set_film_output(scene)
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    for strip in ours(scene, "frames", owner):
        # They were fitted into the size that the scene had when they came in.
        strip.transform.scale_x = strip.transform.scale_y = 1.0
    render.use_sequencer = True
    render.use_file_extension = True
    render.filepath = path
    scene.frame_start, scene.frame_end = first, last
    scene.view_settings.view_transform = "Standard"  # frames are finished pictures


def _first_file(strip: Any) -> str:
    return bpy.path.abspath(strip.directory) + strip.elements[0].filename
