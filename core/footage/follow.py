# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person's head does in every picture of a piece of film: pose, expression, blink, gaze.

Smoothing takes the tracker's jitter and leaves the motion: a local parabola (Savitzky and Golay 1964)
keeps peaks, the head's own is wider as a head is slow, and its distance, which one picture hardly
tells, wider still. Lips that meet in the picture meet in the fit: there the mouth's coefficients stay
as they were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from ..arkit import ARKIT_NAMES
from ..tracking.fit import Fit, Measures, weights_of
from .likeness import Likeness, Sight, better_pose, eyes_apart, first_pose, fitted, local
from .pose import HeadPose

Array = npt.NDArray[np.float64]

_FACE, _HEAD, _AWAY = 0.09, 0.06, 0.16
"""Seconds: half the window of the face's parabola; standard deviations of the head's Gaussian, across
and in distance."""
_CLOSED: Final = 0.006
"""Parting of the inner lips, over their parting in rest, below which they meet; in distances between
the outer eye corners."""
_MOUTH: Final = np.array([n.startswith(("mouth", "jaw", "tongue", "cheekPuff")) for n in ARKIT_NAMES])
_LIDS: Final = np.array([n.startswith("eyeBlink") for n in ARKIT_NAMES])


@dataclass(frozen=True)
class Motion:
    """A piece of T frames, as a render set has it."""

    arkit: Array
    """(T, 52)"""
    gaze: Array
    """(T, 2, 2) radians"""
    pose: HeadPose


def follow(sight: Sight, known: Likeness, fps: float) -> Motion:
    """Fit a person's head to the T pictures of one piece.

    Args:
        sight: the pictures, one after the other.
        known: the person.
        fps: pictures a second.

    """
    pose = _steady(first_pose(sight, known), fps)
    found = fitted(*local(sight, known, pose), known)
    for _ in range(2):
        weights = weights_of(found)
        pose = _steady(better_pose(sight, known, pose, weights), fps)
        face, irises = local(sight, known, pose, weights)
        found = fitted(face, irises, known)
    return _smooth(found, face / eyes_apart(known.head), known, pose, fps)


def _steady(pose: HeadPose, fps: float) -> HeadPose:
    """Without jitter; rotations as vectors about their mean, where they add."""
    mean = Rotation.from_matrix(pose.rotation).mean()
    turn = (mean.inv() * Rotation.from_matrix(pose.rotation)).as_rotvec()
    turn = gaussian_filter1d(turn, _HEAD * fps, axis=0, mode="nearest")
    place = pose.translation
    # Along the ray through the head, so that a steadier distance does not shift the picture.
    away = gaussian_filter1d(place[:, 2], _AWAY * fps, mode="nearest")
    across = gaussian_filter1d(place[:, :2], _HEAD * fps, axis=0, mode="nearest")
    return HeadPose((mean * Rotation.from_rotvec(turn)).as_matrix(), np.column_stack([across, away]))


def _smooth(found: Fit, face: Array, known: Likeness, pose: HeadPose, fps: float) -> Motion:
    weights = weights_of(found)
    smooth = np.clip(parabola(weights, fps), 0, 1)
    gap = Measures.of(face).gap - known.rest.seen.gap
    meet = np.clip(2 - gap / _CLOSED, 0, 1)
    keep = maximum_filter1d(meet, 3)[:, None]
    smooth = np.where(_MOUTH, keep * weights + (1 - keep) * smooth, smooth)
    # Lids are as quick as pictures follow each other: a parabola would leave them ajar.
    smooth[:, _LIDS] = weights[:, _LIDS]
    return Motion(smooth, parabola(found.gaze, fps), pose)


def parabola(values: Array, fps: float) -> Array:
    """(T, ...) smoothed over time; too short a piece stays as it is."""
    window = 2 * max(2, round(_FACE * fps)) + 1
    if len(values) < window:
        return values
    return np.asarray(savgol_filter(values, window, 2, axis=0, mode="interp"))
