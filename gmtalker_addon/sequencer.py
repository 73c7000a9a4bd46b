# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and voice as strips of the Sequencer, and the film that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bpy

from ..core.errors import UserError
from . import blender_compat as compat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARK: Final = "gmtalker"
"""The custom property of our strips: what they are, and the name of whose."""

OWNER: Final = "gmtalker_owner"
"""The custom property that points to the character, whatever it is called by now."""

PIECE: Final = 2000
"""Frames in one strip: each added element copies those before it."""


def mark(strip: Any, kind: str, owner: bpy.types.Object) -> None:
    strip[MARK], strip[OWNER] = f"{kind}:{owner.name}", owner


def ours(scene: bpy.types.Scene, kind: str, owner: bpy.types.Object) -> list[Any]:
    return [s for s in compat.all_strips(scene) if _is_ours(s, kind, owner)]


def _is_ours(strip: Any, kind: str, owner: bpy.types.Object) -> bool:
    text, holder = str(strip.get(MARK, "")), strip.get(OWNER)
    if holder is None:  # older strips have the name only
        return text == f"{kind}:{owner.name}"
    return holder == owner and text.startswith(f"{kind}:")


def is_deleted(owner: bpy.types.ID) -> bool:
    """Whether nothing but pointers such as ours keeps an object: the artist has no way to it."""
    return isinstance(owner, bpy.types.Object) and not owner.users_collection and not owner.use_fake_user


def release_deleted(scene: bpy.types.Scene) -> None:
    """Let strips of deleted characters have the name only."""
    for strip in compat.all_strips(scene):
        if strip.get(OWNER) is not None and is_deleted(strip[OWNER]):
            del strip[OWNER]


def place_sound(
    scene: bpy.types.Scene, owner: bpy.types.Object, path: Path, first: int, length: int
) -> Any:
    """The voice as a strip from ``first`` on, at most ``length`` frames.

    It takes the place of the character's sounds that it would overlap. Where the same file has a
    strip already, but none at ``first``, its start was changed: that strip moves. A strip that only
    moves, or whose new sound is as long as the old, stays as the artist set it up; of another one
    volume, balance and muting are kept.

    Raises:
        UserError: Blender cannot read the file.

    """
    old = _replaced(ours(scene, "voice", owner), first, first + length, lambda s: _plays(s, path))
    same = [s for s in old if _plays(s, path)]
    if same:
        at = min(map(compat.strip_start, same), key=lambda start: abs(start - first))
        kept = [s for s in same if compat.strip_start(s) == at]
        _retire(scene, [s for s in old if s not in kept])
        for strip in kept if at != first else ():
            channel = strip.channel
            compat.set_strip_start(strip, first)
            _settle(scene, strip, channel)
        for strip in kept:
            mark(strip, "voice", owner)
        return kept[0]
    strip = _new_sound(scene, owner, path, first)
    before = [s for s in old if compat.strip_start(s) == first]
    if before and compat.strip_length(before[0]) == compat.strip_length(strip):
        for part in before:
            part.sound = strip.sound
            mark(part, "voice", owner)
        compat.strips(scene).remove(strip)
        _retire(scene, [s for s in old if s not in before])
        return before[0]
    if before:
        channel = before[0].channel
        strip.volume, strip.pan, strip.mute = before[0].volume, before[0].pan, before[0].mute
    _retire(scene, old)
    strip.name = f"{owner.name} voice"  # the old strip had it
    if compat.strip_span(strip)[1] > first + length:
        compat.set_strip_end(strip, first + length)
    _settle(scene, strip, channel if before else 1)
    return strip


def _new_sound(scene: bpy.types.Scene, owner: bpy.types.Object, path: Path, first: int) -> Any:
    strips = compat.strips(scene)
    channel = 1 + max((s.channel for s in strips), default=0)
    try:
        strip = strips.new_sound(f"{owner.name} voice", str(path), min(channel, 128), first)
    except RuntimeError as error:
        reason = str(error).strip().removeprefix("Error: ").rstrip(".")
        raise UserError(f"Blender cannot use the sound of '{path}' ({reason}).",
                        "Switch 'Add Sound' off, or convert the file to wav.") from error  # fmt: skip
    if strip.sound.users == 1:  # from 5.2 on other strips may share it, and their artist's path
        strip.sound.filepath = relative(path)
    mark(strip, "voice", owner)
    return strip


def _plays(strip: Any, path: Path) -> bool:
    return strip.sound is not None and bpy.path.abspath(strip.sound.filepath) == str(path)


def place_frames(
    scene: bpy.types.Scene, owner: bpy.types.Object, frames: Sequence[Path], first: int, sound: Any
) -> None:
    """The frames as an image strip above the sound strip (a long one in pieces).

    They take the place of the character's frames that they would overlap, all pieces of them; where
    the same frames lie elsewhere and none at ``first``, those move. Strips change in place, inside
    meta strips too, so that the artist's trims, modifiers and effects stay.
    """
    folder, end = frames[0].parent, first + len(frames)
    marked = ours(scene, "frames", owner)
    old = _replaced(marked, first, end, lambda s: _shows(s, folder))
    for strip in old:
        old += [s for s in marked if s not in old and _adjoin(s, strip)]
    pieces = {first + i: frames[i : i + PIECE] for i in range(0, len(frames), PIECE)}
    groups: dict[int, list[Any]] = {}  # the parts of a cut strip begin together
    for strip in sorted(old, key=compat.strip_start):
        groups.setdefault(compat.strip_start(strip), []).append(strip)
    spare = [group for start, group in groups.items() if start not in pieces]
    homes = {}
    for begin, piece in pieces.items():
        group = groups.get(begin) or (spare.pop(0) if spare else [])
        homes[begin] = [s for s in group if _hidden(s) < len(piece)]
    kept = [strip for group in homes.values() for strip in group]
    _retire(scene, [strip for strip in old if strip not in kept])
    channels = [(s, s.channel) for strip in kept for s in (strip, *_built_on(scene, strip))]
    for begin, group in homes.items():
        for strip in group:
            _refill(strip, pieces[begin], begin)
            mark(strip, "frames", owner)
    for strip, channel in channels:  # moved and longer strips evade each other upwards
        _settle(scene, strip, channel)
    new = [begin for begin, group in homes.items() if not group]
    if new:
        above = kept[-1].channel if kept else sound.channel + 1 if sound is not None else 1
        channel = _free_channel(compat.strips(scene), new[0], end, above)
        for begin in new:
            strip = _new_frames(scene, f"{owner.name} frames", pieces[begin], channel, begin)
            mark(strip, "frames", owner)
    compat.show_in_sequencer(scene)


def _new_frames(
    scene: bpy.types.Scene, name: str, frames: Sequence[Path], channel: int, first: int
) -> Any:
    strip = compat.strips(scene).new_image(name, str(frames[0]), channel, first, fit_method="FIT")
    for frame in frames[1:]:
        strip.elements.append(frame.name)
    strip.directory = relative(frames[0].parent) + "/"
    return strip


def _refill(strip: Any, frames: Sequence[Path], first: int) -> None:
    """Let a strip show other frames, in the same place of the picture."""
    start, count, (_, end) = compat.strip_start(strip), len(strip.elements), compat.strip_span(strip)
    width = _size(strip)[0]
    for _ in range(count, len(frames)):
        strip.elements.append("")
    for last in range(count - 1, len(frames) - 1, -1):
        strip.elements.pop(last)
    for element, frame in zip(strip.elements, frames):
        element.filename = frame.name
    strip.directory = relative(frames[0].parent) + "/"
    if (start, count) != (first, len(frames)):
        compat.set_strip_start(strip, first)
        if end < start + count:  # where it was trimmed, it stays trimmed
            compat.set_strip_end(strip, first + min(end - start, len(frames)))
    new_width = _size(strip)[0]
    if width and new_width and width != new_width:  # a scale of 1 shows every pixel
        strip.transform.scale_x *= width / new_width
        strip.transform.scale_y *= width / new_width


def _shows(strip: Any, folder: Path) -> bool:
    return Path(bpy.path.abspath(strip.directory)) == folder


def _adjoin(strip: Any, other: Any) -> bool:
    """Whether both are pieces of the same frames, one after the other."""
    spans = [(compat.strip_start(s), compat.strip_start(s) + len(s.elements)) for s in (strip, other)]
    touch = spans[0][1] == spans[1][0] or spans[1][1] == spans[0][0]
    return touch and strip.directory == other.directory


def _hidden(strip: Any) -> int:
    """Frames that the artist cut off at the strip's beginning."""
    return compat.strip_span(strip)[0] - compat.strip_start(strip)


def _size(strip: Any) -> tuple[int, int]:
    """Pixels of a frame; (0, 0): its file is gone. A strip's own note is as old as its last drawing."""
    try:
        image = bpy.data.images.load(bpy.path.abspath(strip.directory) + strip.elements[0].filename)
    except RuntimeError:
        return 0, 0
    width, height = image.size
    bpy.data.images.remove(image)
    return width, height


def relative(path: Path) -> str:
    """Relative to the saved file, so that both can move together."""
    if not bpy.data.filepath:
        return str(path)
    try:
        return bpy.path.relpath(str(path))
    except ValueError:  # another drive
        return str(path)


def _replaced(
    marked: Sequence[Any], first: int, end: int, same: Callable[[Any], bool]
) -> list[Any]:
    """The strips whose place new ones take: in their span, or with the same content, which moves."""
    moves = not any(same(s) and compat.strip_start(s) == first for s in marked)
    spans = [(s, compat.strip_start(s), *compat.strip_span(s)) for s in marked]
    return [
        strip
        for strip, start, begin, stop in spans
        if start == first or (begin < end and stop > first) or (moves and same(strip))
    ]


def _retire(scene: bpy.types.Scene, old: Sequence[Any]) -> None:
    """Remove strips. One with effects on it, which would go too, is muted with them and let go."""
    for strip in old:
        effects = _built_on(scene, strip)
        if not effects:
            compat.siblings(scene, strip).remove(strip)
            continue
        for muted in (strip, *effects):
            muted.mute = True
        for name in (MARK, OWNER):
            if name in strip:
                del strip[name]


def _built_on(scene: bpy.types.Scene, strip: Any) -> list[Any]:
    """The effect strips that a strip goes into, and those that they go into."""
    found = [strip]
    for base in found:
        for other in compat.all_strips(scene):
            inputs = (getattr(other, "input_1", None), getattr(other, "input_2", None))
            if base in inputs and other not in found:
                found.append(other)
    return found[1:]


def _settle(scene: bpy.types.Scene, strip: Any, lowest: int) -> None:
    """Put a strip back on its channel, or on the next one with room."""
    siblings = compat.siblings(scene, strip)
    channel = _free_channel(siblings, *compat.strip_span(strip), lowest, strip)
    if strip.channel != channel:
        strip.channel = channel


def _free_channel(strips: Any, first: int, end: int, lowest: int, besides: Any = None) -> int:
    """The lowest channel with room in a span."""
    spans = [(s.channel, compat.strip_span(s)) for s in strips if s != besides]
    taken = {channel for channel, (begin, stop) in spans if begin < end and stop > first}
    return next(c for c in range(lowest, 129) if c not in taken)


def film_span(scene: bpy.types.Scene, owner: bpy.types.Object) -> tuple[int, int, tuple[int, int]]:
    """First and last frame of the character's frames, and their size in pixels; (0, 0): the files are gone.

    Raises:
        UserError: there are none.

    """
    found = ours(scene, "frames", owner)
    if not found:
        raise UserError(f"'{owner.name}' has no rendered frames in the Sequencer.",
                        "Press 'Render Frames' first.")  # fmt: skip
    spans = [compat.strip_span(strip) for strip in found]
    return min(b for b, _ in spans), max(e for _, e in spans) - 1, _size(found[0])


def set_film(scene: bpy.types.Scene, owner: bpy.types.Object, path: str) -> None:
    """Set the scene's output to an MP4 of the character's frames and voice."""
    first, last, (width, height) = film_span(scene, owner)
    if not width:
        raise UserError(f"The frames of '{owner.name}' are gone.",
                        "Press 'Render Frames' again.")  # fmt: skip
    compat.set_film_output(scene)
    render = scene.render
    # H.264 has one colour for two pixels and rows.
    render.resolution_x, render.resolution_y, render.resolution_percentage = width // 2 * 2, height // 2 * 2, 100
    for strip in ours(scene, "frames", owner):
        # They were fitted into the size that the scene had when they came in.
        strip.transform.scale_x = strip.transform.scale_y = 1.0
    render.use_sequencer = True
    render.use_file_extension = True
    render.filepath = path
    scene.frame_start, scene.frame_end = first, last
    scene.view_settings.view_transform = "Standard"  # frames are finished pictures
