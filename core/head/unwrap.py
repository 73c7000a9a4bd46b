# SPDX-License-Identifier: GPL-3.0-or-later
"""UVs of the skin: one chart without overlap, cut open down the back of the head.

- No ``bpy`` module use. Used by the build script only (needs scipy).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix

from .skin import HALF, ROWS, Skin
from .surface import Floats, Ints, edges_of, solve_fixed

APEX = 0.80
"""Height in the chart where the sides of the seam begin to lean towards the crown."""


def unwrap(skin: Skin, space: Floats, rounds: int = 60) -> tuple[Floats, Ints]:
    """Tutte embedding of the cut skin in a house-shaped chart, evened out by lengths in space.

    Returns:
        uv (U, 2), the first V rows those of the vertices; faces_uv (F, 4).

    """
    made = skin.template
    quads = np.array(made.quads)
    count = len(made.index)
    seam = [made.grid(-HALF, j) for j in range(ROWS)]
    twin = {v: count + n for n, v in enumerate(seam[:-1])}
    last = {v for k, v in made.index.items() if k[0] == "grid" and k[1] == HALF - 1}
    faces = quads.copy()
    for f, quad in enumerate(quads):
        if last & set(quad.tolist()):
            faces[f] = [twin.get(int(v), int(v)) for v in quad]
    total = count + len(twin)
    where = np.concatenate([space, space[seam[:-1]]])
    pair = edges_of(faces)
    for eye in ("eye_left", "eye_right"):
        ring = skin.ring(eye, 10)
        pair = np.concatenate([pair, np.stack([ring, np.full(len(ring), total)], axis=1)])
        where = np.concatenate([where, where[ring].mean(0, keepdims=True)])
        total += 1
    pair = np.unique(np.sort(pair, axis=1), axis=0)
    fixed, spots = _border(skin, space, seam, twin)
    both = np.concatenate([pair, pair[:, ::-1]])
    long = np.linalg.norm(where[pair[:, 0]] - where[pair[:, 1]], axis=1) + 1e-4
    weight = np.ones(len(pair))
    uv = np.zeros((total, 2))
    for step in range(rounds):
        matrix = coo_matrix((np.tile(weight, 2), (both[:, 0], both[:, 1])), (total, total)).tocsr()
        new = solve_fixed(matrix, fixed, spots)
        uv = new if step == 0 else uv + 0.5 * (new - uv)
        wide = np.linalg.norm(uv[pair[:, 0]] - uv[pair[:, 1]], axis=1) + 1e-4
        # Short in the chart against space: loosen the edge, so that it grows. Bounded, to stay even.
        stretch = np.clip(long / wide / np.median(long / wide), 0.05, 20.0)
        weight = weight * (stretch**-0.4)
        weight = np.clip(weight / np.median(weight), 0.02, 50.0)
    return uv[: count + len(twin)], faces


def _border(
    skin: Skin, space: Floats, seam: list[int], twin: dict[int, int]
) -> tuple[Ints, Floats]:
    made = skin.template
    place: dict[int, tuple[float, float]] = {}
    for i in range(-HALF, HALF + 1):
        vertex = made.grid(i, 0)
        place[twin[vertex] if i == HALF else vertex] = (0.5 + i / (2 * HALF), 0.0)
    step = np.linalg.norm(np.diff(space[seam], axis=0), axis=1)
    rise = np.concatenate([[0.0], np.cumsum(step)]) / step.sum()
    for vertex, height in zip(seam, rise, strict=True):
        lean = max(0.0, height - APEX) / (1 - APEX) * 0.5
        place[vertex] = (lean, float(height))
        if vertex in twin:
            place[twin[vertex]] = (1 - lean, float(height))
    return np.array(list(place)), np.array(list(place.values()))
