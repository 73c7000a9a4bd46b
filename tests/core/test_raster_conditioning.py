# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.arkit import ARKIT_NAMES
from core.conditioning import CARD, DEPTH, PARTS, PLANES, Conditioning, HeadRenderer
from core.raster import Camera
from core.toy_head import EYE_CENTER, write_toy_head

SIZE = 64


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "head.npz"
    write_toy_head(path)
    return path


@pytest.fixture(scope="module")
def renderer(head: Path) -> HeadRenderer:
    return HeadRenderer(head, Camera(), SIZE)


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
    quarters = 4 * covered
    assert torch.allclose(quarters, quarters.round(), atol=1e-4)
    assert (made.surface[covered < 0.1] == 2).all()
    assert made.surface[covered > 0.1].abs().max() <= 1.001
    length = made.planes[:, :3].norm(dim=1)[covered > 0.99]
    assert 0.6 < float(length.min()) <= float(length.max()) < 1.001


def test_masks_are_how_much_of_the_pixel_a_part_covers(
    renderer: HeadRenderer, head: Path
) -> None:
    fine = HeadRenderer(head, renderer.camera, 8 * SIZE)
    parts = slice(-len(PARTS), None)
    pose = {"rotation": (0.05, 0.1, 0.08), "weights": {"jawOpen": 1.0}}
    exact = torch.nn.functional.avg_pool2d(seen(fine, **pose).planes[:, parts], 8)  # type: ignore[arg-type]
    made = seen(renderer, **pose).planes[:, parts]  # type: ignore[arg-type]
    mixed = (exact > 0.02) & (exact < 0.98)
    assert mixed.sum() > 200
    # One sample a pixel is a quarter off on average.
    assert (made - exact)[mixed].abs().mean() < 0.1
    assert (made - exact)[~mixed].abs().max() < 0.1


def test_a_moving_edge_changes_its_pixels_bit_by_bit(renderer: HeadRenderer) -> None:
    pixel = 1.05 / renderer.camera.focal(SIZE)
    parts = slice(-len(PARTS), None)
    areas = [
        float(seen(renderer, translation=(0, k * pixel / 8, 0)).planes[:, parts, 4:40].sum())
        for k in range(9)
    ]
    jumps = np.abs(np.diff(areas))
    assert abs(areas[-1] - areas[0]) > 10
    assert jumps.max() < 3 * jumps.mean()


def test_posing_agrees_with_the_head_model(renderer: HeadRenderer) -> None:
    rng = np.random.default_rng(2)
    weights = rng.uniform(0, 1, (3, 52)).astype(np.float32)
    gaze, turn, shift = (
        rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((3, 2, 2), (3, 3), (3, 3))
    )
    turn[0] = 0
    posed = renderer.poser.posed(renderer.poser.shaped(weights, gaze), turn, shift, np.zeros((len(turn), 2, 3), np.float32))
    expected = renderer.model.deform(weights, gaze, turn, shift)
    np.testing.assert_allclose(posed.numpy(), expected, atol=1e-6)


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


@pytest.mark.parametrize("place", [(0, -1, 0), (0, 5, 0), (1, 0, 0)])
def test_a_head_outside_the_picture_is_not_there(head: Path, place: tuple[float, float, float]) -> None:
    renderer = HeadRenderer(head, Camera(), SIZE)
    shoulders = np.zeros((1, 2, 3), np.float32)
    shoulders[..., 2] = place[:2]
    rest = np.zeros((1, 52), np.float32), np.zeros((1, 2, 2), np.float32), np.zeros((1, 3), np.float32)
    made = renderer.render(*rest, np.array([place], np.float32), shoulders)
    assert made.planes.isfinite().all()
    assert (made.planes[0, -len(PARTS) :] == 0).all()


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


def test_the_necks_end_goes_with_the_shoulders_and_the_face_does_not(renderer: HeadRenderer) -> None:
    still = np.zeros((1, 3), np.float32)
    shaped = renderer.poser.shaped(np.zeros((1, 52), np.float32), np.zeros((1, 2, 2), np.float32))
    shoulders = np.array([[[0.1, 0.02, 0.01], [0.03, -0.05, -0.02]]], np.float32)
    gone = renderer.poser.posed(shaped, still, still, shoulders) - shaped
    level = torch.from_numpy(renderer.model.head_weight)
    assert gone[0, level == 1].abs().max() < 1e-6
    below = renderer.model.vertices[renderer.model.head_weight == 0, :2] - renderer.model.neck_end
    expected = np.pad(below @ shoulders[0, :, :2].T + shoulders[0, :, 2], ((0, 0), (0, 1)))
    torch.testing.assert_close(gone[0, level == 0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_shoulders_move_on_the_picture_as_far_as_at_the_pivot(renderer: HeadRenderer) -> None:
    shoulders = np.array([[[0.1, 0.02, 0.01], [0.03, -0.05, -0.02]]], np.float32)
    rest = np.array([[0.03, -0.12], [-0.1, -0.15], [0.0, 0.0]], np.float32)
    off = rest - renderer.model.neck_end
    moved = rest + off @ shoulders[0, :, :2].T + shoulders[0, :, 2]
    points = torch.from_numpy(np.pad(np.concatenate([rest, moved]), ((0, 0), (0, 1))).astype(np.float32))
    first, then = (renderer.camera.project(points, SIZE)[:, :2] / (SIZE / 2) - 1).chunk(2)
    back = torch.nn.functional.pad(then, (0, 1), value=1.0) @ renderer.moved(shoulders)[0].mT
    torch.testing.assert_close(then + back, first, atol=1e-5, rtol=0)
