# SPDX-License-Identifier: GPL-3.0-or-later
"""Training lowers the loss, is repeatable, and its checkpoint animates."""

import json

import numpy as np
import pytest
import torch

from core.errors import ExitCode, UserError
from core.evaluation.speech.signals import correlation
from core.lips import INDEX, LipMap
from core.models.expression_network import ExpressionConfig
from core.training import expression as training
from core.training.data.lips import KIND_NAMES
from core.training.data.prepare import Clip

TINY = ExpressionConfig(
    width=24, lip_width=16, mapper_width=16, decoder_width=24, latent=4, heads=2, band=2,
    mapper_layers=1, shared_dilations=(1,), lip_dilations=(1,), decoder_dilations=(1,),
)  # fmt: skip


def talking(seed, seconds=1.6):
    """A buzz whose loudness is the jaw."""
    rng = np.random.default_rng(seed)
    frames, count = int(seconds * 50) + 1, int(seconds * 16000)
    opening = np.abs(np.sin(np.arange(frames) / 50 * np.pi * rng.uniform(2, 4)))
    loud = np.interp(np.arange(count) / 320, np.arange(frames), opening)
    t = np.arange(count) / 16000
    buzz = np.sign(np.sin(2 * np.pi * rng.uniform(90, 220) * t)) * loud * 0.3
    mouth = np.zeros((frames, 42), np.float32)
    mouth[:, INDEX["jawOpen"]] = 0.4 * opening
    kind = np.where(opening > 0.2, KIND_NAMES.index("AA"), KIND_NAMES.index("M")).astype(np.int8)
    return Clip(f"c{seed}", "tiny-a", buzz.astype(np.float32), mouth, kind,
                np.ones(frames, np.float32), opening < 0.02, False)  # fmt: skip


def run(seed, steps=40):
    log = []
    model = training.train([talking(i) for i in range(4)], LipMap.from_head(), TINY, steps=steps,
                           seed=seed, size=4, rate=4e-3, seconds=1.2,
                           progress=lambda _step, terms: log.append(terms))  # fmt: skip
    return model, log


@pytest.fixture(scope="module")
def trained():
    return run(0)


def test_the_loss_falls(trained):
    total = [terms["total"] for terms in trained[1]]
    assert len(total) == 40
    assert np.isfinite(total).all()
    assert np.mean(total[-5:]) < 0.6 * np.mean(total[:5])


def test_the_jaw_follows_the_sound(trained):
    clip = talking(99)
    found = trained[0].predict(clip.samples, temperature=0).speech[:, INDEX["jawOpen"]]
    assert correlation(found, clip.mouth[:, INDEX["jawOpen"]]) > 0.3


def test_same_seed_same_weights():
    (a, _), (b, _) = run(3, steps=3), run(3, steps=3)
    for x, y in zip(a.network.state_dict().values(), b.network.state_dict().values()):
        assert torch.equal(x, y)


def test_training_goes_on_from_a_model(trained):
    first = []
    training.train([talking(i) for i in range(4)], LipMap.from_head(), TINY, steps=3, seed=5, size=4,
                   rate=1e-4, seconds=1.2, start=trained[0],
                   progress=lambda _step, terms: first.append(terms["total"]))  # fmt: skip
    assert first[0] < 0.7 * trained[1][0]["total"]


def test_the_split_is_written_by_speaker(tmp_path):
    clips = [talking(0), talking(1)]
    clips[1] = Clip(**{**clips[1].__dict__, "speaker": training.TEST_SPEAKERS[0]})
    training.write_split(tmp_path / "split.json", clips)
    assert json.loads((tmp_path / "split.json").read_text()) == {
        "train": {"tiny-a": ["c0"]}, "test": {training.TEST_SPEAKERS[0]: ["c1"]},
    }  # fmt: skip


@pytest.mark.parametrize(("films", "code"), [(False, ExitCode.BAD_INPUT), (True, ExitCode.MISSING)])
def test_missing_data_and_a_missing_tracker_are_the_users_to_mend(tmp_path, monkeypatch, films, code):
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "home"))
    if films:
        (tmp_path / "grid_s1").mkdir()
    with pytest.raises(UserError) as caught:
        training.main(["--data", str(tmp_path), "--out", str(tmp_path), "--cache", str(tmp_path)])
    assert caught.value.code == code
