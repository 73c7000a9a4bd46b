# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a head is in front of a fixed camera, from where its points fall on the pictures.

Gauss-Newton on the points' distances in pixels, with the perspective camera of the render set
(`core.training.head_data` gives the formula), all frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..raster import Camera

Array = npt.NDArray[np.float64]

_ROUNDS: Final = 5
_BLOCK: Final = 1024
"""Frames solved at once: an hour of film fits into memory."""
_ROBUST: Final = 3.0
"""Pixels beyond which a point counts less (Huber)."""


@dataclass(frozen=True)
class HeadPose:
    """The head in T frames: a point x of the head at rest is seen at rotation @ x + translation."""

    rotation: Array
    """(T, 3, 3)"""
    translation: Array
    """(T, 3) metres"""

    def axis_angle(self) -> Array:
        """(T, 3) radians."""
        return np.asarray(Rotation.from_matrix(self.rotation).as_rotvec())

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_]) -> HeadPose:
        """Some of the frames."""
        return HeadPose(self.rotation[rows], self.translation[rows])

    def apply(self, points: Array) -> Array:
        """(T, K, 3) or (K, 3) of the head -> (T, K, 3) in the camera's space."""
        return np.asarray(points @ self.rotation.swapaxes(1, 2) + self.translation[:, None])


def project(camera: Camera, size: int, points: Array) -> Array:
    """(..., 3) metres -> (..., 2) pixel column and row."""
    offset = points - np.asarray(camera.position)
    scale = -camera.focal(size) / offset[..., 2:]
    return np.asarray(size / 2 + offset[..., :2] * scale * (1, -1))


def unproject(camera: Camera, size: int, pixels: Array, depth: Array) -> Array:
    """(..., 2) pixels and their (...,) z in metres -> (..., 3): the inverse of `project`."""
    away = np.asarray(camera.position[2] - depth)[..., None]
    across = (pixels - size / 2) * (1, -1) * away / camera.focal(size)
    return np.concatenate([across + camera.position[:2], np.asarray(depth)[..., None]], -1)


def locate(
    points: Array, pixels: Array, camera: Camera, size: int, start: HeadPose, weight: Array
) -> HeadPose:
    """The pose that brings the points onto the pixels.

    Args:
        points: (T, K, 3) or (K, 3) of the head, metres.
        pixels: (T, K, 2) where they are seen.
        camera: fixed.
        size: pixels of the square pictures.
        start: within some tenths of a radian.
        weight: (K,) how much a point says of the pose.

    """
    found = []
    for first in range(0, len(pixels), _BLOCK):
        now = slice(first, first + _BLOCK)
        mine, pose = points if points.ndim == 2 else points[now], start[now]
        for _ in range(_ROUNDS):
            pose = _step(mine, pixels[now], camera, size, pose, weight)
        found.append(pose)
    return HeadPose(*(np.concatenate([getattr(p, n) for p in found]) for n in ("rotation", "translation")))


def jacobian(camera: Camera, size: int, points: Array) -> Array:
    """(..., 2, 3) how pixels move with (..., 3) points in the camera's space, pixels a metre."""
    offset = points - np.asarray(camera.position)
    scale = -camera.focal(size) / offset[..., 2]
    out = np.zeros((*points.shape[:-1], 2, 3))
    out[..., 0, 0], out[..., 1, 1] = scale, -scale
    out[..., :, 2] = -offset[..., :2] * (1, -1) * (scale / offset[..., 2])[..., None]
    return out


def _step(
    points: Array, pixels: Array, camera: Camera, size: int, pose: HeadPose, weight: Array
) -> HeadPose:
    placed = pose.apply(points)
    error = pixels - project(camera, size, placed)
    length = np.linalg.norm(error, axis=-1)
    share = weight * np.minimum(1, _ROBUST / np.maximum(length, 1e-9))
    across = jacobian(camera, size, placed)
    arm = placed - pose.translation[:, None]
    # Turning by w moves a point by w x arm: the rows of the cross product's matrix, negated.
    zero = np.zeros(arm.shape[:2])
    x, y, z = np.moveaxis(arm, -1, 0)
    turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(*arm.shape, 3)
    rows = np.concatenate([across @ turn, across], -1)
    square = np.einsum("tk,tkai,tkaj->tij", share, rows, rows)
    pull = np.einsum("tk,tkai,tka->ti", share, rows, error)
    move = np.linalg.solve(square, pull[..., None])[..., 0]
    turned = Rotation.from_rotvec(move[:, :3]).as_matrix() @ pose.rotation
    return HeadPose(turned, pose.translation + move[:, 3:])
