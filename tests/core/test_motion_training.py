# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.bench import synthetic_voice, write_wav
from core.evaluation import motion as evaluation
from core.models.motion import MotionModel
from core.motion_state import HEAD, Follower
from core.prosody import NAMES, prosody
from core.training import motion as training
from core.training.motion_prior import blink_speed_up, simulate, stresses


def test_the_simulation_has_the_published_rates() -> None:
    heard = prosody(np.concatenate([synthetic_voice(120.0), np.zeros(120 * 16000, np.float32)]))
    rng = np.random.default_rng(0)
    follower = Follower(np.zeros((HEAD, 2 * HEAD)))
    for row in simulate(heard, rng).rows:
        follower.follow(row)
    motion = follower.motion()
    talking = (motion.blinks[:, 0] < 120).sum() / 2
    silent = (motion.blinks[:, 0] >= 120).sum() / 2
    assert 12 <= silent <= talking <= 34
    intervals = np.log(np.diff(motion.blinks[:, 0]))
    assert 0.5 < intervals.std() < 1.0
    speed = evaluation.head_speed(motion)
    assert speed[:3000].mean() > 2 * speed[3100:].mean() > 0.2
    sizes = evaluation.saccade_sizes([motion])
    assert np.percentile(sizes, 50) < 7 < np.percentile(sizes, 97) < 30


def test_nods_fall_on_stresses() -> None:
    heard = prosody(synthetic_voice(60.0))
    signals = {n: heard[:, i].astype(float) for i, n in enumerate(NAMES)}
    assert len(stresses(signals)) > 20
    motions = [evaluation.simulated_motion(heard, s) for s in range(6)]
    assert evaluation.nod_at_stress(motions, [heard] * 6) < -0.2


def test_blinks_come_faster_where_speech_ends() -> None:
    speaking = np.repeat([1.0, 0.0], 100)
    speed = blink_speed_up({"speaking": speaking})
    assert speed[20:22].max() > speed[:18].max() > speed[-5:].max()


def test_training_learns_and_writes_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    for i in range(2):
        write_wav(voices / f"{i}.wav", synthetic_voice(31.0, seed=i))
    args = ["--data", str(voices), "--out", str(tmp_path), "--draws", "1"]
    losses = []
    for steps in (2, 16):
        assert training.main([*args, "--steps", str(steps)]) == 0
        said = json.loads((tmp_path / "motion.json").read_text())
        losses.append(said["held_out_nats_per_row"])
    assert losses[1] < losses[0] - 1
    assert said["parameters"] < 2_000_000
    report = tmp_path / "report.json"
    capsys.readouterr()
    code = evaluation.main(["--data", str(voices), "--minutes", "1", "-o", str(report),
                            "--weights", str(tmp_path / "motion.safetensors")])  # fmt: skip
    assert code == 0
    assert json.loads(report.read_text()) == json.loads(capsys.readouterr().out)
    motion = MotionModel.load(tmp_path / "motion.safetensors").generate(synthetic_voice(1.0))
    assert np.isfinite(motion.pose).all()


def test_no_voices_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from core.cli import main

    assert main(["train", "motion", "--data", str(tmp_path), "--out", str(tmp_path / "o")]) == 3
    assert "no voices" in capfd.readouterr().err
