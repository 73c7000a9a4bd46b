# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object offers to drive: its meshes with shape keys, its armature, its mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

from ..core.errors import UserError
from . import mapping as mappings

if TYPE_CHECKING:
    from .mapping import RigMapping


@dataclass(frozen=True)
class Character:
    """An object and what belongs to it."""

    owner: bpy.types.Object
    keys: tuple[bpy.types.Key, ...]
    """the shape keys of its meshes, each once"""
    armature: bpy.types.Object | None
    mapping: RigMapping

    @property
    def action_owners(self) -> tuple[bpy.types.ID, ...]:
        """Every data-block that actions may go to."""
        objects = {o.name: o for o in (self.owner, self.armature) if o is not None}
        return (*self.keys, *objects.values())


def usable(obj: bpy.types.Object) -> bool:
    """Whether the object can be picked at all."""
    return obj.type == "ARMATURE" or (obj.type == "MESH" and obj.data.shape_keys is not None)


def resolve(owner: bpy.types.Object) -> Character:
    """Find what belongs to the object and how it is mapped.

    Raises:
        UserError: nothing on it can be driven, it is linked, or its mapping is wrong.

    """
    settings = owner.gmtalker
    if settings.mapping == "CUSTOM":
        if not settings.mapping_file:
            raise UserError(f"No mapping file is chosen for '{owner.name}'.",
                            "Load one, or set the mapping to ARKit names.")  # fmt: skip
        mapping = check(owner, mappings.load(bpy.path.abspath(settings.mapping_file)))
    else:
        mapping = mappings.match(*names_of(owner))
    if not mapping.shapes:
        raise UserError(f"'{owner.name}' has no shape key with an ARKit name, such as jawOpen.",
                        "Pick another character, or load a mapping for its own names.")  # fmt: skip
    found = find(owner, mapping)
    for key in found.keys:
        if not key.use_relative and mapping.keys() & set(key.key_blocks.keys()):
            raise UserError(f"The shape keys of the mesh '{key.user.name}' are absolute, so none has a value to key.",
                            "Switch 'Relative' on in the mesh's Shape Keys panel.")  # fmt: skip
    return found


def find(owner: bpy.types.Object, mapping: RigMapping | None = None) -> Character:
    """What belongs to the object; without a mapping, to take away what was baked by whichever it had.

    Raises:
        UserError: it is linked.

    """
    mapping = mapping or mappings.RigMapping({})
    found = Character(owner, shape_keys_of(owner), armature_of(owner), mapping)
    for block in found.action_owners:
        if block.library is not None:
            raise linked(owner, block)
    return found


def linked(owner: bpy.types.Object, block: bpy.types.ID) -> UserError:
    """What to do about it; Blender's override of a character leaves its meshes linked."""
    if owner.override_library is None or not isinstance(block, bpy.types.Key):
        name = owner.name if owner.library else block.name
        return UserError(f"'{name}' is linked from another file and cannot be animated.",
                         "Make a library override of the character first.")  # fmt: skip
    mesh = block.user
    user = next((o.name for o in bpy.data.objects if o.data == mesh and o.library is None), mesh.name)
    return UserError(f"The override '{owner.name}' still has a linked mesh, '{mesh.name}', whose shape keys "
                     "cannot be animated.",
                     f"Override the mesh as well: select '{user}', and in the Object Data properties "
                     "Shift-click the chain icon at the mesh's name.")  # fmt: skip


def armature_of(owner: bpy.types.Object) -> bpy.types.Object | None:
    return owner if owner.type == "ARMATURE" else owner.find_armature()


def names_of(owner: bpy.types.Object) -> tuple[list[str], list[str]]:
    """The names of its shape keys and of its bones."""
    keys = [block.name for key in shape_keys_of(owner) for block in key.key_blocks[1:]]
    armature = armature_of(owner)
    return keys, [bone.name for bone in armature.data.bones] if armature else []


def shape_keys_of(owner: bpy.types.Object) -> tuple[bpy.types.Key, ...]:
    """The shape keys of the object, its children, and the meshes that its armature deforms."""
    objects = [owner, *owner.children_recursive]
    if owner.type == "ARMATURE":
        objects += [o for o in bpy.data.objects
                    if any(m.type == "ARMATURE" and m.object == owner for m in o.modifiers)]  # fmt: skip
    found = {}
    for obj in objects:
        if obj.type == "MESH" and obj.data.shape_keys:
            found.setdefault(obj.data.shape_keys.session_uid, obj.data.shape_keys)
    return tuple(found.values())


def check(owner: bpy.types.Object, mapping: RigMapping) -> RigMapping:
    """The mapping itself: one that names what the character lacks would bake half a face in silence.

    Raises:
        UserError: it does.

    """
    keys, bones = names_of(owner)
    wanted_bones = {b for b, _ in mapping.head} | {b for bs in mapping.eyes.values() for b in bs}
    missing = sorted(mapping.keys() - set(keys)) + sorted(wanted_bones - set(bones))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(f"'{owner.name}' lacks {', '.join(missing[:3])}{more}, which its mapping names.",
                        "Edit the mapping file, or set the mapping to ARKit names.")  # fmt: skip
    return mapping
