# SPDX-License-Identifier: GPL-3.0-or-later
"""The path-traced character `ada`, and the render set that teaches a neural avatar her looks.

Nobody sat for her: the built-in head with an identity of its own, procedural skin, hair grown by
rule, a knitted collar, three lights, a plain background, and a portrait camera.

    blender -b -c gmtalker avatar --out SET

The format of a render set is in `core.training.head_data`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..core.arkit import ARKIT_NAMES
from . import avatar_hair as hair
from . import avatar_set as sets
from .avatar_head import character_head, without
from .avatar_stage import CAMERA, add_camera, add_collar, add_light, link, set_up_render
from .head_masks import HeadData
from .head_object import (
    BUILT_IN,
    add_shape_keys,
    bind_head,
    create_head,
    head_mesh,
    load_head,
    pose_head,
    to_blender,
)
from .materials import Look, hair_material

LOOK = Look(freckles=0.6, painted_brows=0.45, shadowed_scalp=0.9, subsurface=0.06,
            pores=False)  # fmt: skip
STRANDS = 10000
"""Hairs on her head."""
CREDITS = "Head shape derived from ICT-FaceKit (MIT, USC Institute for Creative Technologies)."


def build_avatar(context: bpy.types.Context, data: HeadData) -> bpy.types.Object:
    """Fill the scene with the character, light and camera; returns the armature.

    Args:
        context: whose scene and collection are used; best an empty one.
        data: her head, as `character_head` gives it.

    """
    rig = create_head(context, "ada", data=without(without(data, "lash"), "brow"), look=LOOK, brow_lines=False)
    _add_bob(context, rig, data, STRANDS)
    _add_bound(context, rig, data, "brows", *hair.brows(data, 600, 3), radius=0.00011)
    _add_bound(context, rig, data, "lashes", *hair.lashes(data, 60, 4), radius=0.00016)
    add_collar(context, data)
    add_light(context)
    add_camera(context)
    return rig


def _add_bob(context: bpy.types.Context, rig: bpy.types.Object, data: HeadData, count: int) -> None:
    paths = hair.bob(data, count, 2)
    curves = bpy.data.hair_curves.new("ada hair")
    curves.add_curves([paths.shape[1]] * len(paths))
    curves.position_data.foreach_set("vector", to_blender(paths).ravel())
    taper = 0.00019 * (1.0 - 0.7 * np.linspace(0, 1, paths.shape[1]) ** 3)
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", np.tile(taper, len(paths)).astype(np.float32))
    curves.materials.append(hair_material("ada hair", LOOK.hair, tuple(c * 2.2 for c in LOOK.hair)))
    made = link(context, "ada hair", curves)
    made.parent, made.parent_type, made.parent_bone = rig, "BONE", "head"
    # A bone's children sit at its tail, in its axes.
    bone = rig.data.bones["head"]
    tail = bone.matrix_local @ Matrix.Translation((0.0, bone.length, 0.0))
    made.matrix_parent_inverse = tail.inverted()


def _add_bound(
    context: bpy.types.Context, rig: bpy.types.Object, data: HeadData, name: str,
    corners: NDArray[np.int64], points: NDArray[np.float64], radius: float,
) -> None:  # fmt: skip
    """Hairs that stand on the skin: a mesh with the head's shape keys, bound like the skin."""
    rings, quads = hair.tubes(points, radius)
    mesh = bpy.data.meshes.new(f"ada {name}")
    rest = to_blender(rings.reshape(-1, 3))
    mesh.from_pydata(rest.tolist(), [], quads)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(quads), bool))
    mesh.materials.append(_plain(f"ada {name}", LOOK.brows if name == "brows" else (0.012, 0.008, 0.006)))
    made = link(context, f"ada {name}", mesh)
    made.parent = rig
    root = points[:, 0]
    bary = hair.weights_in(root, data["vertices"][corners].astype(np.float64))
    eyes = data["eye_center"].astype(np.float64)
    pivots = np.where(root[:, :1] > 0, eyes[0], eyes[1]) if name == "lashes" else None
    offsets = hair.carried(data, corners, bary, rings, pivots).reshape(52, -1, 3)
    add_shape_keys(made, rest, to_blender(offsets))
    weight = data["head_weight"][corners].mean(1)
    bind_head(made, rig, np.repeat(weight, rings.shape[1] * rings.shape[2]))


def _plain(name: str, colour: Sequence[float]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = 0.45
    material.diffuse_color = (*colour, 1.0)
    return material


def show(rig: bpy.types.Object, params: dict[str, NDArray[np.float32]], row: int) -> None:
    """Pose the character and let emotion and brows tell on her skin."""
    arkit = params["arkit"][row]
    pose_head(rig, arkit, params["gaze"][row], params["head_rotation"][row], params["head_translation"][row])
    _, angry, contempt, disgusted, fear, happy, sad, surprised = (float(e) for e in params["emotion"][row])
    weight = dict(zip(ARKIT_NAMES, arkit.tolist()))
    down, up = float(arkit[:2].mean()), float(arkit[2:5].mean())
    smile = (weight["mouthSmileLeft"] + weight["mouthSmileRight"]) / 2
    sneer = (weight["noseSneerLeft"] + weight["noseSneerRight"]) / 2
    body = head_mesh(rig)
    body["flush"] = min(1.0, 0.9 * angry + 0.45 * happy + 0.2 * disgusted)
    body["pale"] = min(1.0, 0.9 * fear + 0.3 * surprised + 0.25 * sad)
    body["crease_brow"] = min(1.0, down + 0.4 * angry + 0.2 * sad)
    body["crease_forehead"] = min(1.0, up + 0.2 * surprised)
    body["crease_cheek"] = min(1.0, 0.5 * smile + 0.5 * sneer + 0.4 * (happy + disgusted) + 0.3 * contempt)
    body["wet_eyes"] = min(1.0, 0.9 * sad + 0.3 * fear)
    body.update_tag()


def render_set(
    out: Path, size: int = 256, samples: int = 20, first: int = 1, last: int | None = None,
    threads: int = 1, head: Path = BUILT_IN, progress: Callable[[int, int], None] | None = None,
    count: int = 1200,
) -> int:  # fmt: skip
    """Render the frames of her set that are not there yet; returns how many were made.

    Args:
        out: the set's folder; a new one is planned, a begun one goes on. It receives `proxy.npz`
            and `frames/`, and `set.json` the camera, size, licence and source.
        size: pixels of the square frames.
        samples: paths for each pixel, before denoising.
        first, last: frames to make, counted from 1; default all.
        threads: of the renderer.
        head: the head file she is made from.
        progress: called with (done, total).
        count: frames of a new plan.

    Raises:
        UserError: the folder holds half a plan.

    """
    params, info = sets.read_plan(out) if sets.begun(out) else sets.new_plan(count)
    proxy = out / "proxy.npz"
    # A set that was begun goes on with the head that it was begun with.
    data = load_head(proxy) if proxy.is_file() else character_head(head)
    info |= {"name": "ada", "size": size, "camera": CAMERA, "licence": "GPL-3.0-or-later",
             "source": "Path-traced renders of a procedural character; no real person.",
             "credits": CREDITS}  # fmt: skip
    sets.write_plan(out, params, info)
    if not proxy.is_file():
        sets.write_arrays(proxy, data)
    rig = build_avatar(bpy.context, data)
    set_up_render(bpy.context.scene, size, samples, threads)
    numbers = range(first, (last or len(params["arkit"])) + 1)
    seconds = sets.render_frames(out, numbers, lambda row: show(rig, params, row), progress)
    sets.note_pace(out, info, seconds)
    return len(seconds)
