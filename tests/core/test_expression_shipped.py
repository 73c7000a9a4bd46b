# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkpoint that ships: rests without speech, moves with sound, shows what it is asked to."""

import numpy as np
import pytest

from core.arkit import EMOTIONS
from core.files import WEIGHTS
from core.lips import INDEX, LipMap
from core.models.expression import ExpressionModel, coefficient_count


@pytest.fixture(scope="module")
def model():
    return ExpressionModel.load()


def buzz(seconds=2.0):
    """Vowel-like syllables: a glottal buzz through two formants, four a second."""
    t = np.arange(int(seconds * 16000)) / 16000
    sound = sum(np.sin(2 * np.pi * 120 * k * t) / (1 + ((120 * k - 700) / 200) ** 2) for k in range(1, 30))
    return (0.1 * sound * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1)).astype(np.float32)


def opening(face):
    return face @ LipMap.from_head().gap


@pytest.mark.parametrize("level", [0.0, 1e-3, 0.1])
def test_silence_and_hiss_rest(model, level):
    sound = level * np.random.default_rng(0).standard_normal(32000)
    found = model.predict(sound.astype(np.float32))
    assert found.activity.max() < 0.5
    assert np.abs(opening(found.speech)).max() < 0.01
    assert np.isfinite(found.expression).all()


def test_sound_moves_the_lips(model):
    gap = opening(model.predict(buzz(), temperature=0).speech)
    assert gap.max() > 0.03
    assert gap.std() > 0.005


@pytest.mark.parametrize(("emotion", "shape"), [
    ("happy", "mouthSmileLeft"), ("sad", "mouthFrownRight"), ("angry", "browDownLeft"),
    ("surprised", "browOuterUpRight"), ("disgusted", "noseSneerLeft"), ("fear", "eyeWideLeft"),
    ("contempt", "mouthDimpleRight"),
])  # fmt: skip
def test_emotion_rises_with_its_weight(model, emotion, shape):
    sound = buzz()
    weights = np.zeros((coefficient_count(len(sound)), 8), np.float32)
    strengths = []
    for weight in (0.0, 0.3, 0.6, 1.0):
        weights[:, EMOTIONS.index(emotion)] = weight
        face = model.predict(sound, weights, temperature=0).expression
        strengths.append(face[:, INDEX[shape]].mean())
    assert strengths == sorted(strengths)
    assert strengths[-1] > strengths[0] + 0.25


def test_it_comes_with_a_card_and_its_split():
    assert "Trained on" in (WEIGHTS / "expression.md").read_text("utf-8")
    assert (WEIGHTS / "expression-split.json").stat().st_size > 1000
    assert (WEIGHTS / "expression.safetensors").stat().st_size < 4_000_000
