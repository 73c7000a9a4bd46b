# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that knows how Blender's versions differ.

Actions have slots and channelbags since 4.4 and lost ``action.fcurves`` in 5.0; the Sequencer's
strips moved in 4.4 and got their own scene in 5.0; film output got a media type in 5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

LINEAR = 1
"""The number of the interpolation, as ``foreach_set`` takes it."""


# --- actions -----------------------------------------------------------------------------------


def has_slots() -> bool:
    return hasattr(bpy.types, "ActionSlot")


def new_action(name: str, id_data: bpy.types.ID) -> bpy.types.Action:
    """An empty action for one data-block, with its slot where there are slots."""
    action = bpy.data.actions.new(name)
    if has_slots():
        action.slots.new(id_data.id_type, id_data.name)
        action.layers.new("Layer").strips.new(type="KEYFRAME")
    else:
        action.id_root = "KEY" if isinstance(id_data, bpy.types.Key) else "OBJECT"
    return action


def curves(action: bpy.types.Action) -> Any:
    """The F-curves of an action made by :func:`new_action`: ``find``, ``new``, iteration."""
    if not has_slots():
        return action.fcurves
    return action.layers[0].strips[0].channelbag(action.slots[0], ensure=True).fcurves


def ensure_curve(action: bpy.types.Action, path: str, index: int, group: str) -> bpy.types.FCurve:
    found = curves(action)
    curve = found.find(path, index=index)
    if curve is None:
        curve = found.new(path, index=index)
        curve.group = _group(action, group)
    return curve


def _group(action: bpy.types.Action, name: str) -> bpy.types.ActionGroup:
    owner = action
    if has_slots():
        owner = action.layers[0].strips[0].channelbag(action.slots[0], ensure=True)
    return owner.groups.get(name) or owner.groups.new(name)


def assigned_curves(owner: Any) -> list[bpy.types.FCurve]:
    """The F-curves that an ``AnimData`` or an NLA strip plays."""
    action = getattr(owner, "action", None)
    if action is None:
        return []
    if not has_slots():
        return list(action.fcurves)
    slot = owner.action_slot
    if slot is None:
        return []
    bags = (strip.channelbag(slot) for layer in action.layers for strip in layer.strips)
    return [curve for bag in bags if bag for curve in bag.fcurves]


def new_nla_strip(
    track: bpy.types.NlaTrack, action: bpy.types.Action, frame: int
) -> bpy.types.NlaStrip:
    strip = track.strips.new(action.name, frame, action)
    play(strip, action)
    return strip


def play(strip: bpy.types.NlaStrip, action: bpy.types.Action) -> None:
    """Let a strip play an action made by :func:`new_action`."""
    strip.action = action
    if has_slots():
        strip.action_slot = action.slots[0]


def shape_keys_rest_at_zero() -> bool:
    """Whether the NLA adds to 0; in 5.0 a shape key's default, where the NLA begins, became 1."""
    return bpy.types.ShapeKey.bl_rna.properties["value"].default == 0.0


# --- rendering ---------------------------------------------------------------------------------


def engine_id(name: str) -> str:
    """Blender's name of a render engine: cycles, eevee or workbench."""
    eevee = "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"
    return {"cycles": "CYCLES", "eevee": eevee, "workbench": "BLENDER_WORKBENCH"}[name]


# --- keys --------------------------------------------------------------------------------------


_KEY_FIELDS = {"co": (2, np.float32), "interpolation": (1, np.int32), "easing": (1, np.int32),
               "type": (1, np.int32), "amplitude": (1, np.float32), "back": (1, np.float32),
               "period": (1, np.float32), "handle_left_type": (1, np.int32),
               "handle_right_type": (1, np.int32), "handle_left": (2, np.float32),
               "handle_right": (2, np.float32)}  # fmt: skip


def read_keys(curve: bpy.types.FCurve) -> tuple[Array, Array]:
    """(N,) frames and (N,) values."""
    frames, values = _field(curve, "co").T
    return frames, values


def _field(curve: bpy.types.FCurve, name: str) -> Array:
    """(N, 1) or (N, 2), one row for each key."""
    width, kind = _KEY_FIELDS[name]
    flat = np.empty(width * len(curve.keyframe_points), kind)
    curve.keyframe_points.foreach_get(name, flat)
    return flat.reshape(-1, width)


def write_keys(
    curve: bpy.types.FCurve, frames: Array, values: Array, kept: npt.NDArray[np.bool_] | None = None
) -> None:
    """Replace keys in bulk by linear ones. ``frames`` (N,) rising, ``values`` (N,).

    ``kept`` marks those of the old keys that stay as they are, interpolation and handles included.
    """
    points = curve.keyframe_points
    old = {}
    if kept is not None and kept.any():
        old = {name: _field(curve, name)[kept] for name in _KEY_FIELDS}
    count = len(old["co"]) if old else 0
    new = np.stack([frames, values], axis=1).astype(np.float32)
    merged = np.concatenate([old["co"], new]) if old else new
    order = np.argsort(merged[:, 0], kind="stable")
    points.clear()
    points.add(len(order))
    points.foreach_set("co", merged[order].ravel())
    points.foreach_set("interpolation", np.full(len(order), LINEAR, np.int32))
    for name in old:
        rows = _field(curve, name)
        rows[order < count] = old[name]
        points.foreach_set(name, rows.ravel())
    curve.update()  # and with it the new keys' handles, of the type in the user's preferences


# --- Sequencer ---------------------------------------------------------------------------------


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose strips the Sequencer shows."""
    return getattr(context, "sequencer_scene", None) or context.scene


def show_in_sequencer(scene: bpy.types.Scene) -> None:
    """From 5.0 on, a workspace shows the scene that it was told to show."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        workspace = window.workspace
        if hasattr(workspace, "sequencer_scene") and workspace.sequencer_scene is None:
            workspace.sequencer_scene = scene


def strips(scene: bpy.types.Scene) -> Any:
    """The top strips of a scene, whose Sequencer is created where it is missing."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def all_strips(scene: bpy.types.Scene | None) -> Iterable[Any]:
    """Every strip, those inside meta strips included; creates nothing."""
    editor = scene.sequence_editor if scene else None
    if editor is None:
        return ()
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def strip_span(strip: Any) -> tuple[int, int]:
    """First frame, and the frame after the last."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def siblings(scene: bpy.types.Scene, strip: Any) -> Any:
    """The strips among which one lies: those of its meta strip, or the top ones."""
    meta = strip.parent_meta()
    if meta is None:
        return strips(scene)
    return meta.strips if hasattr(meta, "strips") else meta.sequences


def strip_start(strip: Any) -> int:
    """Where the content begins; trimming may hide it."""
    return round(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def set_strip_start(strip: Any, frame: int) -> None:
    """Move a strip, its trim and the effects on it."""
    name = "content_start" if hasattr(strip, "content_start") else "frame_start"
    for goal in (frame - 1, frame):  # effects follow a move only, not another length
        setattr(strip, name, goal)


def strip_length(strip: Any) -> int:
    """Frames of the content, hidden ones included."""
    return int(strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration)


def strip_trim(strip: Any) -> float:
    """Frames of the content that are hidden before the strip's first frame."""
    if hasattr(strip, "left_handle_offset"):
        return float(strip.left_handle_offset + strip.content_trim_start)
    return float(strip.frame_offset_start + strip.animation_offset_start)


def sound_offset(strip: Any) -> float:
    """Seconds from where the content begins to where the sound does."""
    return float(getattr(strip, "sound_offset", 0.0))


def is_retimed(strip: Any) -> bool:
    return len(getattr(strip, "retiming_keys", ())) > 0


def set_strip_end(strip: Any, frame: int) -> None:
    """Trim a strip so that ``frame`` is the first one after it."""
    if hasattr(strip, "right_handle"):
        strip.right_handle = frame
    else:
        strip.frame_final_end = frame


# --- properties --------------------------------------------------------------------------------


def path_options() -> set[str]:
    """Options of a path property that may begin with ``//``; Blender asks for them since 4.5."""
    return {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()


# --- render ------------------------------------------------------------------------------------


def eevee() -> str:
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def set_film_output(scene: bpy.types.Scene) -> None:
    """H.264 and AAC in an MP4."""
    render = scene.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"  # the file formats offered depend on it
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.audio_codec = "AAC"
