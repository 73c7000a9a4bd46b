# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of the path-traced character `ada`: the built-in one, made a person's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .head_masks import HeadData
from .head_object import BUILT_IN, load_head

IDENTITY = (1.2, 0.2, -0.8, -0.5, -0.9, 0.3, -0.4, 0.5, 0.4, -0.5, 0.3, -0.3)
"""Standard deviations along the head's identity shapes, chosen by eye."""


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


def without(data: HeadData, part: str) -> HeadData:
    """The head less the faces of one part (its vertices stay, so that shapes fit)."""
    names = [str(n) for n in data["part_names"]]
    if part not in names:
        return data
    kept = data["vertex_part"][data["faces"][:, 0]] != names.index(part)
    return data | {n: data[n][kept] for n in ("faces", "faces_uv", "face_material")}
