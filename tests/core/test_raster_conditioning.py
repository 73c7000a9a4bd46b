# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
import torch

from core.arkit import ARKIT_NAMES
from core.conditioning import CARD, DEPTH, PARTS, PLANES, Conditioning, HeadRenderer
from core.raster import Camera
from core.toy_head import EYE_CENTER, write_toy_head

SIZE = 64


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> HeadRenderer:
    path = tmp_path_factory.mktemp("toy") / "head.npz"
    write_toy_head(path)
    return HeadRenderer(path, Camera(), SIZE)


def seen(
    renderer: HeadRenderer,
    frames: int = 1,
    weights: dict[str, float] | None = None,
    gaze: tuple[float, float] = (0, 0),
    rotation: tuple[float, float, float] = (0, 0, 0),
    translation: tuple[float, float, float] = (0, 0, 0),
) -> Conditioning:
    values = np.zeros((frames, 52), np.float32)
    for name, weight in (weights or {}).items():
        values[:, ARKIT_NAMES.index(name)] = weight
    return renderer.render(
        values,
        np.tile(np.array(gaze, np.float32), (frames, 2, 1)),
        np.tile(np.array(rotation, np.float32), (frames, 1)),
        np.tile(np.array(translation, np.float32), (frames, 1)),
    )


def plane(conditioning: Conditioning, name: str) -> torch.Tensor:
    return conditioning.planes[0, PLANES.index(name)]


def test_shapes_and_ranges(renderer: HeadRenderer) -> None:
    made = seen(renderer, frames=3)
    assert made.planes.shape == (3, len(PLANES), SIZE, SIZE)
    assert made.surface.shape == made.card.shape == (3, SIZE, SIZE, 2)
    covered = made.planes[:, -len(PARTS) :].sum(1)
    assert ((covered - 0).abs() < 1e-5).logical_or((covered - 1).abs() < 1e-5).all()
    assert (made.surface[covered < 0.5] == 2).all()
    assert made.surface[covered > 0.5].abs().max() <= 1.001
    length = made.planes[:, :3].norm(dim=1)[covered > 0.5]
    assert 0.8 < float(length.min()) <= float(length.max()) < 1.001


def test_a_face_at_rest_does_not_move_and_looks_at_us(renderer: HeadRenderer) -> None:
    made = seen(renderer)
    assert made.planes[:, 3:6].abs().max() == 0
    middle = made.planes[0, :3, SIZE // 2 - 4, SIZE // 2]
    assert middle[2] > 0.9


def test_every_part_that_can_be_seen_has_its_mask(renderer: HeadRenderer) -> None:
    made = seen(renderer)
    assert plane(made, "skin").sum() > 400
    assert plane(made, "eye").sum() >= 10
    assert plane(made, "mouth").sum() >= 10
    assert plane(made, "teeth").sum() == 0


def test_iris_coordinates_follow_the_gaze(renderer: HeadRenderer) -> None:
    camera = renderer.camera
    front = torch.tensor(EYE_CENTER[0] + [0, 0, 0.012], dtype=torch.float32)
    column, row, _ = camera.project(front, SIZE).int().tolist()
    ahead, left = seen(renderer), seen(renderer, gaze=(0.3, 0.0))
    assert abs(float(plane(ahead, "eye_x")[row, column])) < 0.25
    # Looking to the character's left (+X), the spot ahead shows the eye's right half.
    assert float(plane(left, "eye_x")[row, column]) < float(plane(ahead, "eye_x")[row, column]) - 0.15


def test_expression_shows_in_the_displacement(renderer: HeadRenderer) -> None:
    made = seen(renderer, weights={"jawOpen": 1.0})
    assert made.planes[0, 3:6].abs().max() > 0.1
    assert (plane(made, "mouth").sum()) > plane(seen(renderer), "mouth").sum()


def test_depth_is_in_its_unit(renderer: HeadRenderer) -> None:
    nearest = float(plane(seen(renderer), "depth").max()) * DEPTH
    assert nearest == pytest.approx(0.1, abs=0.006)


def test_the_head_moves_by_its_pixels(renderer: HeadRenderer) -> None:
    # At the distance of the outline, which is the pivot's, so many metres are 4 pixels.
    step = 4 * 1.05 / renderer.camera.focal(SIZE)
    parts = slice(-len(PARTS), None)
    still = seen(renderer).planes[0, parts].sum(0)[8:40] > 0.5
    moved = seen(renderer, translation=(step, 0, 0)).planes[0, parts].sum(0)[8:40] > 0.5
    assert (still[:, :-4] != moved[:, 4:]).float().mean() < 0.01
    assert (still != moved).float().mean() > 0.05


def test_the_card_is_the_pivots_plane_and_turns_with_the_head(renderer: HeadRenderer) -> None:
    made = seen(renderer)
    grid = made.card[0] * CARD
    points = torch.cat([grid, torch.zeros(SIZE, SIZE, 1)], -1)
    back = renderer.camera.project(points, SIZE)
    steps = torch.arange(SIZE) + 0.5
    torch.testing.assert_close(back[..., 0], steps[None].expand(SIZE, -1), atol=1e-3, rtol=0)
    torch.testing.assert_close(back[..., 1], steps[:, None].expand(-1, SIZE), atol=1e-3, rtol=0)
    # A point on the turned card is the turned point.
    turned = seen(renderer, rotation=(0, 0, 0.2), translation=(0.01, 0, 0))
    x, y = (turned.card[0, 20, 40] * CARD).tolist()
    c, s = np.cos(0.2), np.sin(0.2)
    point = torch.tensor([c * x - s * y + 0.01, s * x + c * y, 0], dtype=torch.float32)
    column, row, _ = renderer.camera.project(point, SIZE).tolist()
    assert (column, row) == (pytest.approx(40.5, abs=1e-3), pytest.approx(20.5, abs=1e-3))


def test_normals_agree_with_the_head_model(renderer: HeadRenderer) -> None:
    vertices = renderer.model.deform(np.zeros((1, 52)), None)
    mine = renderer.normals(torch.from_numpy(vertices)).numpy()
    theirs = renderer.model.normals(vertices)
    known = np.linalg.norm(theirs, axis=-1) > 0.5
    np.testing.assert_allclose(mine[known], theirs[known], atol=1e-4)


def test_frames_do_not_depend_on_their_batch(renderer: HeadRenderer) -> None:
    weights = np.random.default_rng(0).uniform(0, 1, (3, 52)).astype(np.float32)
    gaze = np.zeros((3, 2, 2), np.float32)
    pose = np.random.default_rng(1).normal(0, 0.1, (3, 3)).astype(np.float32)
    together = renderer.render(weights, gaze, pose, pose * 0.02)
    alone = renderer.render(weights[1:2], gaze[1:2], pose[1:2], pose[1:2] * 0.02)
    torch.testing.assert_close(together.planes[1:2], alone.planes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.card[1:2], alone.card)
