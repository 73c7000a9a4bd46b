# SPDX-License-Identifier: GPL-3.0-or-later
"""Augmentation changes the sound as said, keeps its time, and comes again with the same seed."""

import numpy as np
import pytest

from core.training.augment import (
    babble,
    band,
    change_colour,
    change_sound,
    line,
    lose_packets,
    mu_law,
    music,
    not_speech,  # fmt: skip
    under,
)

RATE = 16000


def voice(seed=0, count=2 * RATE):
    rng = np.random.default_rng(seed)
    t = np.arange(count) / RATE
    return (np.sin(2 * np.pi * (150 + 20 * seed) * t) * (np.sin(2 * np.pi * 3 * t) > 0) * 0.3
            + 0.01 * rng.standard_normal(count)).astype(np.float32)  # fmt: skip


def level(samples):
    return 10 * np.log10(np.mean(samples.astype(float) ** 2) + 1e-15)


def power_over(samples, hz):
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    return spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > hz].sum() / spectrum.sum()


def test_every_chain_keeps_length_and_level_and_comes_again():
    sound, others = voice(), [voice(1), voice(2, RATE)]
    for seed in range(60):
        changed = change_sound(sound, np.random.default_rng(seed), others)
        assert changed.shape == sound.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() <= 3
        np.testing.assert_array_equal(changed, change_sound(sound, np.random.default_rng(seed), others))


def test_onsets_stay_where_they_are():
    sound = np.zeros(2 * RATE, np.float32)
    sound[RATE:] = 0.3 * np.random.default_rng(0).standard_normal(RATE)
    for seed in range(40):
        changed = np.abs(change_sound(sound, np.random.default_rng(seed)))
        smooth = np.convolve(changed, np.ones(160) / 160, "same")
        quiet = smooth[: RATE - 400]
        onset = np.argmax(smooth > (quiet.max() + smooth.max()) / 2)
        assert abs(onset - RATE) < 0.03 * RATE


@pytest.mark.parametrize("decibels", [10.0, 30.0])
def test_what_lies_under_the_voice_is_as_far_under_as_said(decibels):
    sound = voice()
    for other in (music(len(sound), np.random.default_rng(1)), babble(len(sound), [voice(3)], np.random.default_rng(2))):
        added = under(sound, other, decibels) - sound
        assert level(sound) - level(added) == pytest.approx(decibels, abs=0.1)


def test_a_band_lets_through_what_lies_in_it():
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    narrow = band(noise, 300, 3400)
    assert power_over(narrow, 3500) < 0.01
    assert power_over(narrow, 250) > 0.99
    assert level(narrow) == pytest.approx(level(noise) + 10 * np.log10(3100 / 8000), abs=0.5)


def test_coarse_steps_are_few_and_finer_near_silence():
    ramp = np.linspace(-1, 1, 5001).astype(np.float32)
    coded = mu_law(ramp, 8)
    assert len(np.unique(coded.round(6))) <= 256
    assert np.abs(coded - ramp).max() < 0.03
    assert np.abs(coded - ramp)[np.abs(ramp) < 0.01].max() < 0.001


def test_lost_packets_are_gaps_or_repetitions():
    sound = 1 + np.random.default_rng(0).random(10 * RATE).astype(np.float32)
    changed = lose_packets(sound, np.random.default_rng(4))
    packets, before = changed.reshape(-1, 320), sound.reshape(-1, 320)
    touched = np.flatnonzero((packets != before).any(1))
    assert 0 < len(touched) < 0.1 * len(packets)
    for i in touched:
        assert not packets[i].any() or (packets[i] == packets[i - 1]).all()


def test_lines_are_narrower():
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    high = [power_over(line(noise, np.random.default_rng(seed)), 4000) for seed in range(40)]
    assert np.mean(np.array(high) < 0.05) > 0.5
    assert max(high) > 0.2


def test_music_is_tones_and_nobody_speaks_in_many_ways():
    made = music(2 * RATE, np.random.default_rng(0))
    assert made.shape == (2 * RATE,)
    assert power_over(made, 4000) < 0.05
    sounds = [not_speech(RATE, np.random.default_rng(seed)) for seed in range(30)]
    for sound in sounds:
        assert sound.shape == (RATE,)
        assert np.isfinite(sound).all()
    assert np.ptp([level(s) for s in sounds]) > 20


def test_a_change_of_colour_is_the_same_at_all_times_and_leaves_the_energy():
    features = np.random.default_rng(0).uniform(0.5, 1, (80, 65)).astype(np.float32)
    changed = change_colour(features, np.random.default_rng(3))
    bend = changed - features
    np.testing.assert_allclose(bend[:, :64], np.broadcast_to(bend[0, :64], (80, 64)), atol=1e-6)
    assert not bend[:, 64].any()
    assert bend[0].min() < -0.02 < 0.02 < bend[0].max()
    assert np.abs(np.diff(bend[0, :64])).max() < 0.03  # whole regions, not single bands
    assert change_colour(np.zeros((3, 65), np.float32), np.random.default_rng(3)).min() == 0
