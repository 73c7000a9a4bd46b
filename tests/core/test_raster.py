# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.raster import Camera, Fragments, rasterise

SIZE = 32
ONE = torch.tensor([[0, 1, 2]])


def corners(*points: tuple[float, float, float]) -> Tensor:
    """(1, V, 3) of (column, row, inverse distance)."""
    return torch.tensor([points])


def mask(fragments: Fragments) -> Tensor:
    return fragments.paint(torch.ones(len(fragments.pixel), 1))[:, 0]


def soup(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(2, count, 1, 2, generator=generator) * SIZE
    points = centre + torch.randn(2, count, 3, 2, generator=generator) * 6
    depth = torch.rand(2, count, 3, 1, generator=generator) + 0.5
    triangles = torch.arange(3 * count).view(count, 3)
    return torch.cat([points, depth], -1).flatten(1, 2), triangles


def test_pixel_centres_inside_a_right_triangle_are_covered() -> None:
    fragments = rasterise(corners((2, 2, 1), (2, 12, 1), (12, 2, 1)), ONE, SIZE)
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    expected = (column >= 2) & (row >= 2) & (column + row + 1 <= 14)
    assert torch.equal(mask(fragments)[0].bool(), expected)


def test_area_comes_out_for_any_sub_pixel_place() -> None:
    areas = []
    for shift in torch.linspace(0, 1, 11):
        s = float(shift)
        points = corners((3.3 + s, 2.1, 1), (5.2 + s, 29.7, 1), (28.4 + s, 14.9 + s, 1))
        areas.append(float(mask(rasterise(points, ONE, SIZE)).sum()))
    a, b, c = (3.3, 2.1), (5.2, 29.7), (28.4, 14.9)
    exact = abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) / 2
    assert sum(areas) / len(areas) == pytest.approx(exact, rel=0.03)


def test_shifting_by_whole_pixels_shifts_the_picture() -> None:
    points, triangles = soup(20)
    here = rasterise(points, triangles, SIZE)
    there = rasterise(points + torch.tensor([5.0, 3.0, 0.0]), triangles, SIZE)

    def picture(fragments: Fragments) -> Tensor:
        return fragments.paint((fragments.triangle + 1)[:, None].float())[:, 0]

    a, b = picture(here)[:, :-3, :-5], picture(there)[:, 3:, 5:]
    assert (a != b).float().mean() < 0.002  # only rounding on an edge
    assert (a > 0).float().mean() > 0.3


def test_neighbours_leave_no_crack_and_cover_once() -> None:
    generator = torch.Generator().manual_seed(3)
    n = 9
    steps = torch.linspace(2, 30, n)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
    grid[1:-1, 1:-1] += torch.randn(n - 2, n - 2, 2, generator=generator)
    points = torch.cat([grid.view(1, -1, 2), torch.ones(1, n * n, 1)], -1)
    i = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).flatten()
    triangles = torch.cat(
        [torch.stack([i, i + n, i + n + 1], 1), torch.stack([i, i + n + 1, i + 1], 1)]
    )
    fragments = rasterise(points, triangles, SIZE)
    assert mask(fragments)[0, 2:30, 2:30].all()
    assert len(fragments.pixel.unique()) == len(fragments.pixel) == 28 * 28


def test_the_nearer_wins_whatever_the_order() -> None:
    near = ((2.0, 2.0, 1.0), (2.0, 20.0, 1.0), (20.0, 2.0, 1.0))
    far = tuple((x, y, 0.5) for x, y, _ in near)
    for points, winner in (((*near, *far), 0), ((*far, *near), 1)):
        fragments = rasterise(corners(*points), torch.arange(6).view(2, 3), SIZE)
        assert (fragments.triangle == winner).all()
        assert len(fragments.pixel) > 100


def test_depth_is_compared_where_triangles_cross() -> None:
    rising = ((0.0, 0.0, 0.2), (0.0, 40.0, 0.2), (40.0, 0.0, 1.8))
    level = tuple((x, y, 0.6) for x, y, _ in rising)
    fragments = rasterise(corners(*rising, *level), torch.arange(6).view(2, 3), SIZE)
    seen = fragments.paint(fragments.triangle[:, None].float())[0, 0, 5]
    crossing = 40 * (0.6 - 0.2) / (1.8 - 0.2)
    assert torch.equal(seen[:26], (torch.arange(26) + 0.5 < crossing).float())


def test_a_linear_function_in_space_is_interpolated_exactly() -> None:
    camera = Camera(40.0, (0.1, -0.2, 2.0))
    vertices = torch.tensor([[-0.5, -0.6, 0.3], [0.7, -0.4, -0.8], [0.1, 0.6, 0.5]])
    fragments = rasterise(camera.project(vertices, 64)[None], ONE, 64)
    seen = fragments.interpolate(ONE, vertices)
    assert len(seen) > 300
    # The point seen at a pixel lies on the ray through that pixel's centre.
    rays = camera.rays(64).view(-1, 3)[fragments.pixel]
    offset = seen - torch.tensor(camera.position)
    torch.testing.assert_close(offset / -offset[:, 2:], rays, atol=2e-5, rtol=0)
    normal = torch.linalg.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    plane = (seen - vertices[0]) @ (normal / normal.norm())
    assert plane.abs().max() < 1e-5


def test_weights_are_a_partition() -> None:
    fragments = rasterise(*soup(40), SIZE)
    assert fragments.weights.min() >= 0
    torch.testing.assert_close(fragments.weights.sum(1), torch.ones(len(fragments.pixel)))


def test_a_batch_is_its_frames() -> None:
    points, triangles = soup(30)
    together = rasterise(points, triangles, SIZE)
    values = torch.randn(2, points.shape[1], 4)
    painted = together.paint(together.interpolate(triangles, values), 7.0)
    assert painted.shape == (2, 4, SIZE, SIZE)
    for index in range(2):
        one = slice(index, index + 1)
        alone = rasterise(points[one], triangles, SIZE)
        expected = alone.paint(alone.interpolate(triangles, values[one]), 7.0)
        assert torch.equal(painted[one], expected)


def test_same_input_same_bytes() -> None:
    points, triangles = soup(200)
    first, second = (rasterise(points, triangles, SIZE) for _ in range(2))
    assert torch.equal(first.triangle, second.triangle)
    assert torch.equal(first.weights, second.weights)


def test_backs_are_culled_and_shown_when_asked() -> None:
    back = corners((2, 2, 1), (12, 2, 1), (2, 12, 1))
    assert len(rasterise(back, ONE, SIZE).pixel) == 0
    assert mask(rasterise(back, ONE, SIZE, cull=False)).sum() > 40


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(((-9, 2, 1), (-9, 12, 1), (-2, 2, 1)), id="left of the picture"),
        pytest.param(((40, 40, 1), (40, 52, 1), (52, 40, 1)), id="beyond the corner"),
        pytest.param(((4, 4, 1), (4, 4, 1), (4, 4, 1)), id="no area"),
        pytest.param(((5.6, 5.6, 1), (5.6, 5.9, 1), (5.9, 5.6, 1)), id="between centres"),
        pytest.param(((2, 2, 500.0), (2, 12, 1), (12, 2, 1)), id="too near"),
    ],
)
def test_nothing_to_see(points: tuple[tuple[float, float, float], ...]) -> None:
    fragments = rasterise(corners(*points), ONE, SIZE)
    assert len(fragments.pixel) == 0
    assert fragments.paint(fragments.interpolate(ONE, torch.ones(3, 2))).abs().sum() == 0


def test_the_camera_puts_the_characters_left_on_the_right() -> None:
    camera = Camera(20.0, (0.0, 0.05, 1.0))
    middle, left, up = camera.project(
        torch.tensor([[0, 0.05, 0], [0.05, 0.05, 0], [0, 0.1, 0.0]]), 100
    )
    assert middle.tolist() == pytest.approx([50, 50, 1])
    assert left[0] > 50
    assert up[1] < 50
    top = camera.project(torch.tensor([0, 0.05 + float(torch.tan(torch.tensor(10.0).deg2rad())), 0]), 100)
    assert float(top[1]) == pytest.approx(0, abs=1e-3)
