# SPDX-License-Identifier: GPL-3.0-or-later
"""The path-traced character `ada`, and the render set that teaches a neural avatar her looks.

Nobody sat for her: the built-in head with an identity of its own, procedural skin, hair grown by
rule, a knitted collar, three lights, a plain background, and a portrait camera.

    ENGINE -m core train head --design 1200 --out SET        # the plan
    blender -b -c gmtalker avatar --out SET                  # the frames

The format of a render set is in `core.training.head_data`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from ..core.errors import UserError
from . import avatar_hair as hair
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
from .materials import Look, cloth_material, hair_material

log = logging.getLogger(__name__)

IDENTITY = (1.2, 0.2, -0.8, -0.5, -0.9, 0.3, -0.4, 0.5, 0.4, -0.5, 0.3, -0.3)
LOOK = Look(freckles=0.6, painted_brows=0.45, shadowed_scalp=0.9, subsurface=0.06,
            pores=False)  # fmt: skip
CAMERA = {"fov_y": 15.4, "position": (0.0, 0.051, 1.05)}
STRANDS = 10000
"""Hairs on her head."""
CREDITS = "Head shape derived from ICT-FaceKit (MIT, USC Institute for Creative Technologies)."


def build_avatar(context: bpy.types.Context, data: HeadData) -> bpy.types.Object:
    """Fill the scene with the character, light and camera; returns the armature.

    Args:
        context: whose scene and collection are used; best an empty one.
        data: her head, as `character_head` gives it.

    """
    rig = create_head(context, "ada", data=_without(_without(data, "lash"), "brow"), look=LOOK)
    rig.hide_render = rig.hide_viewport = False
    _add_bob(context, rig, data, STRANDS)
    _add_bound(context, rig, data, "brows", *hair.brows(data, 600, 3), radius=0.00011)
    _add_bound(context, rig, data, "lashes", *hair.lashes(data, 60, 4), radius=0.00016)
    _add_collar(context, data)
    _light(context)
    _camera(context)
    return rig


def character_head(head: Path = BUILT_IN) -> HeadData:
    """Her head: the built-in one with her identity, her front teeth side by side without gaps."""
    data = load_head(head, IDENTITY)
    vertices = data["vertices"].astype(np.float64)
    faces = data["faces"].astype(np.int64)
    for part in ("teeth_upper", "teeth_lower"):
        number = [str(n) for n in data["part_names"]].index(part)
        for tooth in _pieces(faces[data["vertex_part"][faces[:, 0]] == number]):
            middle = vertices[tooth].mean(0)
            # Along the arch of the teeth, whose middle lies some 6 cm before the jaw's hinge.
            along = np.array([middle[2] - float(data["jaw_hinge"][:, 2].mean()) - 0.055, 0.0, -middle[0]])
            along /= np.linalg.norm(along)
            aside = (vertices[tooth] - middle) @ along
            vertices[tooth] += 0.16 * aside[:, None] * along
    return _fit_eyes(data | {"vertices": vertices.astype(np.float32)})


def _fit_eyes(data: HeadData, scale: float = 0.93) -> HeadData:
    """Eyeballs that her lids clear: an identity moves the lids, but not how they close.

    The balls shrink a little; then the lids' way is bent outwards, so that closed lids lie 1 mm
    over the ball and half closed ones, which cut the corner of their arc, still 0.3 mm.
    """
    vertices = data["vertices"].astype(np.float64)
    deltas = data["shape_deltas"].astype(np.float64)
    parts, shapes = [str(n) for n in data["part_names"]], [str(n) for n in data["shape_names"]]
    radius = float(data["eye_radius"]) * scale
    lids = np.isin(data["vertex_part"], [k for k, n in enumerate(parts) if n in ("skin", "lash")])
    for centre, side in zip(data["eye_center"].astype(np.float64), ("Left", "Right")):
        ball = data["vertex_part"] == parts.index(f"eye_{side.lower()}")
        vertices[ball] = centre + scale * (vertices[ball] - centre)
        away = vertices - centre
        near = lids & (np.linalg.norm(away, axis=1) < radius + 0.012) & (away[:, 2] > 0)
        for shape in (f"eyeBlink{side}", f"eyeLookDown{side}"):
            delta = deltas[shapes.index(shape)]
            near_moving = near & (np.linalg.norm(delta, axis=1) > 0.0002)
            start, way = away[near_moving], delta[near_moving]
            closed, half = start + way, start + way / 2
            lack = np.maximum(radius + 0.0010 - np.linalg.norm(closed, axis=1),
                              2 * (radius + 0.0003 - np.linalg.norm(half, axis=1)))  # fmt: skip
            outward = closed / np.linalg.norm(closed, axis=1, keepdims=True)
            delta[near_moving] += np.maximum(0.0, lack)[:, None] * outward
    return data | {"vertices": vertices.astype(np.float32), "eye_radius": np.float32(radius),
                   "shape_deltas": deltas.astype(np.float16)}  # fmt: skip


def _pieces(faces: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Vertices of each connected piece."""
    label = np.arange(faces.max() + 1)
    filled = np.where(faces < 0, faces[:, :1], faces)
    while True:
        low = label[filled].min(1)
        new = label.copy()
        np.minimum.at(new, filled.ravel(), np.repeat(low, filled.shape[1]))
        if (new == label).all():
            break
        label = new
    used = np.unique(filled)
    return [used[label[used] == k] for k in np.unique(label[used])]


def _without(data: HeadData, part: str) -> HeadData:
    """The head less the faces of one part (its vertices stay, so that shapes fit)."""
    names = [str(n) for n in data["part_names"]]
    if part not in names:
        return data
    kept = data["vertex_part"][data["faces"][:, 0]] != names.index(part)
    return data | {n: data[n][kept] for n in ("faces", "faces_uv", "face_material")}


def _link(context: bpy.types.Context, name: str, block: bpy.types.ID) -> bpy.types.Object:
    made = bpy.data.objects.new(name, block)
    context.collection.objects.link(made)
    return made


def _add_bob(context: bpy.types.Context, rig: bpy.types.Object, data: HeadData, count: int) -> None:
    paths = hair.bob(data, count, 2)
    curves = bpy.data.hair_curves.new("ada hair")
    curves.add_curves([paths.shape[1]] * len(paths))
    curves.position_data.foreach_set("vector", to_blender(paths).ravel())
    taper = 0.00019 * (1.0 - 0.7 * np.linspace(0, 1, paths.shape[1]) ** 3)
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", np.tile(taper, len(paths)).astype(np.float32))
    curves.materials.append(hair_material("ada hair", LOOK.hair, tuple(c * 2.2 for c in LOOK.hair)))
    made = _link(context, "ada hair", curves)
    made.parent, made.parent_type, made.parent_bone = rig, "BONE", "head"
    # A bone's children sit at its tail, in its axes.
    bone = rig.data.bones["head"]
    made.matrix_parent_inverse = (
        bone.matrix_local @ _shift(bone.length)
    ).inverted()


def _shift(length: float):
    from mathutils import Matrix

    return Matrix.Translation((0.0, length, 0.0))


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
    made = _link(context, f"ada {name}", mesh)
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


def _add_collar(context: bpy.types.Context, data: HeadData) -> None:
    """A knitted crew neck: rays up through the bust give its height, shoulders continue it."""
    tree = BVHTree.FromPolygons(
        data["vertices"].astype(float).tolist(), hair.triangles(data, "skin").tolist()
    )
    rows, columns = 26, 120
    points = np.zeros((columns, rows, 3))
    for k, angle in enumerate(np.arange(columns) / columns * 2 * np.pi):
        points[k] = _collar_ray(tree, float(data["vertices"][:, 1].min()), angle, rows)
    for _ in range(40):
        points = (np.roll(points, 1, 0) + 2 * points + np.roll(points, -1, 0)) / 4
    mesh = bpy.data.meshes.new("ada collar")
    quads = [
        [k * rows + r, ((k + 1) % columns) * rows + r, ((k + 1) % columns) * rows + r + 1, k * rows + r + 1]
        for k in range(columns) for r in range(rows - 1)
    ]  # fmt: skip
    mesh.from_pydata(to_blender(points.reshape(-1, 3)).tolist(), [], quads)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(quads), bool))
    mesh.materials.append(cloth_material("ada wool", (0.045, 0.085, 0.11)))
    made = _link(context, "ada collar", mesh)
    made.modifiers.new("Subdivision", "SUBSURF").render_levels = 1


def _collar_ray(tree: BVHTree, bottom: float, angle: float, rows: int) -> NDArray[np.float64]:
    """One line of the collar (rows, 3), from the neck outwards over the shoulder."""
    way = np.array([math.sin(angle), 0.0, math.cos(angle)])
    middle = np.array([0.0, 0.0, -0.015])
    front = max(0.0, math.cos(angle))
    line = bottom + 0.069 - 0.018 * front**2
    radii = np.arange(0.03, 0.30, 0.002)
    heights = np.full(len(radii), np.inf)
    for i, radius in enumerate(radii):
        x, _, z = middle + way * radius
        hit = tree.ray_cast((float(x), -0.5, float(z)), (0.0, 1.0, 0.0))
        if hit[0] is not None:
            heights[i] = hit[0][1]
    while (heights < line).sum() < 5:
        line += 0.004
    known = np.nonzero(heights < line)[0]
    first, last = known[0], known[-1] - 2
    r0 = radii[first]
    # Past the edge of the bust the shoulder goes on, ever steeper.
    slope = 0.25 + 0.5 * front
    out = []
    for s in np.linspace(0, 1, rows - 2):
        r = r0 + (0.235 - r0) * s
        y = float(np.interp(r, radii[known[known <= last]], heights[known[known <= last]]))
        beyond = max(0.0, r - radii[last])
        out.append(middle + way * r + np.array([0.0, y - slope * beyond - 2.2 * beyond**2 + 0.006, 0.0]))
    rim = out[0] + np.array([0.0, 0.004, 0.0]) - way * 0.001
    return np.array([out[0] - way * 0.003 + (0.0, -0.006, 0.0), rim, *out])


def _light(context: bpy.types.Context) -> None:
    """A soft key from the upper left of the picture, a weak fill, two rims, a graded backdrop."""
    target = Vector((0.0, -0.06, 0.04))
    for name, place, size, power, colour in (
        ("key", (-0.75, -1.0, 0.75), 0.8, 21.0, (1.0, 0.94, 0.87)),
        ("fill", (1.0, -1.0, 0.05), 1.0, 7.0, (0.86, 0.93, 1.0)),
        ("rim left", (0.75, 0.75, 0.6), 0.5, 4.5, (0.9, 0.95, 1.0)),
        ("rim right", (-0.8, 0.7, 0.5), 0.5, 3.5, (1.0, 0.95, 0.9)),
    ):
        light = bpy.data.lights.new(f"ada {name}", "AREA")
        light.energy, light.size, light.color = power, size, colour
        made = _link(context, f"ada {name}", light)
        made.location = place
        made.rotation_euler = (target - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("ada backdrop")
    context.scene.world = world
    _backdrop(world)


def _backdrop(world: bpy.types.World) -> None:
    from .node_graph import Graph

    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    g = Graph(world.node_tree)
    place = g.node("ShaderNodeTexCoord").outputs["Window"]
    middle = g.node("ShaderNodeVectorMath", {0: place, 1: (0.5, 0.45, 0.0)}, operation="DISTANCE")
    grade = g.mix(g.smooth(middle.outputs["Value"], 0.75, 0.05), (0.060, 0.066, 0.075), (0.26, 0.275, 0.29))
    seen = g.node("ShaderNodeLightPath").outputs[0]
    shade = g.mix(seen, (0.10, 0.105, 0.115), grade)
    shader = g.node("ShaderNodeBackground", {"Color": shade, "Strength": 1.0})
    g.node("ShaderNodeOutputWorld", {0: shader.outputs[0]})


def _camera(context: bpy.types.Context) -> None:
    camera = bpy.data.cameras.new("ada camera")
    camera.lens_unit = "FOV"
    camera.angle = math.radians(CAMERA["fov_y"])
    camera.clip_start = 0.01
    made = _link(context, "ada camera", camera)
    x, y, z = CAMERA["position"]
    made.location, made.rotation_euler = (x, -z, y), (math.pi / 2, 0.0, 0.0)
    context.scene.camera = made


def set_up_render(scene: bpy.types.Scene, size: int, samples: int, threads: int = 1) -> None:
    """Cycles on the CPU, denoised, square pictures as seen on screen."""
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, 0
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.05
    cycles.adaptive_min_samples = min(3, samples)
    cycles.use_light_tree = False
    cycles.denoising_prefilter = "FAST"
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 1, 1
    cycles.transmission_bounces, cycles.transparent_max_bounces = 1, 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    scene.cycles_curves.shape = "RIBBONS"
    render = scene.render
    render.use_persistent_data = True
    render.threads_mode, render.threads = "FIXED", threads
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
    render.image_settings.color_depth = "8"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"


def show(rig: bpy.types.Object, params: dict[str, NDArray[np.float32]], row: int) -> None:
    """Pose the character and let emotion and brows tell on her skin."""
    arkit = params["arkit"][row]
    pose_head(rig, arkit, params["gaze"][row], params["head_rotation"][row], params["head_translation"][row])
    _, angry, _, disgusted, fear, happy, sad, surprised = (float(e) for e in params["emotion"][row])
    down, up = float(arkit[:2].mean()), float(arkit[2:5].mean())
    body = head_mesh(rig)
    body["flush"] = min(1.0, 0.9 * angry + 0.45 * happy + 0.2 * disgusted)
    body["pale"] = min(1.0, 0.9 * fear + 0.3 * surprised + 0.25 * sad)
    body["crease_brow"] = min(1.0, down + 0.3 * angry)
    body["crease_forehead"] = min(1.0, up + 0.2 * surprised)
    body["wet_eyes"] = 0.8 * sad
    body.update_tag()


def render_set(
    out: Path, size: int = 256, samples: int = 20, first: int = 1, last: int | None = None,
    threads: int = 1, head: Path = BUILT_IN, progress: Callable[[int, int], None] | None = None,
) -> int:  # fmt: skip
    """Render the frames of a planned set that are not there yet; returns how many were made.

    Args:
        out: a folder with `params.npz` and `set.json` (see `core.training.head_data`); it receives
            `proxy.npz` and `frames/`, and `set.json` the camera, size, licence and source.
        size: pixels of the square frames.
        samples: paths for each pixel, before denoising.
        first, last: frames to make, counted from 1; default all.
        threads: of the renderer.
        head: the head file she is made from.
        progress: called with (done, total).

    Raises:
        UserError: the folder holds no plan.

    """
    try:
        with np.load(out / "params.npz", allow_pickle=False) as file:
            params = {n: file[n] for n in file.files}
        info = json.loads((out / "set.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{out}' holds no plan of a render set ({error}).",
                        "Make one with 'core train head --design N --out SET'.") from error  # fmt: skip
    proxy = out / "proxy.npz"
    # A set that was begun goes on with the head that it was begun with.
    data = load_head(proxy) if proxy.is_file() else character_head(head)
    (out / "frames").mkdir(exist_ok=True)
    info |= {"name": "ada", "size": size, "camera": CAMERA, "licence": "GPL-3.0-or-later",
             "source": "Path-traced renders of a procedural character; no real person.",
             "credits": CREDITS}  # fmt: skip
    _write(out / "set.json", (json.dumps(info, indent=1) + "\n").encode())
    if not proxy.is_file():
        part = out / "proxy.npz.part"
        with open(part, "wb") as file:
            np.savez_compressed(file, **data)
        os.replace(part, proxy)
    scene = bpy.context.scene
    rig = build_avatar(bpy.context, data)
    set_up_render(scene, size, samples, threads)
    numbers = range(first, (last or len(params["arkit"])) + 1)
    todo = [n for n in numbers if not (out / "frames" / f"{n:06d}.png").is_file()]
    for done, number in enumerate(todo):
        if (out / "frames" / f"{number:06d}.png").is_file():
            continue  # Another process was faster.
        began = time.monotonic()
        show(rig, params, number - 1)
        part = out / "frames" / f".{number:06d}.part.png"
        scene.render.filepath = str(part)
        bpy.ops.render.render(write_still=True)
        os.replace(part, out / "frames" / f"{number:06d}.png")
        log.info("frame %d: %.2f s", number, time.monotonic() - began)
        if progress:
            progress(done + 1, len(todo))
    return len(todo)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command that renders a set."""
    parser.add_argument("--out", type=Path, required=True, metavar="SET",
                        help="a folder with params.npz and set.json, as 'core train head --design' makes it")  # fmt: skip
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--samples", type=int, default=20, help="paths for each pixel")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="first frame")
    parser.add_argument("--last", type=int, metavar="N", help="last frame")
    parser.add_argument("--threads", type=int, default=1, metavar="N")


def run(arguments: argparse.Namespace) -> str:
    """Render a set in an empty file; returns what was done, in words."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    made = render_set(arguments.out, arguments.size, arguments.samples, arguments.first,
                      arguments.last, arguments.threads, progress=_say)  # fmt: skip
    return f"{made} frames made in {arguments.out / 'frames'}"


def _say(done: int, total: int) -> None:
    log.info("%d of %d frames", done, total)
