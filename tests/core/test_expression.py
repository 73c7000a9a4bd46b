# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator: shapes, ranges, repeatability, chunks, emotion weights, silence, ONNX, checkpoints."""

import io
from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch

from core.arkit import EMOTIONS, EXPRESSION_NAMES
from core.errors import ExitCode, UserError
from core.features import FEATURES, log_mel
from core.lips import INDEX, LipMap
from core.models.checkpoint import save_checkpoint
from core.models.expression import (
    ExpressionModel,
    coefficient_count,
    normalised_emotion,
    tiny_expression_model,
)
from core.models.expression_network import LATENT_STRIDE, ExpressionConfig, ExpressionNetwork
from core.mouth import MOUTH, Dials, shape_speech, speaking


@pytest.fixture(scope="module")
def model():
    return tiny_expression_model()


def voice(seconds, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16000)) / 16000
    return (0.2 * np.sin(2 * np.pi * 140 * t) * rng.uniform(0, 1, len(t))).astype(np.float32)


def one_hot(emotion, count):
    weights = np.zeros((count, 8), np.float32)
    weights[:, EMOTIONS.index(emotion)] = 1
    return weights


@pytest.mark.parametrize("count", [0, 1, 160, 320, 1600, 16000, 16321, 47999])
def test_shapes_and_range_for_any_length(model, count):
    sound = voice(3)[:count]
    frames = coefficient_count(count)
    found = model.predict(sound, one_hot("happy", frames))
    assert frames == count // 320 + 1
    assert found.expression.shape == found.speech.shape == (frames, len(EXPRESSION_NAMES))
    assert found.activity.shape == (frames,)
    for values in (found.expression, found.speech, found.activity):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


def test_chunks_do_not_matter(model):
    sound = voice(12)
    emotion = np.random.default_rng(1).dirichlet(np.ones(8), coefficient_count(len(sound)))
    whole = model.predict(sound, emotion, chunk_seconds=100)
    for seconds in (0.1, 2.0, 5.3):
        cut = model.predict(sound, emotion, chunk_seconds=seconds)
        np.testing.assert_allclose(cut.expression, whole.expression, atol=1e-5)
        np.testing.assert_allclose(cut.speech, whole.speech, atol=1e-5)


def test_the_full_size_reaches_no_further_than_it_says():
    torch.manual_seed(0)
    network = ExpressionNetwork(ExpressionConfig()).eval()
    features = torch.rand(1, 1200, 65)
    weights = torch.full((1, 600, 8), 1 / 8)
    changed = features.clone()
    changed[:, 600:] = torch.rand(1, 600, 65)  # all sound from coefficient frame 300 on
    with torch.no_grad():
        a, b = (network(f, weights, torch.zeros(1, 120, 16))[0] for f in (features, changed))
    same = (a == b).all(-1)[0]
    assert same[: 300 - network.config.context].all()
    assert sum(p.numel() for p in network.parameters()) < 3_000_000


def test_seed_and_temperature(model):
    sound = voice(3)
    emotion = one_hot("sad", coefficient_count(len(sound)))
    a, b, c = (model.predict(sound, emotion, seed=s).expression for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    a, c = (model.predict(sound, emotion, seed=s, temperature=0).expression for s in (1, 2))
    assert np.array_equal(a, c)


def test_neutral_expression_is_the_speech(model):
    found = model.predict(voice(2))
    np.testing.assert_allclose(found.expression, found.speech, atol=1e-6)


def test_a_neutral_mouth_is_left_alone_and_a_little_emotion_moves_it_a_little():
    network = tiny_expression_model().network
    mouth = torch.full((1, 50, len(EXPRESSION_NAMES)), 0.5)
    code = torch.randn(1, 10, network.config.code)

    def moved(happy):
        weights = torch.zeros(1, 50, len(EMOTIONS))
        weights[..., 0], weights[..., EMOTIONS.index("happy")] = 1 - happy, happy
        with torch.inference_mode():
            return (network.expressed(code, mouth, weights) - mouth)[..., MOUTH]

    full = moved(1.0)
    free = full.abs() < 0.49  # not cut off at 0 or 1
    assert moved(0.0).abs().max() == 0
    assert full[free].abs().max() > 0.01
    torch.testing.assert_close(moved(0.125)[free], full[free] / 2, atol=1e-6, rtol=1e-4)


def test_emotion_does_not_part_lips_that_speech_shuts():
    lips = LipMap.from_head()
    speech = np.zeros((3, 42))
    speech[1, INDEX["jawOpen"]], speech[1, INDEX["mouthClose"]] = 0.2, 0.2
    speech[2, INDEX["jawOpen"]] = 0.3
    face = speech.copy()
    face[:, [INDEX["noseSneerLeft"], INDEX["noseSneerRight"], INDEX["mouthUpperUpLeft"]]] = 0.8
    kept = lips.keep_shut(face, speech)
    assert (face @ lips.gap)[:2].min() > 0.03
    assert (kept @ lips.gap)[:2].max() < 0.012
    np.testing.assert_array_equal(kept[2], face[2])


def test_progress_counts_chunks(model):
    seen = []
    model.predict(voice(3), chunk_seconds=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_emotion_rows_are_completed_and_scaled():
    rows = np.zeros((3, 8), np.float32)
    rows[1, 5] = 0.25
    rows[2, [5, 6]] = 2.0, 2.0
    found = normalised_emotion(rows, 3)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found[0, 0] == 1
    assert found[1, 0] == 0.75
    assert found[2, 5] == found[2, 6] == 0.5


@pytest.mark.parametrize("emotion", [np.zeros((3, 8)), np.full((5, 8), np.nan), np.full((5, 8), -1)])
def test_refuses_senseless_emotion(emotion):
    with pytest.raises(UserError) as caught:
        normalised_emotion(emotion, 5)
    assert caught.value.code == ExitCode.BAD_INPUT


def test_silence_stills_the_mouth_and_bridges_closures():
    activity = np.zeros(200, np.float32)
    activity[50:100] = 1
    activity[104:150] = 1  # a closure of 0.08 s
    gate = speaking(activity, activity)
    assert gate[:36].max() < 1e-3
    assert gate[52:148].min() > 0.95
    assert gate[157:].max() < 1e-3
    moved = shape_speech(np.full((200, 42), 0.5, np.float32), gate, Dials())
    assert moved[:36][:, MOUTH].max() < 1e-3
    assert (moved[:, ~MOUTH] == 0.5).all()


def test_a_click_does_not_open_the_mouth():
    activity = np.zeros(100, np.float32)
    activity[50:52] = 1
    assert speaking(activity, activity).max() < 0.05


def test_export_to_onnx_gives_the_same(model):
    names = ["features", "weights", "noise"]
    example = (torch.rand(1, 100, 65), torch.full((1, 50, 8), 1 / 8), torch.randn(1, 10, 4))
    file = io.BytesIO()
    torch.onnx.export(
        model.network, example, file, input_names=names, output_names=["expression", "activity"],
        dynamic_axes={n: {1: n + "_length"} for n in names}, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    sound = voice(3.3)
    features = log_mel(sound)[None]
    frames = coefficient_count(len(sound))
    weights = normalised_emotion(one_hot("fear", frames), frames)[None]
    noise = np.random.default_rng(0).standard_normal((1, -(-frames // LATENT_STRIDE), 4), np.float32)
    given = dict(zip(names, (features, weights, noise)))
    with torch.no_grad():
        want = model.network(*(torch.from_numpy(v) for v in given.values()))
    for a, b in zip(session.run(None, given), want):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_checkpoint_round_trip(model, tmp_path):
    path = tmp_path / "modèle" / "expression.safetensors"
    path.parent.mkdir()
    save_checkpoint(path, model.network.state_dict(), model.config, note="tiny")
    again = ExpressionModel.load(path)
    assert again.config == model.config
    sound = voice(1)
    np.testing.assert_allclose(again.predict(sound).speech, model.predict(sound).speech, atol=2e-3)


def test_missing_and_damaged_checkpoints(model, tmp_path):
    path = tmp_path / "expression.safetensors"
    with pytest.raises(UserError) as caught:
        ExpressionModel.load(path)
    assert caught.value.code == ExitCode.MISSING
    save_checkpoint(path, model.network.state_dict(), model.config)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError) as caught:
        ExpressionModel.load(path)
    assert caught.value.code == ExitCode.MISSING


def test_a_likely_closure_shuts_the_lips_and_a_short_or_unlikely_one_does_not():
    network = tiny_expression_model().network
    mouth = torch.zeros(1, 20, 42)
    mouth[..., INDEX["mouthLowerDownLeft"]] = mouth[..., INDEX["mouthLowerDownRight"]] = 0.4
    chance = torch.full((1, 20), 0.01)
    chance[0, 3:8], chance[0, 11], chance[0, 14:20] = 0.95, 0.6, 0.2
    with torch.inference_mode():
        heard = network.encoder(torch.rand(1, 40, FEATURES))._replace(mouth=mouth, closed=torch.logit(chance))
        gap = network.neutral(heard)[0].numpy() @ LipMap.from_head().gap
    parted = gap / (mouth[0, 0].numpy() @ LipMap.from_head().gap)
    np.testing.assert_allclose(parted[3:8], 0, atol=1e-5)
    np.testing.assert_allclose(parted[[0, 1, 9, *range(14, 20)]], 1, atol=1e-5)
    assert 0.5 < parted[11] < 1
    assert np.abs(np.diff(parted)).max() < 1


def test_the_expression_head_hears_nothing_finer_than_its_bands_and_windows():
    network = tiny_expression_model().network
    rng = np.random.default_rng(5)
    features = rng.uniform(0, 1, (1, 400, FEATURES)).astype(np.float32)
    other = features.copy()
    for low, high in pairwise(network.config.tone_bands):  # other sounds of the same colour
        other[..., low:high] = other[..., low:high][..., rng.permutation(high - low)]
    with torch.inference_mode():
        heard, changed = (network.encoder(torch.from_numpy(f)) for f in (features, other))
    torch.testing.assert_close(heard.expression, changed.expression, rtol=1e-4, atol=1e-4)
    assert (heard.mouth - changed.mouth).abs().max() > 1e-3
