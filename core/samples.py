# SPDX-License-Identifier: GPL-3.0-or-later
"""Several samples a pixel, for the few pixels that need them: where edges are.

A candidate triangle meets only the chosen pixels of its bounding box, found by counting them along
the rows; each such pair is tested at all places of the pixel. What is left of the work goes with the
length of the edges, not with the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .raster import Fragments, candidates, in_space, nearest, screen_weights, span


@dataclass(frozen=True)
class Samples:
    """What is seen at S places of E pixels."""

    fragments: Fragments
    """One entry per covered sample; its `pixel` counts among all pixels of the batch."""
    slot: Tensor
    """(P,) int64: place * E + pixel, of S * E"""


def rasterise_samples(
    projected: Tensor, triangles: Tensor, size: int, places: Tensor, pixels: Tensor
) -> Samples:
    """The nearest triangle, seen from its front, at some places of some pixels.

    Args:
        projected: (B, V, 3) pixel column, pixel row, inverse distance.
        triangles: (N, 3) int64, counter-clockwise seen from outside.
        size: height and width in pixels.
        places: (S, 2) columns and rows from the pixel's centre.
        pixels: (E,) int64, ascending, among the B * size * size pixels.

    """
    reach = float(places.abs().max())
    owner, corners = candidates(projected, triangles, size, cull=True, margin=reach)
    picture = torch.div(owner, max(1, len(triangles)), rounding_mode="floor")
    candidate, chosen = _pairs(corners, picture, size, reach, pixels, len(projected))
    pixel = pixels.index_select(0, chosen)
    line = torch.div(pixel, size, rounding_mode="floor")
    column = pixel - line * size + 0.5 + places[:, :1]
    row = line.remainder(size) + 0.5 + places[:, 1:]
    near = corners.index_select(1, candidate)
    screen = screen_weights(near[:, None], column, row).flatten(1)
    hit = (screen.amin(0) >= 0).nonzero()[:, 0]
    place = torch.div(hit, max(1, len(chosen)), rounding_mode="floor")
    pair = hit - place * len(chosen)
    screen, near = screen.index_select(1, hit), near.index_select(1, pair)
    depth = (screen * near[2::3]).sum(0) / screen.sum(0)
    slot = place * len(pixels) + chosen.index_select(0, pair)
    taken, won = nearest(slot, depth, len(places) * len(pixels))
    pair = pair.index_select(0, won)
    candidate = candidate.index_select(0, pair)
    batch = picture.index_select(0, candidate)
    fragments = Fragments(
        shape=(len(projected), size, size),
        pixel=pixel.index_select(0, pair),
        batch=batch,
        triangle=owner.index_select(0, candidate) - batch * len(triangles),
        weights=in_space(screen.index_select(1, won), near.index_select(1, won)),
    )
    return Samples(fragments, taken)


def _pairs(
    corners: Tensor, picture: Tensor, size: int, reach: float, pixels: Tensor, batch: int
) -> tuple[Tensor, Tensor]:
    """(Q,) candidate and (Q,) index into ``pixels``: every chosen pixel in a bounding box."""
    chosen = torch.zeros(batch * size * size + 1, dtype=torch.int32, device=pixels.device)
    before = chosen.index_fill_(0, pixels + 1, 1).cumsum(0)
    first_column, last_column = span(corners[0::3], size, reach)
    first_row, last_row = span(corners[1::3], size, reach)
    rows = (last_row - first_row + 1).clamp(min=0).int()
    line = torch.repeat_interleave(rows)
    top = picture * size + first_row.long() - (rows.cumsum(0) - rows)
    start = (top.index_select(0, line) + torch.arange(len(line), device=line.device)) * size
    begin = before.index_select(0, start + first_column.long().index_select(0, line))
    end = before.index_select(0, start + last_column.long().index_select(0, line) + 1)
    count = end - begin
    pair = torch.repeat_interleave(count)
    number = (begin - count.cumsum(0) + count).index_select(0, pair)
    number += torch.arange(len(pair), device=pair.device)
    return line.index_select(0, pair), number
