# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that keep to a transcript: where it agrees with the voice, p b m shut them, f v bring lip to teeth.

What the voice does not bear out changes nothing. Coefficients are (T, 42) at 50 Hz in the order of
``EXPRESSION_NAMES``, lengths in distances between the outer eye corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from .alignment import KIND_INDEX, RATE, Scores, Word, align
from .lips import INDEX, SHUT, LipMap
from .phones import BILABIAL, KINDS, SILENCE, Phone
from .training.data.teacher import closures, opening
from .transcript import Cue

if TYPE_CHECKING:
    from .models.expression import Performance

Array = npt.NDArray[np.float64]

LABIODENTAL: Final = ("F", "V")
_SLACK = 0.5
"""seconds that words may lie outside of their cue"""
_EARLY, _LATE = 0.08, 0.03
"""seconds around a sound in which its narrowest opening is looked for"""
_NEAR = 0.1
"""seconds beyond which a held sound does not reach"""
_LIPS_APART: Final = [i for n, i in INDEX.items() if n.startswith(("mouthLowerDown", "mouthUpperUp"))]
_LEAST_SHARE = 0.4
"""of the words or of the speaking time; with less agreement it is not the voice's text at all"""


@dataclass(frozen=True)
class Followed:
    """How far a transcript was used."""

    words: int
    """in the transcript"""
    agreed: int
    """of them that the voice bears out"""
    time: float
    """share of the speech that they fill"""

    @property
    def refused(self) -> bool:
        """Neither the text nor the voice finds itself in the other; nothing of the text was used."""
        return max(self.agreed / max(self.words, 1), self.time) < _LEAST_SHARE

    def __str__(self) -> str:
        """What to tell the user."""
        used = "was not used" if self.refused else "was used"
        hint = " Check that it is what this voice says, and in which language." if self.refused else ""
        return f"The text {used}: {self.agreed} of its {self.words} words agree with the voice.{hint}"


def find_words(scores: Scores, cues: Sequence[Cue], skipped: float) -> list[Word]:
    """The words of a transcript in a voice, each cue's within its own time.

    Args:
        scores: (T, K) log-probabilities of the kinds of sound
        cues: in the order of their times
        skipped: seconds of the file before the first frame

    """
    found = []
    for cue in cues:
        first, last = 0, len(scores)
        if cue.start is not None and cue.end is not None:
            first = max(first, int((cue.start - _SLACK - skipped) * RATE))
            last = min(last, int((cue.end + _SLACK - skipped) * RATE) + 1)
        if last > first:
            found += align(scores[first:last], cue.words, first / RATE)
    return found


def follow(
    performance: Performance, scores: Scores, cues: Sequence[Cue], skipped: float = 0.0
) -> tuple[Performance, Followed]:
    """Sharpen the lips of a performance where a transcript agrees with the voice.

    Args:
        performance: what the voice alone gives
        scores: (T, K) log-probabilities of the kinds of sound in it
        cues: the transcript
        skipped: seconds of the file before the first frame

    Returns:
        The performance, the very same where the text is refused, and how far the text was used.

    """
    words = find_words(scores, cues, skipped)
    phones = [p for w in words if w.agrees for p in w.phones]
    speech = np.count_nonzero(scores.argmax(1) != KIND_INDEX[SILENCE]) / RATE
    told = sum(p.end - p.start for p in phones)
    followed = Followed(sum(len(c.words) for c in cues), sum(w.agrees for w in words), told / max(speech, 1 / RATE))
    if followed.refused:
        return performance, followed
    lips = LipMap.from_head()
    faces = {"speech": performance.speech.copy(), "expression": performance.expression.copy()}
    gap = performance.speech @ lips.gap
    for kinds, goal in ((LABIODENTAL, KINDS["F"].gap), (BILABIAL, 0.0)):
        hold = _hold(len(gap), _held(gap, [p for p in phones if p.kind in kinds], goal))
        frames = np.flatnonzero(hold)
        for face in faces.values():
            face[frames] = _narrow(face[frames].astype(np.float64), hold[frames], goal, KINDS[kinds[0]].roll, lips)
    return replace(performance, **faces), followed


def _hold(frames: int, intervals: Iterable[tuple[float, float]]) -> Array:
    """(T,) 1 within the intervals, 0 away from them, smooth between."""
    hold = np.zeros(frames)
    for start, end in intervals:
        low, high = max(int((start - _NEAR) * RATE), 0), int((end + _NEAR) * RATE) + 1
        times = np.arange(low, min(high, frames)) / RATE
        hold[low:high] = np.maximum(hold[low:high], 1 - opening(times, [(start, end)]))
    return hold


def _held(gap: Array, phones: Sequence[Phone], goal: float) -> Iterator[tuple[float, float]]:
    """Times in which sounds hold the lips: about their narrowest opening, as the voice alone has it."""
    for phone in phones:
        ((start, end),) = closures([phone]) or [(phone.start, phone.end)]
        low = max(round((phone.start - _EARLY) * RATE), 0)
        near = gap[low : round((phone.end + _LATE) * RATE) + 1]
        if near.size == 0 or near.min() <= max(goal, SHUT):
            continue  # the voice has done it
        lowest = int(np.argmin(near))
        if 0 < lowest < len(near) - 1:
            shift = (low + lowest) / RATE - (start + end) / 2
            start, end = start + shift, end + shift
        yield start, end


def _narrow(face: Array, hold: Array, goal: float, roll: float, lips: LipMap) -> Array:
    """Lips no further apart than ``goal`` where ``hold`` (T,) is 1, as they were where it is 0.

    Upper and lower lip come together first; mouthClose takes back what the jaw leaves open, and jaw
    and rounding give way where that is not enough.
    """
    out = face.copy()
    gap = np.maximum(face @ lips.gap, 0)
    wanted = gap - hold * np.maximum(gap - goal, 0)
    share = np.divide(wanted, gap, out=np.ones_like(gap), where=gap > 0)
    out[:, _LIPS_APART] *= share[:, None]
    for name in ("mouthClose", "jawOpen", "mouthFunnel", "mouthShrugUpper"):
        column, effect = out[:, INDEX[name]], lips.gap[INDEX[name]]
        left = np.maximum(out @ lips.gap - wanted, 0)
        out[:, INDEX[name]] = np.clip(column - left / effect, 0, 1)
    rolled = INDEX["mouthRollLower"]
    out[:, rolled] = np.maximum(out[:, rolled], hold * roll)
    # All of this moves the corners a little, which are to stay where they were.
    for names in (("mouthStretchLeft", "mouthStretchRight"), ("mouthPucker",)):
        columns = [INDEX[n] for n in names]
        wider = (out - face) @ lips.width
        out[:, columns] = np.clip(out[:, columns] - (wider / lips.width[columns].sum())[:, None], 0, 1)
    return out
