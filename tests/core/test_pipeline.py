# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.bench import synthetic_voice, write_wav
from core.errors import Cancelled, ExitCode, UserError
from core.pipeline import animate, animate_to_file, frame_count, frame_times
from core.protocol import AnimateParams
from core.tracks import FaceTracks, read_key

NTSC = (24000, 1001), (25, 1), (30000, 1001), (60, 1)


@pytest.mark.parametrize("fps", NTSC, ids=str)
def test_frames_fall_on_exact_instants(
    voice: Path, tiny_weights: Path, fps: tuple[int, int]
) -> None:
    tracks = animate(AnimateParams(str(voice), "", fps=fps, start=0.5), weights=tiny_weights)
    assert tracks.fps == Fraction(*fps)
    assert len(tracks) == frame_count(Fraction(3, 2), tracks.fps)
    assert tracks.start == 0.5
    assert tracks.speech is not None
    assert tracks.speech.shape == tracks.expression.shape


def test_no_drift_after_an_hour() -> None:
    fps = Fraction(30000, 1001)
    count = frame_count(Fraction(3600), fps)
    assert count == 107893
    assert frame_times(count, fps)[-1] == float(Fraction(count - 1) / fps)


@pytest.mark.parametrize(
    ("duration", "frames"),
    [(Fraction(0), 1), (Fraction(1, 10), 3), (Fraction(6), 150), (Fraction(96001, 16000), 150)],
    ids=["nothing", "0.1 s", "6 s", "6 s and a sample"],
)
def test_frames_cover_the_voice(duration: Fraction, frames: int) -> None:
    assert frame_count(duration, Fraction(25)) == frames


def test_same_input_same_bytes(voice: Path, tiny_weights: Path, tmp_path: Path) -> None:
    params = AnimateParams(str(voice), str(tmp_path / "a.npz"), emotion={"sad": 0.5}, seed=7)
    for name in ("a.npz", "b.npz"):
        animate_to_file(replace(params, output=str(tmp_path / name)), weights=tiny_weights)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    other = animate(replace(params, seed=8), weights=tiny_weights)
    first = FaceTracks.load(tmp_path / "a.npz")
    assert np.abs(other.head_rotation - first.head_rotation).max() > 1e-3
    np.testing.assert_allclose(first.emotion[:, [0, EMOTIONS.index("sad")]], 0.5)


def test_a_curve_moves_the_emotion(voice: Path, tiny_weights: Path, tmp_path: Path) -> None:
    curve = tmp_path / "curve.json"
    rows = [[i / 49] for i in range(50)]
    curve.write_text(json.dumps({"fps": [25, 1], "names": ["happy"], "weights": rows}))
    params = AnimateParams(str(voice), "", emotion_file=str(curve))
    tracks = animate(params, weights=tiny_weights)
    np.testing.assert_allclose(
        tracks.emotion[:, EMOTIONS.index("happy")], np.ravel(rows), atol=1e-6
    )
    neutral = animate(replace(params, emotion_file=None), weights=tiny_weights)
    assert tracks.speech is not None
    assert neutral.speech is not None
    np.testing.assert_allclose(tracks.speech, neutral.speech, atol=1e-5)
    np.testing.assert_allclose(neutral.expression, neutral.speech, atol=1e-5)
    np.testing.assert_array_equal(tracks.head_rotation, neutral.head_rotation)
    apart = np.abs(tracks.expression - neutral.expression).max(1)
    assert apart[-1] > apart[0]


def test_strengths_scale(voice: Path, tiny_weights: Path) -> None:
    params = AnimateParams(str(voice), "")
    plain = animate(params, weights=tiny_weights)
    half = animate(replace(params, head_strength=0.5), weights=tiny_weights)
    np.testing.assert_allclose(half.head_rotation, plain.head_rotation / 2, atol=1e-7)
    np.testing.assert_array_equal(half.blink, plain.blink)
    still = animate(replace(params, head_strength=0.0), weights=tiny_weights)
    assert np.abs(still.head_rotation).max() == 0
    assert np.abs(still.gaze - plain.gaze).max() > 1e-4


@pytest.mark.parametrize("kind", ["0.1 s", "silence", "clipped", "noise"])
def test_any_sound_gives_what_can_be_given(kind: str, tiny_weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = {
        "0.1 s": synthetic_voice(0.1),
        "silence": np.zeros(16000, np.float32),
        "clipped": np.sign(synthetic_voice(1.0)),
        "noise": rng.normal(0, 0.3, 16000).astype(np.float32),
    }[kind]
    write_wav(tmp_path / "v.wav", samples)
    tracks = animate(AnimateParams(str(tmp_path / "v.wav"), ""), weights=tiny_weights)
    assert len(tracks) == (3 if kind == "0.1 s" else 25)


def test_a_rerun_skips_what_is_there_and_valid(
    voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    params = AnimateParams(str(voice), str(tmp_path / "t.npz"))
    first = animate_to_file(params, weights=tiny_weights)
    stamp = (tmp_path / "t.npz").stat().st_mtime_ns
    again = animate_to_file(params, weights=tiny_weights)
    assert (first.skipped, again.skipped) == (False, True)
    assert again.frames == first.frames == 50
    assert (tmp_path / "t.npz").stat().st_mtime_ns == stamp
    assert not animate_to_file(replace(params, seed=1), weights=tiny_weights).skipped
    assert not animate_to_file(
        replace(params, seed=1), weights=tiny_weights, overwrite=True
    ).skipped
    whole = (tmp_path / "t.npz").read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 3] ^= 0xFF  # the key, at its end, is as it was
    (tmp_path / "t.npz").write_bytes(broken)
    assert not animate_to_file(replace(params, seed=1), weights=tiny_weights).skipped
    assert (tmp_path / "t.npz").read_bytes() == whole
    (tmp_path / "t.npz").write_bytes(b"half a file")
    assert not animate_to_file(replace(params, seed=1), weights=tiny_weights).skipped
    assert read_key(tmp_path / "t.npz")


def test_wrong_parameters(voice: Path, tmp_path: Path) -> None:
    good = AnimateParams(str(voice), str(tmp_path / "t.npz"))
    wrong = [
        replace(good, fps=(0, 1)), replace(good, fps=(25, 0)),
        replace(good, fps=(25 * 10**30, 10**30 + 1)), replace(good, start=-1.0),
        replace(good, length=0.0), replace(good, start=99.0), replace(good, seed=-1),
        replace(good, lip_strength=-1.0), replace(good, head_strength=float("nan")),
        replace(good, emotion={"joy": 1.0}), replace(good, emotion={"happy": 1.5}),
        replace(good, emotion={"happy": 0.5}, emotion_file="x.json"),
        replace(good, emotion_file="missing.json"), replace(good, voice=str(tmp_path)),
        replace(good, output=str(tmp_path)), replace(good, output=str(tmp_path / "no" / "t.npz")),
        replace(good, output=str(voice / "t.npz")),
    ]  # fmt: skip
    for params in wrong:
        with pytest.raises(UserError) as caught:
            animate_to_file(params)
        assert caught.value.code == ExitCode.BAD_INPUT, params
    assert list(tmp_path.iterdir()) == []


def test_missing_networks_are_told(voice: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        animate_to_file(AnimateParams(str(voice), str(tmp_path / "t.npz")), weights=tmp_path)
    assert caught.value.code == ExitCode.MISSING
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_and_can_cancel(voice: Path, tiny_weights: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    params = AnimateParams(str(voice), str(tmp_path / "t.npz"))

    def watch(stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        stages.append(stage)
        if stage == "motion":
            raise Cancelled

    with pytest.raises(Cancelled):
        animate_to_file(params, watch, weights=tiny_weights)
    assert {"voice", "expression", "motion"} <= set(stages)
    assert list(tmp_path.iterdir()) == []
