# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's dials: each does what it says, more of it does more, and lips that meet still meet."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.cli import main
from core.emotion_curve import constant
from core.errors import ExitCode, UserError
from core.lips import INDEX, SHUT, LipMap
from core.mouth import MOUTH, Dials, shape_speech
from core.pipeline import animate
from core.protocol import AnimateParams

AWAKE = np.ones(100, np.float32)
CLOSED = slice(48, 52)


def gap(face: np.ndarray) -> np.ndarray:
    return np.maximum(face @ LipMap.from_head().gap, 0)


@pytest.fixture
def syllables() -> np.ndarray:
    """Two seconds of open mouth that moves, shut for 80 ms in the middle; raised brows."""
    speech = np.zeros((100, 42), np.float32)
    speech[:, INDEX["jawOpen"]] = 0.3 + 0.1 * np.sin(np.arange(100) / 3)
    speech[:, INDEX["mouthFunnel"]] = 0.1
    speech[:, INDEX["browInnerUp"]] = 0.4
    speech[CLOSED, INDEX["mouthClose"]] = speech[CLOSED, INDEX["jawOpen"]] + 0.05
    speech[CLOSED, INDEX["mouthFunnel"]] = 0
    return speech


def test_the_defaults_leave_what_was_predicted(syllables: np.ndarray) -> None:
    np.testing.assert_array_equal(shape_speech(syllables, AWAKE, Dials()), syllables)


@pytest.mark.parametrize("name", ["lips", "jaw"])
def test_a_strength_opens_the_mouth_the_wider_the_more(syllables: np.ndarray, name: str) -> None:
    found = [shape_speech(syllables, AWAKE, Dials(**{name: x})) for x in (0.0, 0.5, 1.0, 1.5, 2.0)]
    opening = [gap(face).mean() for face in found]
    assert all(a < b for a, b in pairwise(opening))
    for face in found:
        assert gap(face)[CLOSED].max() < 0.004
        np.testing.assert_array_equal(face[:, INDEX["browInnerUp"]], syllables[:, INDEX["browInnerUp"]])


def test_the_jaw_leaves_the_lips_to_themselves(syllables: np.ndarray) -> None:
    face = shape_speech(syllables, AWAKE, Dials(jaw=0.5))
    np.testing.assert_allclose(face[:40, INDEX["jawOpen"]], syllables[:40, INDEX["jawOpen"]] / 2)
    np.testing.assert_array_equal(face[:, INDEX["mouthFunnel"]], syllables[:, INDEX["mouthFunnel"]])


def test_smoothing_calms_without_delay_and_keeps_closures(syllables: np.ndarray) -> None:
    jaw = INDEX["jawOpen"]
    found = [shape_speech(syllables, AWAKE, Dials(smoothing=s)) for s in (0.0, 0.02, 0.05, 0.1)]
    speed = [np.square(np.diff(face[:45, jaw])).mean() for face in found]
    assert all(a > b for a, b in pairwise(speed))
    for face in found:
        assert gap(face)[CLOSED].max() < 0.004
    wave = found[0][:, jaw] - 0.3
    shifts = range(-5, 6)
    best = max(shifts, key=lambda k: float(np.roll(found[1][:, jaw] - 0.3, k)[10:-10] @ wave[10:-10]))
    assert best == 0


@pytest.mark.parametrize("dials", [Dials(lips=4), Dials(lips=30), Dials(lips=3, jaw=30)], ids=str)
def test_lips_that_meet_still_meet_where_mouthclose_is_at_its_end(syllables: np.ndarray, dials: Dials) -> None:
    syllables[CLOSED, INDEX["mouthLowerDownLeft"]] = 0.2
    syllables[CLOSED, INDEX["mouthShrugUpper"]] = 0.1
    assert gap(syllables)[CLOSED].max() < SHUT
    assert gap(shape_speech(syllables, AWAKE, dials))[CLOSED].max() < SHUT


@pytest.mark.parametrize("dials", [Dials(lips=2), Dials(jaw=2), Dials(smoothing=0.2)], ids=str)
def test_silence_is_kept(syllables: np.ndarray, dials: Dials) -> None:
    gate = (np.arange(100) < 60).astype(np.float32)
    face = shape_speech(syllables, gate, dials)
    assert np.abs(face[60:, MOUTH]).max() == 0


def test_look_ahead_moves_the_mouth_and_nothing_else(voice: Path, tiny_weights: Path) -> None:
    plain = animate(AnimateParams(str(voice), "", fps=(50, 1)), weights=tiny_weights)
    early = animate(
        AnimateParams(str(voice), "", fps=(50, 1), look_ahead_ms=60.0), weights=tiny_weights
    )
    assert plain.speech is not None
    assert early.speech is not None
    assert np.abs(plain.speech[:, MOUTH]).max() > 0
    for a, b in ((plain.expression, early.expression), (plain.speech, early.speech)):
        np.testing.assert_allclose(b[:-3, MOUTH], a[3:, MOUTH], atol=1e-6)
        np.testing.assert_array_equal(b[:, ~MOUTH], a[:, ~MOUTH])
    np.testing.assert_array_equal(early.blink, plain.blink)


def test_intensity_grades_the_emotion(voice: Path, tiny_weights: Path) -> None:
    params = AnimateParams(str(voice), "", emotion={"happy": 0.8, "neutral": 0.2})
    full = animate(params, weights=tiny_weights)
    assert full.speech is not None
    added = []
    for intensity in (0.0, 0.5, 1.0):
        found = animate(replace(params, intensity=intensity), weights=tiny_weights)
        assert found.emotion[0, EMOTIONS.index("happy")] == pytest.approx(0.8 * intensity)
        assert found.emotion.sum(1) == pytest.approx(1)
        np.testing.assert_array_equal(found.speech, full.speech)
        added.append(np.abs(found.expression - full.speech).mean())
    assert added[0] == pytest.approx(0, abs=1e-5)
    assert added[0] < added[1] < added[2]


@pytest.mark.parametrize(
    "words",
    [("--intensity", "1.5"), ("--jaw-strength", "-1"), ("--smoothing", "nan"),
     ("--look-ahead", "501"), ("--lip-strength", "inf"), ("--head-strength", "1e300")],
    ids=" ".join,
)  # fmt: skip
def test_a_dial_out_of_its_range_is_a_usage_error(
    words: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["animate", "v.wav", "-o", "t.npz", *words])
    assert caught.value.code == ExitCode.USAGE
    assert "expected a number from 0" in capfd.readouterr().err


@pytest.mark.parametrize("dial", ["intensity", "lip_strength", "jaw_strength", "head_strength", "smoothing",
                                  "look_ahead_ms"])  # fmt: skip
def test_a_request_out_of_range_is_bad_input(voice: Path, dial: str) -> None:
    for value in (-0.1, 1000.0, 1e300, float("inf"), float("nan")):
        with pytest.raises(UserError) as caught:
            animate(AnimateParams(str(voice), "", **{dial: value}))
        assert caught.value.code == ExitCode.BAD_INPUT


def test_a_curve_scales_but_for_neutral() -> None:
    curve = constant({"sad": 0.6, "angry": 0.4}).scaled(0.5)
    np.testing.assert_allclose(curve.at([0.0, 9.0]), [[0.5, 0.2, 0, 0, 0, 0, 0.3, 0]] * 2)
