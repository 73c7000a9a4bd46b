# SPDX-License-Identifier: GPL-3.0-or-later
"""A batched triangle rasteriser in plain torch: perspective, z-buffer, exact interpolation.

Every triangle's bounding box is spread into fragments (one per pixel centre in it), fragments are
tested against the three edges, and the nearest wins a pixel by a maximum over packed
(depth, triangle) keys. A maximum does not depend on order, so the result is deterministic on every
device. No compiler, no custom operator.

Pixel (0, 0) is the upper left square, its centre at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 0.01
"""Metres: triangles with a corner nearer to the camera are not drawn."""


@dataclass(frozen=True)
class Camera:
    """A fixed camera in core space that looks along -Z with +Y up; square pixels, square picture."""

    fov_y: float = 18.5
    """Full angle of view, degrees."""
    position: tuple[float, float, float] = (0.0, 0.045, 1.05)
    """Metres."""

    def focal(self, size: int) -> float:
        """Focal length in pixels of a picture of ``size`` x ``size``."""
        return 0.5 * size / math.tan(math.radians(self.fov_y) / 2)

    def project(self, vertices: Tensor, size: int) -> Tensor:
        """(..., 3) metres -> (..., 3): pixel column, pixel row, inverse distance 1/m."""
        offset = vertices - vertices.new_tensor(self.position)
        inverse = -1.0 / offset[..., 2].clamp(max=-1e-6)
        scale = self.focal(size) * inverse
        column = 0.5 * size + offset[..., 0] * scale
        row = 0.5 * size - offset[..., 1] * scale
        return torch.stack([column, row, inverse], -1)

    def rays(self, size: int, device: torch.device | None = None) -> Tensor:
        """(size, size, 3) direction through each pixel centre, with z = -1."""
        steps = (torch.arange(size, device=device) + 0.5 - 0.5 * size) / self.focal(size)
        row, column = torch.meshgrid(-steps, steps, indexing="ij")
        return torch.stack([column, row, -torch.ones_like(row)], -1)


@dataclass(frozen=True)
class Fragments:
    """The visible surface, one entry per covered pixel, in the order of the pixels."""

    shape: tuple[int, int, int]
    """B, height, width."""
    pixel: Tensor
    """(P,) int64 index into the B*height*width pixels."""
    batch: Tensor
    """(P,) int64 picture of the batch."""
    triangle: Tensor
    """(P,) int64 index of the triangle seen there."""
    weights: Tensor
    """(P, 3) barycentric weights in space (perspective corrected); they sum to 1."""

    def interpolate(self, corners: Tensor, attributes: Tensor) -> Tensor:
        """Values of a vertex attribute at the covered pixels.

        Args:
            corners: (N, 3) index into the attribute's rows for each triangle's corners.
            attributes: (A, C), the same in the whole batch, or (B, A, C).

        Returns:
            (P, C).

        """
        index = corners.index_select(0, self.triangle)
        if attributes.dim() == 3:
            index = index + (self.batch * attributes.shape[1])[:, None]
            attributes = attributes.flatten(0, 1)
        value = attributes.index_select(0, index[:, 0]) * self.weights[:, 0:1]
        for k in (1, 2):
            value += attributes.index_select(0, index[:, k]) * self.weights[:, k : k + 1]
        return value

    def paint(self, values: Tensor, background: float = 0.0) -> Tensor:
        """(P, C) values at the covered pixels -> (B, C, height, width), channels last in memory."""
        b, h, w = self.shape
        canvas = values.new_full((b * h * w, values.shape[1]), background)
        canvas[self.pixel] = values
        return canvas.view(b, h, w, -1).permute(0, 3, 1, 2)


def rasterise(projected: Tensor, triangles: Tensor, size: int, cull: bool = True) -> Fragments:
    """The nearest triangle at every pixel centre.

    A centre on an edge belongs to both neighbours (the nearer, then the later triangle gets it):
    edge functions are taken relative to the pixel, so that swapping an edge's ends flips the sign
    exactly and no crack opens between neighbours.

    Args:
        projected: (B, V, 3) pixel column, pixel row, inverse distance (`Camera.project`).
        triangles: (N, 3) int64, counter-clockwise seen from outside.
        size: height and width in pixels.
        cull: leave out triangles seen from behind.

    """
    batch = projected.shape[0]
    corners = projected.index_select(1, triangles.reshape(-1)).view(batch, -1, 3, 3)
    owner, corners = _candidates(corners, size, cull)
    fragment, column, row = _spread(corners, size)
    edges = _edges(corners[..., :2].flatten(1).index_select(0, fragment), column, row)
    inside = (edges.amin(1) >= 0).nonzero()[:, 0]
    fragment, edges = fragment[inside], edges.index_select(0, inside)
    screen = edges / edges.sum(1, keepdim=True)
    inverse = corners[..., 2].index_select(0, fragment)
    depth = (screen * inverse).sum(1)
    # The bits of a positive float sort like the float itself: pack them over the fragment's index.
    entry = torch.arange(len(fragment), device=fragment.device)
    triangle = owner[fragment] % max(1, len(triangles))
    picture = owner[fragment] // max(1, len(triangles))
    pixel = (picture * size + row[inside].long()) * size + column[inside].long()
    key = (depth.view(torch.int32).long() << 32) | entry
    best = key.new_full((batch * size * size,), -1)
    best.scatter_reduce_(0, pixel, key, "amax")
    covered = (best >= 0).nonzero()[:, 0]
    won = best[covered] & 0xFFFFFFFF
    weights = screen.index_select(0, won) * inverse.index_select(0, won)
    weights = weights / weights.sum(1, keepdim=True)
    return Fragments((batch, size, size), covered, picture[won], triangle[won], weights)


def _candidates(corners: Tensor, size: int, cull: bool) -> tuple[Tensor, Tensor]:
    """Triangles that can be seen: (K,) batch * N + triangle, and (K, 3, 3) corners, area > 0."""
    a, b, c = corners[..., :2].unbind(2)
    # Rows run downwards, so counter-clockwise in space is a negative area here.
    area = (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1])
    area = area - (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
    low, high = corners[..., :2].amin(2), corners[..., :2].amax(2)
    seen = (area > 0) if cull else (area != 0)
    seen &= (high > 0).all(-1) & (low < size).all(-1) & (corners[..., 2].amin(2) > 0)
    seen &= corners[..., 2].amax(2) < 1.0 / NEAR
    owner = seen.flatten().nonzero()[:, 0]
    return owner, corners.flatten(0, 1)[owner]


def _spread(corners: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(F,) triangle, column and row of every pixel centre within a triangle's bounding box."""
    low = (corners[..., :2].amin(1) - 0.5).ceil().clamp(min=0)
    high = (corners[..., :2].amax(1) - 0.5).floor().clamp(max=size - 1)
    extent = (high - low + 1).clamp(min=0).to(torch.int32)
    count = extent[:, 0] * extent[:, 1]
    fragment = torch.repeat_interleave(count)
    first = count.cumsum(0, dtype=torch.int32) - count
    order = torch.arange(len(fragment), device=count.device, dtype=torch.int32)
    order = order - first[fragment]
    width = extent[:, 0][fragment]
    line = torch.div(order, width, rounding_mode="floor")
    column = low[:, 0][fragment] + (order - line * width)
    return fragment, column, low[:, 1][fragment] + line


def _edges(corners: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(F, 3) twice the area that the pixel centre spans with the edge opposite each corner.

    ``corners`` is (F, 6): column and row of the three.
    """
    centre = torch.stack([column, row], 1) + 0.5
    a, d, b, e, c, f = (corners.view(-1, 3, 2) - centre[:, None]).flatten(1).unbind(1)
    edges = [c * e - b * f, a * f - c * d, b * d - a * e]
    # Either winding is inside when all three agree; culling has already dropped one of them.
    side = (edges[0] + edges[1] + edges[2]).sign()
    return torch.stack([edge * side for edge in edges], 1)
