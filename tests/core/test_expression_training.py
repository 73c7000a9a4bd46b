# SPDX-License-Identifier: GPL-3.0-or-later
"""Training lowers the loss, is repeatable, and its checkpoint animates."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import cli
from core.errors import ExitCode, UserError
from core.features import log_mel
from core.lips import INDEX, LipMap
from core.models.checkpoint import load_checkpoint
from core.models.expression_network import ExpressionConfig, ExpressionNetwork
from core.phones import KIND_NAMES
from core.training import expression as training
from core.training.data.prepare import Clip
from core.training.data.split import TEST_SPEAKERS
from core.training.expression_batches import Windows
from core.training.expression_losses import one_minus_correlation, reverse

TINY = ExpressionConfig(
    width=24, lip_width=16, lip_dilations=(1,), mouth_width=24, tone_width=16, tone_dilations=(1,),
    mapper_width=16, heads=2, band=2, latent=4, decoder_width=24, decoder_dilations=(1,),
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


CLIPS = [talking(i) for i in range(4)]
LIPS = LipMap.from_head()


def lips(seed, steps=80):
    log = []
    network = training.train_lips(CLIPS, LIPS, TINY, steps=steps, seed=seed, size=4, rate=4e-3, seconds=1.2,
                                  workers=0, report=lambda _step, terms: log.append(terms))  # fmt: skip
    return network, log


def faces(network, seed, steps=40):
    log = []
    trained = training.train_faces(network, CLIPS, LIPS, steps=steps, seed=seed, size=4, rate=4e-3,
                                   seconds=1.2, workers=0,
                                   report=lambda _step, terms: log.append(terms))  # fmt: skip
    return trained, log


@pytest.fixture(scope="module")
def trained():
    return lips(0)


def falls(log):
    total = [terms["total"] for terms in log]
    assert np.isfinite(total).all()
    return np.mean(total[-5:]) < 0.8 * np.mean(total[:5])


def test_the_loss_of_the_lips_falls(trained):
    assert falls(trained[1])


def test_the_jaw_follows_the_sound(trained):
    clip = talking(99)
    with torch.inference_mode():
        heard = trained[0].encoder(torch.from_numpy(log_mel(clip.samples))[None])
        found = heard.mouth[0, :, INDEX["jawOpen"]].numpy()
    assert np.corrcoef(found, clip.mouth[: len(found), INDEX["jawOpen"]])[0, 1] > 0.3


@pytest.mark.parametrize("components", ["mixture", "single"])
def test_emotions_are_learnt_over_lips_that_stay(trained, components):
    network = ExpressionNetwork(replace(TINY, components=components))
    network.load_state_dict(
        {n: v for n, v in trained[0].state_dict().items() if n.startswith(training._LIPS)}, strict=False
    )
    before = {n: v.clone() for n, v in network.state_dict().items()}
    found, log = faces(network, 1)
    assert falls(log)
    changed = {n for n, v in found.state_dict().items() if not torch.equal(v, before[n])}
    assert not [n for n in changed if n.startswith(training._LIPS)]
    assert {n.split(".")[0] for n in changed} == {"encoder", "mapper", "posterior", "decoder"}


def test_same_seed_same_weights():
    a, b = (faces(lips(3, steps=5)[0], 4, steps=3)[0] for _ in range(2))
    for x, y in zip(a.state_dict().values(), b.state_dict().values()):
        assert torch.equal(x, y)


def test_a_batch_does_not_depend_on_who_draws_it():
    windows = Windows(CLIPS, LIPS, 1.2, size=3, steps=2, seed=7, faces=True)
    for a, b in zip(windows.stream(0), windows.stream(1)):
        assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_untold_voices_are_labelled_by_what_the_networks_hear(trained):
    clip = talking(5)
    blank = replace(clip, mouth=np.zeros_like(clip.mouth), kind=np.full_like(clip.kind, -1))
    (labelled,) = training.label([blank], trained[0])
    assert labelled.mouth.shape == clip.mouth.shape
    assert np.corrcoef(labelled.mouth[:, INDEX["jawOpen"]], clip.mouth[:, INDEX["jawOpen"]])[0, 1] > 0.3
    assert labelled.awake.mean() > 0.5


def test_what_is_known_of_an_untold_voice_is_not_told_anew(trained):
    clip = talking(5)
    half = len(clip.kind) // 2
    part = replace(clip, kind=np.where(np.arange(len(clip.kind)) < half, clip.kind, -1).astype(np.int8),
                   mouth=clip.mouth + np.float32(0.3))  # fmt: skip
    (labelled,) = training.label([part], trained[0])
    (heard,) = training.label([replace(part, kind=np.full_like(part.kind, -1))], trained[0])
    np.testing.assert_array_equal(labelled.mouth[half:], heard.mouth[half:])
    np.testing.assert_allclose(labelled.mouth[: half - 12], part.mouth[: half - 12], atol=1e-4)
    assert np.abs(np.diff(labelled.mouth[:, 0])).max() < 0.15  # no jump from one to the other


def test_untold_voices_join_in_from_the_second_round_on(monkeypatch):
    seen = []
    draw = Windows.__init__

    def watch(self, clips, *args, **options):
        seen.append([c.speaker for c in clips])
        draw(self, clips, *args, **options)

    monkeypatch.setattr(Windows, "__init__", watch)
    untold = replace(talking(6), speaker="librispeech_untold-1", kind=np.full(81, -1, np.int8))
    training.train_lips([*CLIPS, untold], LIPS, TINY, steps=4, seed=0, size=2, rounds=2, seconds=1.2, workers=0)
    assert [len(s) for s in seen] == [4, 5]


def test_correlation_knows_no_scale():
    wave = torch.sin(torch.linspace(0, 12, 60))[None] * 0.1
    assert one_minus_correlation(3 * wave + 1, wave) < 0.01
    assert one_minus_correlation(-wave, wave) > 0.95
    assert one_minus_correlation(wave, torch.zeros_like(wave)) == 0


def test_a_reversed_gradient_points_the_other_way():
    x = torch.ones(3, requires_grad=True)
    reverse(x).sum().backward()
    assert torch.equal(x.grad, -torch.ones(3))


def test_the_split_is_written_by_speaker(tmp_path):
    clips = [talking(0), talking(1)]
    clips[1] = Clip(**{**clips[1].__dict__, "speaker": TEST_SPEAKERS[0]})
    training.write_split(tmp_path / "split.json", clips)
    assert json.loads((tmp_path / "split.json").read_text()) == {
        "train": {"tiny-a": ["c0"]}, "test": {TEST_SPEAKERS[0]: ["c1"]},
    }  # fmt: skip
    training.write_split(tmp_path / "split.json", clips, leave_out=["tiny-a"])
    assert json.loads((tmp_path / "split.json").read_text()) == {
        "train": {}, "test": {"tiny-a": ["c0"], TEST_SPEAKERS[0]: ["c1"]},
    }  # fmt: skip


@pytest.mark.parametrize(("films", "code"), [(False, ExitCode.BAD_INPUT), (True, ExitCode.MISSING)])
def test_missing_data_and_a_missing_tracker_are_the_users_to_mend(tmp_path, monkeypatch, films, code):
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "home"))
    if films:
        (tmp_path / "grid_s1").mkdir()
    with pytest.raises(UserError) as caught:
        training.main(["--data", str(tmp_path), "--out", str(tmp_path), "--cache", str(tmp_path)])
    assert caught.value.code == code


def test_the_command_tells_how_far_it_is(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)  # as of the command line without -v
    caplog.handler.setLevel(logging.INFO)
    (tmp_path / "grid_s1").mkdir()
    monkeypatch.setattr(training, "find_labels", lambda *_: None)
    monkeypatch.setattr(training, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(training, "load_clips", lambda _: CLIPS)
    monkeypatch.setattr(training, "ExpressionConfig", lambda **_: TINY)
    out = tmp_path / "out"
    said = cli.main(["train", "expression", "--data", str(tmp_path), "--cache", str(tmp_path), "--out", str(out),
                     "--lip-steps", "4", "--further-steps", "2", "--face-steps", "2"])  # fmt: skip
    assert said == 0
    assert "lips: step 4 of 4" in caplog.text
    assert "further: step 2 of 2" in caplog.text
    assert "faces: step 2 of 2" in caplog.text
    assert json.loads((out / "expression.json").read_text())["trained"]["lip_steps"] == 4
    assert (out / "expression-split.json").exists()
    lips = [load_checkpoint(out / "expression.safetensors")[0]]
    for name, more in (("kept", []), ("further", ["--further-steps", "2"])):
        training.main(["--data", str(tmp_path), "--cache", str(tmp_path), "--out", str(tmp_path / name),
                       "--lips", str(out / "expression.safetensors"), "--face-steps", "1", *more])  # fmt: skip
        lips.append(load_checkpoint(tmp_path / name / "expression.safetensors")[0])
    key = "encoder.lips.mouth.out.2.weight"
    first, kept, further = (v[key].float() for v in lips)
    assert torch.equal(first, kept)
    assert 0 < (further - first).abs().max() < 0.01
