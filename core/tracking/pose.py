# SPDX-License-Identifier: GPL-3.0-or-later
"""The rigid part of a tracked face: where the head is, and the face as if it had not moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Array = npt.NDArray[np.float64]

_ROUNDS: Final = 4


@dataclass(frozen=True)
class Pose:
    """target = scale * rotation @ source + translation, for T frames."""

    scale: Array
    """(T,)"""
    rotation: Array
    """(T, 3, 3)"""
    translation: Array
    """(T, 3)"""

    def undo(self, points: Array) -> Array:
        """(T, K, 3) targets to sources."""
        return np.asarray(
            (points - self.translation[:, None]) @ self.rotation / self.scale[:, None, None]
        )

    def axis_angle(self) -> Array:
        """(T, 3) radians."""
        return np.asarray(Rotation.from_matrix(self.rotation).as_rotvec())


def similarity(source: Array, target: Array) -> Pose:
    """The least-squares similarity of Umeyama (1991, eqs. 40 to 42).

    Args:
        source: (K, 3).
        target: (T, K, 3).

    """
    middle, centres = source.mean(0), target.mean(1)
    a, b = source - middle, target - centres[:, None]
    u, d, vt = np.linalg.svd(np.einsum("tki,kj->tij", b, a) / len(a))
    sign = np.ones_like(d)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))  # a reflection is no pose
    rotation = (u * sign[:, None]) @ vt
    scale = (d * sign).sum(1) / (a**2).sum(1).mean()
    return Pose(scale, rotation, centres - scale[:, None] * (rotation @ middle))


def skull_of(points: Array, rest: Array) -> Array:
    """The person's own rigid points, laid onto those of the head.

    The median over time, each frame moved onto the last guess: generalised Procrustes analysis
    (Gower 1975) with a median, which a frame that went wrong does not draw.

    Args:
        points: (T, R, 3) that hardly move in the face; y up, towards the camera last; any unit.
        rest: (R, 3) the same points of the head at rest, metres.

    Returns:
        (R, 3) metres.

    """
    skull = rest
    for _ in range(_ROUNDS):
        median = np.median(similarity(skull, points).undo(points), axis=0)[None]
        skull = similarity(rest, median).undo(median)[0]
    return skull
