# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair of the path-traced character, grown by rule on whatever head it is given: a side-parted bob,
brows and lashes.

Points are in core space at rest. The bob is one Curves object that turns with the head; brows and
lashes are thin mesh tubes bound to the skin's triangles, with the head's 52 shape keys worked out
from how each triangle moves and turns.
"""

from __future__ import annotations

import numpy as np
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from .head_masks import HeadData, brow_offset, brow_width, landmark, masks, smooth

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def triangles(data: HeadData, part: str | None = None) -> Ints:
    """(N, 3) triangles of the head, or of one part."""
    faces = data["faces"].astype(np.int64)
    if part is not None:
        number = list(data["part_names"]).index(part)
        faces = faces[data["vertex_part"][faces[:, 0]] == number]
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])


def _tree(data: HeadData, tris: Ints) -> BVHTree:
    return BVHTree.FromPolygons(data["vertices"].astype(float).tolist(), tris.tolist())


def _scatter(points: Array, tris: Ints, density: Array, count: int, rng: np.random.Generator) -> tuple[Ints, Array]:
    """Triangle (N,) and barycentric weights (N, 3) of random places, as dense as `density` (V,)."""
    a, b, c = (points[tris[:, i]] for i in range(3))
    share = np.linalg.norm(np.cross(b - a, c - a), axis=1) * density[tris].mean(1)
    chosen = rng.choice(len(tris), size=count, p=share / share.sum())
    u, v = rng.uniform(size=(2, count))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return chosen, np.stack([1 - u - v, u, v], 1)


class _Hull:
    """The skull seen from its middle: radius by direction, ears and face smoothed away."""

    ROWS, COLUMNS = 48, 96

    def __init__(self, data: HeadData, centre: Array) -> None:
        tree = _tree(data, triangles(data, "skin"))
        polar = (np.arange(self.ROWS) + 0.5) / self.ROWS * np.pi
        round_ = np.arange(self.COLUMNS) / self.COLUMNS * 2 * np.pi
        self.table = np.zeros((self.ROWS, self.COLUMNS))
        for i, p in enumerate(polar):
            for j, r in enumerate(round_):
                way = (np.sin(p) * np.sin(r), np.cos(p), np.sin(p) * np.cos(r))
                hit = tree.ray_cast((centre + 0.4 * np.array(way)).tolist(), [-w for w in way])
                self.table[i, j] = 0.4 - hit[3] if hit[0] is not None else 0.085
        limit = 0.093 + 0.03 * np.abs(np.cos(round_))[None] ** 2
        self.table = np.minimum(self.table, np.maximum(limit, 0.125 * (polar < 1.2)[:, None]))
        for _ in range(3):
            ring = np.pad(self.table, ((0, 0), (1, 1)), mode="wrap")
            ring = (ring[:, :-2] + 2 * ring[:, 1:-1] + ring[:, 2:]) / 4
            tall = np.pad(ring, ((1, 1), (0, 0)), mode="edge")
            self.table = (tall[:-2] + 2 * tall[1:-1] + tall[2:]) / 4

    def radius(self, way: Array) -> Array:
        """(...,) metres from the centre for unit directions (..., 3)."""
        i = np.arccos(np.clip(way[..., 1], -1, 1)) / np.pi * self.ROWS - 0.5
        j = np.arctan2(way[..., 0], way[..., 2]) / (2 * np.pi) * self.COLUMNS
        i0 = np.clip(np.floor(i).astype(int), 0, self.ROWS - 2)
        j0 = np.floor(j).astype(int)
        fi, fj = np.clip(i - i0, 0, 1), j - j0
        a, b = j0 % self.COLUMNS, (j0 + 1) % self.COLUMNS
        low = self.table[i0, a] * (1 - fj) + self.table[i0, b] * fj
        high = self.table[i0 + 1, a] * (1 - fj) + self.table[i0 + 1, b] * fj
        return np.asarray(low * (1 - fi) + high * fi)


def _unit(v: Array) -> Array:
    return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True))


def _slerp(a: Array, b: Array, t: Array) -> Array:
    """Directions (N, T, 3) from a (N, 3) to b (N, 3)."""
    angle = np.arccos(np.clip((a * b).sum(-1), -0.9999, 0.9999))[:, None, None]
    s = t[None, :, None]
    return (np.sin((1 - s) * angle) * a[:, None] + np.sin(s * angle) * b[:, None]) / np.sin(angle)


def bob(data: HeadData, count: int, seed: int) -> Array:
    """(count, 24, 3) strands of a chin-long bob, parted on the character's left."""
    rng = np.random.default_rng(seed)
    points = data["vertices"].astype(np.float64)
    eyes = data["eye_center"].astype(np.float64)
    centre = np.array([0.0, eyes[:, 1].mean() + 0.02, 0.0])
    hull = _Hull(data, centre)
    tris = triangles(data, "skin")
    chosen, bary = _scatter(points, tris, masks(data)["scalp"], count, rng)
    root = (points[tris[chosen]] * bary[:, :, None]).sum(1)
    root += rng.normal(scale=0.0006, size=root.shape)
    # Strands take the course of the lock they belong to, more so towards the tip.
    locks = rng.choice(count, size=max(1, count // 28), replace=False)
    lock = locks[((root[:, None] - root[None, locks]) ** 2).sum(2).argmin(1)]
    path = _bob_path(root, centre, hull, rng.uniform(size=count), rng)
    path += _waves(root, lock, path.shape[1], rng)
    pull = smooth(np.linspace(0, 1, path.shape[1]), 0.25, 1.0)[None, :, None] * 0.55
    path = path * (1 - pull) + pull * (path[lock] + (root - root[lock])[:, None] * 0.55)
    path[:, 0] = root
    return path


def _bob_path(root: Array, centre: Array, hull: _Hull, layer: Array, rng: np.random.Generator) -> Array:
    count = len(root)
    parting = 0.022 * smooth(root[:, 2], -0.06, 0.0)
    side = np.where(root[:, 0] + rng.normal(scale=0.0012, size=count) > parting, 1.0, -1.0)
    front = np.degrees(np.arctan2(np.abs(root[:, 0] - parting), root[:, 2] + 0.01))
    last = np.radians(66.0 + front * 0.60 + rng.normal(scale=3.0, size=count))
    fall = np.radians(-16.0)
    ear = np.stack([side * np.cos(fall) * np.sin(last), np.full(count, np.sin(fall)), np.cos(fall) * np.cos(last)], 1)
    t = np.linspace(0, 1, 15)
    way = _slerp(_unit(root - centre), _unit(ear), t)
    lift = 0.003 + 0.011 * layer[:, None] * (0.55 + 0.45 * np.sin(np.pi * np.clip(t, 0, 1)))[None]
    high = smooth(way[..., 1], 0.3, 0.9) * 0.006
    over = centre + way * (hull.radius(way) + (lift + high) * smooth(t, 0.0, 0.18)[None])[..., None]
    start = np.linalg.norm(root - centre, axis=1)[:, None] - hull.radius(way[:, :1])
    over += way * (start * smooth(t, 0.25, 0.0)[None])[..., None]
    end = over[:, -1]
    tip = -0.062 - 0.016 * smooth(front, 40, 150) + rng.normal(scale=0.005, size=count)
    s = np.linspace(0, 1, 10)[1:][None, :, None]
    outward = _unit(end * (1.0, 0.0, 1.0))[:, None]
    bend = 0.007 * np.sin(np.pi * s) - (0.018 + 0.008 * layer[:, None, None]) * s**3
    drop = np.stack([np.zeros(count), tip - end[:, 1], np.zeros(count)], 1)[:, None]
    path = np.concatenate([over, end[:, None] + drop * s + outward * bend], 1)
    for _ in range(4):
        path[:, 1:-1] = (path[:, :-2] + 2 * path[:, 1:-1] + path[:, 2:]) / 4
    return path


def _waves(root: Array, lock: Ints, length: int, rng: np.random.Generator) -> Array:
    """Soft waves, in step within a lock, and a little of its own for every strand."""
    s = np.linspace(0, 1, length)[None, :, None]
    phase, size = rng.uniform(0, 2 * np.pi, (len(root), 1, 3)), rng.normal(scale=0.0022, size=(len(root), 1, 3))
    shared = size[lock] * np.sin(5.5 * s + phase[lock])
    own = rng.normal(scale=0.0009, size=(len(root), 1, 3)) * np.sin(9.0 * s + phase)
    stray = (rng.uniform(size=(len(root), 1, 1)) < 0.03) * rng.normal(scale=0.006, size=(len(root), 1, 3)) * s
    return np.asarray((shared + own + stray) * smooth(s, 0.02, 0.4))


def brows(data: HeadData, count: int, seed: int) -> tuple[Ints, Array]:
    """Brow hairs: root triangle corners (N, 3), strands (N, 5, 3)."""
    rng = np.random.default_rng(seed)
    points, tris = data["vertices"].astype(np.float64), triangles(data, "skin")
    near = (np.abs(brow_offset(data, points)) < 0.02) & (brow_width(data, points) > -1)
    front = near & (points[:, 2] > data["eye_center"][:, 2].mean() - 0.02)
    chosen, bary = _scatter(points, tris, front + 0.0, 14 * count, rng)
    place = (points[tris[chosen]] * bary[:, :, None]).sum(1)
    inside = np.abs(brow_offset(data, place)) < brow_width(data, place)
    chosen, bary = chosen[inside][:count], bary[inside][:count]
    corners, count = points[tris[chosen]], int(min(count, inside.sum()))
    root = (corners * bary[:, :, None]).sum(1)
    normal = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    inner = landmark(data, "brow_inner_left")
    along = np.clip((np.abs(root[:, 0]) - abs(inner[0])) / 0.045, 0, 1)
    # At the inner end hairs stand up, then lie outwards, then down along the tail.
    angle = np.radians(78 - 95 * along**0.6 + rng.normal(scale=11, size=count))
    way = np.stack([np.sign(root[:, 0]) * np.cos(angle), np.sin(angle), -0.25 * along], 1)
    way = _unit(way - normal * (way * normal).sum(1, keepdims=True))
    length = rng.uniform(0.0045, 0.0075, (count, 1, 1)) * (1 - 0.3 * along[:, None, None])
    s = np.linspace(0, 1, 5)[None, :, None]
    rise = normal[:, None] * (0.0009 + 0.0012 * np.sin(s * 2.2) * length / 0.007 * 0.7)
    droop = np.array((0.0, -0.0012, 0.0)) * s**2 * along[:, None, None]
    return tris[chosen], root[:, None] + way[:, None] * length * s + rise + droop


def lashes(data: HeadData, count: int, seed: int) -> tuple[Ints, Array]:
    """Lashes of both eyes: root triangle corners (N, 3), strands (N, 5, 3)."""
    rng = np.random.default_rng(seed)
    skin = triangles(data, "skin")
    tree = _tree(data, skin)
    eyeballs = {s: _tree(data, triangles(data, f"eye_{s}")) for s in ("left", "right")}
    found: list[Ints] = []
    strands: list[Array] = []
    for side, centre in zip(("left", "right"), data["eye_center"].astype(np.float64)):
        inner, outer = landmark(data, f"eye_inner_{side}"), landmark(data, f"eye_outer_{side}")
        for upper in (True, False):
            for t in np.linspace(0.10, 0.985, count if upper else count // 3):
                at = inner + (outer - inner) * (t + rng.normal(scale=0.008))
                edge = _lid_edge(tree, eyeballs[side], at, upper)
                if edge is None:
                    continue
                face, root = edge
                found.append(skin[face])
                strands.append(_lash(root, centre, float(t), upper, float(np.sign(centre[0])), rng))
    return np.array(found), np.array(strands)


def _lid_edge(skin: BVHTree, eyeball: BVHTree, at: Array, upper: bool) -> tuple[int, Array] | None:
    """Last place on the lid, seen from in front, before the eyeball shows."""
    ahead = (0.0, 0.0, -1.0)

    def lid(y: float) -> tuple[int, Array] | None:
        start = (float(at[0]), y, 0.3)
        hit, ball = skin.ray_cast(start, ahead), eyeball.ray_cast(start, ahead)
        if hit[0] is None or (ball[0] is not None and ball[3] < hit[3]):
            return None
        return hit[2], np.array(hit[0])

    step = 0.0004 if upper else -0.0004
    for k in range(-5, 45):
        edge = lid(float(at[1]) + step * k)
        if edge is not None and k > -5:
            return edge
    return None


def _lash(root: Array, centre: Array, t: float, upper: bool, side: float, rng: np.random.Generator) -> Array:
    length = (0.0066 + 0.0034 * t) if upper else 0.0026
    length *= rng.uniform(0.75, 1.1)
    fan = side * (t - 0.42) * 1.1 + rng.normal(scale=0.10)
    out = _unit(np.array([fan, 0.10 if upper else -0.35, 1.0]))
    lift = np.array([fan * 0.25, 1.0 if upper else -0.75, 0.25])
    s = np.linspace(0, 1, 5)[:, None]
    return root - out * 0.0004 + length * (out * (s - 0.35 * s**2) + lift * 0.55 * s**2)


def tubes(strands: Array, radius: float, sides: int = 3) -> tuple[Array, list[list[int]]]:
    """Thin tapering tubes: vertices (N, P, sides, 3) and quads."""
    count, length, _ = strands.shape
    along = _unit(np.gradient(strands, axis=1))
    first = _unit(np.cross(along, (0.31, 0.17, 0.93)))
    second = np.cross(along, first)
    angle = np.arange(sides) * 2 * np.pi / sides
    taper = radius * (1.0 - 0.85 * np.linspace(0, 1, length) ** 1.5)[None, :, None, None]
    ring = first[:, :, None] * np.cos(angle)[:, None] + second[:, :, None] * np.sin(angle)[:, None]
    quads = [
        [(n * length + p) * sides + k, (n * length + p) * sides + (k + 1) % sides,
         (n * length + p + 1) * sides + (k + 1) % sides, (n * length + p + 1) * sides + k]
        for n in range(count) for p in range(length - 1) for k in range(sides)
    ]  # fmt: skip
    return strands[:, :, None] + ring * taper, quads


def carried(
    data: HeadData, corners: Ints, bary: Array, points: Array, pivots: Array | None = None
) -> NDArray[np.float32]:
    """Shape offsets (52, N, ..., 3) of hairs (N, ..., 3) rooted in triangles of the skin.

    A hair moves with its root. With `pivots` (N, 3) it also turns about them, as its root does: a
    lid slides over the eyeball, and its lashes turn about the middle of the eye.

    Args:
        data: the head.
        corners: (N, 3) vertices of the root's triangle.
        bary: (N, 3) weights of the root in it.
        points: hairs at rest.
        pivots: what they turn about.

    """
    rest = data["vertices"].astype(np.float64)
    root = (rest[corners] * bary[..., None]).sum(1)
    flat = points.reshape(len(points), -1, 3)
    out = []
    for delta in data["shape_deltas"].astype(np.float64):
        moved = root + (delta[corners] * bary[..., None]).sum(1)
        away = flat - root[:, None]
        if pivots is not None:
            away = np.einsum("nij,npj->npi", _turn(root - pivots, moved - pivots), away)
        out.append(moved[:, None] + away - flat)
    return np.asarray(out, np.float32).reshape(-1, *points.shape)


def _turn(a: Array, b: Array) -> Array:
    """(N, 3, 3) smallest rotations that bring directions a (N, 3) to b (N, 3)."""
    a, b = _unit(a), _unit(b)
    axis, cosine = np.cross(a, b), (a * b).sum(1)[:, None, None]
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def weights_in(points: Array, corners: Array) -> Array:
    """(N, 3) barycentric weights of points (N, 3) in triangles (N, 3, 3)."""
    e1, e2, d = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    a, b, c = (e1 * e1).sum(1), (e1 * e2).sum(1), (e2 * e2).sum(1)
    p, q = (d * e1).sum(1), (d * e2).sum(1)
    det = a * c - b * b
    v, w = (c * p - b * q) / det, (a * q - b * p) / det
    return np.stack([1 - v - w, v, w], 1)
