# SPDX-License-Identifier: GPL-3.0-or-later
"""A film's time stamps: its rate, frames at a rational rate, and what was lost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from core.tracking.timing import bridge, frame_times, rational_rate, resample

NTSC = Fraction(24000, 1001)


def stamps(fps: Fraction, count: int = 200) -> np.ndarray:
    return np.arange(count) * fps.denominator / fps.numerator


@pytest.mark.parametrize(
    ("times", "stated", "rate"),
    [
        (stamps(Fraction(25)), Fraction(25), Fraction(25)),
        (stamps(Fraction(25)), Fraction(0), Fraction(25)),
        (np.round(stamps(NTSC), 3), NTSC, NTSC),
        (np.round(stamps(NTSC, 100000), 3), Fraction(2398, 100), NTSC),
        (stamps(Fraction(25)) + 7.3, Fraction(25), Fraction(25)),
        (stamps(Fraction(12)), Fraction(12), Fraction(12)),
        (stamps(Fraction(25)), Fraction(90000), Fraction(25)),
        (np.array([0.0]), Fraction(50), Fraction(50)),
        (np.array([0.0]), Fraction(0), Fraction(25)),
    ],
)  # fmt: skip
def test_a_constant_rate_is_the_one_stated_or_a_usual_one(
    times: np.ndarray, stated: Fraction, rate: Fraction
) -> None:
    assert rational_rate(times, stated) == rate


def test_a_telephones_rate_is_the_usual_one_nearest_to_its_median_step() -> None:
    late = np.random.default_rng(0).normal(0, 0.002, 300)
    times = np.delete(stamps(Fraction(30), 300) + late, [40, 41, 90, 150, 151, 152])
    assert rational_rate(times, Fraction(2837, 100)) == 30


def test_frames_cover_the_film_and_do_not_drift() -> None:
    hour = stamps(NTSC, 24 * 3600)
    at = frame_times(hour, NTSC)
    assert len(at) == len(hour)
    assert np.abs(at - hour).max() < 1e-9


def test_what_moves_evenly_still_does_at_the_new_rate() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.06, 100))
    values = (3 * times).astype(np.float32)[:, None]
    at = frame_times(times, NTSC)
    assert np.allclose(resample(values, times, at)[:-1, 0], 3 * at[:-1], atol=1e-4)


def test_instants_that_meet_a_picture_take_it_alone() -> None:
    values = np.array([[1.0], [np.nan], [2.0], [3.0]], np.float32)
    times = np.arange(4) / 25
    assert np.array_equal(resample(values, times, times), values, equal_nan=True)
    between = resample(values, times, np.array([0.02, 0.06, 0.1]))
    assert np.isnan(between[:2]).all()
    assert between[2, 0] == pytest.approx(2.5)


def test_a_single_picture_is_one_frame() -> None:
    values = np.ones((1, 3), np.float32)
    at = frame_times(np.array([0.4]), Fraction(25))
    assert np.array_equal(resample(values, np.array([0.4]), at), values)


def test_a_short_gap_is_crossed_straight() -> None:
    found = np.array([True, False, False, False, True])
    filled = bridge(np.array([[0.0], [1.0]]), found, 0.0, 2)
    assert filled[:, 0] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_a_long_gap_goes_to_rest_and_comes_back() -> None:
    found = np.ones(20, bool)
    found[5:15] = False
    filled = bridge(np.full((10, 1), 0.8), found, 0.0, 2)
    assert filled[4, 0] == filled[15, 0] == 0.8
    assert filled[5, 0] == filled[14, 0] == pytest.approx(0.4)
    assert np.all(filled[6:14] == 0)


def test_a_face_that_comes_late_and_goes_early_rests_outside() -> None:
    found = np.zeros(30, bool)
    found[10:20] = True
    filled = bridge(np.full((10, 1), 0.8), found, 0.0, 3)
    assert np.all(filled[:7] == 0)
    assert np.all(filled[23:] == 0)
    assert np.all(filled[10:20] == 0.8)
