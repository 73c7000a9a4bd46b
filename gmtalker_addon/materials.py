# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural materials of a head: skin, eyes, teeth, gums, tongue, mouth, lashes.

They read attributes that `head_object` writes: `rest` (metres, or the direction from the eye's
centre on the eyes) so that patterns stick to a moving face, and the masks `brow`, `lips`, `flush`,
`scalp` and `crease_*`; and custom properties of the object, so that a face can flush or frown:
`flush`, `pale`, `crease_brow`, `crease_forehead`, `crease_cheek`, `wet_eyes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bpy

from .node_graph import Graph

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Colours (linear RGB) and amounts of a head."""

    skin: Colour = (0.58, 0.36, 0.26)
    flush: Colour = (0.55, 0.20, 0.15)
    lips: Colour = (0.44, 0.17, 0.145)
    brows: Colour = (0.060, 0.034, 0.021)
    hair: Colour = (0.050, 0.024, 0.012)
    iris: Colour = (0.055, 0.030, 0.016)
    iris_inner: Colour = (0.12, 0.068, 0.030)
    freckles: float = 0.0
    painted_brows: float = 0.0
    """How far the skin under grown brows takes their colour."""
    shadowed_scalp: float = 0.0
    """How far the scalp takes the hair's colour."""
    subsurface: float = 0.18
    pores: bool = True
    """Fine relief; too small to be seen on a face of 256 pixels, and slow."""


def head_materials(names: Sequence[str], look: Look, prefix: str) -> list[bpy.types.Material]:
    """One material for each name of the head's `material_names`."""
    return [_material(name, look, prefix) for name in names]


def _material(name: str, look: Look, prefix: str) -> bpy.types.Material:
    build, colour = _maker(name, look)
    material = bpy.data.materials.new(f"{prefix} {name}")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    material.diffuse_color = (*(c**0.7 for c in colour), 1.0)
    material.roughness = 0.5
    build(Graph(material.node_tree), look)
    return material


def _maker(name: str, look: Look) -> tuple[Callable[[Graph, Look], None], Colour]:
    makers: dict[str, tuple[Callable[[Graph, Look], None], Colour]] = {
        "teeth": (_teeth, (0.75, 0.70, 0.60)),
        "gums": (_gums, (0.42, 0.13, 0.12)),
        "tongue": (_tongue, (0.45, 0.16, 0.15)),
        "mouth": (_mouth, (0.18, 0.04, 0.035)),
        "lash": (_lash, look.brows),
        "brow": (_brow, look.brows),
        "pupil": (_eye, (0.0, 0.0, 0.0)),
        "iris": (_eye, look.iris_inner),
        "sclera": (_eye, (0.78, 0.75, 0.72)),
        "eye": (_eye, (0.78, 0.75, 0.72)),
        "lip": (_skin, look.lips),
    }
    return next((m for key, m in makers.items() if key in name), (_skin, look.skin))


def _principled(g: Graph, colour: object, roughness: object, **more: object):
    inputs = {"Base Color": colour, "Roughness": roughness}
    inputs |= {key.replace("_", " "): value for key, value in more.items()}
    return g.node("ShaderNodeBsdfPrincipled", inputs)


def _skin(g: Graph, look: Look) -> None:
    rest = g.attribute("rest").outputs["Vector"]
    mask = {n: g.attribute(n).outputs["Fac"] for n in ("brow", "lips", "mottle", "flush", "scalp", "lid")}
    state = {n: g.attribute(n, "OBJECT").outputs["Fac"] for n in ("flush", "pale", "wet_eyes")}
    depth = _creases(g, rest)
    colour = _skin_colour(g, look, rest, mask, state)
    # A fold holds its own shadow, which relief alone does not cast.
    colour = g.mix(g.math("MULTIPLY", depth, 0.45), colour, tuple(c * 0.35 for c in look.flush))
    roughness, height = _relief(g, look, rest, depth)
    roughness = g.math("SUBTRACT", roughness, g.math("MULTIPLY", mask["lips"], 0.14))
    bump = g.node("ShaderNodeBump", {"Height": height, "Distance": 1.0, "Strength": 0.55})
    shader = _principled(
        g, colour, roughness,
        Subsurface_Weight=look.subsurface, Subsurface_Scale=0.004, Subsurface_Radius=(1.0, 0.36, 0.2),
        Specular_IOR_Level=0.42, Normal=bump.outputs[0],
    )  # fmt: skip
    g.output(shader.outputs[0])


def _relief(g: Graph, look: Look, rest, depth):
    """Roughness, and height in metres."""
    creases = g.math("MULTIPLY", depth, -0.0014)
    if not look.pores:
        return 0.46, creases
    fine, pores = g.noise(rest, 420.0, 4.0), g.cells(rest, 900.0).outputs[0]
    height = g.math("ADD", g.math("MULTIPLY", fine, 0.00014), g.math("MULTIPLY", pores, 0.0001))
    roughness = g.math("ADD", g.math("MULTIPLY", fine, 0.22), 0.36)
    return roughness, g.math("ADD", height, creases)


def _skin_colour(g: Graph, look: Look, rest, mask, state):
    mottle = mask["mottle"]
    if look.pores:
        mottle = g.math("MULTIPLY_ADD", mottle, 0.5, g.math("MULTIPLY", g.noise(rest, 160.0, 3.0), 0.5))
    colour = g.mix(mottle, tuple(c * 0.9 for c in look.skin), look.skin)
    red = g.math("MULTIPLY", g.smooth(mottle, 0.9, 0.3), 0.18)
    warmth = g.math("ADD", g.math("MULTIPLY", mask["flush"], 0.40), g.math("MULTIPLY", red, 0.9))
    excited = g.math("MULTIPLY", state["flush"], g.math("ADD", mask["flush"], 0.12))
    colour = g.mix(g.math("ADD", warmth, g.math("MULTIPLY", excited, 0.5), clamp=True), colour, look.flush)
    colour = g.mix(g.math("MULTIPLY", state["pale"], 0.3), colour, (0.62, 0.50, 0.40))
    if look.freckles:
        cell = g.cells(rest, 330.0)
        spot = g.smooth(cell.outputs[0], 0.34, 0.16)
        chosen = g.smooth(g.noise(rest, 110.0, 2.0), 0.5, 0.68)
        spot = g.math("MULTIPLY", g.math("MULTIPLY", spot, chosen), mask["flush"])
        colour = g.mix(g.math("MULTIPLY", spot, look.freckles), colour, (0.30, 0.14, 0.07))
    lip_tone = g.mix(g.smooth(mottle, 0.35, 0.7), tuple(c * 0.85 for c in look.lips), look.lips)
    colour = g.mix(mask["lips"], colour, lip_tone)
    sore = g.math("MULTIPLY_ADD", state["wet_eyes"], 0.6, 0.25)
    colour = g.mix(g.math("MULTIPLY", mask["lid"], sore), colour, tuple(c * 0.55 for c in look.flush))
    brow = _brow_shadow(g, mask["brow"])
    colour = g.mix(g.math("MULTIPLY", brow, look.painted_brows), colour, look.brows)
    return g.mix(g.math("MULTIPLY", mask["scalp"], look.shadowed_scalp), colour, look.hair)


def _brow_shadow(g: Graph, height):
    """Skin under grown brows; `height` is over the brow's line, `brow_width` half its thickness."""
    width = g.attribute("brow_width").outputs["Fac"]
    return g.smooth(g.math("SUBTRACT", width, g.math("ABSOLUTE", height)), -0.0012, 0.0014)


def _creases(g: Graph, rest):
    """Depth (0..1) of frown lines between the brows, lines across the forehead, and the folds from
    the nose to the corners of the mouth."""
    x, y, _ = g.node("ShaderNodeSeparateXYZ", {0: rest}).outputs
    aside = g.math("SUBTRACT", g.math("ABSOLUTE", x), 0.0065)
    furrow = g.smooth(g.math("ABSOLUTE", aside), 0.0028, 0.0)
    wavy = g.math("ADD", g.math("MULTIPLY", y, 620.0), g.math("MULTIPLY", g.math("SINE", g.math("MULTIPLY", x, 90.0)), 0.7))
    across = g.math("MULTIPLY", g.smooth(g.math("SINE", wavy), 0.45, 1.0), 0.7)
    fold = g.smooth(g.attribute("crease_cheek").outputs["Fac"], 0.0034, 0.0)
    total = g.math("MULTIPLY", fold, g.attribute("crease_cheek", "OBJECT").outputs["Fac"])
    for name, line in (("crease_brow", furrow), ("crease_forehead", across)):
        strength = g.math("MULTIPLY", g.attribute(name).outputs["Fac"], g.attribute(name, "OBJECT").outputs["Fac"])
        total = g.math("ADD", g.math("MULTIPLY", line, strength), total, clamp=True)
    return total


def _eye(g: Graph, look: Look) -> None:
    """A ball seen by its direction from the centre: (0, 0, 1) is the middle of the pupil."""
    direction = g.node("ShaderNodeVectorMath", {0: g.attribute("rest").outputs["Vector"]}, operation="NORMALIZE")
    x, y, z = g.node("ShaderNodeSeparateXYZ", {0: direction.outputs[0]}).outputs
    angle = g.math("ARCTAN2", g.math("SQRT", g.math("ADD", g.math("MULTIPLY", x, x), g.math("MULTIPLY", y, y))), z)
    flat = g.node("ShaderNodeCombineXYZ", {0: g.math("DIVIDE", x, angle), 1: g.math("DIVIDE", y, angle), 2: g.math("MULTIPLY", angle, 0.6)})
    rays = g.noise(flat.outputs[0], 9.0, 4.0)
    veins = g.smooth(g.noise(direction.outputs[0], 9.0, 5.0), 0.50, 0.56)
    veins = g.math("MULTIPLY", g.math("MULTIPLY", veins, g.smooth(angle, 0.55, 1.1)), 0.25)
    red = g.math("ADD", veins, g.math("MULTIPLY", g.attribute("wet_eyes", "OBJECT").outputs["Fac"], 0.25), clamp=True)
    white = g.mix(red, (0.56, 0.525, 0.49), (0.50, 0.25, 0.21))
    iris = g.mix(g.smooth(rays, 0.35, 0.7), look.iris, look.iris_inner)
    iris = g.mix(g.smooth(angle, 0.21, 0.31), tuple(min(1.0, c * 1.5) for c in look.iris_inner), iris)
    iris = g.mix(g.smooth(angle, 0.36, 0.45), iris, tuple(c * 0.22 for c in look.iris))
    colour = g.mix(g.smooth(angle, 0.43, 0.50), iris, white)
    colour = g.mix(g.smooth(angle, 0.185, 0.155), colour, (0.002, 0.002, 0.002))
    shader = _principled(
        g, colour, 0.35, Coat_Weight=1.0, Coat_Roughness=0.02, Specular_IOR_Level=0.3,
        Subsurface_Weight=0.08, Subsurface_Scale=0.002,
    )  # fmt: skip
    g.output(shader.outputs[0])


def _teeth(g: Graph, look: Look) -> None:
    rest = g.attribute("rest").outputs["Vector"]
    colour = g.mix(g.noise(rest, 130.0, 2.0), (0.70, 0.63, 0.50), (0.78, 0.73, 0.64))
    shader = _principled(g, colour, 0.22, Coat_Weight=0.5, Coat_Roughness=0.08)
    g.output(shader.outputs[0])


def _wet(g: Graph, dark: Colour, light: Colour, scale: float) -> None:
    rest = g.attribute("rest").outputs["Vector"]
    pattern = g.noise(rest, scale, 3.0)
    bump = g.node("ShaderNodeBump", {"Height": g.math("MULTIPLY", pattern, 0.0006), "Distance": 1.0})
    shader = _principled(
        g, g.mix(pattern, dark, light), 0.3, Coat_Weight=0.35, Coat_Roughness=0.15,
        Normal=bump.outputs[0],
    )  # fmt: skip
    g.output(shader.outputs[0])


def _gums(g: Graph, look: Look) -> None:
    _wet(g, (0.33, 0.09, 0.085), (0.46, 0.16, 0.14), 240.0)


def _tongue(g: Graph, look: Look) -> None:
    _wet(g, (0.34, 0.10, 0.09), (0.48, 0.18, 0.16), 700.0)


def _mouth(g: Graph, look: Look) -> None:
    _wet(g, (0.10, 0.02, 0.018), (0.20, 0.05, 0.045), 120.0)


def _lash(g: Graph, look: Look) -> None:
    g.output(_principled(g, tuple(c * 0.4 for c in look.brows), 0.5).outputs[0])


def _brow(g: Graph, look: Look) -> None:
    """Hairs on the strip's UV map (u outwards, v upwards): they rise at the nose and lie down
    outwards, and are sparse at the edges, so that no outline shows."""
    u, v, _ = g.node("ShaderNodeSeparateXYZ", {0: g.node("ShaderNodeTexCoord").outputs["UV"]}).outputs
    height = g.math("SUBTRACT", v, 0.5)
    lean = g.math("MULTIPLY", g.math("MULTIPLY_ADD", u, 2.2, 0.25), g.math("MULTIPLY", height, 8.0))
    beside = g.math("SUBTRACT", g.math("MULTIPLY", u, 45.0), lean)  # millimetres, the same along a hair
    place = g.node("ShaderNodeCombineXYZ", {0: beside, 1: g.math("MULTIPLY", height, 2.0)}).outputs[0]
    hairs = g.noise(place, 1.7, 2.0)
    dense = g.smooth(g.math("ABSOLUTE", height), 0.55, 0.15)
    dense = g.math("MULTIPLY", dense, g.smooth(u, -0.06, 0.22))
    dense = g.math("MULTIPLY", dense, g.smooth(u, 1.0, 0.7))
    cover = g.smooth(g.math("MULTIPLY_ADD", dense, 0.45, hairs), 0.60, 0.80)
    colour = g.mix(hairs, tuple(c * 0.7 for c in look.brows), tuple(c * 1.4 for c in look.brows))
    g.output(_principled(g, colour, 0.6, Specular_IOR_Level=0.2, Alpha=cover).outputs[0])


def hair_material(name: str, colour: Colour, tip: Colour) -> bpy.types.Material:
    """Strands: a sheen that runs along them, every strand its own shade, tips lighter."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    material.diffuse_color = (*(c**0.7 for c in colour), 1.0)
    g = Graph(material.node_tree)
    info = g.node("ShaderNodeHairInfo")
    along, chance = info.outputs["Intercept"], info.outputs["Random"]
    shade = g.mix(chance, tuple(c * 0.6 for c in colour), tuple(c * 1.5 for c in colour))
    shade = g.mix(g.math("MULTIPLY", g.smooth(along, 0.3, 1.0), 0.6), shade, tip)
    gloss = g.node(
        "ShaderNodeBsdfHair",
        {"Color": tuple(min(1.0, c * 7 + 0.12) for c in colour), "Offset": -0.06,
         "RoughnessU": 0.22, "RoughnessV": 0.6},
        component="Reflection",
    )  # fmt: skip
    matt = g.node("ShaderNodeBsdfDiffuse", {"Color": shade})
    shader = g.node("ShaderNodeMixShader", {0: 0.36, 1: matt.outputs[0], 2: gloss.outputs[0]})
    g.output(shader.outputs[0])
    return material


def cloth_material(name: str, colour: Colour) -> bpy.types.Material:
    """Knitted cloth."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    material.diffuse_color = (*(c**0.7 for c in colour), 1.0)
    g = Graph(material.node_tree)
    place = g.node("ShaderNodeTexCoord").outputs["Object"]
    knit = g.noise(place, 900.0, 2.0)
    shade = g.mix(knit, tuple(c * 0.75 for c in colour), colour)
    bump = g.node("ShaderNodeBump", {"Height": g.math("MULTIPLY", knit, 0.0006), "Distance": 1.0})
    shader = _principled(g, shade, 0.85, Sheen_Weight=0.4, Normal=bump.outputs[0])
    g.output(shader.outputs[0])
    return material
