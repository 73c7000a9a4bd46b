# SPDX-License-Identifier: GPL-3.0-or-later
"""A batched triangle rasteriser in plain torch: perspective, z-buffer, exact interpolation.

Every triangle is cut into the lines of pixel centres that it crosses, every line is spread into
fragments (one per pixel centre on it), and the nearest wins a pixel by a maximum over packed
(depth, fragment) keys. A maximum does not depend on order, so the result is deterministic on every
device. Spreading lines instead of bounding boxes leaves a third of the fragments and no test of
edges. No compiler, no custom operator.

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
        canvas.index_copy_(0, self.pixel, values)
        return canvas.view(b, h, w, -1).permute(0, 3, 1, 2)


def rasterise(projected: Tensor, triangles: Tensor, size: int, cull: bool = True) -> Fragments:
    """The nearest triangle at every pixel centre.

    A centre on an edge belongs to both neighbours (the nearer, then the later triangle gets it):
    where an edge crosses a line is worked out from its upper end in every triangle alike, so that
    no crack opens between neighbours.

    Args:
        projected: (B, V, 3) pixel column, pixel row, inverse distance (`Camera.project`).
        triangles: (N, 3) int64, counter-clockwise seen from outside.
        size: height and width in pixels.
        cull: leave out triangles seen from behind.

    """
    owner, corners = candidates(projected, triangles, size, cull)
    picture = torch.div(owner, max(1, len(triangles)), rounding_mode="floor")
    number = owner - picture * len(triangles)
    return _nearest(number, picture, corners, (projected.shape[0], size, size))


def _nearest(
    number: Tensor,
    picture: Tensor,
    corners: Tensor,
    shape: tuple[int, int, int],
) -> Fragments:
    """What is seen of K candidates: their triangle, their picture, (9, K) corners."""
    pictures, _, size = shape
    lines = _lines(corners, picture, size)
    candidate, pixel, depth = _fragments(lines)
    covered, fragment = nearest(pixel, depth, pictures * size * size)
    won = candidate.index_select(0, fragment)
    line = torch.div(covered, size, rounding_mode="floor")
    column, row = covered - line * size, line.remainder(size)
    chosen = corners.index_select(1, won)
    weights = in_space(screen_weights(chosen, column + 0.5, row + 0.5), chosen)
    return Fragments(
        shape, covered, picture.index_select(0, won), number.index_select(0, won), weights
    )


def candidates(
    projected: Tensor, triangles: Tensor, size: int, cull: bool, margin: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Triangles that can be seen: (K,) batch * N + triangle, and (9, K) corners.

    The nine are column, row and inverse distance of the first corner, then of the others. At least
    one pixel centre of the picture is within their bounding box, or ``margin`` outside of it.
    """
    flat = projected.permute(2, 0, 1).flatten(0, 1)  # 3 * B rows of V
    each = [flat.index_select(1, triangles[:, k]).view(3, -1) for k in range(3)]
    (xa, ya, ia), (xb, yb, ib), (xc, yc, ic) = (corner.unbind(0) for corner in each)
    # Rows run downwards, so counter-clockwise in space is a negative area here.
    area = (xc - xa) * (yb - ya) - (xb - xa) * (yc - ya)
    seen = (area > 0) if cull else (area != 0)
    for a, b, c in ((xa, xb, xc), (ya, yb, yc)):
        first, last = span(torch.stack([a, b, c]), size, margin)
        seen &= last >= first
    seen &= torch.minimum(torch.minimum(ia, ib), ic) > 0
    seen &= torch.maximum(torch.maximum(ia, ib), ic) < 1.0 / NEAR
    owner = seen.nonzero()[:, 0]
    return owner, torch.cat(each).index_select(1, owner)


def span(values: Tensor, size: int, margin: float) -> tuple[Tensor, Tensor]:
    """First and last pixel whose centre is between (3, K) columns or rows, or ``margin`` outside."""
    low, high = values.amin(0), values.amax(0)
    first = (low - (0.5 + margin)).ceil().clamp(min=0)
    return first, (high + (margin - 0.5)).floor().clamp(max=size - 1)


def nearest(place: Tensor, depth: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """Places that any of F fragments is at, in order, and at each the nearest fragment's index.

    Args:
        place: (F,) int64 from 0 to ``places``.
        depth: (F,) inverse distance, positive.
        places: how many there are.

    """
    # The bits of a positive float sort like the float itself: pack them over the fragment's index.
    entry = torch.arange(len(place), device=place.device)
    key = (depth.view(torch.int32).long() << 32) | entry
    best = key.new_full((places,), -1).scatter_reduce_(0, place, key, "amax")
    taken = (best >= 0).nonzero()[:, 0]
    return taken, best.index_select(0, taken) & 0xFFFFFFFF


@dataclass(frozen=True)
class _Lines:
    """Rows of pixel centres within a triangle, L of them."""

    candidate: Tensor
    """(L,)"""
    left: Tensor
    """(L,) column where the triangle begins"""
    depth: Tensor
    """(L,) inverse distance there"""
    slope: Tensor
    """(L,) change of the inverse distance a column"""
    column: Tensor
    """(L,) first pixel"""
    count: Tensor
    """(L,) pixels"""
    start: Tensor
    """(L,) index of the picture's row among all pixels of the batch"""


def _lines(corners: Tensor, picture: Tensor, size: int) -> _Lines:
    top, middle, bottom = _sorted_by_row(corners)
    first = (top[1] - 0.5).ceil().clamp(min=0)
    last = (bottom[1] - 0.5).floor().clamp(max=size - 1)
    rows = (last - first + 1).clamp(min=0).int()
    candidate = torch.repeat_interleave(rows)
    order = torch.arange(len(candidate), device=rows.device, dtype=torch.int32)
    row = (first.int() - rows.cumsum(0, dtype=torch.int32) + rows).index_select(0, candidate) + order
    centre = row + 0.5
    # The long edge, and of the two short ones that which is crossed in this row.
    lower = centre >= middle[1].index_select(0, candidate)
    long_ = _crossing(_edge(top, bottom).index_select(1, candidate), centre)
    pair = torch.cat([_edge(top, middle), _edge(middle, bottom)], 1)
    short = _crossing(pair.index_select(1, candidate + lower * len(first)), centre)
    swap = long_[0] > short[0]
    left, right = torch.where(swap, short, long_), torch.where(swap, long_, short)
    column = (left[0] - 0.5).ceil().clamp(min=0).int()
    end = (right[0] - 0.5).floor().clamp(max=size - 1).int()
    slope = (right[1] - left[1]) / (right[0] - left[0]).clamp(min=1e-6)
    start = (picture.index_select(0, candidate) * size + row) * size
    return _Lines(
        candidate, left[0], left[1], slope, column, (end - column + 1).clamp(min=0), start
    )


def _sorted_by_row(corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(3, K) each: the corners from the upper to the lower."""
    a, b, c = corners.view(3, 3, -1).unbind(0)

    def ordered(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        above = p[1] <= q[1]
        return torch.where(above, p, q), torch.where(above, q, p)

    a, b = ordered(a, b)
    b, c = ordered(b, c)
    a, b = ordered(a, b)
    return a, b, c


def _edge(upper: Tensor, lower: Tensor) -> Tensor:
    """(6, K): the upper end, height, and how much column and inverse distance change a row."""
    # A level edge is crossed by no line, or along itself: then its upper end stands for it.
    height = (lower[1] - upper[1]).clamp(min=1e-12)
    change = (lower[0::2] - upper[0::2]) / height
    return torch.cat([upper, (lower[1] - upper[1])[None], change])


def _crossing(edge: Tensor, centre: Tensor) -> Tensor:
    """(2, L): column and inverse distance where an edge crosses the line of centres."""
    down = torch.minimum((centre - edge[1]).clamp(min=0), edge[3])
    return edge[0:3:2] + down * edge[4:6]


def _fragments(lines: _Lines) -> tuple[Tensor, Tensor, Tensor]:
    """(F,) candidate, pixel and inverse distance of every pixel centre on the lines."""
    line = torch.repeat_interleave(lines.count)
    order = torch.arange(len(line), device=line.device, dtype=torch.int32)
    count = lines.count
    before = count.cumsum(0, dtype=torch.int32) - count
    column = (lines.column - before).index_select(0, line) + order
    pixel = lines.start.index_select(0, line) + column
    along = column + 0.5 - lines.left.index_select(0, line)
    depth = lines.depth.index_select(0, line) + along * lines.slope.index_select(0, line)
    return lines.candidate.index_select(0, line), pixel, depth


def screen_weights(corners: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(3, ...) twice the area that a place spans with the edge opposite each corner.

    Edges are taken relative to the place, so that swapping an edge's ends flips the sign exactly.
    All three are positive inside of a triangle that runs counter-clockwise, seen with rows upwards.

    Args:
        corners: (9, ...) column, row and inverse distance of the three.
        column: of the place, pixels.
        row: likewise.

    """
    xa, ya, _, xb, yb, _, xc, yc, _ = corners.unbind(0)
    xa, xb, xc = xa - column, xb - column, xc - column
    ya, yb, yc = ya - row, yb - row, yc - row
    return torch.stack([xc * yb - xb * yc, xa * yc - xc * ya, xb * ya - xa * yb])


def in_space(screen: Tensor, corners: Tensor) -> Tensor:
    """(P, 3) perspective-corrected weights from those on the screen, (3, P), and (9, P) corners."""
    # Either winding; what rounding puts beyond an edge is on it.
    inside = (screen * screen.sum(0).sign()).clamp(min=0) + 1e-20
    weights = inside * corners[2::3]
    return (weights / weights.sum(0)).T
