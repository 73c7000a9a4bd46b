# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy head in the format of ``core/assets/head.npz``: an egg with two eyes and a mouth.

- No ``bpy`` module use; numpy only. For tests: small, quick, and built from nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arkit import ARKIT_NAMES
from .head.model import IDENTITIES

Floats = NDArray[np.float64]

PARTS = ("skin", "mouth", "eye_left", "eye_right")
EYE_CENTER = np.array([[0.03, 0.055, 0.082], [-0.03, 0.055, 0.082]])
EYE_RADIUS = 0.012
_LANDMARKS = {
    "lip_upper_inner": (0, 0.004, 0.1), "lip_lower_inner": (0, -0.004, 0.1),
    "lip_corner_left": (0.025, 0, 0.09), "lip_corner_right": (-0.025, 0, 0.09),
    "eye_outer_left": (0.045, 0.055, 0.08), "eye_outer_right": (-0.045, 0.055, 0.08),
    "eye_inner_left": (0.015, 0.055, 0.09), "eye_inner_right": (-0.015, 0.055, 0.09),
    "lid_upper_left": (0.03, 0.062, 0.09), "lid_upper_right": (-0.03, 0.062, 0.09),
    "lid_lower_left": (0.03, 0.048, 0.09), "lid_lower_right": (-0.03, 0.048, 0.09),
    "nose_tip": (0, 0.03, 0.1), "chin": (0, -0.04, 0.09),
    "brow_inner_left": (0.015, 0.07, 0.09), "brow_inner_right": (-0.015, 0.07, 0.09),
}  # fmt: skip


def write_toy_head(path: Path, rings: int = 12) -> None:
    """Writes the toy head; ``rings`` says how finely the egg is cut."""
    egg = _globe(np.array([0, 0.04, 0.0]), np.array([0.075, 0.11, 0.095]), rings)
    disc = _globe(np.array([0, 0, 0.088]), np.array([0.022, 0.006, 0.012]), 6)
    eyes = [_globe(centre, np.full(3, EYE_RADIUS), 6) for centre in EYE_CENTER]
    pieces = [egg, disc, *eyes]
    first = np.cumsum([0] + [len(v) for v, _ in pieces])
    vertices = np.concatenate([v for v, _ in pieces])
    faces = np.concatenate(
        [np.where(f < 0, -1, f + n) for (_, f), n in zip(pieces, first, strict=False)]
    )
    part = np.concatenate([np.full(len(v), i, np.uint8) for i, (v, _) in enumerate(pieces)])
    low, high = vertices.min(0), vertices.max(0)
    uv = ((vertices - low) / (high - low))[:, :2]
    marks = [int(np.argmin(np.square(vertices[: first[1]] - p).sum(1))) for p in _LANDMARKS.values()]
    arrays = {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "uv": uv.astype(np.float16),
        "faces_uv": faces.astype(np.int32),
        "face_material": part[faces[:, 0]],
        "material_names": np.array(PARTS),
        "vertex_part": part,
        "part_names": np.array(PARTS),
        "shape_names": np.array(ARKIT_NAMES),
        "shape_deltas": _shapes(vertices, part).astype(np.float16),
        "identity_deltas": np.zeros((IDENTITIES, len(vertices), 3), np.float16),
        "head_weight": np.clip((vertices[:, 1] + 0.07) / 0.05, 0, 1).astype(np.float32),
        "eye_center": EYE_CENTER.astype(np.float32),
        "eye_radius": np.float32(EYE_RADIUS),
        "brow_mask": np.zeros(len(vertices), np.float32),
        "landmark_names": np.array(list(_LANDMARKS)),
        "landmark_indices": np.array(marks, np.int32),
        "jaw_hinge": np.array([[0.05, 0, 0.01], [-0.05, 0, 0.01]], np.float32),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _globe(centre: Floats, radii: Floats, rings: int) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices and quads, counter-clockwise from outside; the poles' quads have no area on one side."""
    down = np.linspace(0, np.pi, rings + 1)[:, None]
    round_ = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)[None]
    grid = np.stack([np.sin(down) * np.sin(round_), np.cos(down) + 0 * round_,
                     np.sin(down) * np.cos(round_)], -1)  # fmt: skip
    column = np.arange(2 * rings)
    row = np.arange(rings)[:, None] * 2 * rings
    after = (column + 1) % (2 * rings)
    quads = np.stack([row + column, row + 2 * rings + column, row + 2 * rings + after, row + after], -1)
    return centre + radii * grid.reshape(-1, 3), quads.reshape(-1, 4)


def _shapes(vertices: Floats, part: NDArray[np.uint8]) -> Floats:
    """(52, V, 3): each shape bulges a spot of its own on the face; ``jawOpen`` moves the mouth too."""
    rng = np.random.default_rng(0)
    deltas = np.zeros((len(ARKIT_NAMES), len(vertices), 3))
    for index, name in enumerate(ARKIT_NAMES):
        spot = np.array([rng.uniform(-0.05, 0.05), rng.uniform(-0.03, 0.1), 0.09])
        near = np.exp(-np.square(vertices - spot).sum(1) / 0.02**2) * (part == 0)
        deltas[index] = near[:, None] * rng.normal(size=3) * 0.006
        if name == "jawOpen":
            deltas[index, :, 1] -= (part == 1) * np.clip(-vertices[:, 1], 0, None) * 2
    return deltas
