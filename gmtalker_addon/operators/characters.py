# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the character: the head, emotions, baking. No postponed annotations here."""

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from ...core.arkit import EMOTIONS
from ...core.errors import UserError
from .. import baking, character, emotion_curves, head_object, sequencer, tasks, validation
from .. import blender_compat as compat
from ..properties import ALL_PARTS, PART_ITEMS
from .base import Direct, character_of

EMOTION_ITEMS = tuple((name.upper(), name.capitalize(), f"All {name}") for name in EMOTIONS)


class GMTALKER_OT_add_head(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.add_head"
    bl_label = "Add Built-in Head"
    bl_description = "Add a rigged head with the 52 ARKit shape keys, and pick it as the character"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", default="Head")

    def act(self, context: bpy.types.Context) -> str:
        context.scene.gmtalker.character = head = head_object.create_head(context, name=self.name)
        # It is small, and the cube of a new file hides it.
        return f"Added '{head.name}' at the world's origin. View > Frame Selected brings you to it."


class GMTALKER_OT_emotion_preset(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.emotion_preset"
    bl_label = "Set Emotion"
    bl_description = "Set the sliders to one emotion, without keying them"
    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(validation.no_character)

    emotion: EnumProperty(name="Emotion", items=EMOTION_ITEMS)
    strength: FloatProperty(name="Strength", default=1.0, min=0.0, max=1.0)

    def act(self, context: bpy.types.Context) -> str:
        emotion_curves.set_preset(character_of(context), self.emotion, self.strength)
        return ""


class GMTALKER_OT_key_emotion(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.key_emotion"
    bl_label = "Key Emotion"
    bl_description = "Key all emotion sliders at the current frame"
    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(validation.no_character)

    emotion: EnumProperty(
        name="Emotion",
        items=(("CURRENT", "As Set", "What the sliders show"), *EMOTION_ITEMS),
    )
    strength: FloatProperty(name="Strength", default=1.0, min=0.0, max=1.0)
    frame: IntProperty(name="Frame", description="Not given: the current frame", options={"SKIP_SAVE"})

    def act(self, context: bpy.types.Context) -> str:
        obj, scene = character_of(context), context.scene
        if self.emotion != "CURRENT":
            emotion_curves.set_preset(obj, self.emotion, self.strength)
        given = self.properties.is_property_set("frame")
        emotion_curves.key(obj, self.frame if given else scene.frame_current)
        scene.frame_set(scene.frame_current)  # the sliders show the curves again
        return ""


class GMTALKER_OT_bake(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.bake"
    bl_label = "Bake Again"
    bl_description = "Bake the face tracks once more, say, after the mapping has changed"
    bl_options = {"UNDO"}

    filepath: StringProperty(
        name="Tracks", subtype="FILE_PATH", options={"SKIP_SAVE"} | compat.path_options()
    )
    parts: EnumProperty(
        name="Parts", items=PART_ITEMS, options={"ENUM_FLAG", "SKIP_SAVE"}, default=ALL_PARTS
    )
    reason = staticmethod(validation.animating)

    def act(self, context: bpy.types.Context) -> str:
        obj = character_of(context)
        if not self.filepath and (reason := validation.no_tracks(context)):
            raise UserError(reason, "")
        path = self.filepath or obj.gmtalker.tracks
        message = tasks.bake_file(context, obj, path, _parts(self, obj))
        obj.gmtalker.tracks = path
        return message


class GMTALKER_OT_clear(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.clear"
    bl_label = "Clear"
    bl_description = "Take away what the add-on has baked; your own keys stay, and what you had set comes back"
    bl_options = {"UNDO"}
    reason = staticmethod(validation.animating)

    parts: EnumProperty(
        name="Parts", items=PART_ITEMS, options={"ENUM_FLAG", "SKIP_SAVE"}, default=ALL_PARTS
    )

    def act(self, context: bpy.types.Context) -> str:
        obj = character_of(context)
        removed = baking.clear(character.find(obj), _parts(self, obj))
        return f"Cleared {removed} strips of '{obj.name}'."


class GMTALKER_OT_film_settings(Direct, bpy.types.Operator):
    bl_idname = "gmtalker.film_settings"
    bl_label = "Set Film Output"
    bl_description = "Set the render output to an MP4 (H.264, AAC) of the frames and the voice"
    bl_options = {"REGISTER", "UNDO"}
    reason = staticmethod(validation.filming)

    filepath: StringProperty(
        name="Film", default="//film.mp4", subtype="FILE_PATH", options=compat.path_options()
    )

    def act(self, context: bpy.types.Context) -> str:
        scene, obj, path = compat.sequencer_scene(context), character_of(context), self.filepath
        if path.startswith("//") and not bpy.data.filepath:  # beside the frames, then
            path = str(tasks.output_folder(obj) / path[2:])
        sequencer.set_film(scene, obj, path)
        return f"'Render Animation' now writes {path}."


def _parts(operator: bpy.types.Operator, obj: bpy.types.Object) -> set[str]:
    """The parts that a script asks for, or that the panel shows."""
    parts = set((operator if operator.properties.is_property_set("parts") else obj.gmtalker).parts)
    if not parts:
        raise UserError("No part is chosen.", "Switch on speech, emotion, head, blink or gaze.")
    return parts


CLASSES = (
    GMTALKER_OT_add_head,
    GMTALKER_OT_emotion_preset,
    GMTALKER_OT_key_emotion,
    GMTALKER_OT_bake,
    GMTALKER_OT_clear,
    GMTALKER_OT_film_settings,
)
