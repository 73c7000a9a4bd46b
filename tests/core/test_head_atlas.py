# SPDX-License-Identifier: GPL-3.0-or-later
"""The texture atlas: every part of a head has a place of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.conditioning import HeadRenderer
from core.head.atlas import HEIGHT, unwrapped
from core.head.model import HeadModel
from core.models.head import TINY, tiny_head_network
from core.raster import Camera
from core.toy_head import write_toy_head

TEXELS = 384


@pytest.fixture(params=["built-in", "toy"])
def head(request: pytest.FixtureRequest, tmp_path: Path) -> HeadModel:
    if request.param == "built-in":
        return HeadModel.load()
    write_toy_head(tmp_path / "head.npz")
    return HeadModel.load(tmp_path / "head.npz")


def covered(head: HeadModel, part: str) -> np.ndarray:
    """(H, W) texels that a part's triangles touch."""
    places, triangles = unwrapped(head)
    page = Image.new("1", (TEXELS, round(TEXELS * HEIGHT)))
    draw = ImageDraw.Draw(page)
    mine = head.vertex_part[head.triangles[:, 0]] == head.part_names.index(part)
    for corners in places[triangles[mine]] * (page.width, page.height) - 0.5:
        draw.polygon([tuple(c) for c in corners], fill=1, outline=1)
    return np.asarray(page)


def test_no_two_parts_share_a_texel(head: HeadModel) -> None:
    count = np.zeros((round(TEXELS * HEIGHT), TEXELS), int)
    for part in head.part_names:
        if part != "mouth":  # It fills the hole between the lips of the skin's own chart.
            mine = covered(head, part)
            assert mine.sum() > 10, part
            count += mine
    assert count.max() == 1


def test_places_lie_on_the_picture_and_the_skins_are_its_own(head: HeadModel) -> None:
    places, triangles = unwrapped(head)
    used = places[triangles]
    assert (used >= 0).all()
    assert (used <= 1).all()
    skin = head.vertex_part[head.triangles[:, 0]] == head.part_names.index("skin")
    np.testing.assert_allclose(used[skin], head.uv[head.triangles_uv[skin]] / (1, HEIGHT), atol=1e-6)


def test_parts_that_would_find_no_room_are_drawn_smaller(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    head = HeadModel.load(tmp_path / "head.npz")
    large = head.vertices.copy()
    for name in ("eye_left", "eye_right"):
        large[head.part(name)] *= 8
    giant = replace(head, vertices=large)
    places, triangles = unwrapped(giant)
    assert places[triangles].max() <= 1
    assert places[triangles].min() >= 0


def test_a_renderer_gives_the_places_that_the_network_looks_up(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    plain, atlas = (HeadRenderer(tmp_path / "head.npz", Camera(), TINY.resolution, atlas=on) for on in (False, True))
    zero = np.zeros((1, 52), np.float32), np.zeros((1, 2, 2), np.float32), *np.zeros((2, 1, 3), np.float32)
    seen, old = atlas.render(*zero), plain.render(*zero)
    eye, skin = seen.planes[0, -2] > 0.99, seen.planes[0, -6] > 0.99
    assert eye.any()
    assert (seen.surface[0][eye][:, 1] > 2 / HEIGHT - 1).all()
    expected = (old.surface[0][skin] + 1) / torch.tensor([1, HEIGHT]) - 1
    torch.testing.assert_close(seen.surface[0][skin], expected, atol=1e-5, rtol=0)
    network = tiny_head_network(config=replace(TINY, atlas=True))
    assert network.texture.shape[2:] == (round(TINY.texture * HEIGHT), TINY.texture)
    with torch.no_grad():
        network.texture[..., : TINY.texture - 1, :] = 0.25
        looked = network.looked_up(seen, torch.tensor([0]))[0]
    whole = skin & (seen.surface[0, ..., 1] < 0.4)
    assert torch.allclose(looked[0][:, whole], torch.tensor(0.25), atol=0.01)
    assert not torch.allclose(looked[0][:, eye], torch.tensor(0.25), atol=0.01)
