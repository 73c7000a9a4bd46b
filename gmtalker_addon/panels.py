# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel in the 3D view's sidebar. It draws and computes nothing."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy

from ..core.arkit import EMOTIONS
from . import validation
from .properties import PART_ITEMS
from .session import session


def _lines(
    layout: Any, context: bpy.types.Context, text: str, icon: str, beside: int = 0
) -> None:
    """A text over as many lines as the panel's width asks for, with room for ``beside`` letters."""
    scale = context.preferences.system.ui_scale or 1.0
    width = max(20, int(context.region.width / (6.6 * scale)) - 9 - beside)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon="BLANK1" if number else icon)


def _button(layout: Any, context: bpy.types.Context, name: str, reason: str, **options: Any) -> None:
    """A button; if it is disabled, why, and what to do."""
    row = layout.row()
    row.scale_y = 1.4
    row.operator(name, **options)
    # While something runs the progress at the top says why.
    if reason and not session.busy:
        _lines(layout, context, reason, "INFO")


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "GMTalker"


class _CharacterPanel(_Panel):
    bl_parent_id = "GMTALKER_PT_main"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not validation.no_character(context)

    def settings(self, context: bpy.types.Context) -> Any:
        return context.scene.gmtalker.character.gmtalker

    def column(self) -> Any:
        layout = self.layout.column()
        layout.use_property_split = True
        layout.use_property_decorate = False
        return layout


class GMTALKER_PT_main(_Panel, bpy.types.Panel):
    bl_label = "GMTalker"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        self._draw_status(context)
        missing = validation.no_engine(context)
        if missing:
            box = layout.box()
            _lines(box, context, missing, "ERROR")
            _button(box, context, "gmtalker.setup", validation.setting_up(context), icon="IMPORT")
        layout.prop(context.scene.gmtalker, "character", text="", icon="OUTLINER_OB_ARMATURE")
        if validation.no_character(context):
            _lines(layout, context, validation.no_character(context), "INFO")
            layout.operator("gmtalker.add_head", icon="MONKEY")
        if not missing:
            row = layout.row()
            row.active = False
            row.label(text="The engine is set up.", icon="CHECKMARK")

    def _draw_status(self, context: bpy.types.Context) -> None:
        if session.job is not None:
            box = self.layout.box()
            box.label(text=session.task.title, icon="TIME")
            box.progress(factor=session.job.progress.fraction, text=session.status)
            box.operator("gmtalker.cancel", icon="CANCEL")
        elif session.message:
            box = self.layout.box()
            box.alert = session.failed
            row = box.row()
            icon = "ERROR" if session.failed else "CHECKMARK"
            _lines(row, context, session.message, icon, beside=7)
            row.operator("gmtalker.dismiss", text="", icon="X", emboss=False)


class GMTALKER_PT_voice(_CharacterPanel, bpy.types.Panel):
    bl_label = "Voice"

    def draw(self, context: bpy.types.Context) -> None:
        settings = self.settings(context)
        self.layout.row().prop(settings, "voice_source", expand=True)
        layout = self.column()
        if settings.voice_source == "STRIP":
            layout.prop(settings, "voice_strip", icon="SOUND")
        else:
            layout.prop(settings, "voice")
            layout.prop(settings, "frame_start")
            layout.prop(settings, "add_sound")
        layout.template_ID(settings, "transcript", new="text.new", open="text.open", text="Transcript")
        if settings.transcript is not None:
            layout.prop(settings, "language")


class GMTALKER_PT_emotion(_CharacterPanel, bpy.types.Panel):
    bl_label = "Emotion Curves"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = self.settings(context), self.column()
        layout.use_property_decorate = True
        sliders = layout.column(align=True)
        for name in (*EMOTIONS[1:], EMOTIONS[0]):
            sliders.prop(settings, name, slider=True)
        layout.prop(settings, "intensity", slider=True)
        row = self.layout.row(align=True)
        row.operator_menu_enum("gmtalker.emotion_preset", "emotion", text="Set", icon="PRESET")
        row.operator("gmtalker.key_emotion", text="Key", icon="KEY_HLT").emotion = "CURRENT"


class GMTALKER_PT_generate(_CharacterPanel, bpy.types.Panel):
    bl_label = "Animation"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = self.settings(context), self.column()
        layout.prop(settings, "seed")
        column = layout.column(align=True)
        column.prop(settings, "lip_strength", text="Lip Strength")
        column.prop(settings, "jaw_strength", text="Jaw Strength")
        column.prop(settings, "head_strength", text="Head Strength")
        column = layout.column(align=True)
        column.prop(settings, "smoothing")
        column.prop(settings, "look_ahead", text="Ahead (ms)")
        layout.prop(settings, "use_range")
        if settings.use_range:
            column = layout.column(align=True)
            column.prop(settings, "range_start")
            column.prop(settings, "range_end")
        grid = self.layout.grid_flow(columns=3, align=True, row_major=True, even_columns=True)
        for identifier, *_ in PART_ITEMS:
            grid.prop_enum(settings, "parts", identifier)
        _button(self.layout, context, "gmtalker.generate", validation.generating(context), icon="PLAY")
        if settings.tracks:
            row = self.layout.row(align=True)
            row.operator("gmtalker.bake", icon="FILE_REFRESH")
            row.operator("gmtalker.clear", icon="TRASH")


class GMTALKER_PT_mapping(_CharacterPanel, bpy.types.Panel):
    bl_label = "Mapping"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = self.settings(context), self.column()
        layout.prop(settings, "mapping")
        if settings.mapping == "CUSTOM":
            layout.prop(settings, "mapping_file", text="File")
        row = self.layout.row(align=True)
        row.operator("gmtalker.save_mapping", text="Save", icon="EXPORT")
        row.operator("gmtalker.load_mapping", text="Load", icon="IMPORT")


class GMTALKER_PT_avatar(_CharacterPanel, bpy.types.Panel):
    bl_label = "Photoreal Frames"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = self.settings(context), self.column()
        layout.prop(settings, "avatar", icon="USER")
        layout.prop(settings, "footage")
        if settings.footage:
            layout.prop(settings, "film")
        else:
            layout.prop(settings, "frame_size")
            layout.prop(settings, "transparent")
        layout.prop(settings, "output")
        reason = validation.rendering(context)
        _button(self.layout, context, "gmtalker.render_frames", reason, icon="RENDER_ANIMATION")
        if settings.frames:
            self.layout.operator("gmtalker.film_settings", icon="OUTPUT")


CLASSES = (
    GMTALKER_PT_main,
    GMTALKER_PT_voice,
    GMTALKER_PT_emotion,
    GMTALKER_PT_generate,
    GMTALKER_PT_avatar,
    GMTALKER_PT_mapping,
)
