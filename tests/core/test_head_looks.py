# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks and sittings: what neither face nor emotion tell of a film is learned for it, and lent to films like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import Cancelled
from core.models.head import TINY, HeadConfig, tiny_head_network
from core.progress import silent
from core.raster import Camera
from core.toy_head import write_toy_head
from core.training.head import OPTIONAL, HeadTrainer, HeadTraining, main
from core.training.head_cache import HeadCache
from core.training.head_data import RenderSet, SetInfo, load_set, looks_of, write_plan
from core.training.head_looks import Looks, following
from core.training.head_loss import LossWeights

SIZE = 32
DARK, LIGHT, HELD = 0, 1, 2
SHADES = {DARK: 40, LIGHT: 200, HELD: 190}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> RenderSet:
    """Two frames of each of three films that differ in their light alone; the third is held out."""
    folder = tmp_path_factory.mktemp("films")
    count = 2 * len(SHADES)
    params = {
        "arkit": np.zeros((count, 52)), "gaze": np.zeros((count, 2, 2)),
        "head_rotation": np.zeros((count, 3)), "head_translation": np.zeros((count, 3)),
        "emotion": np.eye(8)[[0] * count], "film": np.repeat(list(SHADES), 2),
        "time": np.tile([0, 0.04], len(SHADES)), "picture": np.tile([0, 1], len(SHADES)),
        "crop": np.tile([0, 0, SIZE, SIZE], (count, 1)),
    }  # fmt: skip
    names = tuple(f"{film}.mp4" for film in SHADES)
    info = SetInfo("toy", SIZE, Camera(), (5, 6), films=names)
    write_plan(folder, info, {n: np.asarray(v, np.float32) for n, v in params.items()})
    write_toy_head(folder / "proxy.npz")
    for name in ("frames", "masks"):
        (folder / name).mkdir()
    for number in range(1, count + 1):
        shade = np.full((SIZE, SIZE, 3), SHADES[(number - 1) // 2], np.uint8)
        Image.fromarray(shade).save(folder / "frames" / f"{number:06d}.png")
        Image.fromarray(shade[..., 0] * 0).save(folder / "masks" / f"{number:06d}.png")
    return load_set(folder)


def test_a_film_not_trained_on_has_the_look_of_the_one_most_like_it(films: RenderSet) -> None:
    looks = Looks.of(films)
    assert films.looks == 4
    assert looks.source.tolist() == [DARK, LIGHT, LIGHT]


def test_films_of_another_light_are_another_sitting(films: RenderSet) -> None:
    looks = Looks.of(films)
    dark, light, held = looks.sitting.tolist()
    assert looks.sittings == 2
    assert dark != light == held
    config = looks.config(films)
    assert (config.sittings, config.looks, config.alpha) == (2, 4, True)
    assert config.shoulder_channels > 0


def test_a_characters_set_has_one_sitting_and_still_shoulders(films: RenderSet) -> None:
    character = replace(films, info=replace(films.info, films=()))
    looks = Looks.of(character)
    config = looks.config(character)
    assert (looks.sittings, config.sittings, config.looks, config.shoulder_channels) == (1, 1, 1, 0)
    network = tiny_head_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    looks.begin(network, character)
    looks.settle(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_part_can_be_left_out_to_tell_what_it_is_good_for(
    films: RenderSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, HeadConfig] = {}
    part = ""

    def stop(data: RenderSet, looks: Looks, work: Path, plan: HeadTraining, config: HeadConfig, start: None) -> None:
        asked[part] = config
        raise Cancelled

    monkeypatch.setattr("core.training.head.train", stop)
    for part in OPTIONAL:
        with pytest.raises(Cancelled):
            main(["--renders", str(films.folder), "--out", str(tmp_path), "--without", part])
    whole = Looks.of(films).config(films)
    assert asked == {"sittings": replace(whole, sittings=1), "shoulders": replace(whole, shoulder_channels=0),
                     "atlas": replace(whole, atlas=False)}  # fmt: skip


def test_the_usual_look_is_one_of_the_films_and_sits_with_it(films: RenderSet) -> None:
    looks = Looks.of(films)
    network = tiny_head_network(config=replace(TINY, looks=4, sittings=2))
    network.looks = torch.nn.Parameter(torch.tensor([[9.0] * 4, [0.0] * 4, [1.0] * 4, [5.0] * 4]))
    looks.begin(network, films)
    looks.settle(network)
    assert network.looks[1:, 0].tolist() == [0.0, 1.0, 1.0]
    assert network.looks[0, 0] == 1.0
    assert network.sitting.tolist() == [looks.sitting[LIGHT], *looks.sitting]


def test_shoulders_follow_the_head_as_the_footage_shows(films: RenderSet) -> None:
    generator = np.random.default_rng(0)
    head = generator.normal(0, 0.01, (200, 3)).astype(np.float32)
    shoulders = head[:, :2] * (0.8, 0.3) + generator.normal(0, 1e-4, (200, 2))
    np.testing.assert_allclose(following(head, shoulders.astype(np.float32)), (0.8, 0.3), atol=0.01)
    assert following(np.zeros((3, 3), np.float32), np.ones((3, 2), np.float32)).tolist() == [0, 0]
    network = tiny_head_network(config=replace(TINY, looks=4, shoulder_channels=4))
    moving = replace(films, params=films.params | {"head_translation": head[:6], "shoulders": np.pad(head[:6, :2, None] * 0.5, ((0, 0), (0, 0), (2, 0)))})
    Looks.of(films).begin(network, moving)
    torch.testing.assert_close(network.follow, torch.tensor([0.5, 0.5]))


def test_frames_have_the_look_of_their_film(films: RenderSet) -> None:
    rows = films.rows([1, 4, 5])
    assert looks_of(rows, films.looks).tolist() == [1, 2, 3]
    assert looks_of(rows, 1).tolist() == [0, 0, 0]
    del rows["film"]
    assert looks_of(rows, films.looks).tolist() == [0, 0, 0]


def test_light_that_no_track_tells_is_learned_as_a_look(films: RenderSet) -> None:
    """Also with the textures of one sitting."""
    cache = HeadCache(films, [1, 2, 3, 4], TINY, silent)
    plan = HeadTraining(steps=150, warm_up=1, rate=1e-2, texture_rate=3e-2)
    trainer = HeadTrainer(replace(TINY, looks=films.looks), plan, None)
    for _ in range(150):
        trainer.train_step(cache.batch([0, 1, 2, 3]), replace(LossWeights(), features=0.0).without("grain"))
    network = trainer.network.eval()
    with torch.no_grad():
        batch = cache.batch([0, 2])
        made = network(batch.conditioning, batch.emotion, batch.look, torch.zeros(1, TINY.noise))
        dark, light = made.mean((1, 2, 3)).tolist()
    assert light - dark > 0.3
