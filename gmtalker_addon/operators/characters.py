# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the character: the head, emotions, baking. No postponed annotations here."""

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from ...core.arkit import EMOTIONS
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
        context.scene.gmtalker.character = head_object.create_head(context, name=self.name)
        return ""


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
        path = self.filepath or obj.gmtalker.tracks
        given = self.properties.is_property_set("parts")
        parts = set(self.parts) if given else set(obj.gmtalker.parts)
        message = tasks.bake_file(context, obj, path, parts)
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
        given = self.properties.is_property_set("parts")
        parts = set(self.parts) if given else set(obj.gmtalker.parts)
        removed = baking.clear(character.resolve(obj), parts)
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
        scene = compat.sequencer_scene(context)
        sequencer.set_film(scene, character_of(context), self.filepath)
        return f"'Render Animation' now writes {self.filepath}."


CLASSES = (
    GMTALKER_OT_add_head,
    GMTALKER_OT_emotion_preset,
    GMTALKER_OT_key_emotion,
    GMTALKER_OT_bake,
    GMTALKER_OT_clear,
    GMTALKER_OT_film_settings,
)
