# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of the head as angles that an animator reads.

- No ``bpy`` module use; numpy only.

Axes: x to the character's left, y up, z out of the face. Yaw > 0 turns to the character's left,
pitch > 0 looks up, roll > 0 tilts to the right shoulder.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .head.model import rotation_matrix

Array = npt.NDArray[np.float64]


def euler_degrees(axis_angle: npt.ArrayLike) -> Array:
    """(T, 3) axis-angle to (T, 3) yaw, pitch, roll in degrees.

    The rotation is roll first, then pitch, then yaw: R = Ry(yaw) Rx(-pitch) Rz(roll).
    """
    r = rotation_matrix(axis_angle)
    yaw = np.arctan2(r[:, 0, 2], r[:, 2, 2])
    pitch = np.arcsin(np.clip(r[:, 1, 2], -1, 1))
    roll = np.arctan2(r[:, 1, 0], r[:, 1, 1])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)), np.float64)


def axis_angle(euler: npt.ArrayLike) -> Array:
    """(T, 3) yaw, pitch, roll in degrees to (T, 3) axis-angle: the inverse, by quaternions."""
    yaw, pitch, roll = np.radians(np.asarray(euler, np.float64)).T / 2
    cy, sy = np.cos(yaw), np.sin(yaw)
    cx, sx = np.cos(-pitch), np.sin(-pitch)
    cz, sz = np.cos(roll), np.sin(roll)
    w = cy * cx * cz + sy * sx * sz
    xyz = np.stack([
        cy * sx * cz + sy * cx * sz,
        sy * cx * cz - cy * sx * sz,
        cy * cx * sz - sy * sx * cz,
    ], axis=1)  # fmt: skip
    half = np.linalg.norm(xyz, axis=1, keepdims=True)
    angle = 2 * np.arctan2(half, w[:, None])
    return np.where(half > 1e-12, xyz / np.maximum(half, 1e-12) * angle, 2 * xyz)
