# SPDX-License-Identifier: GPL-3.0-or-later
"""Forced alignment on scores whose path is known."""

from __future__ import annotations

import numpy as np
import pytest

from core import alignment
from core.alignment import KIND_INDEX, RATE, Scores, align
from core.phones import KINDS

WORDS = [("B", "IH", "N"), ("B", "L", "UW"), ("AE", "T"), ("EH", "F"), ("T", "UW"), ("N", "AA", "UH")]
OTHERS = [("SH", "IY"), ("W", "AO", "SH", "T"), ("HH", "ER"), ("D", "AA", "K"), ("S", "UW", "T")]


def spoken(runs: list[tuple[str, int]], sure: float = 0.9, seed: int | None = None) -> Scores:
    """Scores of a voice in which each kind lasts so many frames."""
    rows = np.full((sum(n for _, n in runs), len(KINDS)), (1 - sure) / (len(KINDS) - 1))
    rows[np.arange(len(rows)), np.repeat([KIND_INDEX[k] for k, _ in runs], [n for _, n in runs])] = sure
    if seed is not None:
        rows *= np.random.default_rng(seed).gamma(1.0, 1.0, rows.shape)
    return np.log(rows / rows.sum(1, keepdims=True)).astype(np.float32)


def said(words: list[tuple[str, ...]], frames: int = 4, pause: int = 0) -> list[tuple[str, int]]:
    runs: list[tuple[str, int]] = [("SIL", 10)]
    for word in words:
        runs += [(kind, frames) for kind in word] + ([("SIL", pause)] if pause else [])
    return [*runs, ("SIL", 10)]


@pytest.mark.parametrize("pause", [0, 8])
@pytest.mark.parametrize("frames", [2, 3, 7])
def test_the_known_path_is_found(frames: int, pause: int) -> None:
    runs = said(WORDS, frames, pause)
    found = align(spoken(runs), WORDS, start=2.0)
    ends = np.cumsum([n for _, n in runs])
    sounds = [(k, end - n, end) for (k, n), end in zip(runs, ends) if k != "SIL"]
    got = [(p.kind, (p.start - 2) * RATE, (p.end - 2) * RATE) for w in found for p in w.phones]
    assert [k for k, *_ in got] == [k for k, *_ in sounds]
    np.testing.assert_allclose([t for _, *t in got], [t for _, *t in sounds], atol=1e-9)
    assert all(w.agrees and w.own == w.around == 0 for w in found)


def test_noise_on_the_scores_moves_it_little() -> None:
    clean, noisy = (align(spoken(said(WORDS, 5), 0.8, seed), WORDS) for seed in (None, 3))
    starts = [[p.start for w in words for p in w.phones] for words in (clean, noisy)]
    assert np.abs(np.subtract(*starts)).max() <= 0.04
    assert all(w.agrees for w in noisy)


def test_words_that_are_not_spoken_are_left_out() -> None:
    long = WORDS * 4
    told = [*long[:9], *OTHERS, *long[9:]]
    found = align(spoken(said(long)), told)
    assert [bool(w.phones) for w in found] == [True] * 9 + [False] * len(OTHERS) + [True] * 15
    starts = [[p.start for w in words for p in w.phones]
              for words in (found, align(spoken(said(long)), long))]  # fmt: skip
    assert starts[0] == starts[1]


def test_speech_that_is_not_told_is_passed_over() -> None:
    long = WORDS * 4
    runs = [*said(long)[:-1], *said(OTHERS * 3)[1:-1], *said(long)[1:]]
    found = align(spoken(runs), long * 2)
    again = align(spoken([*said(long)[:-1], *said(long)[1:]]), long * 2)
    untold = sum(len(w) for w in OTHERS * 3) * 4 / RATE
    shifts = [b.start - a.start for w, v in zip(again, found) for a, b in zip(w.phones, v.phones)]
    half = len(shifts) // 2
    np.testing.assert_allclose(shifts[:half], 0, atol=1e-9)
    np.testing.assert_allclose(shifts[half:], untold, atol=1e-9)


def test_a_text_that_is_longer_than_the_voice_keeps_its_beginning() -> None:
    found = align(spoken(said(WORDS)), WORDS + OTHERS)
    assert [w.agrees for w in found] == [True] * len(WORDS) + [False] * len(OTHERS)


def test_another_text_does_not_agree() -> None:
    found = align(spoken(said(WORDS * 3), 0.8, seed=1), OTHERS * 4)
    assert not any(w.agrees for w in found)


def test_settling_blocks_and_reach_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*WORDS, *OTHERS] * 6
    scores = spoken(said(words, 3, 2), 0.7, seed=5)
    whole = align(scores, words)
    assert len(scores) < 2 * alignment._BLOCK
    monkeypatch.setattr(alignment, "_BLOCK", 60)
    monkeypatch.setattr(alignment, "_REACH", 80)
    assert align(scores, words) == whole


def test_long_voices_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "_BLOCK", 200)
    monkeypatch.setattr(alignment, "_REACH", 300)
    words = [*WORDS, *OTHERS] * 15
    runs = said(words, 4, 1)
    found = align(spoken(runs, 0.8, seed=2), words)
    frames = len(spoken(runs))
    assert frames > 3 * alignment._BLOCK
    expected = 10
    for word, place in zip(words, found):
        assert place.phones[0].start * RATE == pytest.approx(expected, abs=2)
        expected += 4 * len(word) + 1


def test_less_time_than_words() -> None:
    found = align(spoken([("B", 3)]), WORDS)
    assert not any(w.agrees for w in found)
    assert len(align(spoken([("SIL", 1)]), WORDS)) == len(WORDS)
