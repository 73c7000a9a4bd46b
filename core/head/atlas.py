# SPDX-License-Identifier: GPL-3.0-or-later
"""The texture atlas of a head: one picture on which every part has a place of its own.

The UVs of a head are for its materials, of which each fills the unit square: on one picture a tooth would lie
over the chin, and every tooth and eyelash over the whole of it. Here the skin keeps its chart, and below it
each other part has the view of it from the front, at rest.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .model import HeadModel

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

HEIGHT: Final = 4 / 3
"""Of the picture, in its widths; the skin's chart is as high as wide."""
_SKIN: Final = ("skin", "mouth")
"""Parts that are unwrapped together: the mouth's bag fills the hole between the lips."""
_SCALE: Final = 4.0
"""Widths of the picture to a metre, or less where the charts would find no room."""
_GAP: Final = 0.01
"""Widths between charts, so that none bleeds into another."""


def unwrapped(model: HeadModel) -> tuple[Floats, NDArray[np.int64]]:
    """Places on the atlas.

    Returns:
        (P, 2) places in 0..1 across and down, and (F, 3) of the triangles' corners.

    """
    vertices = model.vertices.astype(np.float64)
    names = [name for name in model.part_names if name not in _SKIN and len(model.part(name))]
    charts = {name: model.part(name) for name in names}
    flat = {name: vertices[which, :2] * (1, -1) for name, which in charts.items()}
    low = {name: values.min(0) for name, values in flat.items()}
    scale = _SCALE
    while (corners := _packed([scale * np.ptp(flat[name], axis=0) for name in names])) is None:
        scale *= 0.95
    places = np.zeros((len(vertices), 2))
    for name, corner in zip(names, corners, strict=True):
        places[charts[name]] = corner + scale * (flat[name] - low[name])
    all_places = np.concatenate([model.uv.astype(np.float64), places])
    all_places[:, 1] /= HEIGHT
    triangles = model.triangles.astype(np.int64)
    kept = np.isin(model.vertex_part[triangles[:, 0]], [model.part_names.index(n) for n in _SKIN if n in model.part_names])
    corners_of = np.where(kept[:, None], model.triangles_uv.astype(np.int64), len(model.uv) + triangles)
    return all_places.astype(np.float32), corners_of


def _packed(sizes: list[Array]) -> list[Array] | None:
    """Upper left corners of charts, (across, down), on shelves below the skin; None if there is no room."""
    corners, x, y, shelf = [np.zeros(2)] * len(sizes), _GAP, 1 + _GAP, 0.0
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i][1]):
        width, height = sizes[index]
        if x + width + _GAP > 1:
            x, y, shelf = _GAP, y + shelf + _GAP, 0.0
        if x + width + _GAP > 1 or y + height + _GAP > HEIGHT:
            return None
        corners[index] = np.array([x, y])
        x, shelf = x + width + _GAP, max(shelf, height)
    return corners
