# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head made a person's: pose, rest and shape from where the face's points are seen.

Rounds of three steps, each easy where the others are known:

- the pose of every frame, from the points' places on the picture (`core.footage.pose`);
- the person's rest, read off the frames as if the head had not moved (`core.tracking.fit.Rest`), and
  the points' depth, from how they move on the picture when the head turns;
- the head: identity components by least squares with their prior (a standard deviation each), and
  what they leave as a smooth residual, the mean of a Gaussian process (Rasmussen and Williams 2006,
  equation 2.25) whose samples are the points. It fades where no point is near, so the skull and the
  neck keep the shape that the identity gives them.

Lips and lids of the result are where the person's are when at rest; irises sit where the person's
are when looking ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from ..head.model import EYE_PARTS, HEAD_FILE, HeadModel
from ..raster import Camera
from ..tracking import mesh
from ..tracking.fit import POINTS, Fit, Rest, fit
from ..tracking.pose import similarity
from ..tracking.tracker import Person
from .pose import HeadPose, locate, unproject

Array = npt.NDArray[np.float64]

_AT: Final = {point: i for i, point in enumerate(POINTS)}
_VERTICES: Final = [mesh.VERTICES[p] for p in POINTS]
_RIGID: Final = np.isin(POINTS, mesh.RIGID)
_PAIRS: Final = ((13, 14), (82, 87), (81, 178), (80, 88), (191, 95), (312, 317), (311, 402), (310, 318), (415, 324))
"""Inner upper and lower lip: one place where lips touch."""
_ROUNDS: Final = 3
_ENOUGH: Final = 1500
"""Frames that suffice to know a person."""
_SOFT: Final = 0.1
"""What a point that expressions move says of the pose, against one that the skull carries."""
_ACROSS, _DEEP = 0.003, 0.006
"""Metres of misfit, across and along the line of sight, that weigh as much as one standard deviation
of an identity component: the mesh guesses depths."""
_DEPTH_KEPT: Final = 0.5
"""Of the mesh's guess of depth beyond what the identity explains."""
_NOISE, _RELIEF = 0.001, 0.004
"""Metres: of a point in one frame, and by which a depth may be off."""
_REACH: Final = 0.025
"""Metres over which the residual changes."""
_SPREAD, _ERROR = 0.004, 0.0007
"""Metres: standard deviation of the residual, and of a point that it is to pass through."""
_TOUCH, _PARTS, _LIP = 1e-5, 0.002, 0.007
"""Metres: between vertices that touch at rest, of the way that an open jaw parts those of the lips, and
over which a lip follows its edge."""
_RIGID_PARTS: Final = ("gums", "teeth_upper", "teeth_lower", "tongue")


@dataclass(frozen=True)
class Sight:
    """Where a person's face is seen in N pictures of one size."""

    points: npt.NDArray[np.float32]
    """(N, 478, 3) pixels of the crop, as in `core.tracking.film`, none of them nan"""
    camera: Camera
    size: int
    """pixels of the square crop"""

    def pixels(self) -> tuple[Array, Array]:
        """(N, K, 2) of the points followed, and (N, 2, 2) of the irises."""
        found = self.points[:, [*POINTS, *mesh.IRISES], :2].astype(np.float64)
        return found[:, : len(POINTS)], found[:, len(POINTS) :]

    def some(self, most: int) -> Sight:
        """At most so many frames, evenly chosen."""
        return replace(self, points=self.points[:: -(-len(self.points) // most)])


@dataclass(frozen=True)
class Likeness:
    """A person's head."""

    head: HeadModel
    rest: Rest
    """the person's, in the head's frame"""
    marks: Array
    """(K, 3) metres: the points at rest"""
    start: Person
    """what tells a first pose"""
    turn: npt.NDArray[np.float64]
    """(3, 3) from the tracker's mesh to the head"""
    arrays: dict[str, npt.NDArray[np.generic]]
    """the head, in the format of ``core/assets/head.npz``"""


def likeness(sight: Sight) -> Likeness:
    """Fit the built-in head to a person.

    Args:
        sight: some hundred frames or more; all of one person.

    """
    sight = sight.some(_ENOUGH)
    head = HeadModel.load()
    person = Person.of([{"points": sight.points}])
    mesh_rest = person.rest.face * person.apart
    shape, laid = _identity(head, mesh_rest)
    own = replace(head, vertices=shape.astype(np.float32))
    marks = laid.copy()
    marks[:, 2] += (_DEPTH_KEPT - 1) * (laid - shape[_VERTICES])[:, 2]
    turn = similarity(mesh_rest, laid[None]).rotation[0]
    known = Likeness(own, person.rest, marks, person, turn, {})
    for _ in range(_ROUNDS):
        pose = first_pose(sight, known)
        face, irises = local(sight, known, pose)
        apart = eyes_apart(known.head)
        rest = Rest.of(face / apart, irises / apart)
        known = replace(known, rest=rest, marks=_marks(known, face, pose, rest.face * apart, sight))
        known = _shaped(known, shape, irises)
    return known


def first_pose(sight: Sight, known: Likeness) -> HeadPose:
    """The pose of every frame, from the points that expressions leave alone above all."""
    rigid = [POINTS.index(p) for p in mesh.RIGID]
    upright = sight.points[:, list(mesh.RIGID)].astype(np.float64) * (1, -1, -1)
    guess = similarity(known.start.skull, upright)
    pixels, _ = sight.pixels()
    rotation = guess.rotation @ known.turn.T
    middle = known.marks[rigid].mean(0)
    spread = np.sqrt(((known.marks[rigid] - middle) ** 2).sum(1).mean())
    seen = np.sqrt(((upright - upright.mean(1, keepdims=True)) ** 2).sum(2).mean(1))
    away = sight.camera.focal(sight.size) * spread / seen
    centre = unproject(sight.camera, sight.size, pixels[:, rigid].mean(1), sight.camera.position[2] - away)
    start = HeadPose(rotation, centre - rotation @ middle)
    weight = np.where(_RIGID, 1.0, _SOFT * 0.1)
    return locate(known.marks, pixels, sight.camera, sight.size, start, weight)


def better_pose(sight: Sight, known: Likeness, pose: HeadPose, weights: Array) -> HeadPose:
    """The pose once (N, 52) ARKit weights are known: all points tell of it then."""
    moved = known.marks + _moved(known.head, weights)
    weight = np.where(_RIGID, 1.0, _SOFT)
    return locate(moved, sight.pixels()[0], sight.camera, sight.size, pose, weight)


def local(sight: Sight, known: Likeness, pose: HeadPose, weights: Array | None = None) -> tuple[Array, Array]:
    """(N, K, 3) points and (N, 2, 3) irises, metres, as if the head had not moved.

    Depth is not seen: it is the head's, with the expression of the (N, 52) weights where given.
    """
    pixels, irises = sight.pixels()
    placed = pose.apply(known.marks if weights is None else known.marks + _moved(known.head, weights))
    centres = pose.apply(known.head.eye_center.astype(np.float64) + (0, 0, known.head.eye_radius))
    out = []
    for seen, depth in ((pixels, placed[..., 2]), (irises, centres[..., 2])):
        there = unproject(sight.camera, sight.size, seen, depth)
        out.append((there - pose.translation[:, None]) @ pose.rotation)
    return out[0], out[1]


def fitted(face: Array, irises: Array, known: Likeness) -> Fit:
    """Expression, blink and gaze of `local` points; tight, as the head is the person's own."""
    apart = eyes_apart(known.head)
    return fit(face / apart, irises / apart, known.rest, known.head, _SURE)


_SURE: Final = {"point": 0.03, "lip": 0.008, "brow": 0.012, "depth": 10.0, "gap": 0.002, "side": 0.004,
                "width": 0.004, "chin": 0.01, "lid": 0.004}  # fmt: skip
"""How sure a row of the fit is on the person's own head, in distances between the outer eye corners."""


def turned(known: Likeness, rest: Array) -> dict[str, npt.NDArray[np.generic]]:
    """The head's arrays with a (3, 3) turn as its rest, by which poses are to be undone: R -> R rest^T.

    Who sits before the camera at an angle is at rest so, and tracks of a voice move about the rest.
    """
    still = np.zeros((1, 3), np.float32)
    vector = Rotation.from_matrix(rest).as_rotvec()[None].astype(np.float32)
    weights = np.zeros((1, len(known.head.shape_names)), np.float32)
    vertices = known.head.deform(weights, None, vector, still)[0]
    turn = {name: np.asarray(known.arrays[name], np.float64) @ rest.T
            for name in ("shape_deltas", "eye_center", "jaw_hinge")}  # fmt: skip
    kinds = {name: values.astype(known.arrays[name].dtype) for name, values in turn.items()}
    return {**known.arrays, **kinds, "vertices": vertices}


def turned_gaze(gaze: Array, rest: Array) -> Array:
    """(N, 2, 2) yaw and pitch about the axes of a head whose rest is turned; exact for small angles."""
    yaw, pitch = gaze[..., 0], gaze[..., 1]
    vector = np.stack([-pitch, yaw, np.zeros_like(yaw)], -1) @ rest.T
    return np.stack([vector[..., 1], -vector[..., 0]], -1)


def eyes_apart(head: HeadModel) -> float:
    """Metres between the outer eye corners."""
    corners = head.vertices[[head.landmark(f"eye_outer_{side}") for side in ("left", "right")]]
    return float(np.linalg.norm(corners[0] - corners[1]))


def _moved(head: HeadModel, weights: Array) -> Array:
    """(N, K, 3) metres by which expressions move the points."""
    deltas = head.shape_deltas[:, _VERTICES].astype(np.float64)
    return np.asarray((weights @ deltas.reshape(len(deltas), -1)).reshape(len(weights), -1, 3))


def _identity(head: HeadModel, rest: Array) -> tuple[Array, Array]:
    """(V, 3) head with the identity of (K, 3) points, and those points laid onto it."""
    basis = head.identity_deltas.astype(np.float64)
    sure = np.tile([1 / _ACROSS, 1 / _ACROSS, 1 / _DEEP], len(_VERTICES))
    rows = basis[:, _VERTICES].reshape(len(basis), -1).T * sure[:, None]
    square = rows.T @ rows + np.eye(len(basis))
    shape = head.vertices.astype(np.float64)
    for _ in range(10):
        laid = similarity(rest, shape[None, _VERTICES])
        there = laid.scale[0] * rest @ laid.rotation[0].T + laid.translation[0]
        beta = np.linalg.solve(square, rows.T @ ((there - head.vertices[_VERTICES]).ravel() * sure))
        shape = sealed(head.vertices + np.tensordot(beta, basis, 1), head)
    return shape, there


def sealed(shape: Array, head: HeadModel) -> Array:
    """(V, 3) with lips that touch, as they do in the (V, 3) built-in head; identities part them.

    The inner edges meet half-way, and each lip follows its edge.
    """
    rest = head.vertices.astype(np.float64)
    drop = -head.shape_deltas[head.shape_names.index("jawOpen"), :, 1].astype(np.float64)
    pairs = cKDTree(rest).query_pairs(_TOUCH, output_type="ndarray")
    upper, lower = np.take_along_axis(pairs, np.argsort(drop[pairs], axis=1), 1).T
    parted = drop[lower] - drop[upper] > _PARTS
    upper, lower = upper[parted], lower[parted]
    half = (shape[lower] - shape[upper]) / 2
    share = np.clip(drop / drop[lower].max(), 0, 1)[:, None]
    out = shape.copy()
    for edge, move, follows in ((upper, half, 1 - share), (lower, -half, share)):
        far, nearest = cKDTree(rest[edge]).query(rest)
        out += follows * move[nearest] * np.exp(-((far / _LIP) ** 2))[:, None]
    middle = (out[upper] + out[lower]) / 2
    out[upper] = out[lower] = middle
    return out


def _marks(known: Likeness, face: Array, pose: HeadPose, rest: Array, sight: Sight) -> Array:
    """(K, 3) the points at rest: where they are seen, and as deep as turning shows them to be.

    A point that lies d nearer than thought seems displaced by -d times the slope of the ray that sees
    it, in the head's frame; regression on the slopes tells d, with a prior.
    """
    ray = known.marks @ pose.rotation.swapaxes(1, 2) + pose.translation[:, None] - sight.camera.position
    ray = ray @ pose.rotation
    slope = ray[..., :2] / ray[..., 2:]
    slope = slope - slope.mean(0)
    off = (face - face.mean(0))[..., :2]
    prior = len(face) * (_NOISE / _RELIEF) ** 2
    nearer = -(slope * off).sum((0, 2)) / ((slope**2).sum((0, 2)) + prior)
    return np.column_stack([rest[:, :2], known.marks[:, 2] + np.clip(nearer, -_RELIEF, _RELIEF)])


def _shaped(known: Likeness, shape: Array, irises: Array) -> Likeness:
    """The head through the marks, with the eyeballs behind the irises."""
    residual = known.marks - shape[_VERTICES]
    for pair in _PAIRS:
        both = [_AT[p] for p in pair]
        residual[both] = residual[both].mean(0)
    model = HeadModel.load()
    vertices = shape + _smooth(shape, shape[_VERTICES], residual)
    lips = residual[[_AT[p] for pair in _PAIRS for p in pair]].mean(0)
    for name in _RIGID_PARTS:
        vertices[model.part(name)] = shape[model.part(name)] + lips
    centres = _eye_centres(vertices, irises)
    for name, old, new in zip(EYE_PARTS, model.eye_center, centres):
        vertices[model.part(name)] = model.vertices[model.part(name)] + (new - old)
    with np.load(HEAD_FILE, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["vertices"] = vertices.astype(np.float32)
    arrays["eye_center"] = centres.astype(np.float32)
    # The identity is in the vertices: none is left to add.
    arrays["identity_deltas"] = np.zeros_like(arrays["identity_deltas"])
    head = replace(model, vertices=arrays["vertices"], eye_center=arrays["eye_center"])
    return replace(known, head=head, arrays=arrays)


def _smooth(places: Array, at: Array, values: Array) -> Array:
    """(V, 3) at ``places``: mean of the Gaussian process through (K, 3) ``values`` at ``at``."""

    def kernel(a: Array, b: Array) -> Array:
        # Matern 3/2: once differentiable, so that a lid does not bend a brow.
        far = np.sqrt(3) * cdist(a, b) / _REACH
        return np.asarray((1 + far) * np.exp(-far))

    noise = (_ERROR / _SPREAD) ** 2
    return np.asarray(kernel(places, at) @ np.linalg.solve(kernel(at, at) + noise * np.eye(len(at)), values))


def _eye_centres(vertices: Array, irises: Array) -> Array:
    """(2, 3): as far behind the lids as in the built-in head, and on the line of the median iris."""
    model = HeadModel.load()
    median = np.median(irises, axis=0)
    out = []
    for side, corners in enumerate(mesh.EYES):
        lids = [mesh.VERTICES[p] for pair in mesh.LIDS[side] for p in pair] + [mesh.VERTICES[p] for p in corners]
        depth = model.eye_center[side, 2] + (vertices[lids] - model.vertices[lids])[:, 2].mean()
        # People look ahead most of the time, so the centre lies straight behind the median iris.
        out.append([*median[side, :2], depth])
    return np.asarray(out)
