# SPDX-License-Identifier: GPL-3.0-or-later
"""What baking animates, as it was before: noted in our actions, put back when they go.

In the actions, because those are saved with a library override too, come along when a character is
copied or appended, and are gone with the last of their strips.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import bpy

from . import blender_compat as compat

if TYPE_CHECKING:
    from collections.abc import Iterable

    Value = float | list[float]

MARK: Final = "gmtalker_part"
"""The custom property of our actions: which part they hold."""
REST: Final = "REST"
"""A part below the others, in Blenders where the NLA does not begin at 0."""
BEFORE: Final = "gmtalker_before"
"""The custom property of our actions: data path to value, as JSON, for a property's name may be too long."""


def strips(owner: bpy.types.ID, *, ours: bool) -> list[bpy.types.NlaStrip]:
    """All that play an action: ours, or the artist's."""
    data = owner.animation_data
    return [
        strip
        for track in (data.nla_tracks if data else ()) for strip in track.strips
        if strip.action is not None and (MARK in strip.action) == ours
    ]  # fmt: skip


def note(owner: bpy.types.ID, action: bpy.types.Action, paths: set[str]) -> None:
    """Keep the values of what the action is about to animate; the first ones count."""
    noted = _noted([action])
    action[BEFORE] = json.dumps({**_known(owner, paths), **noted})


def forget(action: bpy.types.Action) -> None:
    """Drop the values of what the action no longer animates: from now on they are the artist's."""
    left = {curve.data_path for curve in compat.curves(action)}
    action[BEFORE] = json.dumps({p: v for p, v in _noted([action]).items() if p in left})


def before(owner: bpy.types.ID, paths: set[str]) -> dict[str, Value]:
    """Properties as they were; defaults where a version that noted nothing was the first to bake them."""
    return {path: _default(owner, path) for path in paths} | _known(owner, paths)


def base(owner: bpy.types.ID, path: str) -> list[float]:
    """What motion is added to: of a delta transform that the artist has set, but does not animate, that."""
    rest = _default(owner, path)
    if not path.startswith("delta_"):
        return rest if isinstance(rest, list) else [rest] * 4
    own, data = before(owner, {path})[path], owner.animation_data
    curves = [curve for strip in strips(owner, ours=False) for curve in compat.assigned_curves(strip)]
    curves += [*compat.assigned_curves(data), *data.drivers] if data else []
    theirs = {curve.array_index for curve in curves if curve.data_path == path}
    return [rest[i] if i in theirs else own[i] for i in range(len(rest))]


def put_back(owner: bpy.types.ID, values: dict[str, Value]) -> None:
    """Set properties: Blender leaves them at their last animated values."""
    for path, value in values.items():
        found = _property(owner, path)
        if found is not None:
            setattr(found[0], found[1].identifier, value)


def _noted(actions: Iterable[bpy.types.Action]) -> dict[str, Value]:
    return {path: value for action in actions for path, value in json.loads(action.get(BEFORE, "{}")).items()}


def _known(owner: bpy.types.ID, paths: set[str]) -> dict[str, Value]:
    """What was noted, and what is as it was because no part of ours animates it."""
    noted = _noted(strip.action for strip in strips(owner, ours=True))
    values = {path: _value(owner, path) for path in paths - driven(owner)} | noted
    return {path: values[path] for path in paths if values.get(path) is not None}


def driven(owner: bpy.types.ID) -> set[str]:
    """What our parts animate by now."""
    ours = [strip for strip in strips(owner, ours=True) if strip.action[MARK] != REST]
    return {curve.data_path for strip in ours for curve in compat.assigned_curves(strip)}


def plays(owner: bpy.types.ID) -> bool:
    """Whether the NLA is played with our tracks in it: it is on, and none of the artist's is soloed."""
    data = owner.animation_data
    ours = {strip.name for strip in strips(owner, ours=True)}
    solo = [track for track in data.nla_tracks if track.is_solo] if data else []
    return not ours or (data.use_nla and all(any(s.name in ours for s in track.strips) for track in solo))


def on_top(owner: bpy.types.ID) -> set[str]:
    """What the artist's own action and drivers decide, whatever lies in the NLA."""
    data = owner.animation_data
    if data is None:
        return set()
    own = compat.assigned_curves(data) if data.action_blend_type == "REPLACE" else []
    return {curve.data_path for curve in (*own, *data.drivers) if not curve.mute}


def _value(owner: bpy.types.ID, path: str) -> Value | None:
    found = _property(owner, path)
    if found is None:
        return None
    value = getattr(found[0], found[1].identifier)
    return list(value) if found[1].is_array else value


def _default(owner: bpy.types.ID, path: str) -> Value:
    found = _property(owner, path)
    if found is None or isinstance(found[0], bpy.types.ShapeKey):
        return 0.0  # a shape key's default is 1 in 5.0
    return list(found[1].default_array) if found[1].is_array else found[1].default


def _property(owner: bpy.types.ID, path: str) -> tuple[bpy.types.bpy_struct, bpy.types.Property] | None:
    """What holds the property and its definition; None where a shape or bone is gone."""
    holder, _, name = path.rpartition(".")
    try:
        target = owner.path_resolve(holder) if holder else owner
    except ValueError:
        return None
    rule = target.bl_rna.properties.get(name)
    return (target, rule) if rule else None
