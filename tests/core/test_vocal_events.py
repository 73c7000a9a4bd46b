# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaths and laughter are heard, and nothing else is taken for them; the silence gate's timing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from core.features import log_mel
from core.lips import INDEX, LipMap
from core.mouth import AS_PREDICTED, GATE_REACH, Dials, moving, speaking
from core.vocal_events import REACH, Sound, breaths, laughter, measure_sound, open_mouth, rumble
from tests.core.sounds import (
    RATE,
    babble,
    band_noise,
    breath,
    chords,
    laugh,
    silence,
    vowel,
    whispered,
)


def heard(sound: np.ndarray) -> Sound:
    return measure_sound(log_mel(sound), sound)


def spoken(count: int, *spans: tuple[float, float]) -> np.ndarray:
    """(T,) activity: 1 within the seconds given."""
    activity = np.zeros(count, np.float32)
    for start, end in spans:
        activity[round(start * 50) : round(end * 50)] = 1
    return activity


def gap(face: np.ndarray) -> np.ndarray:
    return np.maximum(face @ LipMap.from_head().gap, 0)


ROOM = band_noise(5.0, 100, 6000, 0.0005, seed=9)


@pytest.mark.parametrize("seconds", [0.25, 0.4, 0.7])
def test_a_breath_between_phrases_is_heard(seconds: float) -> None:
    sound = np.concatenate([babble(2.0), silence(0.4), breath(seconds), silence(0.3), babble(1.0)])
    sound[: len(ROOM)] += ROOM[: len(sound)]
    found = heard(sound)
    count = len(found.energy)
    strength = breaths(found, spoken(count, (0, 2.1), (2.6 + seconds, 9)))
    middle = round((2.4 + seconds / 2) * 50)
    assert strength[middle] > 0.5
    assert strength[: round(2.2 * 50)].max() < 0.1
    face = open_mouth(np.zeros((count, 42), np.float32), strength, np.zeros(count, np.float32), AS_PREDICTED)
    assert 0.01 < gap(face)[middle] < 0.05


@pytest.mark.parametrize("kind", ["hiss", "hum", "room", "swell", "click", "fricative's tail", "no voice"])
def test_what_is_no_breath(kind: str) -> None:
    at = np.arange(3 * RATE) / RATE
    pause = {
        "hiss": band_noise(3, 60, 7900, 0.01),
        "hum": 0.02 * np.sin(2 * np.pi * 100 * at) + 0.01 * np.sin(2 * np.pi * 200 * at),
        "room": ROOM[: 3 * RATE] * 4,
        "swell": band_noise(3, 60, 900, 0.01) * (1 + 0.8 * np.sin(2 * np.pi * 0.8 * at)),
        "click": np.concatenate([silence(1.5), band_noise(0.03, 100, 7000, 0.1), silence(1.47)]),
        "fricative's tail": np.concatenate([band_noise(0.1, 3000, 7000, 0.02), silence(2.9)]),
        "no voice": np.concatenate([silence(1), breath(), silence(1.6)]),
    }[kind]
    before = silence(4) if kind == "no voice" else babble(2.0)
    sound = np.concatenate([before, pause]).astype(np.float32)
    found = heard(sound)
    speech = () if kind == "no voice" else ((0, 2.05),)
    assert breaths(found, spoken(len(found.energy), *speech)).max() < 0.2


@pytest.mark.parametrize(("pace", "hz"), [(4.2, 300.0), (4.8, 220.0), (5.2, 190.0)])
def test_laughter_is_heard_and_drops_the_jaw(pace: float, hz: float) -> None:
    sound = np.concatenate([babble(2.0), laugh(2.0, pace, hz, 3), babble(1.0)])
    found = heard(sound)
    strength = laughter(found)
    inside = strength[round(2.4 * 50) : round(3.6 * 50)]
    assert inside.min() > 0.8
    count = len(strength)
    face = open_mouth(np.zeros((count, 42), np.float32), np.zeros(count, np.float32), strength, AS_PREDICTED)
    assert 0.06 < gap(face)[150] < 0.13


@pytest.mark.parametrize("kind", ["babble", "ba ba ba", "sa sa sa", "whisper", "chords", "noise", "silence"])
def test_what_is_no_laughter(kind: str) -> None:
    sound = {
        "babble": babble(12.0, seed=4),
        "ba ba ba": np.tile(np.concatenate([silence(0.08), vowel(0.14)]), 14),
        "sa sa sa": np.tile(np.concatenate([band_noise(0.1, 3000, 7000, 0.02), vowel(0.12)]), 14),
        "whisper": np.concatenate([whispered(0.2, "aeiou"[k % 5], k) for k in range(15)]),
        "chords": chords(),
        "noise": band_noise(4, 60, 7900, 0.05),
        "silence": silence(3),
    }[kind]
    assert laughter(heard(sound.astype(np.float32))).max() < 0.2


def test_dark_noise_is_rumble_and_voices_are_not() -> None:
    assert rumble(heard(band_noise(3, 30, 300, 0.05)))[20:-20].all()
    for sound in (babble(6), laugh(), vowel(2, "u"), np.concatenate([whispered(0.3, v) for v in "aeiou"])):
        found = heard(sound)
        assert not (rumble(found) & (found.energy > 0.5)).any()


def test_dials_reach_breaths_and_laughter() -> None:
    still, full = np.zeros((9, 42), np.float32), np.ones(9, np.float32)
    opening = [gap(open_mouth(still, full, full, Dials(lips=x)))[4] for x in (0.0, 0.5, 1.0, 2.0)]
    assert opening[0] == 0
    assert all(a < b for a, b in pairwise(opening))


def test_lips_part_before_speech_and_shut_after_it() -> None:
    activity = spoken(300, (2.0, 3.0), (3.8, 5.0), (5.2, 5.5))
    gate = speaking(activity, activity)
    opened = np.flatnonzero(gate > 0.02) / 50
    assert 1.70 <= opened[0] <= 1.78
    assert gate[round(1.85 * 50)] > 0.95
    assert gate[round(3.13 * 50) : round(3.5 * 50)].max() < 0.05
    assert gate[round(3.64 * 50)] > 0.9, "0.28 s before the second phrase, less the lips' parting"
    assert gate[round(5.0 * 50) : round(5.2 * 50)].min() == 1, "a short silence is the network's"
    assert gate[round(5.66 * 50) :].max() < 0.02


def test_in_a_short_pause_the_lips_still_meet() -> None:
    activity = spoken(200, (1.0, 2.0), (2.32, 3.0))
    gate = speaking(activity, activity)
    assert gate[round(2.13 * 50) : round(2.18 * 50)].max() < 0.1
    assert gate[round(2.30 * 50)] > 0.9


def test_the_gate_follows_the_sound_not_the_networks_lead() -> None:
    energy = spoken(300, (2.0, 3.0))
    lead = speaking(spoken(300, (1.75, 3.15)), energy)
    np.testing.assert_allclose(lead, speaking(energy, energy), atol=1e-6)


def test_a_mouth_that_is_stuck_open_shuts_and_one_that_moves_does_not() -> None:
    jaw = np.zeros((300, 42), np.float32)
    jaw[50:250, INDEX["jawOpen"]] = 0.3
    alive = moving(jaw)
    assert alive[:50].min() > 0.99
    assert alive[100:200].max() < 0.05
    swaying = jaw * (1 + 0.1 * np.sin(np.arange(300) / 6))[:, None].astype(np.float32)
    assert moving(swaying).min() > 0.99


def test_rules_reach_no_further_than_they_say() -> None:
    rng = np.random.default_rng(0)
    sound = Sound(*(rng.uniform(0, 1, 900).astype(np.float32) for _ in range(3)))
    activity = (rng.uniform(0, 1, 900) > 0.7).astype(np.float32)
    cut, deep = slice(200, 700), slice(REACH, -REACH)
    part = Sound(*(track[cut] for track in sound))
    np.testing.assert_allclose(breaths(part, activity[cut])[deep], breaths(sound, activity)[cut][deep])
    np.testing.assert_allclose(laughter(part)[deep], laughter(sound)[cut][deep], atol=1e-6)
    deep = slice(GATE_REACH, -GATE_REACH)
    gate = speaking(activity, sound.energy)
    np.testing.assert_allclose(speaking(activity[cut], part.energy)[deep], gate[cut][deep])
