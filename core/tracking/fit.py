# SPDX-License-Identifier: GPL-3.0-or-later
"""From the face points of T frames, rigid motion undone, to ARKit coefficients of the built-in head.

Blendshapes are linear, so each frame is a least-squares problem with bounds and the same matrix:

    min over 0 <= w <= 1 of  sum_r ((A w - d)_r / sigma_r)^2 + sum_k (ridge_k w_k^2 + 2 sparse w_k)

A's rows are the offsets of the mesh's points per coefficient, and, surer than those, what is measured
between two points of the same frame: how far the lips part, how wide the mouth is, how far the lids
open. d is the same of the person, less the person's own rest. Lengths are in distances between the
outer eye corners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from ..arkit import ARKIT_NAMES, EXPRESSION_NAMES, GAZE_FULL_PITCH, GAZE_FULL_YAW
from ..head.model import HeadModel
from . import mesh

Array = npt.NDArray[np.float64]

POINTS: Final = tuple(mesh.VERTICES)
"""The mesh points that are looked at, in the order of every (T, K, 3) here."""
_AT: Final = {point: i for i, point in enumerate(POINTS)}

SIGMA: Final = {"point": 0.08, "lip": 0.04, "brow": 0.02, "depth": 0.25, "gap": 0.002, "side": 0.006,
                "width": 0.003, "chin": 0.01, "lid": 0.004}  # fmt: skip
"""How sure a row is: a point's place (one person is not another), also along the line of sight (the
mesh guesses it), and the distances."""
_RIDGE: Final = 2.0
_SPARSE: Final = 0.6
_COSTLY: Final = {"cheekPuff": 8.0, "jawForward": 8.0}
"""Ridge of what only the depth tells of, as a multiple."""
_BLOCK: Final = 1024
"""Frames that are fitted at once: an hour of film fits into memory."""
_SWEEPS: Final = 300
_STILL: Final = 1e-5
_MOST_CLOSED: Final = 0.04
"""Lips that part further than this even in their most closed frames never met in the film."""
_MOST_SHUT, _SHUT = 0.5, 0.2
"""Lids that stay above the first share of their opening never shut; the mesh sees the second then."""
_AWAKE: Final = 0.5
"""Share of their opening above which lids show the iris."""
_IRIS_REACH: Final = 0.113
"""From the eyeball's centre to the iris: 10.5 mm where the outer corners are 93 mm apart."""
_OWN_GAZE: Final = 0.2
"""Radians by which the irises of someone who looks ahead may seem off."""


@dataclass(frozen=True)
class Fit:
    """The face of T frames, as in :class:`~..tracks.FaceTracks`."""

    expression: Array
    """(T, 42)"""
    blink: Array
    """(T, 2)"""
    gaze: Array
    """(T, 2, 2) radians"""


@dataclass(frozen=True)
class Measures:
    """Distances within T frames."""

    gap: Array
    """(T,) between the inner lips"""
    width: Array
    """(T,) between the mouth's corners"""
    sides: Array
    """(T, 4) between the inner lips beside the middle"""
    lids: Array
    """(T, 2) opening of the lids, left and right"""
    chin: Array
    """(T,) from the nose to the chin"""

    @staticmethod
    def of(face: Array) -> Measures:
        """Measure (T, K, 3)."""

        def distance(pair: tuple[int, int]) -> Array:
            a, b = (face[:, _AT[p]] for p in pair)
            return np.asarray(np.linalg.norm(a - b, axis=1))

        def height(pair: tuple[int, int]) -> Array:
            upper, lower = (face[:, _AT[p], 1] for p in pair)
            return np.asarray(upper - lower)

        lids = [np.mean([height(pair) for pair in side], axis=0) for side in mesh.LIDS]
        return Measures(
            height(mesh.INNER_LIPS), distance(mesh.MOUTH_CORNERS),
            np.stack([height(pair) for pair in mesh.GAPS], axis=1), np.stack(lids, axis=1),
            height(mesh.NOSE_AND_CHIN),
        )  # fmt: skip


@dataclass(frozen=True)
class Rest:
    """A person's own rest: lips touching, eyes open, nothing raised, looking ahead."""

    face: Array
    """(K, 3)"""
    seen: Measures
    """of T = 1 frame; lips and lids as they are when they meet and when they are open"""
    shut: Array
    """(2,) what the mesh shows of lids that are shut"""
    gaze: Array
    """(2,) yaw and pitch that the irises seem to have"""

    @staticmethod
    def of(face: Array, irises: Array) -> Rest:
        """Read it off T frames as :func:`fit` takes them.

        The mouth's is that of the frames whose lips are closed and still, the rest's the median: the
        more the frames show but one expression, the more of it counts as rest.
        """
        seen = Measures.of(face)
        calm = _calm(face, seen.gap)
        own = np.median(face, axis=0)
        mouth = [_AT[p] for p in mesh.MOUTH]
        own[mouth] = np.median(face[calm][:, mouth], axis=0)
        opened, lowest = np.percentile(seen.lids, (75, 1), axis=0)
        met = Measures(
            np.minimum(np.percentile(seen.gap, [5]), _MOST_CLOSED),
            np.median(seen.width[calm], keepdims=True),
            np.minimum(np.percentile(seen.sides, [5], axis=0), _MOST_CLOSED),
            opened[None],
            np.median(seen.chin[calm], keepdims=True),
        )
        shut = np.where(lowest < _MOST_SHUT * opened, lowest, _SHUT * opened)
        awake = _looks_at(face, irises)[(seen.lids > _AWAKE * opened).all(1)]
        gaze = np.median(awake, axis=0) if len(awake) else np.zeros(2)
        return Rest(own, met, shut, np.clip(gaze, -_OWN_GAZE, _OWN_GAZE))


def fit(
    face: Array,
    irises: Array,
    rest: Rest,
    head: HeadModel | None = None,
    sure: Mapping[str, float] = SIGMA,
) -> Fit:
    """Fit T frames.

    Args:
        face: (T, K, 3) in the head's frame, in distances between the outer eye corners.
        irises: (T, 2, 3) left and right, likewise.
        rest: the person's.
        head: the head to fit; None is the built-in one.
        sure: the rows' sigma; that of points may be less where ``head`` is the person's own.

    """
    model = head or HeadModel.load()
    effects, sigma = _rows(model, sure)
    lids = np.clip((Measures.of(face).lids - rest.shut) / (rest.seen.lids - rest.shut), 0, None)
    gaze = _gaze(_looks_at(face, irises) - rest.gaze, lids)
    free = np.array([n != "tongueOut" and not n.startswith("eyeLook") for n in ARKIT_NAMES])
    ridge = _RIDGE * np.array([_COSTLY.get(n, 1.0) for n in ARKIT_NAMES])[free]
    weights = np.zeros((len(face), len(ARKIT_NAMES)))
    for first in range(0, len(face), _BLOCK):
        now = slice(first, first + _BLOCK)
        found = _differences(face[now], rest, lids[now], model) - _lids_of(gaze[now]) @ effects.T
        weights[now, free] = bounded_least_squares(
            effects[:, free] / sigma[:, None], found / sigma, ridge, _SPARSE
        )
    return Fit(
        weights[:, [ARKIT_NAMES.index(n) for n in EXPRESSION_NAMES]],
        weights[:, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]],
        gaze,
    )


def weights_of(found: Fit) -> Array:
    """(T, 52) ARKit weights, the lids' part of the gaze among them."""
    weights = _lids_of(found.gaze)
    weights[:, [ARKIT_NAMES.index(n) for n in EXPRESSION_NAMES]] = found.expression
    weights[:, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = found.blink
    return weights


def bounded_least_squares(a: Array, d: Array, ridge: Array, sparse: float) -> Array:
    """Weights within 0..1 that minimise the sum of this module's first lines, sigma divided out.

    Coordinate descent, all frames at once; the problem is strictly convex, so it has one answer.

    Args:
        a: (R, K) effect of each coefficient.
        d: (T, R) what is to be explained.
        ridge: (K,) above 0.
        sparse: what a coefficient costs by itself, so that noise raises none.

    Returns:
        (T, K).

    """
    square = a.T @ a + np.diag(ridge)
    pull = d @ a - sparse
    weights = np.zeros_like(pull)
    for _ in range(_SWEEPS):
        before = weights.copy()
        for k, own in enumerate(np.diag(square)):
            step = (pull[:, k] - weights @ square[:, k]) / own
            weights[:, k] = np.clip(weights[:, k] + step, 0, 1)
        if np.abs(weights - before).max(initial=0) < _STILL:
            break
    return weights


def _rows(head: HeadModel, sigma: Mapping[str, float]) -> tuple[Array, Array]:
    """(R, 52) effects of the coefficients and (R,) sigma; the rows as in :func:`_differences`."""
    unit = _eyes_apart(head)
    deltas = head.shape_deltas.astype(np.float64) / unit
    points = deltas[:, list(mesh.VERTICES.values())]

    def between(a: str, b: str, axis: int) -> Array:
        return np.asarray((deltas[:, head.landmark(a)] - deltas[:, head.landmark(b)])[:, axis])

    rows = [
        points.reshape(len(ARKIT_NAMES), -1),
        between("lip_upper_inner", "lip_lower_inner", 1)[:, None],
        between("lip_corner_left", "lip_corner_right", 0)[:, None],
        -deltas[:, head.landmark("chin"), 1][:, None],
        np.stack([points[:, _AT[u], 1] - points[:, _AT[low], 1] for u, low in mesh.GAPS], 1),
        np.stack([between(f"lid_upper_{s}", f"lid_lower_{s}", 1) for s in ("left", "right")], 1),
    ]
    place = np.array([[sigma[_kind(p)]] * 3 for p in POINTS])
    place[:, 2] = sigma["depth"]
    kinds = ("gap", "width", "chin", "side", "lid")
    sure = [np.full(r.shape[1], sigma[kind]) for kind, r in zip(kinds, rows[1:])]
    return np.concatenate(rows, axis=1).T, np.concatenate([place.ravel(), *sure])


def _kind(point: int) -> str:
    return "lip" if point in mesh.LIPS else "brow" if point in mesh.BROWS else "point"


def _differences(face: Array, rest: Rest, lids: Array, head: HeadModel) -> Array:
    """(T, R) what the person does against the own rest; ``lids`` (T, 2) is the share that is open."""
    seen = Measures.of(face)
    corners = [[head.landmark(f"lid_{edge}_{s}") for s in ("left", "right")]
               for edge in ("upper", "lower")]  # fmt: skip
    upper, lower = head.vertices[corners, 1].astype(np.float64)
    found = [
        (face - rest.face).reshape(len(face), -1),
        np.maximum(seen.gap - rest.seen.gap, 0)[:, None],
        (seen.width - rest.seen.width)[:, None],
        (seen.chin - rest.seen.chin)[:, None],
        np.maximum(seen.sides - rest.seen.sides, 0),
        (lids - 1) * (upper - lower) / _eyes_apart(head),
    ]
    return np.concatenate(found, axis=1)


def _calm(face: Array, gap: Array) -> npt.NDArray[np.bool_]:
    """(T,) frames whose lips are closest, and of these the third whose mouth moves least.

    The lips of a person at rest stay where they are; those of a /p/ have somewhere to go.
    """
    step = np.linalg.norm(np.diff(face[:, [_AT[p] for p in mesh.MOUTH]], axis=0), axis=2).mean(1)
    motion = uniform_filter1d(np.concatenate([step[:1], step, step[-1:]]), 7)[: len(gap)]
    closed = gap <= np.percentile(gap, 25)
    return np.asarray(closed & (motion <= np.percentile(motion[closed], 34)))


def _looks_at(face: Array, irises: Array) -> Array:
    """(T, 2) yaw and pitch, radians: the mean of both eyes, as single irises are placed roughly.

    The eyeballs lie inward of the middle between the corners, by as much on either side.
    """
    offsets = [
        irises[:, side, :2] - np.mean([face[:, _AT[c], :2] for c in corners], axis=0)
        for side, corners in enumerate(mesh.EYES)
    ]
    return np.asarray(np.arcsin(np.clip(np.mean(offsets, axis=0) / _IRIS_REACH, -0.9, 0.9)))


def _gaze(looks: Array, lids: Array) -> Array:
    """(T, 2, 2) of both eyes; behind lids that are shut it goes over to what comes next."""
    known, at = np.flatnonzero((lids > _AWAKE).all(1)), np.arange(len(looks))
    if not len(known):
        return np.zeros((len(looks), 2, 2))
    seen = np.stack([np.interp(at, known, c[known]) for c in looks.T], axis=1)
    return np.repeat(seen[:, None], 2, axis=1)


def _lids_of(gaze: Array) -> Array:
    """(T, 52) the lids' part of a gaze, as ``FaceTracks.arkit_weights`` has it."""
    weights = np.zeros((len(gaze), len(ARKIT_NAMES)))
    for side, name in enumerate(("Left", "Right")):
        outward = gaze[:, side, 0] * (1 if name == "Left" else -1) / GAZE_FULL_YAW
        upward = gaze[:, side, 1] / GAZE_FULL_PITCH
        for way, value in (("Out", outward), ("In", -outward), ("Up", upward), ("Down", -upward)):
            weights[:, ARKIT_NAMES.index(f"eyeLook{way}{name}")] = np.clip(value, 0, 1)
    return weights


def _eyes_apart(head: HeadModel) -> float:
    corners = head.vertices[[head.landmark(f"eye_outer_{side}") for side in ("left", "right")]]
    return float(np.linalg.norm(corners[0] - corners[1]))
