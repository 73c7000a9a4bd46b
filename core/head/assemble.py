# SPDX-License-Identifier: GPL-3.0-or-later
"""Put skin and parts together into the arrays of ``head.npz``.

- No ``bpy`` module use. Used by the build script only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES
from .hairs import build_brow, build_lashes
from .parts import (
    EYEBALL_LEFT,
    JAW_SPLIT,
    Piece,
    build_gums,
    build_teeth,
    build_tongue,
    eyeball,
    fit_sphere,
    rigid_moves,
    teeth_of,
)
from .shapes import arkit_fields, hold_lids, other_side, settle, shape, sides, tongue_out
from .skin import LID_RING, LIP_RING, MOUTH, Skin, fit_skin
from .surface import FLIP, Chart, Floats, Ict, Ints, load_ict
from .unwrap import unwrap

PIVOT = np.array([0.0, -0.020, -0.005])
"""The head's pivot in ICT's space, metres: below and behind the ear canals."""
MATERIAL_OF = {
    "skin": "skin", "mouth": "mouth", "gums": "gums", "teeth_upper": "teeth",
    "teeth_lower": "teeth", "tongue": "tongue", "eye_left": "eye", "eye_right": "eye",
    "lash": "lash", "brow": "brow",
}  # fmt: skip
PARTS = tuple(MATERIAL_OF)
MATERIALS = ("skin", "lips", "mouth", "gums", "teeth", "tongue", "eye", "lash", "brow")
LIP_RINGS = range(6, LIP_RING + 4)
"""Rings of the mouth that are painted as lips."""
NECK_BOTTOM, NECK_TOP, NECK_LEAN = -0.155, -0.085, 0.35
"""Between these heights (metres in ICT's space, leaning back) the neck takes up the head's turn."""
NECK_LEVELS = 32
"""Steps of ``head_weight``: few values let a pose be computed by groups."""


@dataclass
class Body:
    """Pieces of the head, side by side; the skin comes first.

    Attributes:
        names: part of each piece.
        rest, deltas, identity: (V, 3), (52, V, 3) and (20, V, 3) metres of each piece.
        quads, quads_uv, uv: faces (F, 4) by own vertices, by own UVs, and the UVs (U, 2).

    """

    names: list[str] = field(default_factory=list)
    rest: list[Floats] = field(default_factory=list)
    deltas: list[Floats] = field(default_factory=list)
    identity: list[Floats] = field(default_factory=list)
    quads: list[Ints] = field(default_factory=list)
    quads_uv: list[Ints] = field(default_factory=list)
    uv: list[Floats] = field(default_factory=list)

    def add(
        self,
        name: str,
        rest: Floats,
        deltas: Floats,
        identity: Floats,
        quads: Ints,
        uv: Floats,
        quads_uv: Ints | None = None,
    ) -> None:
        """Append a piece; without ``quads_uv`` it has one UV for each vertex."""
        self.names.append(name)
        self.rest.append(rest)
        self.deltas.append(deltas)
        self.identity.append(identity)
        self.quads.append(quads)
        self.quads_uv.append(quads if quads_uv is None else quads_uv)
        self.uv.append(uv)


def _eyes(ict: Ict) -> tuple[Floats, float]:
    """Centres (2, 3), left and right, and radius of the eyeballs."""
    centre, radius = fit_sphere(ict.neutral[slice(*EYEBALL_LEFT)])
    return np.stack([centre, centre * FLIP]), radius


def _eye_shifts(ict: Ict) -> Floats:
    """(2, 20, 3) how each identity moves the left and the right eyeball."""
    span = np.arange(*EYEBALL_LEFT)
    return np.stack([ict.identities[:, s].mean(1) for s in (span, ict.mirror[span])])


def _add_skin(body: Body, ict: Ict, chart: Chart, skin: Skin, fields: Floats, eyes: Floats,
              radius: float) -> None:  # fmt: skip
    flip = np.array([ARKIT_NAMES.index(other_side(n)) for n in ARKIT_NAMES])
    rest = chart.carry(ict.neutral, skin.triangle, skin.bary)
    deltas = chart.carry(fields, skin.triangle, skin.bary)
    rest = (rest + rest[skin.mirror] * FLIP) / 2
    deltas = (deltas + deltas[flip][:, skin.mirror] * FLIP) / 2
    settle(skin, rest, deltas, eyes, radius)
    identity = chart.carry(ict.identities, skin.triangle, skin.bary)
    hold_lids(skin, rest, identity, eyes, _eye_shifts(ict))
    uv, quads_uv = unwrap(skin, rest)
    body.add("skin", rest, deltas, identity, np.array(skin.template.quads), uv, quads_uv)


def _add_mouth(body: Body, ict: Ict, fields: Floats) -> None:
    pieces: list[Piece] = [build_gums(ict, True), build_gums(ict, False)]
    for piece in [*pieces, *build_teeth(ict), build_tongue(ict)]:
        rest, deltas = piece.place(ict.neutral), piece.carry(fields)
        if piece.name.startswith("teeth"):
            deltas = rigid_moves(rest, deltas)
        if piece.name == "tongue":
            deltas[shape("tongueOut")] = tongue_out(rest)
        body.add(piece.name, rest, deltas, piece.carry(ict.identities), piece.quads, piece.uv)


def _add_hairs(body: Body, ict: Ict, skin: Skin, eyes: Floats, landmarks: Ints) -> None:
    own = body.rest[0], body.deltas[0], body.identity[0]
    brows = landmarks[22:27], landmarks[21:16:-1]
    for side, eye in enumerate(("eye_left", "eye_right")):
        for upper in (True, False):
            lash = build_lashes(skin, eye, upper, *own, eyes[side])
            body.add("lash", lash.rest, lash.deltas, lash.identity, lash.quads, lash.uv)
        brow = build_brow(skin, ict.neutral[brows[side]], *own)
        body.add("brow", brow.rest, brow.deltas, brow.identity, brow.quads, brow.uv)


def _add_eyeballs(body: Body, ict: Ict, eyes: Floats, radius: float) -> None:
    """Eyeballs stay where they are in every shape, and go along with an identity as a whole."""
    ball, quads, uv = eyeball()
    still = np.zeros((len(ARKIT_NAMES), len(ball), 3))
    for side, name in enumerate(("eye_left", "eye_right")):
        shift = _eye_shifts(ict)[side][:, None].repeat(len(ball), axis=1)
        body.add(name, eyes[side] + radius * ball, still, shift, quads, uv)


def _jaw_hinge(ict: Ict, jaw_open: Floats) -> Floats:
    """(2, 3) the axis about which jawOpen turns the lower teeth (rigid fit, then fixed point)."""
    lower = np.concatenate([g for g in teeth_of(ict) if ict.neutral[g, 1].mean() < JAW_SPLIT])
    a = ict.neutral[lower][:, 1:]
    b = a + jaw_open[lower][:, 1:]
    u, _, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    turn = (u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt).T
    fixed = np.linalg.solve(np.eye(2) - turn, b.mean(0) - turn @ a.mean(0))
    return np.array([[x, *fixed] for x in (0.05, -0.05)])


def _smoothstep(x: Floats) -> Floats:
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _brow_mask(ict: Ict, points: Floats, landmarks: Ints) -> Floats:
    """(V,) 0..1 along ICT's brow landmarks (17 to 21 right, 22 to 26 left)."""
    mask = np.zeros(len(points))
    for chosen in (landmarks[17:22], landmarks[22:27]):
        line = ict.neutral[chosen]
        fine = np.stack(
            [np.interp(np.linspace(0, 4, 41), np.arange(5), line[:, d]) for d in range(3)], axis=1
        )
        far = np.linalg.norm(points[:, None] - fine[None], axis=2).min(1)
        mask = np.maximum(mask, 1 - _smoothstep((far - 0.002) / 0.006))
    return mask


def _landmarks(skin: Skin, rest: Floats, brows: Floats) -> dict[str, int]:
    """Named vertices; ``brows`` (2, 3) are the inner ends, left and right."""
    lower, upper = sides(skin, "mouth", LIP_RING)
    mid = len(lower) // 2
    found = {
        "lip_upper_inner": upper[mid], "lip_lower_inner": lower[mid],
        "lip_corner_left": lower[-1], "lip_corner_right": lower[0],
    }  # fmt: skip
    for n, side in enumerate(("left", "right")):
        low, high = sides(skin, f"eye_{side}", LID_RING)
        outer, inner = (low[-1], low[0]) if side == "left" else (low[0], low[-1])
        found |= {
            f"eye_outer_{side}": outer, f"eye_inner_{side}": inner,
            f"lid_upper_{side}": high[len(high) // 2], f"lid_lower_{side}": low[len(low) // 2],
            f"brow_inner_{side}": np.linalg.norm(rest - brows[n], axis=1).argmin(),
        }  # fmt: skip
    middle = np.array([v for k, v in skin.template.index.items() if k[0] == "grid" and k[1] == 0])
    found["nose_tip"] = middle[rest[middle, 2].argmax()]
    # Below the mouth's rectangle, within 5 cm: the neck and the chest come further down.
    below = np.array([skin.template.grid(0, j) for j in range(MOUTH.rows[0] + 1)])
    near = below[rest[below, 1] > rest[lower[mid], 1] - 0.05]
    found["chin"] = near[rest[near, 2].argmax()]
    return {name: int(vertex) for name, vertex in found.items()}


def _parts(body: Body, skin: Skin) -> Ints:
    """(V,) part of each vertex; what lies inside the lips' contact is mouth."""
    part = np.concatenate(
        [np.full(len(r), PARTS.index(n)) for r, n in zip(body.rest, body.names, strict=True)]
    )
    for key, vertex in skin.template.index.items():
        if key[0] == "mouth_cap" or (key[0] == "mouth" and int(key[1]) > LIP_RING):
            part[vertex] = PARTS.index("mouth")
    return np.asarray(part)


def _materials(faces: Ints, part: Ints, skin: Skin) -> Ints:
    """(F,) material of each face."""
    by_part = np.array([MATERIALS.index(MATERIAL_OF[p]) for p in PARTS])
    material = by_part[part[faces[:, 0]]]
    lips = np.zeros(len(part), dtype=bool)
    for ring in LIP_RINGS:
        lips[skin.ring("mouth", ring)] = True
    corners = np.where(faces < 0, faces[:, :1], faces)
    inside = (part[corners] == PARTS.index("mouth")).any(1)
    material[inside] = MATERIALS.index("mouth")
    material[lips[corners].all(1)] = MATERIALS.index("lips")
    return np.asarray(material)


def _joined(lists: list[Ints], counts: list[int]) -> Ints:
    """Faces of all pieces, by vertices counted through."""
    starts = np.cumsum([0, *counts])
    shifted = [np.where(q >= 0, q + s, -1) for q, s in zip(lists, starts, strict=False)]
    return np.asarray(np.concatenate(shifted))


def assemble(folder: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of ``head.npz`` from the ICT data in ``folder``."""
    ict = load_ict(folder)
    named = json.loads((folder / "vertex_indices.json").read_text())
    landmarks = np.array(named["idx_to_landmark_verts"])
    fields = arkit_fields(ict)
    eyes, radius = _eyes(ict)
    chart = Chart(ict)
    skin = fit_skin(ict, chart)
    body = Body()
    _add_skin(body, ict, chart, skin, fields, eyes, radius)
    _add_mouth(body, ict, fields)
    _add_hairs(body, ict, skin, eyes, landmarks)
    _add_eyeballs(body, ict, eyes, radius)

    points, part = np.concatenate(body.rest), _parts(body, skin)
    faces = _joined(body.quads, [len(r) for r in body.rest])
    height = points[:, 1] - NECK_LEAN * points[:, 2]
    follow = _smoothstep((height - NECK_BOTTOM) / (NECK_TOP - NECK_BOTTOM))
    follow = np.where(part == PARTS.index("skin"), follow, 1.0)
    marks = _landmarks(skin, body.rest[0], ict.neutral[landmarks[[22, 21]]])
    return {
        "vertices": (points - PIVOT).astype(np.float32),
        "faces": faces.astype(np.int32),
        "uv": np.concatenate(body.uv).astype(np.float32),
        "faces_uv": _joined(body.quads_uv, [len(u) for u in body.uv]).astype(np.int32),
        "face_material": _materials(faces, part, skin).astype(np.uint8),
        "material_names": np.array(MATERIALS),
        "vertex_part": part.astype(np.uint8),
        "part_names": np.array(PARTS),
        "shape_names": np.array(ARKIT_NAMES),
        "shape_deltas": np.concatenate(body.deltas, axis=1).astype(np.float16),
        "identity_deltas": np.concatenate(body.identity, axis=1).astype(np.float16),
        "head_weight": (np.round(follow * NECK_LEVELS) / NECK_LEVELS).astype(np.float32),
        "eye_center": (eyes - PIVOT).astype(np.float32),
        "eye_radius": np.array(radius, dtype=np.float32),
        "brow_mask": (_brow_mask(ict, points, landmarks) * (part == 0)).astype(np.float32),
        "landmark_names": np.array(list(marks)),
        "landmark_indices": np.array(list(marks.values()), dtype=np.int32),
        "jaw_hinge": (_jaw_hinge(ict, fields[shape("jawOpen")]) - PIVOT).astype(np.float32),
    }
