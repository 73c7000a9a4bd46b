# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the head besides skin: teeth, gums, tongue, eyeballs, lashes.

- No ``bpy`` module use. Used by the build script only.

Every part has a topology of its own and hangs on ICT by rays: a vertex is the point where a ray from
the part's core meets the ICT surface, and follows that triangle in every shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .rays import cast
from .surface import Floats, Ict, Ints, triangulate
from .template import Template

GUMS = (14062, 17039)
TEETH = (17039, 21451)
EYEBALL_LEFT = (21451, 22221)
LASH_UPPER_LEFT = (25351, 25465)
LASH_LOWER_LEFT = (25693, 25807)


@dataclass
class Piece:
    """Vertices bound to ICT triangles.

    Attributes:
        name: part name.
        corners: (V, 3) ICT vertices; bary: (V, 3) weights; offset: (V, 3) metres added at rest.
        quads: (F, 4), -1 last for a triangle.
        uv: (V, 2).

    """

    name: str
    corners: Ints
    bary: Floats
    offset: Floats
    quads: Ints
    uv: Floats = field(repr=False)

    def place(self, points: Floats) -> Floats:
        """Rest positions (V, 3) for ICT positions (N, 3)."""
        return self.carry(points) + self.offset

    def carry(self, fields: Floats) -> Floats:
        """(..., N, 3) on ICT -> (..., V, 3) here."""
        return np.asarray(np.einsum("...pkd,pk->...pd", fields[..., self.corners, :], self.bary))


def part_triangles(ict: Ict, span: tuple[int, int]) -> Ints:
    """Triangles whose vertices all lie in an index range."""
    lo, hi = span
    used = (ict.faces.max(1) < hi) & (ict.faces[:, :3].min(1) >= lo)
    return triangulate(ict.faces[used])


def _bound(
    name: str, ict: Ict, tris: Ints, rays: tuple[Floats, Floats], quads: Ints, uv: Floats
) -> Piece:
    """Bind ray hits; a ray that misses takes the nearest vertex of the part."""
    dist, tri, bary = cast(ict.neutral, tris, *rays)
    corners = tris[tri]
    used = np.unique(tris)
    for r in np.nonzero(~np.isfinite(dist))[0]:
        off = ict.neutral[used] - rays[0][r]
        along = off @ rays[1][r]
        aside = np.linalg.norm(off - along[:, None] * rays[1][r], axis=1)
        corners[r] = used[int(np.argmin(aside - 0.5 * along))]
        bary[r] = (1, 0, 0)
    return Piece(name, corners, bary, np.zeros((len(corners), 3)), quads, uv)


def _sheet(rows: int, columns: int, closed: bool = False) -> Ints:
    """Quads of a rows x columns sheet of vertices; ``closed`` joins the last column to the first."""
    quads = []
    for r in range(rows - 1):
        for c in range(columns if closed else columns - 1):
            n = (c + 1) % columns
            quads.append(
                (r * columns + c, r * columns + n, (r + 1) * columns + n, (r + 1) * columns + c)
            )
    return np.array(quads)


def box_surface(cells: int) -> tuple[Floats, Ints]:
    """Cube of 6 * cells^2 quads: points (V, 3) on its surface, -1..1, and quads (F, 4), outward."""
    index: dict[tuple[int, int, int], int] = {}
    quads = []
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        for side in (0, cells):
            for a in range(cells):
                for b in range(cells):
                    corner = []
                    for da, db in ((0, 0), (1, 0), (1, 1), (0, 1)):
                        p = [0, 0, 0]
                        p[x], p[y], p[z] = a + da, b + db, side
                        corner.append(index.setdefault((p[0], p[1], p[2]), len(index)))
                    quads.append(corner if side else corner[::-1])
    # Axes in cyclic order: (a, b, side) is right-handed only after a turn of the pair.
    grid = np.array(list(index), dtype=np.float64) / cells * 2 - 1
    return grid, np.array(quads)


JAW_SPLIT = -0.0335
"""Height between the means of upper and of lower teeth in ICT's space, metres."""


def teeth_of(ict: Ict) -> list[Ints]:
    """Vertex indices of each of ICT's teeth, in its order (upper first, then lower)."""
    lo, hi = TEETH
    parent = np.arange(hi - lo)
    tris = part_triangles(ict, TEETH) - lo
    while True:
        low = parent[tris].min(1)
        new = parent.copy()
        np.minimum.at(new, tris.ravel(), np.repeat(low, 3))
        new = new[new]
        if (new == parent).all():
            break
        parent = new
    return [np.nonzero(parent == p)[0] + lo for p in np.unique(parent)]


BITE = {"upper": -0.0015, "lower": 0.0008}
"""Metres that teeth and gums are moved up, so that they show in an open mouth as they do in life."""
TOOTH_WIDENING = 0.12
"""Part by which a tooth is widened along the row, so that neighbours touch."""
CROWN_HEIGHT = 0.0125
"""Metres of a tooth that are modelled, from its biting edge; the rest hides in the gum."""


def build_teeth(ict: Ict) -> list[Piece]:
    """28 teeth (no wisdom teeth), each a box wrapped on the crown of ICT's tooth."""
    tris = part_triangles(ict, TEETH)
    pieces = []
    for tooth in teeth_of(ict):
        points = ict.neutral[tooth]
        depth = (points[:, 2].max() + points[:, 2].min()) / 2
        if depth < 0.060:  # the wisdom teeth are never seen
            continue
        upper = points[:, 1].mean() > JAW_SPLIT
        rise = 1.0 if upper else -1.0
        edge = (rise * points[:, 1]).min()
        crown = points[rise * points[:, 1] < edge + CROWN_HEIGHT]
        middle, frame = _tooth_frame(crown)
        local = (crown - middle) @ frame.T
        low, high = local.min(0), local.max(0)
        grid, quads = box_surface(3 if upper and depth > 0.090 else 2)
        away = (low + high) / 2 + grid * (high - low) / 2
        start = middle + ((low + high) / 2) @ frame
        way = (away - (low + high) / 2) @ frame
        far = np.linalg.norm(way, axis=1)
        way /= far[:, None]
        mine = tris[np.isin(tris[:, 0], tooth)]
        piece = _bound(
            "teeth_upper" if upper else "teeth_lower", ict, mine,
            (np.repeat(start[None], len(way), 0), way), quads, (grid[:, :2] + 1) / 2,
        )  # fmt: skip
        hit = piece.place(ict.neutral) - start
        hit = hit * np.minimum(1, far / np.linalg.norm(hit, axis=1))[:, None]
        hit += TOOTH_WIDENING * (hit @ frame[0])[:, None] * frame[0]
        hit[:, 1] += BITE["upper" if upper else "lower"]
        piece.offset = start + hit - piece.place(ict.neutral)
        pieces.append(piece)
    return pieces


def _tooth_frame(crown: Floats) -> tuple[Floats, Floats]:
    """Middle (3,) and right-handed rows (3, 3) of a crown: across, up, outwards (level arch)."""
    middle = (crown.max(0) + crown.min(0)) / 2
    out = middle - [0.0, middle[1], 0.075]
    out[1] = 0.0
    out /= np.linalg.norm(out)
    up = np.array([0.0, 1.0, 0.0])
    return middle, np.stack([np.cross(up, out), up, out])


def build_gums(ict: Ict, upper: bool, stations: int = 27) -> Piece:
    """A ribbon along the row of teeth, from the fold outside over the roots to the fold inside."""
    groups = [ict.neutral[g] for g in teeth_of(ict)]
    cores = np.array([g.mean(0) for g in groups if (g[:, 1].mean() > JAW_SPLIT) == upper])
    cores = cores[np.argsort(np.arctan2(cores[:, 0], cores[:, 2] - 0.05))]
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(cores, axis=0), axis=1))])
    marks = np.linspace(0, length[-1], stations)
    line = np.stack([np.interp(marks, length, cores[:, d]) for d in range(3)], axis=1)
    line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
    along = np.gradient(line, axis=0)
    along[:, 1] = 0
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    out = np.stack([-along[:, 2], np.zeros(stations), along[:, 0]], axis=1)
    out *= np.sign((out * (line - [0, 0, 0.05])).sum(1))[:, None]
    rise = np.array([0.0, 1.0 if upper else -1.0, 0.0])
    angle = np.radians([50, 25, 0, -25, 205, 180, 155, 130])
    way = np.cos(angle)[:, None, None] * out + np.sin(angle)[:, None, None] * rise
    quads = _sheet(len(angle), stations)
    if upper:
        quads = quads[:, ::-1]
    u, v = np.meshgrid(np.linspace(0, 1, stations), np.linspace(0, 1, len(angle)))
    rays = (np.tile(line, (len(angle), 1)), way.reshape(-1, 3))
    piece = _bound(
        "gums", ict, part_triangles(ict, GUMS), rays, quads, np.stack([u, v], -1).reshape(-1, 2)
    )
    piece.offset[:, 1] = BITE["upper" if upper else "lower"]
    return piece


TONGUE_CORE = np.array(
    [(-0.0425, 0.045), (-0.040, 0.052), (-0.039, 0.059), (-0.0385, 0.066), (-0.0385, 0.073),
     (-0.0385, 0.080), (-0.039, 0.086), (-0.0395, 0.0905), (-0.0400, 0.0935)]
)  # fmt: skip
"""(y, z) of the tongue's core line, from the root to the tip, metres in ICT's space."""


def build_tongue(ict: Ict, around: int = 14) -> Piece:
    """A tube along the tongue, closed at the tip by a patch."""
    core = np.concatenate([np.zeros((len(TONGUE_CORE), 1)), TONGUE_CORE], axis=1)
    turn = 2 * np.pi * (np.arange(around) + 0.5) / around - np.pi / 2
    lean = np.radians([0, 0, 0, 0, 0, 0, 8, 25, 50])
    origin, way = [], []
    for c, tilt in zip(core, lean, strict=True):
        side = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        origin.append(np.repeat(c[None], around, 0))
        way.append(side * np.cos(tilt) + np.array([0, 0, 1.0]) * np.sin(tilt))
    made = Template(0, 0)
    rings = [[made.vertex((r, k)) for k in range(around)] for r in range(len(core))]
    for low, high in pairwise(rings):
        for k in range(around):
            n = (k + 1) % around
            made.quads.append((low[k], low[n], high[n], high[k]))
    made.patch("tip", rings[-1], 5)
    extra = len(made.index) - len(core) * around
    keys = list(made.index)[-extra:]
    for _, a, b in keys:
        spot = np.array([(int(a) - 2.5) / 2.5 * 0.8, (int(b) - 1) * 0.25, 1.0])
        origin.append(core[-1][None])
        way.append((spot / np.linalg.norm(spot))[None])
    rays = (np.concatenate(origin), np.concatenate(way))
    uv = (rays[0] + rays[1] * 0.01)[:, [0, 2]]
    uv = (uv - uv.min(0)) / (uv.max(0) - uv.min(0))
    return _bound("tongue", ict, part_triangles(ict, GUMS), rays, np.array(made.quads), uv)


def fit_sphere(points: Floats) -> tuple[Floats, float]:
    """Least-squares sphere: centre (3,) and radius."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


EYE_POLAR = np.radians([6, 11, 17, 23, 29, 37, 47, 60, 76, 95, 118, 145])
"""Polar angles of an eyeball's rings from the forward pole; the iris ends at about 24 degrees."""


def eyeball(segments: int = 20) -> tuple[Floats, Ints, Floats]:
    """Unit sphere looking along +Z: (V, 3), faces (F, 4) outward, radial UV (V, 2).

    ``uv`` is 0.5 + 0.5 * polar / pi in the direction of the point, so a material finds the polar
    angle as 2 pi times the distance from the middle.
    """
    turn = 2 * np.pi * np.arange(segments) / segments
    rows = [(np.array([[0.0, 0.0, 1.0]]), np.array([[0.5, 0.5]]))]
    for polar in EYE_POLAR:
        flat = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        depth = np.full((segments, 1), np.cos(polar))
        ring = np.concatenate([flat * np.sin(polar), depth], axis=1)
        rows.append((ring, 0.5 + 0.5 * flat * polar / np.pi))
    rows.append((np.array([[0.0, 0.0, -1.0]]), np.array([[1.0, 0.5]])))
    points = np.concatenate([r[0] for r in rows])
    quads = _sheet(len(EYE_POLAR), segments, closed=True)[:, ::-1] + 1
    fan = np.arange(segments)
    after = (fan + 1) % segments
    last = 1 + (len(EYE_POLAR) - 1) * segments
    front = np.stack([0 * fan, 1 + fan, 1 + after, 0 * fan - 1], axis=1)
    back = np.stack([0 * fan + len(points) - 1, last + after, last + fan, 0 * fan - 1], axis=1)
    return points, np.concatenate([front, quads, back]), np.concatenate([r[1] for r in rows])


def rigid_moves(points: Floats, moves: Floats) -> Floats:
    """Offsets (S, V, 3) nearest to ``moves`` that keep ``points`` (V, 3) rigid (Kabsch 1976)."""
    middle = points.mean(0)
    out = np.empty_like(moves)
    for row, move in enumerate(moves):
        moved = points + move
        u, _, vt = np.linalg.svd((points - middle).T @ (moved - moved.mean(0)))
        turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
        out[row] = (points - middle) @ turn + moved.mean(0) - points
    return out
