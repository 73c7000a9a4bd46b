# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.angles import axis_angle, euler_degrees
from core.bench import synthetic_voice
from core.errors import ExitCode, UserError
from core.models.motion import HISTORY, SIZE, MotionModel, heard_by_rows, tiny_motion_model
from core.motion_curves import GAZE_LIMIT, VERGENCE, Motion
from core.motion_state import HEAD, SECONDS, Clock, Follower, compress, expand
from core.prosody import NAMES, prosody

WEIGHTS = Path(__file__).parents[2] / "core" / "weights" / "motion.safetensors"


def still(blinks: object = (), saccades: object = (), frames: int = 100) -> Motion:
    return Motion(
        np.zeros((frames, 6)),
        np.array(blinks, float).reshape(-1, 5),
        np.array(saccades, float).reshape(-1, 3),
    )


def test_same_seed_same_motion_other_seed_another() -> None:
    model, voice = tiny_motion_model(), synthetic_voice(3.0)
    one, two, three = (model.generate(voice, seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.pose, two.pose)
    np.testing.assert_array_equal(one.blinks, two.blinks)
    assert np.abs(one.pose - three.pose).max() > 1e-3


@pytest.mark.parametrize("samples", [0, 1, 100, 1600, 16001])
def test_any_length_has_motion(samples: int) -> None:
    motion = tiny_motion_model().generate(np.zeros(samples, np.float32))
    assert len(motion.pose) >= samples / 16000 * 25
    frames = motion.at([0.0, samples / 16000])
    for values in vars(frames).values():
        assert np.isfinite(values).all()


def test_the_network_exports_and_runs_the_same(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    step = tiny_motion_model().step
    memory = step.recurrent.hidden_size
    width = step.into.in_features
    torch.manual_seed(0)
    inputs = (torch.randn(1, width), torch.randn(1, 1, memory), torch.randn(1, SIZE))
    path = tmp_path / "motion.onnx"
    torch.onnx.export(
        step, inputs, str(path), input_names=["past", "memory", "noise"],
        output_names=["row", "next_memory"], dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    named = dict(zip(("past", "memory", "noise"), (v.numpy() for v in inputs)))
    for got, expected in zip(session.run(None, named), step(*inputs)):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-4, atol=1e-4)


def test_the_likelihood_counts_the_whitening() -> None:
    network = tiny_motion_model().network
    torch.manual_seed(0)
    rows = torch.randn(2, 4, SIZE)
    past = torch.randn(2, 4, network.into.in_features)
    before = network.log_likelihood(rows, past)
    with torch.no_grad():
        network.whiten.mul_(2.0)
        network.mean.add_((rows.mean() - network.mean) * 0)
    white = ((rows - network.mean) @ network.whiten.T).flatten(0, 1)
    condition = network.remember(past)[0].flatten(0, 1)
    inner = network.flow.log_likelihood(white, condition).reshape(2, 4)
    log_det = SIZE * np.log(40.0)
    torch.testing.assert_close(network.log_likelihood(rows, past), inner + log_det)
    assert not torch.allclose(before, network.log_likelihood(rows, past))


def test_a_missing_network_is_told() -> None:
    with pytest.raises(UserError) as caught:
        MotionModel.load("nowhere/motion.safetensors")
    assert caught.value.code == ExitCode.MISSING


def test_a_clock_waits_as_long_as_its_pace_says() -> None:
    clock, waited = Clock(), 0.0
    while (at := clock.advance(np.log(1 / 1.23), 0.0)) is None:
        waited += SECONDS
    assert waited + at == pytest.approx(1.23)
    assert clock.fresh
    assert clock.phase == 0
    quick = Clock()
    assert quick.advance(np.log(1 / 1.23), np.log(10.0)) == pytest.approx(0.123)


def test_the_follower_undoes_the_prediction() -> None:
    rng = np.random.default_rng(0)
    path = rng.normal(size=(6, HEAD))
    prediction = rng.normal(0, 0.1, (HEAD, 2 * HEAD))
    follower = Follower(prediction)
    for chunk in path:
        row = np.zeros(SIZE)
        row[:HEAD] = chunk - follower.expected()
        assert follower.history().shape == (HISTORY,)
        follower.follow(row)
    np.testing.assert_allclose(np.concatenate(follower.path[2:]), path.ravel())


def test_what_is_ahead_is_heard() -> None:
    heard = np.arange(12 * len(NAMES), dtype=np.float32).reshape(12, -1)
    rows = heard_by_rows(heard, 3, 1)
    assert rows.shape == (3, 2 * 5 * len(NAMES))
    np.testing.assert_array_equal(rows[0], heard[:10].ravel())
    np.testing.assert_array_equal(rows[2][: 2 * len(NAMES)], heard[10:].ravel())
    assert (rows[2][2 * len(NAMES) :] == 0).all()


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 120], ids=lambda f: f"{f} fps")
def test_a_blink_is_shut_once_at_any_rate(fps: int) -> None:
    times = np.arange(4 * fps) / fps
    shut = still([[1.013, 0.07, 0.15, 1.0, 0.0]]).at(times).blink[:, 0]
    assert shut.max() > 0.85
    assert (shut[times < 1.01] == 0).all()
    assert (shut[times > 1.27] == 0).all()
    peak = int(shut.argmax())
    assert (np.diff(shut[: peak + 1]) >= 0).all()
    assert (np.diff(shut[peak:]) <= 0).all()


def test_a_blink_closes_faster_than_it_opens() -> None:
    times = np.arange(4000) / 1000
    shut = still([[1.0, 0.07, 0.15, 1.0, 0.005]]).at(times).blink
    over = times[shut[:, 0] > 0.5]
    top = times[shut[:, 0] > 0.999]
    assert top.min() - over.min() < over.max() - top.max()
    late = times[shut[:, 1] > 0.5].min() - over.min()
    assert late == pytest.approx(0.005, abs=0.0011)


def test_eyes_step_and_counter_the_head() -> None:
    motion = still(saccades=[[1.0, 8.0, -3.0], [2.0, 0.0, 0.0]])
    times = np.arange(300) / 100
    gaze = np.degrees(motion.at(times).gaze)
    both = gaze.mean(1)
    np.testing.assert_allclose(both[times < 1], 0, atol=1e-5)
    np.testing.assert_allclose(both[(times > 1.06) & (times < 2)], [[8, -3]] * 93, atol=1e-4)
    assert gaze[0, 1, 0] - gaze[0, 0, 0] == pytest.approx(2 * VERGENCE)
    turned = Motion(np.tile(np.hstack([axis_angle([[5, 2, 0]])[0], np.zeros(3)]), (100, 1)),
                    motion.blinks, motion.saccades)  # fmt: skip
    np.testing.assert_allclose(np.degrees(turned.at([0.5]).gaze).mean(1), [[-5, -2]], atol=0.01)
    far = still(saccades=[[0.1, 80.0, 60.0]]).at([2.0])
    np.testing.assert_allclose(np.degrees(far.gaze).mean(1)[0], GAZE_LIMIT, atol=1e-4)


def test_a_line_of_sight_survives_its_compression() -> None:
    degrees = np.array([-20.0, -3, -0.5, 0, 0.5, 3, 20])
    np.testing.assert_allclose(expand(compress(degrees)), degrees)


def test_angles_come_back() -> None:
    euler = np.random.default_rng(0).uniform(-60, 60, (50, 3))
    np.testing.assert_allclose(euler_degrees(axis_angle(euler)), euler, atol=1e-3)
    # To the left, up, to the right shoulder.
    np.testing.assert_allclose(axis_angle([[10, 0, 0]])[0], [0, np.radians(10), 0], atol=1e-9)
    np.testing.assert_allclose(axis_angle([[0, 10, 0]])[0], [-np.radians(10), 0, 0], atol=1e-9)
    np.testing.assert_allclose(axis_angle([[0, 0, 10]])[0], [0, 0, np.radians(10)], atol=1e-9)


def test_prosody_hears_pitch_and_pauses() -> None:
    at = np.arange(16000) / 16000
    tone = [np.sin(2 * np.pi * f * at) + 0.5 * np.sin(4 * np.pi * f * at) for f in (110, 220)]
    heard = prosody(
        np.concatenate([0.2 * tone[0], np.zeros(16000), 0.2 * tone[1]]).astype(np.float32)
    )
    column = {n: heard[:, i] for i, n in enumerate(NAMES)}
    assert len(heard) == 76
    assert column["pitch"][60:70].mean() - column["pitch"][5:15].mean() == pytest.approx(
        1, abs=0.05
    )
    assert column["voiced"][5:15].min() > 0.9
    assert column["voiced"][32:45].max() < 0.1
    assert column["speaking"][35] == 0
    assert column["speaking"][10] == 1
    assert np.isfinite(prosody(np.zeros(5, np.float32))).all()


def test_the_trained_network_moves_like_people() -> None:
    voice = synthetic_voice(60.0)
    silence = np.zeros(60 * 16000, np.float32)
    model = MotionModel.load()
    motion = model.generate(np.concatenate([voice, silence]), seed=3)
    assert 2 * 8 <= len(motion.blinks) <= 2 * 45
    frames = motion.at(np.arange(2 * 60 * 25) / 25)
    euler = euler_degrees(frames.head_rotation)
    assert np.abs(euler).max() < 25
    assert 0.7 < euler[:1500].std(0).max() < 8
    # A listener still lives: some motion, blinks and glances.
    speed = np.linalg.norm(np.diff(euler, axis=0), axis=1) * 25
    assert 0.3 < speed[1600:].mean() < speed[:1400].mean()
    assert (motion.blinks[:, 0] > 60).sum() > 5
    assert (motion.saccades[:, 0] > 60).sum() > 10
    other = model.generate(voice, seed=4).at(np.arange(60 * 25) / 25)
    same = model.generate(voice, seed=4).at(np.arange(60 * 25) / 25)
    np.testing.assert_array_equal(other.head_rotation, same.head_rotation)
    assert np.degrees(np.abs(other.head_rotation - frames.head_rotation[:1500]).mean()) > 0.5
