# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that save and load a character's mapping. No postponed annotations here."""

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from .. import character, validation
from .. import mapping as mappings
from .base import Direct, character_of


class GMTALKER_OT_save_mapping(Direct, ExportHelper, bpy.types.Operator):
    bl_idname = "gmtalker.save_mapping"
    bl_label = "Save Mapping"
    bl_description = "Write which channel drives which shape key and bone to a file, to edit it there"
    filename_ext = ".json"
    reason = staticmethod(validation.no_character)

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, context: bpy.types.Context) -> str:
        mappings.save(character.resolve(character_of(context)).mapping, self.filepath)
        return f"Wrote {self.filepath}."


class GMTALKER_OT_load_mapping(Direct, ImportHelper, bpy.types.Operator):
    bl_idname = "gmtalker.load_mapping"
    bl_label = "Load Mapping"
    bl_description = "Use a mapping file for this character"
    bl_options = {"UNDO"}
    filename_ext = ".json"
    reason = staticmethod(validation.no_character)

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, context: bpy.types.Context) -> str:
        obj = character_of(context)
        mapping = character.check(obj, mappings.load(self.filepath))
        obj.gmtalker.mapping_file, obj.gmtalker.mapping = self.filepath, "CUSTOM"
        return f"'{obj.name}' uses the mapping '{mapping.name}'."


CLASSES = (GMTALKER_OT_save_mapping, GMTALKER_OT_load_mapping)
