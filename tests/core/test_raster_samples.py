# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import torch
from torch import Tensor

from core.raster import rasterise
from core.samples import rasterise_samples

SIZE = 32
PLACES = torch.tensor([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])
ALL = torch.arange(2 * SIZE * SIZE)


def soup(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    centre = torch.rand(2, count, 1, 2, generator=generator) * SIZE
    points = centre + torch.randn(2, count, 3, 2, generator=generator) * 6
    depth = torch.rand(2, count, 3, 1, generator=generator) + 0.5
    return torch.cat([points, depth], -1).flatten(1, 2), torch.arange(3 * count).view(count, 3)


def pictures(points: Tensor, triangles: Tensor, pixels: Tensor) -> Tensor:
    """(S, 2 * SIZE * SIZE) triangle at each sample, -1 where none is."""
    found = rasterise_samples(points, triangles, SIZE, PLACES, pixels)
    place, chosen = found.slot // len(pixels), found.slot % len(pixels)
    assert torch.equal(pixels[chosen], found.fragments.pixel)
    assert torch.equal(found.fragments.batch, found.fragments.pixel // SIZE**2)
    seen = torch.full((len(PLACES), len(ALL)), -1)
    seen[place, found.fragments.pixel] = found.fragments.triangle
    return seen


def test_a_sample_sees_what_the_centre_of_a_shifted_picture_sees() -> None:
    points, triangles = soup()
    seen = pictures(points, triangles, ALL)
    for row, place in zip(seen, PLACES, strict=True):
        shifted = rasterise(points - torch.cat([place, torch.zeros(1)]), triangles, SIZE)
        expected = torch.full((len(ALL),), -1)
        expected[shifted.pixel] = shifted.triangle
        assert (row != expected).float().mean() < 0.002  # only rounding on an edge
    assert (seen >= 0).float().mean() > 0.3


def test_only_the_pixels_asked_for_are_looked_at() -> None:
    points, triangles = soup()
    some = ALL[torch.rand(len(ALL), generator=torch.Generator().manual_seed(0)) < 0.1]
    everything, chosen = pictures(points, triangles, ALL), pictures(points, triangles, some)
    assert torch.equal(chosen[:, some], everything[:, some])
    outside = torch.ones(len(ALL), dtype=torch.bool)
    outside[some] = False
    assert (chosen[:, outside] == -1).all()


def test_weights_point_at_the_sample() -> None:
    points, triangles = soup()
    found = rasterise_samples(points, triangles, SIZE, PLACES, ALL)
    seen = found.fragments
    torch.testing.assert_close(seen.weights.sum(1), torch.ones(len(seen.pixel)))
    # Columns and rows are linear on the screen once divided by the distance.
    inverse = seen.interpolate(triangles, 1 / points[..., 2:])
    on_screen = seen.interpolate(triangles, points[..., :2] / points[..., 2:]) / inverse
    pixel = seen.pixel % SIZE**2
    centre = torch.stack([pixel % SIZE, pixel // SIZE], 1) + 0.5
    place = PLACES[found.slot // len(ALL)]
    torch.testing.assert_close(on_screen, centre + place, atol=2e-2, rtol=0)


def test_no_pixels_and_no_triangles() -> None:
    points, triangles = soup()
    none = torch.zeros(0, dtype=torch.int64)
    assert len(rasterise_samples(points, triangles, SIZE, PLACES, none).slot) == 0
    assert len(rasterise_samples(points + 500, triangles, SIZE, PLACES, ALL).slot) == 0


def test_an_edge_through_a_pixel_covers_its_share() -> None:
    # Half-planes at every angle through the pixels' centres: two of four samples on either side.
    for angle in torch.linspace(0.1, 3.0, 7):
        along = torch.stack([angle.cos(), angle.sin()])
        aside = torch.stack([along[1], -along[0]])
        corners = torch.stack([200 * along, -200 * along, 200 * aside]) + 16.5
        corners = torch.cat([corners, torch.ones(3, 1)], 1)[None]
        for order in ([0, 1, 2], [0, 2, 1]):
            seen = rasterise_samples(
                corners, torch.tensor([order]), SIZE, PLACES, torch.tensor([16 * SIZE + 16])
            )
            assert len(seen.slot) in (0, 2)
            if len(seen.slot):
                break
        else:
            raise AssertionError("seen from neither side")
