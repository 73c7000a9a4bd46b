# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds that are no clean voice, through the networks that ship: a sensible face or one clear line."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from core.arkit import EMOTIONS
from core.audio import load
from core.cli import main
from core.errors import ExitCode, UserError
from core.lips import LipMap
from core.models.expression import ExpressionModel, Performance, coefficient_count
from core.pipeline import animate
from core.protocol import AnimateParams
from tests.core.sounds import (
    RATE,
    band_noise,
    breath,
    chords,
    drums,
    laugh,
    silence,
    sung,
    telephone,
    vowel,
    whispered,
)

VOICE = Path(__file__).resolve().parents[2] / "demo" / "voice.wav"
AT = np.arange(4 * RATE) / RATE


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return ExpressionModel.load()


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return load(VOICE)


def gap(face: np.ndarray) -> np.ndarray:
    return np.maximum(face @ LipMap.from_head().gap, 0)


def frozen_open(opening: np.ndarray) -> bool:
    """Lips over 0.03 apart for more than 1.5 s, without change."""
    if len(opening) < 76:
        return False
    windows = sliding_window_view(opening, 76)
    return bool(((windows.min(1) > 0.03) & (np.ptp(windows, axis=1) < 0.005)).any())


def performed(model: ExpressionModel, sound: np.ndarray) -> Performance:
    """Under half happiness; checked for what must hold whatever the sound."""
    weights = np.zeros((coefficient_count(len(sound)), 8), np.float32)
    weights[:, EMOTIONS.index("happy")] = 0.5
    found = model.predict(sound.astype(np.float32), weights)
    assert len(found) == len(weights)
    for values in (found.expression, found.speech, found.activity):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
    assert not frozen_open(gap(found.speech))
    assert not frozen_open(gap(found.expression))
    return found


def at_0_db(voice: np.ndarray) -> np.ndarray:
    noise = band_noise(len(voice) / RATE, 60, 7900, 1.0)[: len(voice)]
    return voice + noise * np.sqrt(np.mean(voice**2))


OF_A_VOICE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "two voices": lambda v: v + 0.8 * np.roll(v[::-1], 9000),
    "noise at 0 dB": at_0_db,
    "telephone": telephone,
    "in rumble": lambda v: v + band_noise(len(v) / RATE, 30, 300, 0.05)[: len(v)],
    "clipped": lambda v: np.clip(5 * v, -0.4, 0.4),
    "very quiet": lambda v: 0.003 * v,
    "with an offset": lambda v: v + 0.4,
    "not a number within": lambda v: np.where(np.arange(len(v)) // 800 % 20 == 3, np.nan, v),
}


@pytest.mark.parametrize("kind", OF_A_VOICE)
def test_a_spoilt_voice_still_moves_the_lips(
    model: ExpressionModel, voice: np.ndarray, kind: str
) -> None:
    found = performed(model, OF_A_VOICE[kind](voice))
    assert gap(found.speech).std() > 0.01
    if kind in ("telephone", "clipped", "very quiet", "with an offset", "in rumble"):
        clean = gap(model.predict(voice).speech)
        assert np.corrcoef(gap(found.speech), clean)[0, 1] > 0.5


NO_CLEAN_VOICE: dict[str, Callable[[], np.ndarray]] = {
    "chords": chords,
    "drums": drums,
    "singing": sung,
    "whisper": lambda: np.concatenate([whispered(0.2, "aeiou"[k % 5], k) if k % 3 else silence(0.1) for k in range(30)]),
    "a held vowel": lambda: vowel(5.0),
    "a tone": lambda: 0.2 * np.sin(2 * np.pi * 440 * AT),
    "a chord organ": lambda: 0.1 * sum(np.sin(2 * np.pi * f * AT) for f in (220, 277, 330, 660, 880)),
    "square wave": lambda: 0.3 * np.sign(np.sin(2 * np.pi * 180 * AT)),
    "laughter": lambda: np.concatenate([silence(1), laugh(3), silence(1)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_CLEAN_VOICE)
def test_what_is_no_plain_speech_gives_a_sensible_face(model: ExpressionModel, kind: str) -> None:
    found = performed(model, NO_CLEAN_VOICE[kind]())
    if kind == "laughter":
        assert gap(found.speech)[100:170].mean() > 0.04


@pytest.mark.parametrize("kind", ["silence", "digital noise", "hiss", "hum", "rumble"])
def test_what_is_silent_closes_the_mouth(model: ExpressionModel, kind: str) -> None:
    rng = np.random.default_rng(0)
    sound = {
        "silence": silence(4),
        "digital noise": 3e-5 * rng.standard_normal(len(AT)),
        "hiss": band_noise(4, 60, 7900, 0.05),
        "rumble": band_noise(4, 30, 300, 0.05),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * AT) + 0.05 * np.sin(2 * np.pi * 150 * AT),
    }[kind]
    opening = gap(performed(model, sound).speech)
    assert opening.max() < 0.03
    assert opening.mean() < 0.005


def test_silence_between_phrases_rests_and_a_breath_parts_the_lips(
    model: ExpressionModel, voice: np.ndarray
) -> None:
    pause = [silence(0.6), 3 * breath(0.4), silence(1.0)]
    plain = np.concatenate([voice, silence(2.0), voice])
    breathed = np.concatenate([voice, *pause, voice])
    rest, drawn = (gap(performed(model, s).speech) for s in (plain, breathed))
    first = len(voice) // 320
    assert rest[first + 20 : first + 80].max() < 0.005
    assert 0.01 < drawn[first + 30 : first + 50].max() < 0.06
    assert drawn[first + 62 : first + 80].max() < 0.01


@pytest.mark.parametrize("samples", [0, 1, 100, 1600])
def test_hardly_any_sound(model: ExpressionModel, voice: np.ndarray, samples: int) -> None:
    found = performed(model, voice[20000 : 20000 + samples])
    assert len(found) == samples // 320 + 1


def test_an_8_khz_file(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "line.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((telephone(voice)[::2] * 32767).astype("<i2").tobytes())
    found = animate(AnimateParams(str(path), ""))
    assert len(found) == -(-len(voice) * 25 // RATE)
    assert found.speech is not None
    assert gap(found.speech).std() > 0.01
    assert not frozen_open(np.repeat(gap(found.expression), 2))


@pytest.mark.parametrize(
    "weights",
    [np.full((50, 8), -0.1), np.full((50, 8), np.nan), np.full((50, 8), np.inf), np.zeros((49, 8)),
     np.zeros((50, 7)), np.zeros(50)],
    ids=["negative", "no number", "infinite", "too short", "seven", "flat"],
)  # fmt: skip
def test_senseless_emotion_is_refused(model: ExpressionModel, weights: np.ndarray) -> None:
    with pytest.raises(UserError) as caught:
        model.predict(silence(0.99), weights)
    assert caught.value.code == ExitCode.BAD_INPUT
    assert "\n" not in str(caught.value)


def test_emotion_above_1_counts_as_the_whole(model: ExpressionModel, voice: np.ndarray) -> None:
    sound = voice[: 2 * RATE]
    weights = np.zeros((coefficient_count(len(sound)), 8), np.float32)
    weights[:, EMOTIONS.index("sad")] = 1
    one, many = (model.predict(sound, w * weights) for w in (1, 7))
    np.testing.assert_allclose(many.expression, one.expression, atol=1e-5)


@pytest.mark.parametrize(
    "rows", [[[1.5]], [[-0.5]], [[float("nan")]], [[0.5, 0.5]], [], [["much"]]],
    ids=["above 1", "negative", "no number", "wrong length", "none", "a word"],
)  # fmt: skip
def test_a_senseless_emotion_file_exits_3_with_one_line(
    rows: list[list[object]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "curve.json"
    file.write_text(json.dumps({"fps": [25, 1], "names": ["happy"], "weights": rows}))
    args = ["animate", str(VOICE), "--emotion-file", str(file), "-o", str(tmp_path / "t.npz")]
    assert main(args) == ExitCode.BAD_INPUT
    assert len(capfd.readouterr().err.strip().split("\n")) == 1
    assert not (tmp_path / "t.npz").exists()
