# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips under a transcript: shut where it agrees with the voice, untouched where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from core import pipeline
from core.alignment import KIND_INDEX
from core.cli import main
from core.lips import INDEX, LipMap
from core.models.expression import ExpressionModel, Performance, coefficient_count
from core.phones import KINDS
from core.pipeline import animate, animate_to_file, content_key
from core.protocol import AnimateParams
from core.text_lips import find_words, follow
from core.tracks import FaceTracks
from core.transcript import Cue

WORDS = [("D", "AA", "B", "AH"), ("S", "IY"), ("K", "AH", "M", "IH"), ("T", "EH", "F", "AA")]
OTHERS = [("SH", "ER"), ("W", "AO", "Z", "P"), ("HH", "UW", "B"), ("L", "AE", "CH")] * 2
EACH = 6
"""frames a sound lasts"""
LIPS = LipMap.from_head()


def scores() -> npt.NDArray[np.float32]:
    """A voice that says the words after 20 frames of silence."""
    heard = ["SIL"] * 20 + [k for w in WORDS for kind in w for k in [kind] * EACH] + ["SIL"] * 20
    rows = np.full((len(heard), len(KINDS)), 0.2 / (len(KINDS) - 1))
    rows[np.arange(len(heard)), [KIND_INDEX[k] for k in heard]] = 0.8
    return np.asarray(np.log(rows), np.float32)


def performance(frames: int) -> Performance:
    """A mouth that never closes: narrowest, 2 frames before the middle of the first B, at 0.05."""
    speech = np.zeros((frames, len(INDEX)), np.float32)
    speech[:, INDEX["jawOpen"]] = 0.4
    speech[:, INDEX["mouthLowerDownLeft"]] = speech[:, INDEX["mouthLowerDownRight"]] = 0.3
    speech[:, INDEX["mouthStretchLeft"]] = 0.2
    speech[MIDDLE - 2, INDEX["jawOpen"]] = 0.1
    expression = speech.copy()
    expression[:, INDEX["mouthUpperUpLeft"]] += 0.3
    expression[:, INDEX["browInnerUp"]] = 0.7
    return Performance(expression, speech, np.ones(frames, np.float32))


def span(kind: str) -> slice:
    sounds = [k for w in WORDS for k in w]
    first = 20 + EACH * sounds.index(kind)
    return slice(first, first + EACH)


MIDDLE = span("B").start + EACH // 2


def gap(face: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.asarray(face @ LIPS.gap)


def test_lips_shut_where_the_voice_says_so() -> None:
    heard = scores()
    before = performance(len(heard))
    after, followed = follow(before, heard, [Cue(WORDS)])
    assert (followed.agreed, followed.words, followed.refused) == (4, 4, False)
    for name in ("speech", "expression"):
        old, new = getattr(before, name), getattr(after, name)
        assert gap(new)[span("B")].min() < 0.002
        assert gap(new)[span("M")].min() < 0.002
        assert gap(new)[span("F")].min() == pytest.approx(KINDS["F"].gap, abs=0.002)
        assert new[span("F"), INDEX["mouthRollLower"]].max() == pytest.approx(KINDS["F"].roll, abs=0.01)
        np.testing.assert_allclose(new @ LIPS.width, old @ LIPS.width, atol=1e-6)
        np.testing.assert_array_equal(new[:, INDEX["browInnerUp"]], old[:, INDEX["browInnerUp"]])
        assert 0 <= new.min() <= new.max() <= 1
        far = np.r_[0:15, span("S"), len(heard) - 15 : len(heard)]
        np.testing.assert_array_equal(new[far], old[far])


def test_lips_shut_when_the_voice_alone_brings_them_nearest() -> None:
    heard = scores()
    after, _ = follow(performance(len(heard)), heard, [Cue(WORDS)])
    shut = np.flatnonzero(gap(after.speech) < 0.012)
    here = shut[np.abs(shut - MIDDLE) < 8]
    assert here.mean() == pytest.approx(MIDDLE - 2, abs=0.75)


def test_lips_move_smoothly() -> None:
    heard = scores()
    after, _ = follow(performance(len(heard)), heard, [Cue(WORDS)])
    assert np.abs(np.diff(gap(after.speech))).max() < 0.75 * gap(after.speech).max()
    assert len(np.unique(gap(after.speech).round(4))) > 8


def test_closed_lips_stay_as_they_are() -> None:
    heard = scores()
    shut = replace(performance(len(heard)), speech=np.zeros((len(heard), len(INDEX)), np.float32))
    after, _ = follow(shut, heard, [Cue([w for w in WORDS if "F" not in w])])
    np.testing.assert_array_equal(after.speech, shut.speech)


@pytest.mark.parametrize("words", [OTHERS, OTHERS + WORDS[1:2]], ids=["all", "all but one"])
def test_a_wrong_text_changes_nothing(words: list[tuple[str, ...]]) -> None:
    heard = scores()
    before = performance(len(heard))
    after, followed = follow(before, heard, [Cue(words)])
    assert followed.refused
    assert "was not used" in str(followed)
    assert after is before


def test_cues_bind_words_to_their_time() -> None:
    heard = np.concatenate([scores(), scores()])
    second = len(heard) / 2 / 50
    for start, skipped in ((0.0, 0.0), (second, 0.0), (second + 100.0, 100.0)):
        cues = [Cue(WORDS, start, start + second)]
        words = find_words(heard, cues, skipped)
        assert words[0].phones[0].start == pytest.approx(start - skipped + 0.4)
    assert find_words(heard, [Cue(WORDS, 500.0, 501.0)], 0.0) == []
    assert find_words(heard, [Cue(WORDS, 0.0, 1.0)], 500.0) == []


@pytest.fixture
def tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone head that hears 'Bob' again and again, whatever the voice."""

    def heard(model: object, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        frames = len(samples) // 320 + 1
        kinds = np.resize([KIND_INDEX[k] for k in ("B", "AA", "B", "SIL") for _ in range(8)], frames)
        rows = np.full((frames, len(KINDS)), 0.01)
        rows[np.arange(frames), kinds] = 1
        return np.asarray(np.log(rows / rows.sum(1, keepdims=True)), np.float32)

    monkeypatch.setattr("core.models.phone_scores.phone_scores", heard)


def write(folder: Path, text: str) -> str:
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return str(folder / "text.txt")


def test_a_text_reaches_the_tracks(
    voice: Path, tiny_weights: Path, tmp_path: Path, tells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ExpressionModel, "predict", lambda self, voice, *_, **__: performance(coefficient_count(len(voice)))
    )
    params = AnimateParams(str(voice), "", fps=(50, 1))
    plain = animate(params, weights=tiny_weights)
    said = replace(params, text=write(tmp_path, "Bob Bob Bob"))
    sharp = animate(said, weights=tiny_weights)
    assert plain.speech is not None
    assert sharp.speech is not None
    assert gap(plain.speech).min() > 0.04
    for face in (sharp.speech, sharp.expression):
        shut = gap(face) < 0.012
        assert np.count_nonzero(np.diff(shut.astype(int)) > 0) >= 4, "two for each Bob"
    np.testing.assert_array_equal(sharp.head_rotation, plain.head_rotation)


def test_a_wrong_text_warns_each_time_and_leaves_the_tracks(
    voice: Path, tiny_weights: Path, tmp_path: Path, tells: None, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write(tmp_path, "She was seen choosing sixty yellow jelly fish in Washington.")
    words = ["animate", str(voice), "--weights", str(tiny_weights)]
    assert main([*words, "-o", str(tmp_path / "plain.npz")]) == 0
    for _ in range(2):
        assert main([*words, "--text", text, "-o", str(tmp_path / "text.npz")]) == 0
        assert "Warning: The text was not used" in capsys.readouterr().err
    plain, tracks = (FaceTracks.load(tmp_path / f"{n}.npz") for n in ("plain", "text"))
    for name in ("expression", "speech", "blink", "gaze", "head_rotation", "emotion"):
        assert getattr(plain, name).tobytes() == getattr(tracks, name).tobytes()


def test_the_key_follows_the_text(
    voice: Path, tiny_weights: Path, tmp_path: Path, tells: None
) -> None:
    params = AnimateParams(str(voice), str(tmp_path / "t.npz"), text=write(tmp_path, "Bob Bob"))
    keys = {content_key(replace(params, text=None), tiny_weights), content_key(params, tiny_weights)}
    assert not animate_to_file(params, weights=tiny_weights).skipped
    assert animate_to_file(params, weights=tiny_weights).skipped
    write(tmp_path, "Bob Bob Bob")
    keys |= {content_key(replace(params, language=tag), tiny_weights) for tag in ("en-us", "de")}
    assert len(keys) == 4
    assert not animate_to_file(params, weights=tiny_weights).skipped


@pytest.mark.parametrize(("text", "words"), [("", ()), ("hello", ("--language", "xx"))])
def test_a_text_that_cannot_be_read_is_refused_before_the_work(
    voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pipeline, "load_models", lambda weights: pytest.fail("worked"))
    path = write(tmp_path, text)
    assert main(["animate", str(voice), "--text", path, *words, "-o", str(tmp_path / "t.npz")]) == 3
    assert not (tmp_path / "t.npz").exists()
