# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the built-in head to another character's face, so that it can stand for it.

- No ``bpy`` module use; numpy only.

What marks a place on a face is how it moves: the vertex that `jawOpen` moves most is on the chin,
whatever the mesh. So the first guess brings the centres of the ARKit channels of both faces
together, and later steps pair points by place, normal and motion at once; lips that touch at rest
are told apart because only one of them goes with the jaw. Pairs then pull the head: first as a whole
and along its identity shapes, by least squares with a prior; then vertex by vertex, with a residual
that is made smooth over the surface (a non-rigid ICP: Besl and McKay 1992, Amberg et al. 2007; the
smoothness by normalised convolution, Knutsson and Westin 1993). What the character has not, such as
the back of a skull under hair, follows its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arkit import ARKIT_NAMES
from ..errors import UserError
from .model import EYE_PARTS, HeadModel, rotation_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEEDED = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
"""Channels without which a face cannot be found on a mesh."""
SAMPLE = 0.005
"""Metres: triangles with longer edges are cut, so that every place has a sample near it."""
MOTIONS = 12
"""Principal components of the channels' motion that pairs are judged by."""
NEAR = 0.012
"""Metres: how far off the residual's pairs are looked for and believed."""
TURNED = 0.012
"""Metres of distance that normals a radian apart count as."""
PRIOR = 0.004
"""Metres of misfit that weigh as much as one standard deviation of an identity shape."""
_HINT = "Pick the object with the face, or map these channels in a mapping file."


@dataclass(frozen=True)
class Face:
    """A character's face at rest and how each channel moves it.

    Axes are core space's (+X to its left, +Y up, +Z out of the face), the unit is any, and the
    pivot of its head is at 0.
    """

    vertices: Floats
    """(N, 3)"""
    triangles: Ints
    """(M, 3)"""
    offsets: dict[str, Floats]
    """ARKit channel: (N, 3) at weight 1"""
    eyes: Floats | None = None
    """(2, 3) centres of the left and the right eyeball, where known"""


@dataclass(frozen=True)
class Registration:
    """The built-in head made a character's."""

    arrays: dict[str, NDArray[np.generic]]
    """in the format of ``core/assets/head.npz``; metres, pivot of the character's head at 0"""
    scale: float
    """units of the character in a metre"""
    error: float
    """metres: median distance between the head's skin and the character's, where they are paired"""


@dataclass(frozen=True)
class _Points:
    """Places on a surface with all that pairs them."""

    place: Floats
    normal: Floats
    motion: Floats
    """(P, MOTIONS) principal components of the channels' relative motion"""
    offsets: Floats
    """(P, C, 3) metres"""
    edge: NDArray[np.bool_]
    """on the border of an open mesh"""


def register(face: Face, model: HeadModel) -> Registration:
    """Fit a head model to a face.

    Args:
        face: the character's; its mouth shut, its eyes open.
        model: the built-in head.

    Raises:
        UserError: the face lacks a channel that finding it needs, or none of it moves.

    """
    face = _checked(face)
    driven = [i for i, n in enumerate(ARKIT_NAMES) if n in face.offsets]
    face = _checked(_skin_of(face))
    skin = model.part("skin")
    index = [i for i in driven if ARKIT_NAMES[i] in face.offsets and model.shape_deltas[i, skin].any()]
    channels = [ARKIT_NAMES[i] for i in index]
    own = np.moveaxis(model.shape_deltas[index][:, skin], 0, 1).astype(np.float64)
    theirs = np.stack([face.offsets[n] for n in channels], 1)
    scale, shift = _coarse(model.vertices[skin].astype(np.float64), own, face.vertices, theirs)
    relative = _relative(own).reshape(len(skin), -1)
    basis = np.linalg.svd(relative, full_matrices=False)[2][:MOTIONS]
    target = _points(face.vertices / scale, face.triangles, theirs / scale, basis)
    number = np.cumsum(np.isin(np.arange(len(model.vertices)), skin)) - 1
    triangles = number[model.triangles[np.isin(model.triangles[:, 0], skin)]]
    motion = relative @ basis.T
    fitted = _whole(model, skin, triangles, motion, target, shift / scale)
    placed, pairs, kept = _residual(model, fitted, skin, triangles, motion, target)
    eyes = face.eyes / scale if face.eyes is not None else None
    error = float(np.median(np.linalg.norm(target.place[pairs] - placed[skin], axis=1)[kept]))
    arrays = _arrays(model, placed, fitted, eyes)
    deltas = _deltas(model, placed, skin, triangles, motion, target, index)
    hidden = np.setdiff1d(driven, index)  # The tongue's: nothing to measure them by.
    deltas[hidden] = model.shape_deltas[hidden]
    arrays["shape_deltas"] = deltas
    return Registration(arrays, scale, error)


def _checked(face: Face) -> Face:
    """The face with the channels that move it.

    Raises:
        UserError: too few do.

    """
    size = float(np.ptp(face.vertices, axis=0).max()) if len(face.vertices) else 0.0
    moved = {n: o for n, o in face.offsets.items() if np.abs(o).max(initial=0.0) > 1e-4 * size}
    lacking = [n for n in NEEDED if n not in moved]
    if lacking:
        raise UserError(f"An avatar needs {', '.join(NEEDED)}; {', '.join(lacking)} move nothing here.",
                        _HINT)  # fmt: skip
    return replace(face, offsets=moved)


def _skin_of(face: Face) -> Face:
    """The largest connected piece that both jaw and lids move; teeth, eyes and lashes are none.

    Raises:
        UserError: there is no such piece.

    """
    label = pieces(face.triangles, len(face.vertices))
    sizes = np.bincount(label)
    moved = np.ones(len(sizes), bool)
    for name in NEEDED:
        length = np.linalg.norm(face.offsets[name], axis=1)
        far = np.zeros(len(sizes))
        np.maximum.at(far, label, length)
        moved &= far > 0.3 * length.max()
    if not moved.any():
        raise UserError("No connected part of the mesh is moved by the jaw and by both lids.", _HINT)
    chosen = label == np.argmax(np.where(moved, sizes, 0))
    number = np.cumsum(chosen) - 1
    kept = face.triangles[chosen[face.triangles[:, 0]]]
    return replace(
        face, vertices=face.vertices[chosen], triangles=number[kept],
        offsets={n: o[chosen] for n, o in face.offsets.items()},
    )  # fmt: skip


def pieces(triangles: Ints, count: int) -> Ints:
    """(count,) the number of the connected piece that each vertex belongs to."""
    label = np.arange(count)
    while True:
        low = label[triangles].min(1)
        new = label.copy()
        for corner in triangles.T:
            np.minimum.at(new, corner, low)
        new = new[new]  # Two steps at once, so that long strips need few rounds.
        if (new == label).all():
            return np.asarray(np.unique(label, return_inverse=True)[1])
        label = new


def _coarse(place: Floats, own: Floats, there: Floats, theirs: Floats) -> tuple[float, Floats]:
    """Scale and shift (3,) that bring the centres of the channels' motion together."""
    a, b = _centres(place, own), _centres(there, theirs)
    from_a, from_b = a - a.mean(0), b - b.mean(0)
    scale = float((from_a * from_b).sum() / np.square(from_a).sum())
    if scale <= 0:
        raise UserError("The jaw and the lids are not where a face has them.",
                        "Check the forward and up axes of the character's mapping.")  # fmt: skip
    return scale, b.mean(0) - scale * a.mean(0)


def _centres(place: Floats, offsets: Floats) -> Floats:
    """(C, 3) where each channel moves most."""
    weight = np.square(offsets).sum(2).T
    return np.asarray(weight @ place / weight.sum(1, keepdims=True))


def _relative(offsets: Floats) -> Floats:
    """Offsets (P, C, 3) in units of each channel's largest."""
    peak = np.linalg.norm(offsets, axis=2).max(0)
    return np.asarray(offsets / np.maximum(peak, 1e-12)[None, :, None])


def _points(place: Floats, triangles: Ints, offsets: Floats, basis: Floats) -> _Points:
    """Samples of a surface, no further apart than `SAMPLE`."""
    normal = vertex_normals(place, triangles)
    edge = _border(triangles, len(place)).astype(np.float64)
    width = offsets.shape[1] * 3
    values = np.column_stack([place, normal, edge, offsets.reshape(len(place), width)])
    values = _cut(values, triangles)
    offsets = values[:, 7:].reshape(len(values), -1, 3)
    length = np.linalg.norm(values[:, 3:6], axis=1, keepdims=True)
    motion = _relative(offsets).reshape(len(values), width) @ basis.T
    return _Points(values[:, :3], values[:, 3:6] / np.maximum(length, 1e-12), motion, offsets,
                   values[:, 6] > 0.99)  # fmt: skip


def _cut(values: Floats, triangles: Ints) -> Floats:
    """Rows (P, 3 + ...) and those halfway along edges that are too long, again and again."""
    for _ in range(8):
        sides = np.stack([triangles, np.roll(triangles, -1, 1)], 2)
        length = np.linalg.norm(values[sides[..., 0], :3] - values[sides[..., 1], :3], axis=2)
        long = (length > SAMPLE).any(1)
        if not long.any():
            break
        triangles, sides = triangles[long], np.sort(sides[long], 2)
        edges, back = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
        middle = len(values) + back.reshape(-1, 3)
        values = np.concatenate([values, values[edges].mean(1)])
        (a, b, c), (ab, bc, ca) = triangles.T, middle.T
        triangles = np.concatenate(
            [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
    return values


def _border(triangles: Ints, count: int) -> NDArray[np.bool_]:
    """(count,) whether a vertex is on an edge that only one triangle has."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    single, uses = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    border = np.zeros(count, bool)
    border[single[uses == 1]] = True
    return border


def vertex_normals(place: Floats, triangles: Ints) -> Floats:
    """(V, 3) unit normals, weighted by area."""
    a, b, c = (place[triangles[:, k]] for k in range(3))
    each = np.cross(b - a, c - a)
    out = np.stack([np.bincount(triangles.T.ravel(), np.tile(each[:, d], 3), len(place)) for d in range(3)], 1)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))


def _pair(
    place: Floats, normal: Floats, motion: Floats, target: _Points, moved: float, reach: float,
    count: int = 1,
) -> tuple[Ints, Floats]:  # fmt: skip
    """(V, count) nearest samples by place, normal and motion, and how far they are, squared.

    Full motion counts as `moved` metres. Looked for within `reach` metres; a vertex without samples
    there is paired with any, which are too far away to be trusted.
    """
    ours = np.column_stack([place, TURNED * normal, moved * motion])
    theirs = np.column_stack([target.place, TURNED * target.normal, moved * target.motion])
    found = np.zeros((len(place), count), np.int64)
    apart = np.ones((len(place), count))
    for rows in _groups(place):
        low, high = place[rows].min(0) - reach, place[rows].max(0) + reach
        there = np.nonzero(((target.place > low) & (target.place < high)).all(1))[0]
        if len(there) <= count:
            continue
        middle = ours[rows].mean(0)
        away = _square_distance(ours[rows] - middle, theirs[there] - middle)
        best = np.argpartition(away, count - 1, axis=1)[:, :count]
        found[rows], apart[rows] = there[best], np.take_along_axis(away, best, 1)
    return found, apart


def _square_distance(a: Floats, b: Floats) -> Floats:
    """(A, B) square distances of rows."""
    apart = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.asarray(np.maximum(apart, 0.0))


def _groups(place: Floats, size: int = 48) -> list[Ints]:
    """Indices of neighbouring points, halved along the longest side until no more than `size`."""
    done, todo = [], [np.arange(len(place))]
    while todo:
        rows = todo.pop()
        if len(rows) <= size:
            done.append(rows)
            continue
        axis = int(np.ptp(place[rows], axis=0).argmax())
        order = rows[np.argsort(place[rows, axis], kind="stable")]
        todo += [order[: len(order) // 2], order[len(order) // 2 :]]
    return done


def _trust(
    place: Floats, normal: Floats, target: _Points, pairs: Ints, reach: float
) -> Floats:
    """(V,) 0..1: how far a pair is believed; not at all on the border or with another face."""
    apart = np.linalg.norm(target.place[pairs] - place, axis=1)
    alike = (target.normal[pairs] * normal).sum(1)
    trust = np.exp(-np.square(apart / reach)) * np.clip((alike - 0.2) / 0.5, 0.0, 1.0)
    return np.where(target.edge[pairs], 0.0, trust)


@dataclass(frozen=True)
class _Fitted:
    """The head as a whole: turned, scaled, and with an identity."""

    place: Floats
    """(V, 3)"""
    matrix: Floats
    """(3, 3) turn and scale"""


def _whole(
    model: HeadModel, skin: Ints, triangles: Ints, motion: Floats, target: _Points, shift: Floats
) -> _Fitted:
    """The head model with the similarity and the identity that bring it nearest to the samples."""
    rest, shapes = model.vertices.astype(np.float64), model.identity_deltas.astype(np.float64)
    matrix, identity = np.eye(3), np.zeros(len(shapes))
    shaped, place = rest, rest + shift
    for step in range(10):
        normal = vertex_normals(place[skin], triangles)
        moved, reach = (0.04, 0.03) if step < 5 else (0.02, 0.015)
        pairs = _pair(place[skin], normal, motion, target, moved, reach)[0][:, 0]
        trust = _trust(place[skin], normal, target, pairs, reach)
        away = target.place[pairs] - place[skin]
        arm = place[skin] - shift
        axes = [np.cross(unit, arm) for unit in np.eye(3)]
        units = [np.broadcast_to(unit, arm.shape) for unit in np.eye(3)]
        along = list(shapes[:, skin] @ matrix.T)
        columns = np.stack([c.ravel() for c in (*axes, *units, arm, *along)], 1)
        weight = np.repeat(trust / max(trust.sum(), 1e-9), 3) / PRIOR**2 * 20
        prior = np.concatenate([np.full(7, 1e-6), np.ones(len(shapes))])
        start = np.concatenate([np.zeros(7), identity])
        solved = np.linalg.solve(
            (columns * weight[:, None]).T @ columns + np.diag(prior),
            columns.T @ (weight * away.ravel()) - prior * start,
        )
        identity = np.clip(identity + solved[7:], -4.0, 4.0)
        matrix = (1 + solved[6]) * rotation_matrix(solved[:3]).astype(np.float64) @ matrix
        shift = shift + solved[3:6]
        shaped = rest + np.tensordot(identity, shapes, 1)
        place = shaped @ matrix.T + shift
    return _Fitted(place, matrix)


def _residual(
    model: HeadModel, fitted: _Fitted, skin: Ints, triangles: Ints, motion: Floats, target: _Points
) -> tuple[Floats, Ints, NDArray[np.bool_]]:
    """Places (V, 3) of the head drawn to the samples; pairs of the skin, and which are believed."""
    place = fitted.place[skin]
    neighbours = _neighbours(triangles, len(skin))
    for sweeps, moved, slide in ((60, 0.02, 1.0), (30, 0.02, 1.0), (15, 0.015, 0.5), (8, 0.01, 0.3),
                                 (4, 0.01, 0.1), (2, 0.01, 0.0), (1, 0.01, 0.0)):  # fmt: skip
        normal = vertex_normals(place, triangles)
        pairs = _pair(place, normal, motion, target, moved, NEAR)[0][:, 0]
        trust = _trust(place, normal, target, pairs, NEAR)
        away = target.place[pairs] - place
        # Late steps go along the normal: samples are no correspondences to the last millimetre.
        across = (away * target.normal[pairs]).sum(1, keepdims=True) * target.normal[pairs]
        place = place + _smooth(across + slide * (away - across), trust, neighbours, sweeps)
    carried = _carried(fitted.place, skin, place - fitted.place[skin])
    carried[skin] = place
    return carried, pairs, trust > 0.5


def _neighbours(triangles: Ints, count: int) -> tuple[Ints, Ints, Floats]:
    """Directed edges from, to, and (count, 1) how many end at each vertex."""
    edges = np.unique(np.concatenate([triangles[:, [a, b]] for a in range(3) for b in range(3) if a != b]), axis=0)
    degree = np.bincount(edges[:, 1], minlength=count).astype(np.float64)[:, None]
    return edges[:, 0], edges[:, 1], np.maximum(degree, 1.0)


def _smooth(
    move: Floats, trust: Floats, neighbours: tuple[Ints, Ints, Floats], sweeps: int
) -> Floats:
    """Normalised convolution: moves averaged over the surface, where trusted; others follow."""
    start, end, degree = neighbours
    total = np.column_stack([move * trust[:, None], trust])
    for _ in range(sweeps):
        mean = np.stack([np.bincount(end, total[start, k], len(move)) for k in range(4)], 1) / degree
        total = 0.5 * total + 0.5 * mean
    spread = total[:, :3] / np.maximum(total[:, 3:], 1e-6)
    # Far from any trusted pair the average fades, rather than flinging the rest along.
    return np.asarray(spread * np.minimum(1.0, total[:, 3:] / 0.02))


def _carried(place: Floats, skin: Ints, move: Floats) -> Floats:
    """All vertices (V, 3) moved as the skin near them is."""
    out = place.copy()
    rest = np.setdiff1d(np.arange(len(place)), skin)
    out[rest] += _nearby(place[rest], place[skin], move)
    return out


def _nearby(points: Floats, anchors: Floats, values: Floats, count: int = 8) -> Floats:
    """Values (A, ...) of the nearest anchors, averaged by inverse square distance, at points."""
    out = np.empty((len(points), *values.shape[1:]))
    for rows in np.array_split(np.arange(len(points)), max(1, len(points) // 256)):
        distance = np.square(points[rows, None] - anchors[None]).sum(2)
        near = np.argpartition(distance, count, axis=1)[:, :count]
        weight = 1.0 / (np.take_along_axis(distance, near, 1) + 1e-8)
        weight /= weight.sum(1, keepdims=True)
        out[rows] = np.einsum("pk,pk...->p...", weight, values[near])
    return out


def _deltas(
    model: HeadModel, placed: Floats, skin: Ints, triangles: Ints, motion: Floats,
    target: _Points, index: list[int],
) -> NDArray[np.float16]:  # fmt: skip
    """(52, V, 3) offsets of the channels.

    The character's own on the skin; elsewhere (teeth, tongue, lashes) the model's, made as large as
    the character's; none where the character has none.
    """
    normal = vertex_normals(placed[skin], triangles)
    # Motion counts for much: lips that touch at rest must not lend each other theirs.
    pairs, apart = _pair(placed[skin], normal, motion, target, 0.03, NEAR, 4)
    weight = 1.0 / (apart + 1e-7)
    weight /= weight.sum(1, keepdims=True)
    moved = np.einsum("vk,vkcd->vcd", weight, target.offsets[pairs])
    out = np.zeros((len(ARKIT_NAMES), *placed.shape))
    out[np.array(index)[:, None], skin] = np.moveaxis(moved, 1, 0)
    eyes = [i for i, n in enumerate(model.part_names) if n in EYE_PARTS]
    others = np.setdiff1d(np.nonzero(~np.isin(model.vertex_part, eyes))[0], skin)
    for k, channel in enumerate(index):
        own = model.shape_deltas[channel].astype(np.float64)
        energy = np.square(own[skin]).sum()
        ratio = max(0.0, float((own[skin] * moved[:, k]).sum() / energy)) if energy > 0 else 0.0
        out[channel, others] = ratio * own[others]
    return out.astype(np.float16)


def _arrays(
    model: HeadModel, placed: Floats, fitted: _Fitted, eyes: Floats | None
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a head file, but for the shapes."""
    placed, centres, radius = _eyes(model, placed, fitted, eyes)
    turn, shift = fitted.matrix, fitted.place.mean(0) - model.vertices.mean(0) @ fitted.matrix.T
    return {
        "vertices": placed.astype(np.float32),
        "faces": model.faces, "uv": model.uv.astype(np.float16), "faces_uv": model.faces_uv,
        "face_material": model.face_material, "material_names": np.array(model.material_names),
        "vertex_part": model.vertex_part, "part_names": np.array(model.part_names),
        "shape_names": np.array(model.shape_names),
        "identity_deltas": np.zeros_like(model.identity_deltas, np.float16),
        "head_weight": model.head_weight,
        "eye_center": centres.astype(np.float32), "eye_radius": np.float32(radius),
        "brow_mask": model.brow_mask, "landmark_names": np.array(model.landmark_names),
        "landmark_indices": model.landmark_indices,
        "jaw_hinge": (model.jaw_hinge @ turn.T + shift).astype(np.float32),
    }  # fmt: skip


def _eyes(
    model: HeadModel, placed: Floats, fitted: _Fitted, known: Floats | None
) -> tuple[Floats, Floats, float]:
    """Vertices with round eyes in their sockets, the eyes' centres (2, 3) and their radius.

    A ball has the lids' distance from its centre for its size: as they fit the model's, they fit it.
    """
    skin, rest = model.part("skin"), model.vertices.astype(np.float64)
    placed = placed.copy()
    centres, radii = np.empty((2, 3)), []
    for side, name in enumerate(EYE_PARTS):
        ball, old = model.part(name), model.eye_center[side].astype(np.float64)
        lids = skin[np.linalg.norm(rest[skin] - old, axis=1) < 1.35 * model.eye_radius]
        if known is None:
            centres[side] = placed[lids].mean(0) + (old - rest[lids].mean(0)) @ fitted.matrix.T
        else:
            centres[side] = known[side]
        size = np.median(np.linalg.norm(placed[lids] - centres[side], axis=1))
        radii.append(float(size / np.median(np.linalg.norm(rest[lids] - old, axis=1))))
    ratio = float(np.mean(radii))
    for side, name in enumerate(EYE_PARTS):
        ball, old = model.part(name), model.eye_center[side].astype(np.float64)
        placed[ball] = centres[side] + ratio * (rest[ball] - old)
    return placed, centres, ratio * model.eye_radius
