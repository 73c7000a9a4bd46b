# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyelashes, blades that stand on the lids and turn with them, and eyebrows, strips on the skin.

- No ``bpy`` module use. Used by the build script only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rays import cast
from .shapes import sides
from .skin import LID_RING, Skin
from .surface import Floats, Ints, triangulate

WIDTH = 0.0005


@dataclass(frozen=True)
class Hairs:
    """A row of blades or a strip.

    Attributes:
        rest: (V, 3); deltas: (52, V, 3); identity: (20, V, 3) metres.
        quads: (F, 4); uv: (V, 2), u from the nose outwards, v from root to tip (brow: upwards).

    """

    rest: Floats
    deltas: Floats
    identity: Floats
    quads: Ints
    uv: Floats


def _between(values: Floats, at: Floats) -> Floats:
    """Values (..., N, 3) at fractional indices (P,) -> (..., P, 3)."""
    low = np.minimum(np.floor(at).astype(int), values.shape[-2] - 2)
    part = (at - low)[:, None]
    return np.asarray(values[..., low, :] * (1 - part) + values[..., low + 1, :] * part)


def _carry_round(centre: Floats, root: Floats, moved: Floats, reach: Floats) -> Floats:
    """Turn ``reach`` (P, 3) as the eye's centre sees the root move, by the shortest rotation."""
    a, b = root - centre, moved - centre
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    axis = np.cross(a, b)
    cosine = (a * b).sum(-1, keepdims=True)
    along = (axis * reach).sum(-1, keepdims=True)
    return np.asarray(reach * cosine + np.cross(axis, reach) + axis * along / (1 + cosine))


def build_lashes(
    skin: Skin,
    eye: str,
    upper: bool,
    rest: Floats,
    deltas: Floats,
    identity: Floats,
    centre: Floats,
) -> Hairs:
    """Blades along one lid of one eye, of the settled skin (S vertices).

    Args:
        skin: the template; ``eye`` its socket's name; ``upper`` which lid.
        rest: (S, 3); deltas: (52, S, 3); identity: (20, S, 3) of the skin.
        centre: (3,) of the eyeball.

    """
    edge = sides(skin, eye, LID_RING)[1 if upper else 0]
    if eye == "eye_right":
        edge = edge[::-1]  # from the inner to the outer corner on both sides
    count = 26 if upper else 20
    at = np.linspace(1.2 if upper else 2.5, len(edge) - (1.15 if upper else 1.6), count)
    part = np.linspace(0, 1, count)
    root, step = _between(rest[edge], at), _between(deltas[:, edge], at)
    out = root - centre
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    outer = 1.0 if eye == "eye_left" else -1.0
    rise = np.array([0.0, 1.0 if upper else -1.0, 0.0])
    aside = np.array([outer, 0.0, 0.0])
    fan = (part - 0.35)[:, None] * 0.9 * aside
    way = out * (0.9 if upper else 0.8) + rise * (0.55 if upper else 0.45) + fan
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    # Long towards the outer third, short at both ends; neighbours differ a little, as hairs do.
    long = (0.0055 + 0.0025 * part) if upper else (0.003 + 0.0012 * part)
    long = long * (0.55 + 0.45 * np.sin(np.pi * np.clip(part * 0.9 + 0.08, 0, 1)))
    long = long * (1 - 0.22 * (np.arange(count) % 3 == 1))
    reach = way * long[:, None]
    across = np.gradient(root, axis=0)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    feet = [root - across * WIDTH, root + across * WIDTH]
    tips = [root + reach + across * WIDTH * 0.15, root + reach - across * WIDTH * 0.15]
    turned = _carry_round(centre, root, root + step, reach[None]) - reach
    moves = [step, step, step + turned, step + turned]
    kin = np.tile(_between(identity[:, edge], at), (1, 4, 1))
    k = np.arange(count)
    quads = np.stack([k, k + count, k + 2 * count, k + 3 * count], axis=1)
    if (eye == "eye_left") != upper:
        quads = quads[:, ::-1]
    uv = np.concatenate([np.stack([part, np.full(count, v)], 1) for v in (0, 0, 1, 1)])
    return Hairs(np.concatenate(feet + tips), np.concatenate(moves, axis=1), kin, quads, uv)


BROW_COLUMNS, BROW_ROWS = 14, 4
BROW_LIFT = 0.0009


def brow_line(landmarks: Floats, columns: int) -> Floats:
    """(columns, 3) even points along five brow landmarks, from the nose outwards, smoothed."""
    fine = np.stack(
        [np.interp(np.linspace(0, 4, 81), np.arange(5), landmarks[:, d]) for d in range(3)], axis=1
    )
    for _ in range(60):
        fine[1:-1] = (fine[:-2] + 2 * fine[1:-1] + fine[2:]) / 4
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    marks = np.linspace(0, length[-1], columns)
    return np.stack([np.interp(marks, length, fine[:, d]) for d in range(3)], axis=1)


def build_brow(
    skin: Skin, landmarks: Floats, rest: Floats, deltas: Floats, identity: Floats
) -> Hairs:
    """A tapered strip along one brow that lies on the settled skin and moves with it.

    Args:
        skin: the template.
        landmarks: (5, 3) along the brow, from the nose outwards.
        rest: (S, 3); deltas: (52, S, 3); identity: (20, S, 3) of the skin.

    """
    line = brow_line(landmarks, BROW_COLUMNS)
    part = np.linspace(0, 1, BROW_COLUMNS)
    width = np.interp(part, [0, 0.12, 0.45, 0.75, 1], [0.0060, 0.0085, 0.0080, 0.0055, 0.0012])
    side = np.sign(line[-1, 0])
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    out = np.stack([0.75 * side * part + 0.1 * side, 0 * part + 0.1, 1 - 0.3 * part], axis=1)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    up = np.cross(out, along) * side
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    across = np.linspace(-0.5, 0.5, BROW_ROWS)
    # Inner ends stand a little forward at the bottom, as hairs lean outwards.
    spots = line[None] + across[:, None, None] * width[:, None] * up
    spots = spots.reshape(-1, 3)
    ways = np.tile(-out, (BROW_ROWS, 1))
    tris = triangulate(np.array(skin.template.quads))
    distance, tri, bary = cast(rest, tris, spots - 0.03 * ways, ways)
    if not np.isfinite(distance).all():
        raise ValueError("the brow misses the skin")

    def carry(field: Floats) -> Floats:
        return np.asarray(np.einsum("...pkd,pk->...pd", field[..., tris[tri], :], bary))

    count = BROW_COLUMNS
    k = np.arange(count - 1)
    rows = [
        np.stack([k, k + 1, k + 1 + count, k + count], 1) + r * count for r in range(BROW_ROWS - 1)
    ]
    quads = np.concatenate(rows)
    uv = np.stack([np.tile(part, BROW_ROWS), np.repeat(across + 0.5, count)], axis=1)
    lifted = carry(rest) - BROW_LIFT * ways
    return Hairs(lifted, carry(deltas), carry(identity), quads if side > 0 else quads[:, ::-1], uv)
