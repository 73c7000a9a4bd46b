# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands about the path-traced character: collar, light, backdrop, camera, render settings."""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from .avatar_hair import triangles
from .head_masks import HeadData
from .head_object import to_blender
from .materials import cloth_material
from .node_graph import Graph

CAMERA = {"fov_y": 15.4, "position": (0.0, 0.051, 1.05)}
"""Portrait camera, core space: vertical angle of view in degrees, place in metres; looks along -Z."""


def link(context: bpy.types.Context, name: str, block: bpy.types.ID) -> bpy.types.Object:
    """A new object in the context's collection."""
    made = bpy.data.objects.new(name, block)
    context.collection.objects.link(made)
    return made


def add_collar(context: bpy.types.Context, data: HeadData) -> None:
    """A knitted crew neck: rays up through the bust give its height, shoulders continue it."""
    tree = BVHTree.FromPolygons(
        data["vertices"].astype(float).tolist(), triangles(data, "skin").tolist()
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
    made = link(context, "ada collar", mesh)
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


def add_light(context: bpy.types.Context) -> None:
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
        made = link(context, f"ada {name}", light)
        made.location = place
        made.rotation_euler = (target - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("ada backdrop")
    context.scene.world = world
    _backdrop(world)


def _backdrop(world: bpy.types.World) -> None:
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


def add_camera(context: bpy.types.Context) -> None:
    camera = bpy.data.cameras.new("ada camera")
    camera.lens_unit = "FOV"
    camera.angle = math.radians(CAMERA["fov_y"])
    camera.clip_start = 0.01
    made = link(context, "ada camera", camera)
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
