# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of lips against film, in closures and in pauses: known curves give known figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.evaluation import table
from core.evaluation.speech import baselines, closures, film, noise, signals, silence
from core.phones import KIND_NAMES
from core.training.data.grid import TrackedClip
from core.training.data.prepare import Clip

SIL, AA, M = (KIND_NAMES.index(k) for k in ("SIL", "AA", "M"))


def curve(times, shift=0.0):
    """Syllables of several speeds."""
    t = times - shift
    return 0.06 + 0.03 * np.sin(2 * np.pi * 2.3 * t) + 0.02 * np.sin(2 * np.pi * 4.1 * t + 1)


def filmed(name="bbaf2n", seconds=3.0):
    times = np.arange(round(seconds * 25)) / 25
    return TrackedClip(name, times, curve(times), 0.5 * curve(times), curve(times), [],
                       (times > 0.5).astype(float), True)  # fmt: skip


def spoken(kind, closed=()):
    frames = len(kind)
    shut = np.zeros(frames, bool)
    for first, last in closed:
        shut[first:last] = True
    return Clip("c", "tiny-a", np.zeros((frames - 1) * 320, np.float32), np.zeros((frames, 42), np.float32),
                np.array(kind, np.int8), np.ones(frames, np.float32), shut, True)  # fmt: skip


def test_the_same_curve_is_all_alike():
    clip = filmed()
    at = np.arange(151) / 50
    found = film.likeness(film.Lips(curve(at), 0.5 * curve(at)), clip)
    assert found.r == pytest.approx(1)
    assert found.velocity_r == pytest.approx(1)
    assert found.width_r == pytest.approx(1)
    assert found.speaking_r == pytest.approx(1)
    assert found.amplitude == pytest.approx(1)
    assert found.lag == 0
    assert found.jitter == pytest.approx(found.film_jitter)


@pytest.mark.parametrize("late", [-0.06, 0.04, 0.1])
def test_a_shifted_copy_has_that_lag(late):
    at = np.arange(151) / 50
    found = film.likeness(film.Lips(curve(at, late), curve(at, late)), filmed())
    assert found.lag == pytest.approx(1000 * late, abs=5)
    assert found.r < 0.98


def test_half_the_movement_has_half_the_amplitude():
    at = np.arange(151) / 50
    found = film.likeness(film.Lips(0.5 * curve(at) + 0.1, curve(at)), filmed())
    assert found.amplitude == pytest.approx(0.5)
    assert found.r == pytest.approx(1)


def test_jitter_is_the_share_from_12_hz_on():
    t = np.arange(200) / 50
    slow, quick = np.sin(2 * np.pi * 3 * t), np.sin(2 * np.pi * 15 * t)
    assert signals.jitter(slow, 50) < 1e-4
    assert signals.jitter(quick, 50) > 0.999
    assert signals.jitter(slow + quick, 50) == pytest.approx(0.5, abs=0.01)
    assert signals.jitter(slow + 0.1 * quick, 50) == pytest.approx(0.01 / 1.01, rel=0.02)
    assert signals.jitter(np.full(50, 0.3), 50) == 0


def test_correlations_of_what_does_not_move_are_0():
    assert signals.correlation(np.zeros(5), np.arange(5.0)) == 0
    assert signals.spearman(np.ones(5), np.arange(5.0)) == 0


def test_spearman_knows_order_only():
    x = np.arange(11.0)
    assert signals.spearman(np.exp(x), x) == pytest.approx(1)
    assert signals.spearman(-(x**3), x) == pytest.approx(-1)
    swapped = x.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert signals.spearman(swapped, x) == pytest.approx(1 - 6 * 2 / (11 * 120))


def test_quartiles_apart():
    assert signals.quartiles_apart([0.0, 1, 2, 3, 4]) == 2


def test_runs():
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 1], bool)
    assert list(signals.runs(mask, 2)) == [slice(0, 2), slice(5, 8)]


def test_closures_and_shut_vowels_are_counted():
    kind = [AA] * 100
    kind[40:44] = kind[60:64] = [M] * 4
    clip = spoken(kind, [(40, 44), (60, 64), (80, 81)])
    gap = np.full(100, 0.1)
    gap[42] = 0.0
    assert closures.held(gap, clip) == [True, False]  # one frame is no closure
    assert closures.shut_vowels(gap, clip) == [False, False, False]
    gap[44:60] = 0.0
    assert closures.shut_vowels(gap, clip) == [False, True, False]
    assert closures.held(gap, clip) == [True, True]  # shut in the frame before it


def test_a_closure_between_two_pictures_of_a_film_is_missed():
    clip = spoken([AA] * 20, [(10, 12)])
    gap = np.full(20, 0.1)
    gap[11] = 0.0
    assert closures.held(gap, clip) == [True]
    assert closures.held_at_film_rate(gap, clip) == [False]


def test_languages_of_synthesised_voices():
    assert [closures.language(v) for v in ("flite-awb", "espeak-it+f5", "espeak-en-us+f2")] == ["en", "it", "en"]
    assert closures.synthesised("espeak-it+f5")
    assert not closures.synthesised("emodb-03")


def test_a_film_that_is_late_is_late_for_the_texts_lips_too():
    same = film.Likeness(*[1.0] * 10)
    late = [same._replace(lag=by) for by in (-40.0, 0.0, 40.0, 80.0)]
    rows = {r.figure: r for r in film.medians("x", late, [f._replace(lag=f.lag + 10) for f in late], (0, 0, 0))}
    spread = rows["lag, interquartile range, ms"]
    assert spread.value == 60
    assert spread.beside == {"against the aligned text's lips": 0}


def test_sounds_lie_as_far_under_the_voice_as_their_names_say():
    voices = [np.random.default_rng(k).standard_normal(40_000).astype(np.float32) * (k + 1) for k in range(6)]
    samples = np.sin(np.arange(32_000) / 9).astype(np.float32)
    changes = noise.changes(voices)
    under = {"hiss 20 dB under it": 20, "hiss 10 dB under it": 10, "hiss as loud as it": 0,
             "4 others' voices 15 dB under it": 15, "music 15 dB under it": 15}  # fmt: skip
    assert changes.keys() == {"clean", "by telephone", "in a room", *under}
    for name, decibels in under.items():
        added = changes[name](samples, np.random.default_rng(1)) - samples
        assert 10 * np.log10(np.mean(samples**2) / np.mean(added**2)) == pytest.approx(decibels, abs=0.01), name
        again = changes[name](samples, np.random.default_rng(1)) - samples
        assert np.array_equal(added, again), name
    assert np.array_equal(changes["clean"](samples, np.random.default_rng(1)), samples)
    high = np.sin(np.arange(32_000) * 2 * np.pi * 5000 / 16_000).astype(np.float32)
    assert np.abs(changes["by telephone"](samples + high, np.random.default_rng(1))).max() < 1.2


def test_the_same_films_are_heard_through_each_change(monkeypatch):
    heard = []

    class Player:
        def play(self, samples):
            heard.append(samples)
            return film.Lips(curve(np.arange(151) / 50), curve(np.arange(151) / 50))

    class Bench:
        player = Player()

        def unseen(self, corpus):
            return [spoken([AA] * 151)] * 4

    clips = [filmed("one"), filmed("two")]
    monkeypatch.setattr(noise, "unseen_films", lambda bench, speaker: clips)
    monkeypatch.setattr(noise, "compared", lambda bench, speaker, films, lips: [
        film.likeness(lips(clip, np.full(48_000, 0.1, np.float32)), clip) for clip in films])  # fmt: skip
    found = noise.rows(Bench())
    assert len(found) == 16
    assert all(row.value == pytest.approx(1) and row.beside["amplitude"] == pytest.approx(1) for row in found)
    clean, other = heard[2:4]  # of the second change, one for each clip
    assert not np.array_equal(clean, other)
    assert np.array_equal(heard[0], heard[1])


def test_pauses_lose_their_ends_towards_speech_only():
    clip = spoken([SIL] * 30 + [AA] * 30 + [SIL] * 30 + [AA] * 10 + [SIL] * 15)
    first, second = silence.pauses(clip)  # the last is not over 0.3 s
    assert silence.inner(first, 115) == slice(0, 22)
    assert silence.inner(second, 115) == slice(68, 82)
    assert silence.middle_third(second) == slice(70, 80)


def test_silence_is_judged_by_motion_and_opening():
    clip = spoken([SIL] * 60 + [AA] * 60)
    gap = np.zeros(120)
    gap[60:] = 0.1 + 0.02 * np.sin(np.arange(60))
    rows = {r.figure: r for r in silence.judged("x", [gap], [clip])}
    assert [r.value for r in rows.values()] == [0, 0, 0, 1] * 2
    assert all(r.target is None or r.target.met(r.value) for r in rows.values())
    gap[:60] = 0.05 + 0.02 * np.sin(np.arange(60))
    open_ = [r.value for r in silence.judged("x", [gap], [clip])]
    assert open_[0] > 0.5
    assert open_[1:3] == pytest.approx([0.05, 0.05], abs=0.01)
    assert open_[3] == 0
    assert math.isnan(silence.judged("x", [gap], [spoken([AA] * 120)])[0].value)


def test_pauses_in_which_something_is_heard_are_no_silence():
    rng, second = np.random.default_rng(0), 16000
    samples = 0.001 * rng.standard_normal(4 * second).astype(np.float32)
    samples[2 * second :] *= 200  # speech
    samples[second : second + second // 4] *= 20  # a breath of a quarter of a second, 20 dB under it
    clip = replace(spoken([SIL] * 100 + [AA] * 101), samples=samples)
    heard = silence.audible(samples)
    assert heard[52:60].all()
    assert not heard[:48].any()
    assert not heard[66:98].any()
    gap = np.where(np.arange(201) < 100, 0.03, 0.1) + 0.02 * np.sin(np.arange(201))
    *all_pauses, silent = silence.judged("x", [gap], [clip])
    assert all_pauses[0].value > 0.05
    assert math.isnan(silent.value)
    hum = 0.3 * np.sin(2 * np.pi * 100 * np.arange(second // 2) / second)
    quiet = samples.copy()
    quiet[second : second + second // 4] = 0.001 * rng.standard_normal(second // 4)
    quiet[second : second + second // 2] += hum.astype(np.float32)
    both = [clip, replace(clip, samples=quiet)]
    still = gap * (np.arange(201) >= 100)
    rows = {r.figure: r for r in silence.judged("x", [gap, still], both)}
    every, quiet = (rows[f"{name}: lip motion energy over speech's"] for name in ("silence", "no sound"))
    assert quiet.value < 0.05 < every.value
    assert (every.note, quiet.note) == ("pauses: 2", "pauses: 1")


def test_the_envelope_finds_what_loudness_did():
    """Film made of the loudness itself, 40 ms after the lips: the fit finds slope, rest and advance."""
    rng = np.random.default_rng(0)
    clips, voices = [], []
    for number in range(4):
        level = np.repeat(rng.uniform(0, 1, 30), 1600)[:48000]
        voices.append((level * rng.standard_normal(48000)).astype(np.float32))
        times = np.arange(75) / 25
        heard = baselines._at(baselines.loud(voices[-1]), times, 0.04, 0.04)
        clips.append(TrackedClip(f"c{number}", times, 0.1 * heard + 0.02, -0.03 * heard, heard, [],
                                 np.ones(75), False))  # fmt: skip
    envelope = baselines.Envelope.fitted(clips, voices)
    assert (envelope.smoothing, envelope.early) == (0.04, 0.04)
    assert envelope.gap == pytest.approx((0.1, 0.02), abs=1e-6)
    assert envelope.width == pytest.approx((-0.03, 0), abs=1e-6)
    gap, _ = envelope.lips(voices[0])
    assert signals.correlation(gap[:150:2], clips[0].gap) > 0.999


def test_loudness_does_not_know_the_level():
    voice = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    np.testing.assert_allclose(baselines.loud(voice), baselines.loud(0.01 * voice), rtol=1e-3)
    assert len(baselines.loud(voice)) == 51


def test_the_table_says_what_was_missed():
    rows = [
        table.Row("lips", "r", 0.9304, table.at_least(0.93), beside={"envelope": 0.41}),
        table.Row("lips", "lag, ms", 15.0, table.Target(-10, 10), note="late"),
        table.Row("brows", "difference", math.nan),
    ]
    lines = table.text(rows).splitlines()
    assert lines[0] == "lips"
    assert lines[1].split() == ["r", "0.930", ">=", "0.93", "ok", "envelope", "0.410"]
    assert lines[2].split()[-3:] == ["10", "MISSED", "late"]
    assert lines[3:5] == ["", "brows"]
    said = json.loads(table.to_json(rows))
    assert [r["met"] for r in said] == [True, False, None]
    assert said[2]["value"] is None
    assert said[0]["beside"] == {"envelope": 0.41}
    assert not table.at_most(0.05).met(math.nan)


def test_phones_that_nobody_has_recognised_are_the_users_to_mend(tmp_path):
    class Nothing:
        cache = tmp_path

    with pytest.raises(UserError, match="recognise"):
        baselines.recognised(Nothing(), "x", np.zeros(16000, np.float32))
