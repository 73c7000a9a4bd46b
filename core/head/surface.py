# SPDX-License-Identifier: GPL-3.0-or-later
"""The ICT-FaceKit Light surfaces as a flat chart on which a template can slide.

- No ``bpy`` module use. Used by the build script only (needs scipy).

The face, head, neck, mouth socket and eye sockets of ICT are one topological disc whose rim is the
edge of the bust. Tutte's embedding (Tutte 1963, How to draw a graph) lays that disc flat without a
fold, so that a point of the chart belongs to exactly one place of the surface. Upper and lower lip
touch in space and are far apart in the chart: nothing that is carried over can jump between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLIP = np.array([-1.0, 1.0, 1.0])
"""Factors that mirror left and right."""
SKIN_END = 14062
"""ICT vertices below this: face, head, neck, mouth socket, eye sockets."""
MOUTH_SOCKET = (11248, 13294)
EYE_SOCKET_LEFT = (13294, 13678)


@dataclass(frozen=True)
class Ict:
    """ICT-FaceKit Light, made exactly symmetric, in metres (Y up, +Z forward, +X to the left).

    Attributes:
        neutral: (N, 3).
        faces: (F, 4), -1 in the last column of a triangle.
        expressions: name -> (N, 3) offset.
        identities: (20, N, 3) offset per standard deviation.
        mirror: (N,) index of the vertex on the other side.

    """

    neutral: Floats
    faces: Ints
    expressions: dict[str, Floats]
    identities: Floats
    mirror: Ints


def _other_side(name: str) -> str:
    swap = {"_L": "_R", "_R": "_L"}
    if name[-2:] in swap:
        return name[:-2] + swap[name[-2:]]
    return {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight",
            "mouthRight": "mouthLeft"}.get(name, name)  # fmt: skip


def load_ict(folder: Path, identities: int = 20) -> Ict:
    """Read ``ict_facekit_light.npz`` from ``folder`` and average it with its mirror image."""
    with np.load(folder / "ict_facekit_light.npz", allow_pickle=False) as data:
        neutral = data["neutral"].astype(np.float64) * 0.01
        faces = data["faces"].astype(np.int64)
        names = [str(n) for n in data["expression_names"]]
        raw = data["expressions"].astype(np.float64) * 0.01
        ident = data["identities"][:identities].astype(np.float64) * 0.01
    mirror = _mirror_map(neutral, faces)
    mean = (neutral + neutral[mirror] * FLIP) / 2
    index = {n: i for i, n in enumerate(names)}
    expressions = {
        n: (raw[i] + raw[index[_other_side(n)]][mirror] * FLIP) / 2 for n, i in index.items()
    }
    return Ict(mean, faces, expressions, ident, mirror)


def _mirror_map(points: Floats, faces: Ints) -> Ints:
    """(N,) pair every vertex with its mirror image.

    By place in space; for the skin by place in the chart, where the lips do not touch.
    """
    mirror = cKDTree(points).query(points * FLIP)[1]
    flat = embed(points, faces[faces.max(axis=1) < SKIN_END])[0]
    mirror[:SKIN_END] = cKDTree(flat).query(flat * [-1.0, 1.0])[1]
    return np.asarray(mirror, dtype=np.int64)


def triangulate(faces: Ints) -> Ints:
    """(F, 4) with -1 for triangles -> (T, 3)."""
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])


def edges_of(faces: Ints) -> Ints:
    """Directed edges (E, 2) of quads and triangles (-1 in the last column)."""
    last = np.where(faces[:, 3] < 0, faces[:, 0], faces[:, 3])
    quad = faces[:, 3] >= 0
    third, fourth = np.stack([faces[:, 2], last], 1), faces[quad][:, [3, 0]]
    return np.concatenate([faces[:, :2], faces[:, 1:3], third, fourth])


def boundary_loop(faces: Ints) -> Ints:
    """The one boundary loop of a disc, in the order of its faces."""
    edges = edges_of(faces)
    directed = {(int(a), int(b)) for a, b in edges}
    step = {a: b for a, b in directed if (b, a) not in directed}
    first = min(step)
    loop, here = [first], step[first]
    while here != first:
        loop.append(here)
        here = step[here]
    return np.array(loop)


def solve_fixed(weights: csr_matrix, fixed: Ints, values: Floats) -> Floats:
    """Place every vertex at the weighted mean of its neighbours, with ``fixed`` ones given."""
    count = weights.shape[0]
    laplace = (diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()
    free = np.setdiff1d(np.arange(count), fixed)
    out = np.zeros((count, values.shape[1]))
    out[fixed] = values
    rhs = -laplace[free][:, fixed] @ values
    out[free] = splu(laplace[free][:, free].tocsc()).solve(rhs)
    return out


def embed(points: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Tutte's embedding of the skin disc: (SKIN_END, 2) in the unit disc, and the rim's vertices.

    The rim starts at the middle of the chest, at (0, -1), and runs to the character's left.
    """
    rim = boundary_loop(faces)
    front = int(np.argmax(np.where(np.abs(points[rim, 0]) < 1e-5, points[rim, 2], -9)))
    rim = np.roll(rim, -front)
    step = np.linalg.norm(np.roll(points[rim], -1, 0) - points[rim], axis=1)
    step = (step + step[::-1]) / 2
    angle = 2 * np.pi * np.concatenate([[0.0], np.cumsum(step)[:-1]]) / step.sum()
    pair = edges_of(faces)
    pair = np.concatenate([pair, pair[:, ::-1]])
    size = SKIN_END
    adjacency = coo_matrix((np.ones(len(pair)), (pair[:, 0], pair[:, 1])), (size, size)).tocsr()
    adjacency.data[:] = 1.0
    return solve_fixed(adjacency, rim, np.stack([np.sin(angle), -np.cos(angle)], axis=1)), rim


class Chart:
    """The flat chart of ICT's skin disc.

    Args:
        ict: the surfaces.

    Attributes:
        flat: (SKIN_END, 2) place of each ICT skin vertex in the unit disc.
        triangles: (T, 3) of the disc.

    """

    def __init__(self, ict: Ict) -> None:
        faces = ict.faces[ict.faces.max(axis=1) < SKIN_END]
        self.faces = faces
        self.triangles = triangulate(faces)
        self.flat = embed(ict.neutral, faces)[0]
        self._tree = cKDTree(self.flat)
        self._neighbours = self._triangle_neighbours()
        self._of_vertex = np.zeros(SKIN_END, dtype=np.int64)
        self._of_vertex[self.triangles.ravel()] = np.repeat(np.arange(len(self.triangles)), 3)

    def _triangle_neighbours(self) -> Ints:
        """(T, 3): the triangle across the edge opposite to each corner, -1 at the rim."""
        tri = self.triangles
        owner: dict[tuple[int, int], int] = {}
        for t, (a, b, c) in enumerate(tri):
            owner[(b, c)] = owner[(c, a)] = owner[(a, b)] = t
        edges = [((c, b), (a, c), (b, a)) for a, b, c in tri]
        return np.array([[owner.get(edge, -1) for edge in corner] for corner in edges])

    def locate(self, where: Floats) -> tuple[Ints, Floats]:
        """Triangle (P,) and barycentric weights (P, 3) of chart points (P, 2), by walking."""
        here = self._of_vertex[self._tree.query(where)[1]]
        bary = self._barycentric(here, where)
        for _ in range(400):
            worst = bary.argmin(1)
            across = self._neighbours[here, worst]
            move = (bary[np.arange(len(here)), worst] < -1e-9) & (across >= 0)
            if not move.any():
                break
            here = np.where(move, across, here)
            bary[move] = self._barycentric(here[move], where[move])
        bary = np.clip(bary, 0, None)
        return here, bary / bary.sum(1, keepdims=True)

    def _barycentric(self, tri: Ints, where: Floats) -> Floats:
        a, b, c = (self.flat[self.triangles[tri, k]] for k in range(3))
        u, v, w = b - a, c - a, where - a
        det = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        det = np.where(np.abs(det) < 1e-300, 1e-300, det)
        s = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / det
        t = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / det
        return np.stack([1 - s - t, s, t], axis=1)

    def carry(self, field: Floats, tri: Ints, bary: Floats) -> Floats:
        """Interpolate a field (..., N, 3) on the ICT vertices at located points -> (..., P, 3)."""
        corners = field[..., self.triangles[tri], :]
        return np.asarray(np.einsum("...pkd,pk->...pd", corners, bary))


def rings_around(
    faces: Ints, socket: tuple[int, int], count: int, inwards: bool = False
) -> list[Ints]:
    """ICT's own rings of vertices round a socket, from the socket's border outwards or inwards.

    Returns:
        ``count`` arrays of vertex indices, unordered; the first is the border in both cases.

    """
    near: dict[int, set[int]] = {}
    for a, b in edges_of(faces):
        near.setdefault(int(a), set()).add(int(b))
        near.setdefault(int(b), set()).add(int(a))
    inside = set(range(*socket))
    ring = {b for a in inside for b in near[a]} - inside
    done = set(near) - inside if inwards else inside | ring
    rings = []
    for _ in range(count):
        rings.append(np.array(sorted(ring)))
        ring = {b for a in ring for b in near[a]} - done
        done |= ring
    return rings
