# SPDX-License-Identifier: GPL-3.0-or-later
"""The emotion curves of a character: read frame by frame, set, keyed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..core.arkit import EMOTIONS
from ..core.errors import UserError
from . import blender_compat as compat

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

NAMES = (*EMOTIONS, "intensity")
PREFIX = "gmtalker."


def sample(scene: bpy.types.Scene, obj: bpy.types.Object, first: int, last: int) -> Array:
    """(T, 8) weights at the scene frames ``first`` to at least ``last``, intensity applied.

    The rows go on to the last key, since the voice may be longer; after them the weights hold.
    """
    animated = animated_curves(obj)
    if _is_layered(obj):
        values = _by_evaluation(scene, obj, first, max(first, last))
    else:
        keys = [curve.range()[1] for curve in animated.values() if len(curve.keyframe_points)]
        end = max([first, last, *(int(np.ceil(k)) for k in keys)]) if animated else first
        values = np.stack(
            [_by_curve(animated.get(name), getattr(obj.gmtalker, name), first, end) for name in NAMES],
            axis=1,
        )
    values = np.clip(values, 0.0, 1.0)
    weights = values[:, : len(EMOTIONS)]
    weights[:, 1:] *= values[:, -1:]  # all but neutral, the first
    return weights


def write(path: Path, weights: Array, fps: Fraction) -> None:
    """The engine's emotion file, a row for each frame."""
    data = {
        "fps": [fps.numerator, fps.denominator],
        "names": list(EMOTIONS),
        "weights": np.round(weights, 6).tolist(),
    }
    path.write_text(json.dumps(data), encoding="utf-8")


def animated_curves(obj: bpy.types.Object) -> dict[str, bpy.types.FCurve]:
    """The F-curves of the emotion properties in the object's own action."""
    curves = compat.assigned_curves(obj.animation_data) if obj.animation_data else []
    paths = {PREFIX + name: name for name in NAMES}
    return {paths[c.data_path]: c for c in curves if c.data_path in paths and not _muted(c)}


def _muted(curve: bpy.types.FCurve) -> bool:
    return curve.mute or bool(curve.group and getattr(curve.group, "mute", False))


def _is_layered(obj: bpy.types.Object) -> bool:
    """Whether more than the object's own action decides: drivers, NLA strips, a partial action."""
    data = obj.animation_data
    if data is None:
        return False
    if any(driver.data_path.startswith(PREFIX) for driver in data.drivers):
        return True
    if _nla_strips(obj):
        return True
    plain = data.action_blend_type == "REPLACE" and data.action_influence == 1.0
    return not plain and bool(animated_curves(obj))


def strips_end(obj: bpy.types.Object) -> int:
    """The last frame of the NLA strips that move emotions; 0 without any."""
    return max((int(np.ceil(strip.frame_end)) for strip in _nla_strips(obj)), default=0)


def _nla_strips(obj: bpy.types.Object) -> list[bpy.types.NlaStrip]:
    data = obj.animation_data
    strips = [strip for track in data.nla_tracks for strip in track.strips] if data else []
    return [
        strip
        for strip in strips
        if any(c.data_path.startswith(PREFIX) for c in compat.assigned_curves(strip))
    ]


def _by_curve(curve: bpy.types.FCurve | None, value: float, first: int, last: int) -> Array:
    if curve is None:
        return np.full(last - first + 1, value)
    return np.array([curve.evaluate(frame) for frame in range(first, last + 1)])


def _by_evaluation(scene: bpy.types.Scene, obj: bpy.types.Object, first: int, last: int) -> Array:
    if not any(block.original == obj for block in bpy.context.evaluated_depsgraph_get().ids):
        raise UserError(f"'{obj.name}' is hidden, so Blender does not follow the drivers and strips of its emotions.",
                        "Show it in the viewport, and its collection in the view layer.")  # fmt: skip
    current, subframe = scene.frame_current, scene.frame_subframe
    rows = []
    try:
        for frame in range(first, last + 1):
            scene.frame_set(frame)
            settings = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).gmtalker
            rows.append([getattr(settings, name) for name in NAMES])
    finally:
        scene.frame_set(current, subframe=subframe)
    return np.array(rows, float)


def set_preset(obj: bpy.types.Object, emotion: str, strength: float) -> None:
    """One emotion alone; ``NEUTRAL`` is all of them at rest."""
    for name in EMOTIONS:
        chosen = name == emotion.lower() and name != "neutral"
        setattr(obj.gmtalker, name, strength if chosen else 0.0)


def key(obj: bpy.types.Object, frame: float) -> None:
    """Key all weights as they are, in the object's own action, like pressing I on each."""
    for name in NAMES:
        obj.keyframe_insert(PREFIX + name, frame=frame, group="Emotion")
