# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head before a camera, as the face tracker would see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from core.arkit import ARKIT_NAMES
from core.head.model import HeadModel
from core.raster import Camera
from core.tracking import mesh
from core.tracking.film import POINTS

Array = npt.NDArray[np.float64]
IDENTITY = (0.8, -0.6, 0.5, 0.3, -0.7)
CAMERA = Camera(30.0, (0.01, 0.03, 0.9))
"""Of the film: not the render set's."""


@dataclass(frozen=True)
class Seen:
    """T frames."""

    points: npt.NDArray[np.float32]
    """(T, 478, 3) pixels"""
    arkit: Array
    """(T, 52)"""
    rotation: Array
    """(T, 3) radians"""


def speaking(count: int, size: int = 400, seed: int = 0) -> Seen:
    """A face that talks, blinks and moves a little, in square pictures of ``size`` pixels."""
    rng = np.random.default_rng(seed)
    head = HeadModel.load()
    at = np.arange(count) / 25
    arkit = np.zeros((count, len(ARKIT_NAMES)))
    talk = np.clip(np.sin(2 * np.pi * 1.3 * at), 0, 1) * (at % 4 < 3)
    for name, part in (("jawOpen", 0.45), ("mouthLowerDownLeft", 0.2), ("mouthLowerDownRight", 0.2)):
        arkit[:, ARKIT_NAMES.index(name)] = part * talk
    blink = np.clip(1.6 - np.abs((at % 3) - 1.5) / 0.1, 0, 1)
    for side in ("Left", "Right"):
        arkit[:, ARKIT_NAMES.index(f"eyeBlink{side}")] = blink
    rotation = np.column_stack([0.05 * np.sin(at), 0.12 * np.sin(0.7 * at), 0.03 * np.sin(1.1 * at)])
    place = 0.005 * np.column_stack([np.sin(0.5 * at), np.cos(0.4 * at), np.sin(0.3 * at)])
    gaze = np.zeros((count, 2, 2))
    posed = head.deform(arkit, gaze, rotation, place, IDENTITY).astype(np.float64)
    seen = _projected(posed, size)
    points = np.repeat(seen[:, [mesh.VERTICES[1]]], POINTS, axis=1)
    points[:, list(mesh.VERTICES)] = seen[:, list(mesh.VERTICES.values())]
    middle = head.eye_centers(IDENTITY).astype(np.float64) + (0, 0, head.eye_radius)
    irises = _rotated(middle, rotation) + place[:, None]
    points[:, list(mesh.IRISES)] = _projected(irises, size)
    points += rng.normal(scale=0.15, size=points.shape)
    return Seen(points.astype(np.float32), arkit, rotation)


def _rotated(points: Array, rotation: Array) -> Array:
    return np.asarray(points @ Rotation.from_rotvec(rotation).as_matrix().swapaxes(1, 2))


def _projected(points: Array, size: int) -> Array:
    """(..., 3) pixels right, down, and away in the same unit."""
    focal = CAMERA.focal(size)
    offset = points - np.asarray(CAMERA.position)
    across = size / 2 + offset[..., :2] * (1, -1) * focal / -offset[..., 2:]
    away = -points[..., 2:] * focal / CAMERA.position[2]
    return np.concatenate([across, away], -1)


def scan(count: int, size: tuple[int, int] = (400, 400), seed: int = 0) -> dict[str, npt.NDArray[np.generic]]:
    """What `core.footage.scan` would say of such a film."""
    seen = speaking(count, min(size), seed)
    return {
        "points": seen.points, "times": np.arange(count) / 25, "rate": np.array([25, 1]),
        "size": np.array(size), "faces": np.ones(count, np.int32), "hand": np.zeros(count, bool),
        "light": np.full(count, 130, np.float32), "bridge": np.full(count, 0.02, np.float32),
        "change": np.full(count, 0.5, np.float32),
        "woven": np.array(False), "bright": np.array(False),
    }  # fmt: skip
