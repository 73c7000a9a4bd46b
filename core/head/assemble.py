# SPDX-License-Identifier: GPL-3.0-or-later
"""Put skin and parts together into the arrays of ``head.npz``.

- No ``bpy`` module use. Used by the build script only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES
from .hairs import Hairs, build_brow, build_lashes
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
from .shapes import arkit_fields, other_side, settle, shape, sides, tongue_out
from .skin import LID_RING, LIP_RING, MOUTH, Skin, fit_skin
from .unwrap import unwrap
from .surface import Chart, Floats, Ict, Ints, load_ict

PIVOT = np.array([0.0, -0.020, -0.005])
"""The head's pivot in ICT's space, metres: below and behind the ear canals."""
PARTS = (
    "skin", "mouth", "gums", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right", "lash", "brow",
)  # fmt: skip
MATERIALS = ("skin", "lips", "mouth", "gums", "teeth", "tongue", "eye", "lash", "brow")
MATERIAL_OF = {
    "skin": "skin", "mouth": "mouth", "gums": "gums", "teeth_upper": "teeth",
    "teeth_lower": "teeth", "tongue": "tongue", "eye_left": "eye", "eye_right": "eye",
    "lash": "lash", "brow": "brow",
}  # fmt: skip
FLIP = np.array([-1.0, 1.0, 1.0])


def _skin_piece(ict: Ict, chart: Chart, skin: Skin) -> Piece:
    corners = chart.triangles[skin.triangle]
    quads = np.array(skin.template.quads)
    count = len(corners)
    return Piece("skin", corners, skin.bary, np.zeros((count, 3)), quads, np.zeros((count, 2)))


def _eyes(ict: Ict) -> tuple[Floats, float]:
    centre, radius = fit_sphere(ict.neutral[slice(*EYEBALL_LEFT)])
    return np.stack([centre, centre * FLIP]), radius


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
    return t * t * (3 - 2 * t)


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


def _landmarks(skin: Skin, points: Floats, hinge: Floats) -> tuple[list[str], Ints]:
    lower, upper = sides(skin, "mouth", LIP_RING)
    mid = len(lower) // 2
    found = {
        "lip_upper_inner": upper[mid], "lip_lower_inner": lower[mid],
        "lip_corner_left": lower[-1], "lip_corner_right": lower[0],
    }  # fmt: skip
    for side, eye in (("left", "eye_left"), ("right", "eye_right")):
        low, high = sides(skin, eye, LID_RING)
        outer, inner = (low[-1], low[0]) if side == "left" else (low[0], low[-1])
        found |= {
            f"eye_outer_{side}": outer, f"eye_inner_{side}": inner,
            f"lid_upper_{side}": high[len(high) // 2], f"lid_lower_{side}": low[len(low) // 2],
        }  # fmt: skip
    column = [skin.template.grid(0, j) for j in range(MOUTH.rows[0] + 1)]
    middle = np.array([v for k, v in skin.template.index.items() if k[0] == "grid" and k[1] == 0])
    found["nose_tip"] = middle[points[middle, 2].argmax()]
    jaw = np.array(column)
    near = jaw[points[jaw, 1] > points[found["lip_lower_inner"], 1] - 0.05]
    found["chin"] = near[points[near, 2].argmax()] if len(near) else jaw[-1]
    return list(found), np.array([int(v) for v in found.values()])


def assemble(folder: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of ``head.npz`` from the ICT data in ``folder``."""
    import json

    ict = load_ict(folder)
    named = json.loads((folder / "vertex_indices.json").read_text())
    chart = Chart(ict)
    skin = fit_skin(ict, chart)
    body = _skin_piece(ict, chart, skin)
    pieces = [body, build_gums(ict, True), build_gums(ict, False), *build_teeth(ict)]
    pieces.append(build_tongue(ict))
    tongue_at = len(pieces) - 1
    fields = arkit_fields(ict)
    rest = [p.place(ict.neutral) for p in pieces]
    deltas = [p.carry(fields) for p in pieces]
    identity = [p.carry(ict.identities) for p in pieces]
    deltas[tongue_at][shape("tongueOut")] = tongue_out(rest[tongue_at])

    for p, piece in enumerate(pieces):
        if piece.name.startswith("teeth"):
            deltas[p] = rigid_moves(rest[p], deltas[p])
    flip = np.array([ARKIT_NAMES.index(other_side(n)) for n in ARKIT_NAMES])
    rest[0] = (rest[0] + rest[0][skin.mirror] * FLIP) / 2
    deltas[0] = (deltas[0] + deltas[0][flip][:, skin.mirror] * FLIP) / 2
    eyes, radius = _eyes(ict)
    settle(skin, rest[0], deltas[0], eyes, radius)
    names = [p.name for p in pieces]
    quads, uvs = [p.quads for p in pieces], [p.uv for p in pieces]
    hairs: list[Hairs] = []
    landmarks = np.array(named["idx_to_landmark_verts"])
    for side, eye in enumerate(("eye_left", "eye_right")):
        for upper in (True, False):
            hairs.append(build_lashes(skin, eye, upper, rest[0], deltas[0], identity[0], eyes[side]))
            names.append("lash")
        line = ict.neutral[landmarks[22:27] if side == 0 else landmarks[21:16:-1]]
        hairs.append(build_brow(skin, line, rest[0], deltas[0], identity[0]))
        names.append("brow")
    for hair in hairs:
        rest.append(hair.rest)
        deltas.append(hair.deltas)
        identity.append(hair.identity)
        quads.append(hair.quads)
        uvs.append(hair.uv)
    ball, ball_faces, ball_uv = eyeball()
    for side, name in enumerate(("eye_left", "eye_right")):
        span = np.arange(*EYEBALL_LEFT)
        centre = ict.identities[:, span if side == 0 else ict.mirror[span]].mean(1)
        rest.append(eyes[side] + radius * ball)
        deltas.append(np.zeros((len(ARKIT_NAMES), len(ball), 3)))
        identity.append(np.repeat(centre[:, None], len(ball), 1))
        names.append(name)
        quads.append(ball_faces)
        uvs.append(ball_uv)
    return _arrays(ict, skin, named, rest, deltas, identity, names, quads, uvs, eyes, radius, fields)


def _arrays(ict, skin, named, rest, deltas, identity, names, quads, uvs, eyes, radius, fields):  # type: ignore[no-untyped-def]
    inside = {k for k in skin.template.index if k[0] == "mouth" and int(k[1]) > LIP_RING}
    inside |= {k for k in skin.template.index if k[0] == "mouth_cap"}
    cavity = np.array([k in inside for k in skin.template.index])
    part = np.concatenate([np.full(len(r), PARTS.index(n)) for r, n in zip(rest, names, strict=True)])
    part[: len(cavity)][cavity] = PARTS.index("mouth")
    starts = np.cumsum([0] + [len(r) for r in rest])
    faces = np.concatenate([np.where(q >= 0, q + s, -1) for q, s in zip(quads, starts, strict=False)])
    points = np.concatenate(rest)
    material = np.array([MATERIALS.index(MATERIAL_OF[PARTS[part[f[0]]]]) for f in faces])
    skin_faces = faces[: len(quads[0])]
    lips = np.zeros(len(points), bool)
    for ring in range(6, LIP_RING + 4):
        lips[skin.ring("mouth", ring)] = True
    material[: len(skin_faces)][lips[skin_faces].all(1)] = MATERIALS.index("lips")
    skin_part = (part[skin_faces] == PARTS.index("mouth")).any(1) & ~lips[skin_faces].all(1)
    material[: len(skin_faces)][skin_part] = MATERIALS.index("mouth")
    height = points[:, 1] - 0.35 * points[:, 2]
    weight = np.where(part == PARTS.index("skin"), _smoothstep((height + 0.155) / 0.07), 1.0)
    weight = np.round(weight * 32) / 32
    skin_uv, skin_faces_uv = unwrap(skin, rest[0])
    uv_starts = np.cumsum([len(skin_uv)] + [len(u) for u in uvs[1:]])
    faces_uv = np.concatenate(
        [skin_faces_uv]
        + [np.where(q >= 0, q + s, -1) for q, s in zip(quads[1:], uv_starts, strict=False)]
    )
    uv = np.concatenate([skin_uv, *uvs[1:]])
    landmarks = np.array(named["idx_to_landmark_verts"])
    mask = _brow_mask(ict, points, landmarks) * (part == 0)
    hinge = _jaw_hinge(ict, fields[shape("jawOpen")])
    mark_names, marks = _landmarks(skin, points, hinge)
    for side, index in (("left", landmarks[22]), ("right", landmarks[21])):
        mark_names.append(f"brow_inner_{side}")
        body = np.nonzero(part == 0)[0]
        near = np.linalg.norm(points[body] - ict.neutral[index], axis=1)
        marks = np.append(marks, body[near.argmin()])
    return {
        "vertices": (points - PIVOT).astype(np.float32),
        "faces": faces.astype(np.int32),
        "uv": uv.astype(np.float32),
        "faces_uv": faces_uv.astype(np.int32),
        "face_material": material.astype(np.uint8),
        "material_names": np.array(MATERIALS),
        "vertex_part": part.astype(np.uint8),
        "part_names": np.array(PARTS),
        "shape_names": np.array(ARKIT_NAMES),
        "shape_deltas": np.concatenate(deltas, axis=1).astype(np.float16),
        "identity_deltas": np.concatenate(identity, axis=1).astype(np.float16),
        "head_weight": weight.astype(np.float32),
        "eye_center": (eyes - PIVOT).astype(np.float32),
        "eye_radius": np.float32(radius),
        "brow_mask": mask.astype(np.float32),
        "landmark_names": np.array(mark_names),
        "landmark_indices": marks.astype(np.int32),
        "jaw_hinge": (hinge - PIVOT).astype(np.float32),
    }
