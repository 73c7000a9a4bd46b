# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.avatars import AvatarCard, load, save_avatar
from core.errors import UserError
from core.models.head import TINY, tiny_head_network
from core.progress import silent
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head import HeadTrainer, HeadTraining
from core.training.head_cache import Batch, HeadCache
from core.training.head_data import SetInfo, load_set, write_plan
from core.training.head_loss import LossWeights

SIZE = 32
SMALL = replace(TINY, looks=2, alpha=True)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of footage whose person is a disc, larger than the head's mesh."""
    folder = tmp_path_factory.mktemp("footage")
    params = {
        "arkit": np.zeros((4, 52)), "gaze": np.zeros((4, 2, 2)),
        "head_rotation": np.zeros((4, 3)), "head_translation": np.zeros((4, 3)),
        "emotion": np.eye(8)[[0] * 4], "film": np.zeros(4), "time": np.arange(4) / 25,
        "picture": np.arange(4), "crop": np.tile([0, 0, SIZE, SIZE], (4, 1)),
    }  # fmt: skip
    info = SetInfo("toy", SIZE, Camera(), (), films=("film.mp4",))
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    row, column = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    disc = (255 * (np.hypot(row, column) < 14)).astype(np.uint8)
    for name in ("frames", "masks"):
        (folder / name).mkdir()
    for number in range(1, 5):
        Image.fromarray(np.repeat(disc[..., None], 3, 2)).save(folder / "frames" / f"{number:06d}.png")
        Image.fromarray(disc).save(folder / "masks" / f"{number:06d}.png")
    return folder


def alpha_error(trainer: HeadTrainer, batch: Batch) -> float:
    with torch.no_grad():
        made = trainer.network(batch.conditioning, batch.emotion, batch.look, torch.zeros(1, SMALL.noise))
    assert made.shape == (1, 4, SIZE, SIZE)
    assert batch.mask is not None
    return float((made[:, 3:] - batch.mask).abs().mean())


def test_alpha_is_learned_from_the_masks(footage: Path) -> None:
    batch = HeadCache(load_set(footage), [1, 2, 3, 4], SMALL, silent).batch([2])
    assert batch.mask is not None
    assert batch.mask.unique().tolist() == [0.0, 1.0]
    trainer = HeadTrainer(SMALL, HeadTraining(steps=200, warm_up=1, rate=1e-2), None)
    before = alpha_error(trainer, batch)
    assert before > 0.05
    for _ in range(200):
        trainer.train_step(batch, LossWeights())
    assert alpha_error(trainer, batch) < 0.5 * before


def test_an_avatar_remembers_that_it_makes_alpha(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    for alpha in (False, True):
        network = tiny_head_network(config=replace(TINY, alpha=alpha))
        save_avatar(tmp_path / "toy", card, Camera(), network, tmp_path / "head.npz")
        avatar = load(tmp_path / "toy")
        assert avatar.config == replace(network.config, alpha=alpha)
        assert avatar.network().unet.colour.weight.shape[0] == 3 + alpha


def test_avatars_from_before_have_none_and_odd_ones_are_refused(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    save_avatar(tmp_path / "toy", card, Camera(), tiny_head_network(), tmp_path / "head.npz")
    toml = tmp_path / "toy" / "avatar.toml"
    said = toml.read_text()
    for line in ('"alpha" = false\n', '"sittings" = 1\n', '"shoulder_channels" = 0\n', '"sharpening" = 0.0\n'):
        assert line in said
        toml.write_text(said.replace(line, ""))
        assert load(tmp_path / "toy").config == TINY
    toml.write_text(said.replace('"alpha" = false', '"alpha" = 1'))
    with pytest.raises(UserError, match="alpha"):
        load(tmp_path / "toy")
