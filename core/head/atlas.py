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
    names = [name for name in model.part_names if name not in _SKIN and len(model.part(name))]
    views = [model.vertices[model.part(name), :2].astype(np.float64) * (1, -1) for name in names]
    scale = _SCALE
    while (corners := _packed([scale * np.ptp(view, axis=0) for view in views])) is None:
        scale *= 0.95
    charts = np.zeros((len(model.vertices), 2))
    for name, view, corner in zip(names, views, corners, strict=True):
        charts[model.part(name)] = corner + scale * (view - view.min(0))
    places = np.concatenate([model.uv.astype(np.float64), charts]) / (1, HEIGHT)
    triangles = model.triangles.astype(np.int64)
    skin = np.isin(np.array(model.part_names)[model.vertex_part[triangles[:, 0]]], _SKIN)
    own = np.where(skin[:, None], model.triangles_uv.astype(np.int64), len(model.uv) + triangles)
    return places.astype(np.float32), own


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
