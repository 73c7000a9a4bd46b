# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that the engine works for, and those that steer it. No postponed annotations here."""

import bpy

from .. import tasks, validation
from ..preferences import preferences
from ..session import Task, session
from .base import LongRunning, Reasoned, character_of


class GMTALKER_OT_generate(LongRunning, bpy.types.Operator):
    bl_idname = "gmtalker.generate"
    bl_label = "Generate"
    bl_description = "Turn the voice and the emotion curves into keyframes"
    bl_options = {"UNDO"}
    reason = staticmethod(validation.generating)

    def task(self, context: bpy.types.Context) -> Task:
        return tasks.Generate(context, character_of(context))


class GMTALKER_OT_render_frames(LongRunning, bpy.types.Operator):
    bl_idname = "gmtalker.render_frames"
    bl_label = "Render Frames"
    bl_description = "Render the avatar's photoreal frames into the Sequencer, in sync with the voice"
    bl_options = {"UNDO"}
    reason = staticmethod(validation.rendering)

    def task(self, context: bpy.types.Context) -> Task:
        return tasks.RenderFrames(context, character_of(context))


class GMTALKER_OT_setup(LongRunning, bpy.types.Operator):
    bl_idname = "gmtalker.setup"
    bl_label = "Set Up Engine"
    bl_description = "Download the engine into your data folder; goes on where an earlier try ended"
    reason = staticmethod(validation.setting_up)

    def task(self, context: bpy.types.Context) -> Task:
        kind = preferences().engine_kind
        return tasks.SetUpEngine([] if kind == "AUTO" else ["--engine", kind])


class GMTALKER_OT_cancel(Reasoned, bpy.types.Operator):
    bl_idname = "gmtalker.cancel"
    bl_label = "Cancel"
    bl_description = "Stop what is running; the scene stays as it is"
    reason = staticmethod(validation.idle)

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.cancel()
        return {"FINISHED"}


class GMTALKER_OT_dismiss(bpy.types.Operator):
    bl_idname = "gmtalker.dismiss"
    bl_label = "Dismiss"
    bl_description = "Clear the message"

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.say("")
        return {"FINISHED"}


CLASSES = (
    GMTALKER_OT_generate,
    GMTALKER_OT_render_frames,
    GMTALKER_OT_setup,
    GMTALKER_OT_cancel,
    GMTALKER_OT_dismiss,
)
