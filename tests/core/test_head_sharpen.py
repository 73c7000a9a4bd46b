# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished network sharpens as far as its training frames are sharp, and no further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from core.avatars import AvatarCard, load, save_avatar
from core.errors import UserError
from core.models.head import TINY, HeadNetwork, laplacian, tiny_head_network
from core.progress import silent
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training import head_sharpen
from core.training.head_cache import HeadCache
from core.training.head_data import RenderSet, SetInfo, load_set, write_plan
from core.training.head_poses import PoseDesign, design_poses
from core.training.head_sharpen import sharpen

SIZE = 32
COUNT = 6


def made(network: HeadNetwork, data: RenderSet) -> torch.Tensor:
    cache = HeadCache(data, data.split()[0], network.config, silent)
    batch = cache.batch(range(len(cache)))
    with torch.inference_mode():
        return network(batch.conditioning, batch.emotion, batch.look, torch.zeros(1, network.config.noise))


def own_frames(folder: Path, network: HeadNetwork, sharper: float) -> RenderSet:
    """A set whose frames are the network's own, a share of their Laplacian taken from them."""
    info = SetInfo("toy", SIZE, Camera(), ())
    write_plan(folder, info, design_poses(PoseDesign(count=COUNT)))
    write_toy_head(folder / "proxy.npz")
    (folder / "frames").mkdir()
    for number in range(1, COUNT + 1):
        Image.new("RGB", (SIZE, SIZE)).save(folder / "frames" / f"{number:06d}.png")
    rgb = made(network, load_set(folder))
    rgb = rgb - sharper * laplacian(rgb)
    assert rgb.min() > 0
    assert rgb.max() < 1
    for number, frame in enumerate(rgb, 1):
        pixels = (frame.permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(folder / "frames" / f"{number:06d}.png")
    return load_set(folder)


def test_the_laplacian_is_that_of_four_neighbours() -> None:
    x = torch.randn(1, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    torch.testing.assert_close(laplacian(x)[..., 1:-1, 1:-1], F.conv2d(x, kernel, groups=3))
    assert (laplacian(torch.full((1, 3, 4, 4), 0.5)) == 0).all()
    # What is told at the border is as much as what is told inside: nothing is taken or added on the whole.
    torch.testing.assert_close(laplacian(x).sum(), torch.zeros(()), atol=1e-4, rtol=0)


def test_what_the_frames_have_more_is_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_sharpen, "_RESTORED", 1.0)
    network = tiny_head_network()
    data = own_frames(tmp_path, network, sharper=0.04)
    sharpen(network, data)
    assert network.config.sharpening == pytest.approx(0.04, abs=0.002)
    again = network.config
    sharpen(network, data)
    assert network.config == again


def test_the_energy_is_the_share_that_is_asked_for(tmp_path: Path) -> None:
    network = tiny_head_network()
    data = own_frames(tmp_path, network, sharper=0.06)
    sharpen(network, data)
    true = torch.from_numpy(data.frames(data.split()[0])).permute(0, 3, 1, 2) / 255
    energies = [float(laplacian(x).square().mean()) for x in (made(network, data), true)]
    assert energies[0] / energies[1] == pytest.approx(head_sharpen._RESTORED, abs=0.01)


def test_what_is_sharp_enough_stays(tmp_path: Path) -> None:
    network = tiny_head_network()
    data = own_frames(tmp_path, network, sharper=-0.02)
    before = made(network, data)
    sharpen(network, data)
    assert network.config.sharpening == 0
    assert torch.equal(made(network, data), before)


def test_a_blur_is_not_sharpened_without_end(tmp_path: Path) -> None:
    network = tiny_head_network()
    own_frames(tmp_path, network, sharper=0.0)
    for path in sorted((tmp_path / "frames").iterdir()):
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(noise).save(path)
    sharpen(network, load_set(tmp_path))
    assert network.config.sharpening == head_sharpen._MOST


def test_only_colours_are_sharpened(tmp_path: Path) -> None:
    data = own_frames(tmp_path, tiny_head_network(), sharper=0.0)
    soft, sharp = (
        made(tiny_head_network(config=replace(TINY, alpha=True, sharpening=share)), data) for share in (0.0, 0.05)
    )
    torch.testing.assert_close(sharp[:, :3], soft[:, :3] - 0.05 * laplacian(soft[:, :3]))
    assert torch.equal(sharp[:, 3:], soft[:, 3:])


def test_an_avatar_remembers_it(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    keys = []
    for share in (0.0, 0.03):
        network = tiny_head_network(config=replace(TINY, sharpening=share))
        save_avatar(tmp_path / "toy", card, Camera(), network, tmp_path / "head.npz")
        avatar = load(tmp_path / "toy")
        assert avatar.config.sharpening == avatar.network().config.sharpening == share
        keys.append(avatar.key)
    # Its frames are others, though its weights are the same.
    assert keys[0] != keys[1]
    toml = tmp_path / "toy" / "avatar.toml"
    said = toml.read_text("utf-8")
    for value in ("-0.1", "1.5", "nan", "true", '"much"'):
        toml.write_text(said.replace('"sharpening" = 0.03', f'"sharpening" = {value}'), "utf-8")
        with pytest.raises(UserError, match="number from 0 to 1"):
            load(tmp_path / "toy")
