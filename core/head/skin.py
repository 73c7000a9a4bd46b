# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the skin template to the ICT surface: slide it in the chart until its quads are even.

- No ``bpy`` module use. Used by the build script only (needs scipy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from .rays import cast
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

HALF, ROWS, CROWN = 27, 36, 14
MOUTH = Socket((-5, 5), (11, 17), rings=17, cap=True)
EYE = Socket((3, 11), (22, 26), rings=10, cap=False)
EAR = Socket((15, 21), (14, 24), rings=6, cap=True)
NOSTRIL = Socket((1, 3), (18, 20), rings=2, cap=True)

MOUTH_GUIDES = {5: 15, 6: 13, 7: 11, 8: 9, 9: 7, 10: 5, 11: 2, 12: 0,
                13: -4, 14: -8, 15: -12, 16: -16, 17: -20}  # fmt: skip
"""Template ring of the mouth -> ring of ICT that it lies on, counted from its socket's border
outwards (7: where the lips meet) and, negative, into the socket."""
EYE_GUIDES = {3: 9, 5: 7, 6: 5, 7: 4, 8: 3, 9: 1, 10: 0}
"""Template ring of an eye -> ring of ICT (7: the edge of the lid)."""
FRONT_DENSITY = 0.5
"""Logarithm of the springs' stiffness at the front of the face against the back of the head."""
SMOOTH_EYE = 5
"""The outermost ring of ICT round an eye that is smooth."""
LIP_RING, LID_RING = 9, 7

CROWN_PIN = (0.0, 0.145, -0.015)
"""Where the middle of the crown's patch stays, metres in ICT's space: left free, it would slide to the
forehead."""
CROWN_ROWS = 4
"""Rows below the crown's patch that are laid anew with it, once the rest is in place: round one pinned
vertex the springs fold."""

EAR_OUTLINE = np.array(
    [(0.0200, -0.0164), (0.0170, -0.0192), (0.0105, -0.0185), (0.0035, -0.0150), (-0.0025, -0.0095),
     (-0.0082, -0.0032), (-0.0130, 0.0045), (-0.0155, 0.0120), (-0.0158, 0.0180), (-0.0145, 0.0245),
     (-0.0110, 0.0300), (-0.0060, 0.0338), (0.0000, 0.0355), (0.0050, 0.0352), (0.0088, 0.0330),
     (0.0092, 0.0270), (0.0096, 0.0190), (0.0110, 0.0120), (0.0130, 0.0060), (0.0155, 0.0000),
     (0.0180, -0.0060), (0.0197, -0.0115)]
)  # fmt: skip
"""(z, y) of ICT's left ear as seen from its side, from the lobe's front round the back."""
EAR_MIDDLE = np.array([0.0035, 0.0085])
EAR_GUIDES = {0: 1.0, 3: 0.91, 5: 0.68}
"""Template ring of an ear -> size against the outline (ring 0: besides 5 mm outside)."""

NOSTRIL_MIDDLE = np.array([0.0088, -0.0056])
NOSTRIL_GUIDES = {1: (0.0050, 0.0030), 2: (0.0026, 0.0014)}
"""Template ring of a nostril -> half width and height of an ellipse seen from the front."""


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
    "nostril_left": NOSTRIL,
    "nostril_right": mirrored(NOSTRIL),
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


def _seen(ict: Ict, chart: Chart, start: Floats, way: tuple[float, float, float]) -> Floats:
    """Chart places (P, 2) of the first skin that parallel rays from ``start`` (P, 3) meet."""
    rays = np.repeat(np.array([way]), len(start), axis=0)
    distance, triangle, bary = cast(ict.neutral, chart.triangles, start, rays)
    if not np.isfinite(distance).all():
        raise ValueError("a guide of the template misses the surface")
    return np.asarray(np.einsum("pkd,pk->pd", chart.flat[chart.triangles[triangle]], bary))


def _fixed(ict: Ict, chart: Chart, made: Template, mirror: Ints) -> tuple[Ints, Floats]:
    place: dict[int, Floats] = {}
    for k in range(2 * HALF):
        angle = np.pi * k / HALF
        place[made.grid(k, 0)] = np.array([np.sin(angle), -np.cos(angle)])
    crown = np.linalg.norm(ict.neutral[: MOUTH_SOCKET[0]] - CROWN_PIN, axis=1)
    place[made.index[("crown", CROWN // 2, (HALF - CROWN) // 2)]] = chart.flat[crown.argmin()]

    def both_sides(ring: list[int], spots: Floats) -> None:
        place.update(zip(ring, spots, strict=True))
        place.update({int(mirror[v]): s * [-1, 1] for v, s in zip(ring, spots, strict=True)})

    for ring, (wide, high) in NOSTRIL_GUIDES.items():
        turn = 2 * np.pi * (np.arange(8) - 3) / 8
        at = NOSTRIL_MIDDLE + np.stack([wide * np.cos(turn), high * np.sin(turn)], axis=1)
        spots = _seen(ict, chart, np.concatenate([at, np.full((8, 1), 0.2)], 1), (0.0, 0.0, -1.0))
        both_sides(made.ring("nostril_left", NOSTRIL, ring), spots)
    for ring, scale in EAR_GUIDES.items():
        line = EAR_MIDDLE + (EAR_OUTLINE - EAR_MIDDLE) * scale
        if scale == 1.0:
            away = EAR_OUTLINE - EAR_MIDDLE
            line = line + 0.005 * away / np.linalg.norm(away, axis=1, keepdims=True)
        line = np.concatenate([line, line[:1]])
        at = _along(line, np.arange(EAR.size) / EAR.size)
        low = np.floor(at).astype(int)
        spot = line[low] + (line[low + 1] - line[low]) * (at - low)[:, None]
        start = np.stack([np.full(len(spot), 0.2), spot[:, 1], spot[:, 0]], axis=1)
        both_sides(made.ring("ear_left", EAR, ring), _seen(ict, chart, start, (-1.0, 0.0, 0.0)))
    mouth = rings_around(chart.faces, MOUTH_SOCKET, 20)
    throat = rings_around(chart.faces, MOUTH_SOCKET, 24, inwards=True)
    for ring, guide in MOUTH_GUIDES.items():
        spots = _guide(ict, chart, mouth[guide] if guide >= 0 else throat[-guide], MOUTH)
        place.update(zip(made.ring("mouth", MOUTH, ring), spots, strict=True))
    eye = rings_around(chart.faces, EYE_SOCKET_LEFT, 12)
    lid = _guide(ict, chart, eye[SMOOTH_EYE], EYE)
    for ring, guide in EYE_GUIDES.items():
        spots = _guide(ict, chart, eye[guide], EYE)
        if guide > SMOOTH_EYE:  # ICT's rings are ragged out here: take the size, not the shape
            centre = lid.mean(0)
            sizes = [np.linalg.norm(s - s.mean(0), axis=1).mean() for s in (spots, lid)]
            spots = centre + (lid - centre) * sizes[0] / sizes[1]
        both_sides(made.ring("eye_left", EYE, ring), spots)
    return np.array(list(place)), np.array(list(place.values()))


def _springs(pair: Ints, weight: Floats, size: int) -> csr_matrix:
    """(size, size) symmetric matrix of the edges' weights."""
    both = np.concatenate([pair, pair[:, ::-1]])
    return coo_matrix((np.tile(weight, 2), (both[:, 0], both[:, 1])), (size, size)).tocsr()


def fit_skin(ict: Ict, chart: Chart, rounds: int = 100) -> Skin:
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
        new = solve_fixed(_springs(pair, weight, size), fixed, spots)
        flat = new if step == 0 else flat + 0.5 * (new - flat)
        flat = (flat + flat[mirror] * [-1, 1]) / 2
        flat[fixed] = spots
        tri, bary = chart.locate(flat)
        space = chart.carry(ict.neutral, tri, bary)
        long = np.linalg.norm(space[pair[:, 0]] - space[pair[:, 1]], axis=1) + 1e-5
        wide = np.linalg.norm(flat[pair[:, 0]] - flat[pair[:, 1]], axis=1) + 1e-9
        # Vertices crowd where shading and expression need them: the front of the face.
        front = np.clip((space[pair].mean(1)[:, 2] + 0.03) / 0.12, 0, 1)
        weight = long / wide * np.exp(FRONT_DENSITY * front)
    crown = [v for k, v in made.index.items()
             if k[0] == "crown" or (k[0] == "grid" and int(k[2]) >= ROWS - CROWN_ROWS)]  # fmt: skip
    rest = np.setdiff1d(np.arange(size), crown)
    flat = solve_fixed(_springs(pair, np.ones(len(pair)), size), rest, flat[rest])
    tri, bary = chart.locate(flat)
    return Skin(made, mirror, flat, tri, bary)
