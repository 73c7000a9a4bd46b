# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks into actions, each part on NLA tracks of its own.

What the add-on makes carries its mark, and only that is ever replaced. The artist's own action
is evaluated above the NLA, so what it keys wins.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np

from ..core.errors import UserError
from . import blender_compat as compat
from . import resting
from .channels import PARTS, channels
from .resting import MARK, REST

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ..core.tracks import FaceTracks
    from .channels import Channel
    from .character import Character
    from .mapping import RigMapping

    Array = npt.NDArray[np.float64]

TAKES: Final = "gmtalker_takes"
"""The custom property of our actions: first frame, last frame, first frame, ... of each bake."""
_HAIR: Final = 1e-2
"""Room about a span of frames: keys are kept in single precision."""


def scene_fps(scene: bpy.types.Scene) -> Fraction:
    """Exact: Blender keeps 23.976 as 24 over a base of 1.001."""
    return Fraction(scene.render.fps) / Fraction(scene.render.fps_base).limit_denominator(10000)


def key_frames(tracks: FaceTracks, fps: Fraction, first: int) -> Array:
    """(T,) scene frames of the tracks' frames; exact where the rates are the same."""
    ratio = fps / tracks.fps
    return first + np.arange(len(tracks)) * ratio.numerator / ratio.denominator


def bake(
    tracks: FaceTracks,
    character: Character,
    fps: Fraction,
    first: int,
    parts: Iterable[str] = PARTS,
    limits: tuple[int, int] | None = None,
) -> None:
    """Write the asked parts.

    Args:
        tracks: what to bake; its first frame goes to the scene frame ``first``.
        character: where to.
        fps: the scene's frame rate.
        first: scene frame.
        parts: some of :data:`PARTS`.
        limits: first and last scene frame to touch, inclusive; None: all of the take, also
            what earlier bakes of it have left: from the same first frame, or as long and less
            than half its length away, for then the voice was moved.

    Raises:
        UserError: the limits and the tracks have no frame in common, or a strip is being tweaked.

    """
    frames = key_frames(tracks, fps, first)
    chosen = np.ones(len(frames), bool)
    if limits:
        chosen = (frames >= limits[0]) & (frames <= limits[1])
    if not chosen.any():
        span = f"{limits[0]} to {limits[1]}" if limits else "empty"
        raise UserError(f"The tracks cover frames {first} to {frames[-1]:.0f}, the range is {span}."
                        if len(frames) else "The tracks have no frame.",
                        "Choose a range that meets the voice.")  # fmt: skip
    # All values first: an error in them must leave the scene as it was.
    _check_editable(character)
    plan = {part: channels(part, tracks, character) for part in PARTS if part in set(parts)}
    _make_single(character)
    for part, found in plan.items():
        for owner in character.action_owners:
            group = [c for c in found if c.owner.session_uid == owner.session_uid]
            if group and isinstance(owner, bpy.types.Key) and not compat.shape_keys_rest_at_zero():
                _lay_rest(character, owner, group)
            # An owner that an older mapping drove is emptied, or both of them would move.
            if group or find_strip(owner, part):
                _bake_owner(part, character, owner, group, frames, chosen, whole=limits is None)
    _trim_rest(character)


def _check_editable(character: Character) -> None:
    for owner in character.action_owners:
        if owner.animation_data and owner.animation_data.use_tweak_mode:
            raise UserError(f"A strip of '{owner.name}' is being tweaked in the NLA editor.",
                            "Leave tweak mode (Tab) first.")  # fmt: skip


def _make_single(character: Character) -> None:
    """Actions of its own for a copy of a character, which Blender lets play those of the first."""
    for owner in character.action_owners:
        ours = resting.strips(owner, ours=True)
        for action in {strip.action.session_uid: strip.action for strip in ours}.values():
            played = [strip for strip in ours if strip.action == action]
            open_to_edit = owner.animation_data.action == action
            if action.users - action.use_fake_user > len(played) + open_to_edit:
                own = action.copy()
                own.name = _action_name(character, action[MARK])
                for strip in played:
                    compat.play(strip, own)


def _action_name(character: Character, part: str) -> str:
    return f"{character.owner.name} {part.lower()}"


def _lay_rest(character: Character, key: bpy.types.Key, found: list[Channel]) -> None:
    """One key at 0 for each driven shape, below all that is added; not over what the artist animates in the NLA."""
    theirs = {
        (curve.data_path, curve.array_index)
        for played in resting.strips(key, ours=False)
        for curve in compat.assigned_curves(played)
    }
    found = [c for c in found if (c.path, c.index) not in theirs]
    if not found:
        return
    strip = find_strip(key, REST)
    action = strip.action if strip else compat.new_action(_action_name(character, REST), key)
    action[MARK] = REST
    for channel in found:
        curve = compat.ensure_curve(action, channel.path, channel.index, channel.group)
        compat.write_keys(curve, np.zeros(1), np.zeros(1))
    if strip is None:
        strip = _new_strip(key, REST, action)
        strip.blend_type = "REPLACE"


def _bake_owner(
    part: str,
    character: Character,
    owner: bpy.types.ID,
    found: list[Channel],
    frames: Array,
    chosen: npt.NDArray[np.bool_],
    *,
    whole: bool,
) -> None:
    strip = find_strip(owner, part)
    action = strip.action if strip else compat.new_action(_action_name(character, part), owner)
    action[MARK] = part
    shift = strip.frame_start - strip.action_frame_start * strip.scale if strip else 0.0
    scale = strip.scale if strip else 1.0
    times = (frames - shift) / scale
    low, high = times[chosen][0], times[chosen][-1]
    replaced = (low, high)
    if whole:
        replaced, others = _replaced(_takes(action), low, high)
        takes = [*others, (low, high)] if found else others
        action[TAKES] = [float(x) for take in takes for x in take]
    _drop_stale(owner, action, {(c.path, c.index) for c in found}, replaced)
    resting.note(owner, action, {c.path for c in found})
    for channel in found:
        curve = compat.ensure_curve(action, channel.path, channel.index, channel.group)
        compat.write_keys(curve, times[chosen], channel.values[chosen], _outside(curve, replaced))
        _widen_slider(channel, character.mapping)
    if not len(compat.curves(action)):
        _clear_owner(owner, part, action)
        return
    if strip is None:
        strip = _new_strip(owner, part, action)
    _fit(strip, action, shift)


def _takes(action: bpy.types.Action) -> list[tuple[float, float]]:
    flat = list(action.get(TAKES, ()))
    return list(zip(flat[0::2], flat[1::2]))


def _replaced(
    takes: list[tuple[float, float]], low: float, high: float
) -> tuple[tuple[float, float], list[tuple[float, float]]]:
    """The span that a new take empties, and the takes that stay beside it."""
    earlier, others = [], []
    for begin, end in takes:
        # Lines of one length, each after the other, may share a frame; they are not the same line.
        moved = abs((end - begin) - (high - low)) < 0.5 and abs(begin - low) < (high - low) / 2
        (earlier if moved or abs(begin - low) < 0.5 else others).append((begin, end))
    first = min([low, *(begin for begin, _ in earlier)])
    last = max([high, *(end for _, end in earlier)])
    # Beyond the new take, frames that another one covers are that one's.
    for begin, end in others:
        if end > high:
            last = max(high, min(last, begin - 2 * _HAIR))
        if begin < low:
            first = min(low, max(first, end + 2 * _HAIR))
    return (first, last), [(b, e) for b, e in others if b < low or e > high]


def _drop_stale(
    owner: bpy.types.ID,
    action: bpy.types.Action,
    driven: set[tuple[str, int]],
    replaced: tuple[float, float],
) -> None:
    """Empty the span in curves that an older mapping drove."""
    stale = [c for c in compat.curves(action) if (c.data_path, c.array_index) not in driven]
    before = resting.before(owner, {c.data_path for c in stale})
    for curve in stale:
        path, outside = curve.data_path, _outside(curve, replaced)
        rest = resting.base(owner, path)[curve.array_index]
        if np.allclose(compat.read_keys(curve)[1][outside], rest, atol=1e-6):
            compat.curves(action).remove(curve)
            resting.put_back(owner, {path: before[path]})
        else:
            # Other takes are left, whose values must not reach into the span.
            ends = np.unique(replaced)
            compat.write_keys(curve, ends, np.full(len(ends), rest), outside)
    resting.forget(action)


def _outside(curve: bpy.types.FCurve, span: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which keys of the curve do not lie in the span."""
    times, _ = compat.read_keys(curve)
    return (times < span[0] - _HAIR) | (times > span[1] + _HAIR)


def _widen_slider(channel: Channel, mapping: RigMapping) -> None:
    """A shape key's value, the sum of all parts, is clamped to its slider; a mapping may scale beyond."""
    if isinstance(channel.owner, bpy.types.Key):
        block = channel.owner.path_resolve(channel.path.removesuffix(".value"))
        low, high = mapping.reach(block.name)
        block.slider_min, block.slider_max = min(block.slider_min, low), max(block.slider_max, high)


def _new_strip(owner: bpy.types.ID, part: str, action: bpy.types.Action) -> bpy.types.NlaStrip:
    data = owner.animation_data or owner.animation_data_create()
    track = data.nla_tracks.new()
    track.name = f"GMTalker {part.lower()}"
    strip = compat.new_nla_strip(track, action, 0)
    # Parts add up, so that each can be muted and laid over what is below; rotations multiply.
    strip.blend_type = "ADD" if isinstance(owner, bpy.types.Key) else "COMBINE"
    strip.extrapolation = "HOLD"
    strip.use_sync_length = False
    return strip


def _fit(strip: bpy.types.NlaStrip, action: bpy.types.Action, shift: float) -> None:
    """Make the strip as long as its action, where it lies."""
    scale = strip.scale
    low, high = action.frame_range
    high = max(high, low + 1)
    strip.action_frame_start, strip.action_frame_end = low, high
    strip.frame_start = low * scale + shift
    strip.scale = scale
    strip.frame_end = high * scale + shift


def find_strip(owner: bpy.types.ID, part: str) -> bpy.types.NlaStrip | None:
    """Our strip of one part, wherever the artist has put it and whatever it is called."""
    return next((s for s in resting.strips(owner, ours=True) if s.action[MARK] == part), None)


def baked(character: Character) -> bool:
    return any(find_strip(owner, part) for owner in character.action_owners for part in PARTS)


def hidden(character: Character) -> list[str]:
    """Names of shape keys and bones that do not move as baked: the artist's own keys or drivers decide."""
    ours, shown = set(), set()
    for owner in character.action_owners:
        paths = resting.driven(owner)
        ours |= paths
        shown |= paths - resting.on_top(owner)
    # A mesh that is driven by another one, as teeth are by the skin, moves along.
    return sorted({path.partition('"')[2].partition('"')[0] or path for path in ours - shown})


def unshown(character: Character) -> list[str]:
    """Names of what does not play or show what was baked: data-blocks by their NLA, shape keys that are muted."""
    silent = [owner.name for owner in character.action_owners if not resting.plays(owner)]
    driven = {path for key in character.keys for path in resting.driven(key)}
    muted = {block.name for key in character.keys for block in key.key_blocks
             if block.mute and block.path_from_id("value") in driven}  # fmt: skip
    return [*(f"the NLA of '{name}' is off or has another track soloed" for name in silent),
            *(f"'{name}' is muted" for name in sorted(muted))]  # fmt: skip


def clear(character: Character, parts: Iterable[str] = PARTS) -> int:
    """Take away what was baked; the number of strips removed.

    Raises:
        UserError: the artist is tweaking a strip, or one came with a linked character.

    """
    _check_editable(character)
    _check_own(character, parts)
    _make_single(character)
    removed = 0
    for part in parts:
        for owner in character.action_owners:
            removed += _clear_owner(owner, part)
    _trim_rest(character)
    return removed


def _check_own(character: Character, parts: Iterable[str]) -> None:
    """Of what a library override brings, Blender keeps changes, but no removal."""
    for owner in character.action_owners:
        for track in owner.animation_data.nla_tracks if owner.animation_data else ():
            if track.is_override_data and any(s.action and s.action.get(MARK) in parts for s in track.strips):
                raise UserError(f"The track '{track.name}' came with the linked character, and would be back "
                                "after a reload.", "Mute it in the NLA editor, or clear it in its own file.")  # fmt: skip


def _trim_rest(character: Character) -> None:
    """Leave nothing below what no part drives any more."""
    for key in character.keys:
        ours = resting.strips(key, ours=True)
        driven = resting.driven(key)
        for action in {s.action.name: s.action for s in ours if s.action[MARK] == REST}.values():
            for curve in list(compat.curves(action)):
                if curve.data_path not in driven:
                    compat.curves(action).remove(curve)
            if not len(compat.curves(action)):
                _clear_owner(key, REST, action)


def _clear_owner(owner: bpy.types.ID, part: str, only: bpy.types.Action | None = None) -> int:
    """Remove the strips of one part, or those that play one action of it."""
    data = owner.animation_data
    removed = 0
    for track in list(data.nla_tracks) if data else ():
        ours = [s for s in track.strips
                if s.action and s.action.get(MARK) == part and only in (None, s.action)]  # fmt: skip
        before = resting.before(owner, {c.data_path for s in ours for c in compat.assigned_curves(s)})
        actions = {s.action.name: s.action for s in ours}
        for strip in ours:
            track.strips.remove(strip)
            removed += 1
        if ours and not len(track.strips):
            data.nla_tracks.remove(track)
        for action in actions.values():
            if not action.users:
                bpy.data.actions.remove(action)
        resting.put_back(owner, before)
    return removed
