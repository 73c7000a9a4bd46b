# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on the head's skin what is: lips, flush, scalp, lids, creases; from landmarks alone.

- No ``bpy`` module use; numpy only.

Everything is measured from the landmarks in units of the distance between the eyes, so that it
holds for any topology and identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HeadData = dict[str, NDArray[Any]]

# Height of the hairline over the eyes, in eye distances, by the angle round the head
# (degrees, 0 in front): brow of the hair, temple, sideburn, over the ear, nape.
HAIRLINE_ANGLES = (0.0, 22.0, 38.0, 50.0, 60.0, 68.0, 78.0, 90.0, 102.0, 115.0, 135.0, 180.0)
HAIRLINE_HEIGHTS = (1.27, 1.22, 1.02, 0.72, 0.42, 0.10, 0.36, 0.42, 0.20, -0.45, -1.10, -1.30)


# The middle line of a brow, in eye distances aside of the nose and over the eyes, and its half width
# in metres. A coarse mesh cannot hold a thin mask, but it holds the distance from a line.
BROW_ASIDE = (0.19, 0.30, 0.45, 0.60, 0.74, 0.86, 0.95)
BROW_HEIGHT = (0.335, 0.365, 0.410, 0.440, 0.425, 0.365, 0.29)
BROW_HALF_WIDTH = (0.0021, 0.0030, 0.0030, 0.0024, 0.0018, 0.0012, 0.0006)


def brow_offset(data: HeadData, points: Array) -> Array:
    """(N,) metres over the middle line of the brow, for points (N, 3)."""
    eyes = np.asarray(data["eye_center"], np.float64)
    unit = float(np.linalg.norm(eyes[0] - eyes[1]))
    aside = np.abs(points[:, 0]) / unit
    return np.asarray(points[:, 1] - eyes[:, 1].mean() - unit * np.interp(aside, BROW_ASIDE, BROW_HEIGHT))


def brow_width(data: HeadData, points: Array) -> Array:
    """(N,) half width of the brow there, metres; 0 beside it."""
    unit = float(np.linalg.norm(data["eye_center"][0] - data["eye_center"][1]))
    aside = np.abs(points[:, 0]) / unit
    return np.asarray(np.interp(aside, BROW_ASIDE, BROW_HALF_WIDTH, left=-0.002, right=-0.002))


def landmark(data: HeadData, name: str) -> Array:
    """(3,) place of a landmark."""
    index = list(data["landmark_names"]).index(name)
    return np.asarray(data["vertices"][data["landmark_indices"][index]], np.float64)


def smooth(value: NDArray[Any], low: float, high: float) -> Array:
    """0 at `low`, 1 at `high`, a smooth step between; falls when low > high."""
    t = np.clip((np.asarray(value, np.float64) - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def hairline(data: HeadData, points: Array) -> Array:
    """(N,) height of points (N, 3) over the hairline, metres; positive where hair grows."""
    eyes = np.asarray(data["eye_center"], np.float64)
    unit = float(np.linalg.norm(eyes[0] - eyes[1]))
    x, y, z = points.T
    angle = np.degrees(np.arctan2(np.abs(x), z - eyes[:, 2].mean() + 1.25 * unit))
    height = np.interp(angle, HAIRLINE_ANGLES, HAIRLINE_HEIGHTS)
    return np.asarray(y - eyes[:, 1].mean() - height * unit, np.float64)


def masks(data: HeadData) -> dict[str, Array]:
    """Point attributes (V,) of the skin.

    `lips`, `mottle`, `flush`, `scalp`, `lid`, `crease_brow` and `crease_forehead` are 0..1; `brow` and `brow_width` are metres, as above;
    `crease_cheek` is metres from the fold between nose and mouth corner.
    """
    points = np.asarray(data["vertices"], np.float64)
    skin = data["vertex_part"] == list(data["part_names"]).index("skin")
    out = {
        "brow": brow_offset(data, points),
        "brow_width": brow_width(data, points),
        "mottle": _mottle(points),
        "lips": _share_of_faces(data, "lip"),
        "flush": _flush(data, points),
        "scalp": smooth(hairline(data, points), -0.004, 0.008),
        "lid": _lid(data, points),
        "crease_cheek": _fold(data, points),
        **_creases(data, points),
    }
    out = {name: np.where(skin, mask, 0.0) for name, mask in out.items()}
    out["brow_width"][~skin] = -1.0
    out["crease_cheek"][~skin] = 0.1
    return out


def _mottle(points: Array) -> Array:
    """(V,) 0..1, uneven blood under the skin: waves of many directions, 5 to 25 mm long."""
    rng = np.random.default_rng(11)
    total = np.zeros(len(points))
    for length in (0.025, 0.016, 0.011, 0.008, 0.0055):
        ways = rng.normal(size=(5, 3))
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        phase = rng.uniform(0, 2 * np.pi, 5)
        total += np.sin(points @ ways.T * (2 * np.pi / length) + phase).sum(1)
    return np.asarray(0.5 + 0.5 * np.tanh(total / 4.0))


def _share_of_faces(data: HeadData, word: str) -> Array:
    """(V,) share of a vertex's faces whose material has `word` in its name."""
    named = np.array([word in str(name) for name in data["material_names"]])
    faces = data["faces"]
    hit = named[data["face_material"]].astype(np.float64)
    count, total = np.zeros((2, len(data["vertices"])))
    for corner in faces.T:
        there = corner >= 0
        np.add.at(count, corner[there], 1.0)
        np.add.at(total, corner[there], hit[there])
    return total / np.maximum(count, 1.0)


def _bump(points: Array, centre: Array, radius: float) -> Array:
    return np.asarray(np.exp(-(((points - centre) / radius) ** 2).sum(1)), np.float64)


def _flush(data: HeadData, points: Array) -> Array:
    """Cheeks, nose, chin, ears: where blood shows."""
    unit = float(np.linalg.norm(data["eye_center"][0] - data["eye_center"][1]))
    nose, chin = landmark(data, "nose_tip"), landmark(data, "chin")
    total = 0.75 * _bump(points, nose, 0.24 * unit) + 0.35 * _bump(points, chin, 0.3 * unit)
    for side in ("left", "right"):
        eye, mouth = landmark(data, f"eye_outer_{side}"), landmark(data, f"lip_corner_{side}")
        cheek = 0.55 * eye + 0.45 * mouth + np.array((np.sign(eye[0]) * 0.04 * unit, 0, 0.05 * unit))
        total = total + _bump(points, cheek, 0.42 * unit)
    ears = smooth(np.abs(points[:, 0]), 1.2 * unit, 1.35 * unit)
    ears *= smooth(points[:, 1], -0.05, -0.01) * smooth(points[:, 1], 0.08, 0.06)
    return np.clip(total + 0.6 * ears, 0.0, 1.0)


def _lid(data: HeadData, points: Array) -> Array:
    """The rims of the lids: skin close to the eyeball's front."""
    total = np.zeros(len(points))
    for centre in np.asarray(data["eye_center"], np.float64):
        away = points - centre
        distance = np.linalg.norm(away, axis=1) - float(data["eye_radius"])
        total += smooth(distance, 0.0035, 0.001) * (away[:, 2] > 0)
    return np.clip(total, 0.0, 1.0)


def _fold(data: HeadData, points: Array) -> Array:
    """(V,) metres in the picture's plane from the nasolabial fold; far away behind the face."""
    unit = float(np.linalg.norm(data["eye_center"][0] - data["eye_center"][1]))
    nose, corner = landmark(data, "nose_tip"), landmark(data, "lip_corner_left")
    along = (0.29 * unit, abs(corner[0]) + 0.12 * unit, abs(corner[0]) + 0.17 * unit)
    down = (nose[1] - 0.05 * unit, (nose[1] + corner[1]) / 2, corner[1] - 0.08 * unit)
    height = np.linspace(0.0, 1.0, 40)
    x, y = (np.interp(height, (0.0, 0.5, 1.0), values) for values in (along, down))
    aside = np.abs(points[:, :1]) - x
    away = np.sqrt(aside**2 + (points[:, 1:2] - y) ** 2).min(1)
    return np.asarray(np.where(points[:, 2] > nose[2] - 0.8 * unit, away, 0.1))


def _creases(data: HeadData, points: Array) -> dict[str, Array]:
    left, right = landmark(data, "brow_inner_left"), landmark(data, "brow_inner_right")
    middle, unit = (left + right) / 2, float(np.linalg.norm(data["eye_center"][0] - data["eye_center"][1]))
    x, y, z = (points - middle).T
    front = smooth(z, -0.6 * unit, -0.3 * unit)
    brow = np.exp(-((x / (0.22 * unit)) ** 2) - ((y / (0.19 * unit)) ** 2))
    forehead = smooth(y, 0.16 * unit, 0.34 * unit) * smooth(y, 0.86 * unit, 0.6 * unit)
    forehead *= smooth(np.abs(x), 0.75 * unit, 0.4 * unit)
    return {"crease_brow": brow * front, "crease_forehead": forehead * front}
