# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head as Blender objects: an armature with a mesh of 52 ARKit shape keys.

Core space (metres, Y up, +Z out of the face) becomes Blender's: ``(x, -z, y)``. The bones ``neck``,
``head``, ``eye.L`` and ``eye.R`` point up without roll, so the local axes of each are core's axes:
a head rotation or translation of a track is the pose bone's own, unconverted, and an eye's Euler
angles (XYZ) are ``(-pitch, yaw, 0)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.arkit import ARKIT_NAMES
from ..core.errors import ExitCode, UserError
from ..core.files import read_npz
from .head_masks import HeadData, masks
from .materials import Look, head_materials

BUILT_IN = Path(__file__).resolve().parent.parent / "core" / "assets" / "head.npz"
BONES = ("neck", "head", "eye.L", "eye.R")
EYES = (("eye_left", "eye.L"), ("eye_right", "eye.R"))
"""Part of the mesh, bone that turns it."""
IRIS_ANGLE = 0.46
"""Radians from the middle of the pupil to the edge of the iris."""
STATES = ("flush", "pale", "crease_brow", "crease_forehead", "crease_cheek", "wet_eyes")
"""Custom properties of the skin's mesh that its materials read, 0..1."""
BROW_LINES = {
    "crease_brow": ("browDownLeft", "browDownRight"),
    "crease_forehead": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
}
"""Which shape keys draw the lines between the brows and across the forehead."""


def load_head(path: Path = BUILT_IN, identity: Sequence[float] | None = None) -> HeadData:
    """Arrays of a head file, with the identity (in standard deviations) worked into its shape.

    Raises:
        UserError: the file is missing or no head.

    """
    try:
        data: HeadData = read_npz(path)
        vertices = data["vertices"].astype(np.float64)
        part = data["vertex_part"]
    except FileNotFoundError:
        raise UserError(f"The head '{path}' is missing.", "Install the extension again.",
                        ExitCode.MISSING) from None  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"'{path}' is no head file ({error}).", "Install the extension again.") from error
    if identity is not None:
        deltas = data["identity_deltas"].astype(np.float64)
        if len(identity) > len(deltas):
            raise UserError(f"Expected at most {len(deltas)} identity numbers, got {len(identity)}.",
                            "Leave the rest away.")  # fmt: skip
        moved = vertices + np.tensordot(np.asarray(identity), deltas[: len(identity)], 1)
        centres = data["eye_center"].astype(np.float64)
        for side, (name, _) in enumerate(EYES):
            eye = part == list(data["part_names"]).index(name)
            centres[side] += (moved[eye] - vertices[eye]).mean(0)
        data |= {"vertices": moved.astype(np.float32), "eye_center": centres.astype(np.float32)}
        data["identity_deltas"] = np.zeros_like(data["identity_deltas"])
    return data


def create_head(
    context: bpy.types.Context,
    name: str = "GMTalker Head",
    identity: Sequence[float] | None = None,
    data: HeadData | None = None,
    look: Look | None = None,
    brow_lines: bool = True,
) -> bpy.types.Object:
    """Make the head at the world's origin and return its armature; the mesh is its child.

    Args:
        context: whose scene gets the objects.
        name: of the armature; the mesh is ``name + " Mesh"``.
        identity: weights of the head's 20 identity shapes, in standard deviations.
        data: another head than the built-in one, as `load_head` gives it.
        look: colours; a plain face by default.
        brow_lines: whether the skin's lines come with the brows; else the caller sets the properties.

    """
    data = data if data is not None else load_head(identity=identity)
    mesh = _mesh(name, data)
    body = bpy.data.objects.new(f"{name} Mesh", mesh)
    for material in head_materials(_slots(data), look or Look(), name):
        mesh.materials.append(material)
    rig = _armature(context, name, data)
    context.collection.objects.link(body)
    body.parent = rig
    add_shape_keys(body, to_blender(data["vertices"]), to_blender(data["shape_deltas"]))
    _bind(body, rig, data)
    levels = body.modifiers.new("Subdivision", "SUBSURF")
    levels.levels, levels.render_levels = 0, 1
    for prop in STATES:
        body[prop] = 0.0
    if brow_lines:
        _drive_lines(body)
    return rig


def _drive_lines(body: bpy.types.Object) -> None:
    """Drivers that only average: no Python in them, so they work in files that are not trusted."""
    for prop, names in BROW_LINES.items():
        driver = body.driver_add(f'["{prop}"]').driver
        driver.type = "AVERAGE"
        for name in names:
            target = driver.variables.new().targets[0]
            target.id_type, target.id = "KEY", body.data.shape_keys
            target.data_path = f'key_blocks["{name}"].value'


def head_mesh(rig: bpy.types.Object) -> bpy.types.Object:
    """The mesh with the skin under a head's armature; hairs may have shape keys too."""
    return next(c for c in rig.children if c.type == "MESH" and STATES[0] in c)


def pose_head(
    rig: bpy.types.Object,
    arkit: Sequence[float],
    gaze: NDArray[np.float32],
    rotation: Sequence[float],
    translation: Sequence[float],
) -> None:
    """Show one frame of a track.

    Args:
        rig: what `create_head` returned.
        arkit: (52,) weights in the order of `core.arkit.ARKIT_NAMES`.
        gaze: (2, 2) left/right eye, yaw/pitch, radians.
        rotation: (3,) axis-angle, radians, core space.
        translation: (3,) metres, core space.

    """
    for child in rig.children:
        keys = child.data.shape_keys if child.type == "MESH" else None
        if keys:
            for name, value in zip(ARKIT_NAMES, arkit, strict=True):
                keys.key_blocks[name].value = float(value)
    head = rig.pose.bones["head"]
    angle = float(np.linalg.norm(rotation))
    axis = [float(v) / angle for v in rotation] if angle > 1e-9 else [0.0, 1.0, 0.0]
    sine = math.sin(angle / 2)
    head.rotation_quaternion = (math.cos(angle / 2), *(v * sine for v in axis))
    head.location = [float(v) for v in translation]
    for (_, bone), (yaw, pitch) in zip(EYES, gaze, strict=True):
        rig.pose.bones[bone].rotation_euler = (-float(pitch), float(yaw), 0.0)


def to_blender(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Core space (..., 3) to Blender's."""
    x, y, z = np.moveaxis(np.asarray(points, np.float32), -1, 0)
    return np.stack([x, -z, y], axis=-1)


def add_shape_keys(
    body: bpy.types.Object, rest: NDArray[np.float32], deltas: NDArray[np.float32]
) -> None:
    """Give a mesh object `Basis` and the 52 keys; rest (V, 3), deltas (52, V, 3), Blender space."""
    body.shape_key_add(name="Basis", from_mix=False)
    for name, delta in zip(ARKIT_NAMES, deltas, strict=True):
        key = body.shape_key_add(name=name, from_mix=False)
        key.data.foreach_set("co", (rest + delta).ravel())
        key.value = 0.0


def add_attributes(mesh: bpy.types.Mesh, values: dict[str, NDArray[np.floating]]) -> None:
    """Point attributes: (V,) floats or (V, 3) vectors."""
    for name, value in values.items():
        kind, field = ("FLOAT", "value") if value.ndim == 1 else ("FLOAT_VECTOR", "vector")
        layer = mesh.attributes.new(name, kind, "POINT")
        layer.data.foreach_set(field, np.ascontiguousarray(value, np.float32).ravel())


def _mesh(name: str, data: HeadData) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(f"{name} Mesh")
    faces = [[int(v) for v in face if v >= 0] for face in data["faces"]]
    mesh.from_pydata(to_blender(data["vertices"]).tolist(), [], faces)
    corners = np.concatenate([uv[: len(face)] for uv, face in zip(data["faces_uv"], faces)])
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", data["uv"][corners].astype(np.float32).ravel())
    rest = _rest(data)
    mesh.polygons.foreach_set("material_index", _face_slots(data, rest))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    add_attributes(mesh, {**masks(data), "rest": rest})
    mesh.update()
    _crease_teeth(mesh, data)
    return mesh


def _crease_teeth(mesh: bpy.types.Mesh, data: HeadData) -> None:
    """Keep the edges of small hard parts where they are: subdivision would shrink them."""
    hard = [k for k, n in enumerate(data["part_names"]) if str(n).startswith(("teeth", "lash"))]
    ends = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", ends)
    held = np.isin(data["vertex_part"][ends.reshape(-1, 2)], hard).all(1)
    layer = mesh.attributes.new("crease_edge", "FLOAT", "EDGE")
    layer.data.foreach_set("value", held.astype(np.float32))


def _slots(data: HeadData) -> list[str]:
    """Names of the material slots; the iris has one, for a viewport that shows plain colours."""
    return [*(str(n) for n in data["material_names"]), "iris"]


def _face_slots(data: HeadData, rest: NDArray[np.float32]) -> NDArray[np.int32]:
    slot = data["face_material"].astype(np.int32).copy()
    first = data["faces"][:, 0]
    parts = [str(n) for n in data["part_names"]]
    eye = np.isin(data["vertex_part"][first], [parts.index(name) for name, _ in EYES])
    middle = rest[np.where(data["faces"] < 0, first[:, None], data["faces"])].mean(1)
    looking = middle[:, 2] > np.cos(IRIS_ANGLE) * np.linalg.norm(middle, axis=1)
    slot[eye & looking] = len(data["material_names"])
    return slot


def _rest(data: HeadData) -> NDArray[np.float32]:
    """(V, 3) core places at rest; on an eyeball the way from its centre, in radii."""
    rest = data["vertices"].astype(np.float32).copy()
    for side, (name, _) in enumerate(EYES):
        eye = data["vertex_part"] == list(data["part_names"]).index(name)
        rest[eye] = (rest[eye] - data["eye_center"][side]) / float(data["eye_radius"])
    return rest


def _armature(context: bpy.types.Context, name: str, data: HeadData) -> bpy.types.Object:
    rig = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    context.collection.objects.link(rig)
    if context.object and context.object.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in context.selected_objects:
        other.select_set(False)
    context.view_layer.objects.active = rig
    rig.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    low = float(data["vertices"][:, 1].min())
    top = float(data["vertices"][:, 1].max())
    left, right = to_blender(data["eye_center"]).tolist()
    size = float(data["eye_radius"])
    bones = {}
    for bone, base, length in (("neck", (0.0, 0.0, low), -low), ("head", (0.0, 0.0, 0.0), top),
                               ("eye.L", left, size), ("eye.R", right, size)):  # fmt: skip
        made = bones[bone] = rig.data.edit_bones.new(bone)
        made.head, made.tail, made.roll = base, (base[0], base[1], base[2] + length), 0.0
    bones["head"].parent = bones["neck"]
    bones["eye.L"].parent = bones["eye.R"].parent = bones["head"]
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ" if bone.name.startswith("eye") else "QUATERNION"
    rig.show_in_front = True
    rig.data.display_type = "STICK"  # the face stays in view
    return rig


def _bind(body: bpy.types.Object, rig: bpy.types.Object, data: HeadData) -> None:
    head = data["head_weight"].astype(np.float64).copy()
    for name, bone in EYES:
        eye = data["vertex_part"] == list(data["part_names"]).index(name)
        body.vertex_groups.new(name=bone).add(np.nonzero(eye)[0].tolist(), 1.0, "REPLACE")
        head[eye] = np.nan
    bind_head(body, rig, head)


def bind_head(body: bpy.types.Object, rig: bpy.types.Object, weight: NDArray[np.floating]) -> None:
    """Let vertices follow the head by `weight` (V,) and the neck by the rest; NaN: neither."""
    for bone, share in (("head", weight), ("neck", 1.0 - weight)):
        group = body.vertex_groups.new(name=bone)
        for index in np.nonzero(np.nan_to_num(share) > 1e-4)[0].tolist():
            group.add([index], float(share[index]), "REPLACE")
    modifier = body.modifiers.new("Armature", "ARMATURE")
    modifier.object, modifier.use_deform_preserve_volume = rig, True
