# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences."""

from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import __package__ as ADDON_ID
from .blender_compat import path_options


class GMTALKER_preferences(bpy.types.AddonPreferences):
    bl_idname = ADDON_ID

    engine_path: StringProperty(
        name="Engine",
        description="Interpreter or environment of an engine of your own; empty: the one of 'Set Up Engine'",
        subtype="FILE_PATH",
        options=path_options(),
    )
    engine_kind: EnumProperty(
        name="Runs On",
        description="What 'Set Up Engine' installs",
        items=(
            ("AUTO", "Automatic", "The engine that is there; else the processor, or MPS on Apple silicon"),
            ("cpu", "Processor", "Runs everywhere; the smallest download"),
            ("cuda", "NVIDIA GPU", "CUDA; a large download"),
            ("mps", "Apple GPU", "Metal, on Apple silicon"),
        ),
    )

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        self.layout.prop(self, "engine_path")
        self.layout.prop(self, "engine_kind")
        self.layout.operator("gmtalker.setup")
        from .validation import setting_up  # it needs these preferences

        if reason := setting_up(context):
            self.layout.label(text=reason, icon="INFO")


def preferences() -> Any:
    return bpy.context.preferences.addons[ADDON_ID].preferences


def engine_override() -> str:
    path = preferences().engine_path
    return bpy.path.abspath(path) if path else ""


CLASSES = (GMTALKER_preferences,)
