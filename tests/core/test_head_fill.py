# SPDX-License-Identifier: GPL-3.0-or-later
"""What no frame shows of the learned textures comes from its surroundings, and what one shows stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.models.head import TINY, tiny_head_network
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head_data import RenderSet, SetInfo, load_set, write_plan
from core.training.head_fill import fill_unseen, filled

SIZE = 32


def face_on(folder: Path) -> RenderSet:
    """Equal frames of a film, in which much of the texture is not seen."""
    count = 12
    params = {
        "arkit": np.zeros((count, 52)), "gaze": np.zeros((count, 2, 2)), "head_rotation": np.zeros((count, 3)),
        "head_translation": np.zeros((count, 3)), "emotion": np.eye(8)[[0] * count], "film": np.zeros(count),
        "time": np.arange(count) / 25, "picture": np.arange(count), "crop": np.tile([0, 0, SIZE, SIZE], (count, 1)),
    }  # fmt: skip
    info = SetInfo("toy", SIZE, Camera(), (12,), films=("film.mp4",))
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    (folder / "frames").mkdir()
    for number in range(1, count + 1):
        Image.new("RGB", (SIZE, SIZE)).save(folder / "frames" / f"{number:06d}.png")
    return load_set(folder)


def test_what_is_believed_stays() -> None:
    values = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(filled(values, torch.ones(2, 1, 24, 24)), values)


def test_a_hole_is_what_is_around_it_and_the_near_counts_more() -> None:
    values = torch.linspace(0, 1, 48).expand(1, 1, 48, 48).clone()
    belief = torch.ones(1, 1, 48, 48)
    belief[..., 10:40, 10:40] = 0
    torn = torch.where(belief > 0, values, torch.tensor(99.0))
    out = filled(torn, belief)
    assert torch.equal(out[belief > 0], values[belief > 0])
    assert (out >= 0).all() & (out <= 1).all()
    assert (out - values).abs().max() < 0.2
    assert out[0, 0, 24, 38] - out[0, 0, 24, 11] > 0.3


def test_where_nothing_is_known_nothing_breaks() -> None:
    out = filled(torch.ones(1, 2, 16, 16), torch.zeros(1, 1, 16, 16))
    assert out.isfinite().all()


def test_what_the_frames_do_not_show_is_filled(tmp_path: Path) -> None:
    data = face_on(tmp_path)
    network = tiny_head_network(config=replace(TINY, looks=2))
    before = network.texture.detach().clone()
    fill_unseen(network, data)
    changed = (network.texture - before).abs().amax(1)[0] > 1e-6
    assert 0.05 < changed.float().mean() < 0.95
    # Speckles of a texel's size are gone there.
    rough = [(t[..., 1:] - t[..., :-1]).abs().mean(1)[0][changed[:, 1:] & changed[:, :-1]].mean()
             for t in (before, network.texture)]  # fmt: skip
    assert rough[1] < 0.6 * rough[0]
    again = network.texture.detach().clone()
    fill_unseen(network, data)
    torch.testing.assert_close(network.texture.detach()[:, :, ~changed], again[:, :, ~changed])
