# SPDX-License-Identifier: GPL-3.0-or-later
"""Features have the stated times and scale, and do not depend on gain or on blocks."""

import numpy as np
import pytest

from core import features
from core.features import FEATURES, HOP, frame_count, log_mel, speech_level


@pytest.fixture
def voice():
    rng = np.random.default_rng(0)
    t = np.arange(3 * 16000) / 16000
    carrier = np.sin(2 * np.pi * 150 * t) + 0.3 * rng.standard_normal(len(t))
    return (0.1 * carrier * (np.sin(2 * np.pi * 3 * t) > 0)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 159, 160, 1600, 16001])
def test_frame_count(count):
    found = log_mel(np.zeros(count, np.float32))
    assert found.shape == (frame_count(count), FEATURES)
    assert frame_count(count) == count // HOP + 1


def test_silence_is_zero_and_finite():
    np.testing.assert_array_equal(log_mel(np.zeros(8000, np.float32)), 0)


def test_nan_in_the_sound_stays_out(voice):
    voice[100:200] = np.nan
    assert np.isfinite(log_mel(voice)).all()


@pytest.mark.parametrize("gain", [0.1, 0.5, 4.0])
def test_gain_does_not_matter(voice, gain):
    np.testing.assert_allclose(log_mel(gain * voice), log_mel(voice), atol=1e-4)


def test_blocks_do_not_matter(voice, monkeypatch):
    whole = log_mel(voice)
    monkeypatch.setattr(features, "_BLOCK", 37)
    np.testing.assert_allclose(log_mel(voice), whole, atol=1e-6)


def test_a_piece_gives_what_the_whole_gives(voice):
    level = speech_level(voice)
    whole = log_mel(voice, level)
    part = log_mel(voice[50 * HOP : 200 * HOP], level)
    np.testing.assert_allclose(part[2:-2], whole[52:199], atol=1e-5)


def test_a_click_lies_in_its_own_frames():
    sound = np.zeros(16000, np.float32)
    sound[50 * HOP] = 1.0
    heard = np.flatnonzero(log_mel(sound, level=-20.0)[:, -1] > 0)
    assert heard.min() >= 48
    assert heard.max() <= 52
    assert 50 in heard


def test_energy_counts_from_the_speech_level():
    sine = (0.2 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)).astype(np.float32)
    assert speech_level(sine) == pytest.approx(20 * np.log10(0.2) - 3.01, abs=0.5)
    assert log_mel(sine)[50, -1] == pytest.approx(1.0, abs=0.02)


def test_hiss_is_not_taken_for_speech():
    hiss = 1e-5 * np.random.default_rng(0).standard_normal(16000)
    assert log_mel(hiss.astype(np.float32))[:, -1].max() < 0.6
