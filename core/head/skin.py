# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the skin template to the ICT surface: slide it in the chart until its quads are even.

- No ``bpy`` module use. Used by the build script only (needs scipy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix

from .surface import (
    EYE_SOCKET_LEFT,
    MOUTH_SOCKET,
    Chart,
    Floats,
    Ict,
    Ints,
    edges_of,
    rings_around,
    solve_fixed,
)
from .template import Key, Socket, Template, build_template

HALF, ROWS, CROWN = 26, 34, 14
MOUTH = Socket((-5, 5), (11, 17), rings=15, cap=True)
EYE = Socket((2, 10), (23, 27), rings=10, cap=False)
EAR = Socket((14, 20), (19, 27), rings=6, cap=True)

MOUTH_GUIDES = {5: 15, 6: 13, 7: 11, 8: 9, 9: 7, 10: 5, 11: 2, 12: 0}
"""Template ring of the mouth -> ring of ICT that it lies on (7: where the lips meet)."""
EYE_GUIDES = {4: 9, 5: 7, 6: 5, 7: 4, 8: 3, 9: 1, 10: 0}
"""Template ring of an eye -> ring of ICT (4: the edge of the lid)."""
LIP_RING, LID_RING = 9, 7

PINS: dict[Key, tuple[float, float, float]] = {
    ("crown", 7, 6): (0.0, 0.145, -0.015),
    ("grid", 14, 19): (0.070, -0.0225, 0.0233),
    ("grid", 14, 27): (0.070, 0.0430, 0.0125),
    ("grid", 20, 27): (0.070, 0.0400, -0.0227),
    ("grid", 20, 19): (0.070, -0.0180, -0.0073),
    ("ear_left_cap", 3, 4): (0.065, 0.0050, 0.0080),
}
"""Template vertex -> place in space (metres) whose nearest point of the surface it keeps."""


def mirrored(socket: Socket) -> Socket:
    """The same rectangle on the other side."""
    a, b = socket.columns
    return Socket((-b, -a), socket.rows, socket.rings, socket.cap)


SOCKETS = {
    "mouth": MOUTH,
    "eye_left": EYE,
    "eye_right": mirrored(EYE),
    "ear_left": EAR,
    "ear_right": mirrored(EAR),
}


@dataclass(frozen=True)
class Skin:
    """The fitted skin.

    Attributes:
        template: its topology.
        mirror: (V,) vertex on the other side.
        flat: (V, 2) place in the chart.
        triangle, bary: where each vertex lies on ICT's skin.

    """

    template: Template
    mirror: Ints
    flat: Floats
    triangle: Ints
    bary: Floats

    def ring(self, name: str, ring: int) -> Ints:
        """Vertices of a ring of a socket, counter-clockwise from the lower -X corner."""
        return np.array(self.template.ring(name, SOCKETS[name], ring))


def mirror_of(made: Template) -> Ints:
    """(V,) index of each template vertex's mirror image, from the keys alone."""

    def flip(key: Key) -> Key:
        name = str(key[0])
        if name == "grid":
            i, j = int(key[1]), int(key[2])
            return ("grid", -i if i > -made.half else i, j)
        other = name.replace("left", "#").replace("right", "left").replace("#", "right")
        if name == "crown":
            return (name, CROWN - int(key[1]), key[2])
        socket = SOCKETS[name.removesuffix("_cap")]
        if name.endswith("_cap"):
            return (other, socket.columns[1] - socket.columns[0] - int(key[1]), key[2])
        width = socket.columns[1] - socket.columns[0]
        return (other, key[1], (width - int(key[2])) % socket.size)

    return np.array([made.index[flip(k)] for k in made.index])


def _along(points: Floats, marks: Floats) -> Floats:
    """Arc length 0..1 along a polyline, sampled at ``marks``, as fractional indices."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.interp(marks * length[-1], length, np.arange(len(points)))


def _guide(ict: Ict, chart: Chart, ring: Ints, socket: Socket) -> Floats:
    """Place a template ring (size, 2) on one of ICT's rings, corner on corner."""
    centre = chart.flat[ring].mean(0)
    way = chart.flat[ring] - centre
    loop = ring[np.argsort(np.arctan2(way[:, 1], way[:, 0]))]
    loop = np.roll(loop, -int(np.argmin(ict.neutral[loop, 0])))
    far = int(np.argmax(ict.neutral[loop, 0]))
    half = socket.size // 2
    parts = []
    for arc in (loop[: far + 1], np.concatenate([loop[far:], loop[:1]])):
        at = _along(ict.neutral[arc], np.arange(half) / half)
        low = np.floor(at).astype(int)
        part = (at - low)[:, None]
        parts.append(chart.flat[arc[low]] * (1 - part) + chart.flat[arc[low + 1]] * part)
    placed = np.concatenate(parts)
    return np.roll(placed, -((socket.rows[1] - socket.rows[0]) // 2), axis=0)


def _fixed(ict: Ict, chart: Chart, made: Template, mirror: Ints) -> tuple[Ints, Floats]:
    place: dict[int, Floats] = {}
    for k in range(2 * HALF):
        angle = np.pi * k / HALF
        place[made.grid(k, 0)] = np.array([np.sin(angle), -np.cos(angle)])
    for key, spot in PINS.items():
        nearest = int(np.argmin(np.linalg.norm(ict.neutral[:MOUTH_SOCKET[0]] - spot, axis=1)))
        vertex = made.index[key]
        place[vertex] = chart.flat[nearest]
        place[int(mirror[vertex])] = chart.flat[nearest] * [-1, 1]
    mouth = rings_around(chart.faces, MOUTH_SOCKET, 20)
    for ring, guide in MOUTH_GUIDES.items():
        spots = _guide(ict, chart, mouth[guide], MOUTH)
        place.update(zip(made.ring("mouth", MOUTH, ring), spots, strict=True))
    eye = rings_around(chart.faces, EYE_SOCKET_LEFT, 12)
    for ring, guide in EYE_GUIDES.items():
        spots = _guide(ict, chart, eye[guide], EYE)
        mine = made.ring("eye_left", EYE, ring)
        place.update(zip(mine, spots, strict=True))
        place.update({int(mirror[v]): s * [-1, 1] for v, s in zip(mine, spots, strict=True)})
    return np.array(list(place)), np.array(list(place.values()))


def fit_skin(ict: Ict, chart: Chart, rounds: int = 60) -> Skin:
    """Slide the template over the neutral surface until every vertex sits amid its neighbours.

    Each round solves a Tutte system in the chart with weights (length in space / length in the
    chart), so that at rest the tangential Laplacian in space vanishes.
    """
    made = build_template(HALF, ROWS, SOCKETS, CROWN)
    mirror = mirror_of(made)
    quads = np.array(made.quads)
    pair = np.unique(np.sort(edges_of(quads), axis=1), axis=0)
    fixed, spots = _fixed(ict, chart, made, mirror)
    size = len(made.index)
    weight = np.ones(len(pair))
    flat = np.zeros((size, 2))
    for step in range(rounds):
        both = np.concatenate([pair, pair[:, ::-1]])
        matrix = coo_matrix((np.tile(weight, 2), (both[:, 0], both[:, 1])), (size, size)).tocsr()
        new = solve_fixed(matrix, fixed, spots)
        flat = new if step == 0 else flat + 0.5 * (new - flat)
        flat = (flat + flat[mirror] * [-1, 1]) / 2
        flat[fixed] = spots
        tri, bary = chart.locate(flat)
        space = chart.carry(ict.neutral, tri, bary)
        long = np.linalg.norm(space[pair[:, 0]] - space[pair[:, 1]], axis=1) + 1e-5
        wide = np.linalg.norm(flat[pair[:, 0]] - flat[pair[:, 1]], axis=1) + 1e-9
        weight = long / wide
    tri, bary = chart.locate(flat)
    return Skin(made, mirror, flat, tri, bary)
