# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the words of a transcript lie in a voice, and which of them the voice bears out.

- No ``bpy`` module use; numpy only.

The best path (Viterbi 1967) through a left-to-right chain of speech sounds, scored by the
generator's own phone head (a hybrid of network and hidden Markov model: Bourlard & Morgan 1994,
Connectionist Speech Recognition, ch. 6-7). Before, between and after the words lies a state that
takes silence, and at a price any sound that the transcript does not tell; at a price too a word may
be left out. So a transcript may lack sentences or have too many, and the rest keeps its place.

Frames are those of the phone head, 50 a second; scores are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .phones import KINDS, SILENCE, Phone

Array = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
States = npt.NDArray[np.signedinteger[Any]]

RATE: Final = 50
"""frames a second"""
KIND_INDEX: Final = {kind: i for i, kind in enumerate(KINDS)}

_UNTOLD = 2.0
"""price of a frame of sound that no word explains, against the sound heard there"""
_LEFT_OUT = 12.0
"""price of a word that is not spoken"""
_WORST = -4.0
"""a frame counts against its word no more than this: the phone head is sure of itself, not always right"""
_AROUND = 6
"""words to either side that a word is judged with"""
_AROUND_AGREES = -1.2
"""least agreement of a stretch whose words are used: true transcripts of unseen readers reach it in
19 words of 20, those of other recordings in 1 of 50"""
_OWN_AGREES = -2.2
"""least agreement of such a word itself"""
_SWIFT: Final = ("AX", "D")
"""sounds that a single frame can hold; the others last two at least"""
_REACH = 2048
"""states that the path may run ahead of or behind the best one: over a minute of speech"""
_BLOCK = 1000
"""frames after which the path of the frames before is settled"""


class Word(NamedTuple):
    """A word in time.

    Agreement is a mean over frames of log p(sound told) - log p(sound heard), 0 at best.
    """

    phones: tuple[Phone, ...]
    """its sounds, in seconds; none where the path leaves the word out"""
    own: float
    """agreement of its own frames"""
    around: float
    """agreement from some words before it to some after it, gaps with sound in them and left-out
    words counted at their price"""

    @property
    def agrees(self) -> bool:
        """Whether the voice bears it out."""
        return bool(self.phones) and self.own >= _OWN_AGREES and self.around >= _AROUND_AGREES


@dataclass(frozen=True)
class _Chain:
    """The states, in order: a gap, the sounds of a word, a gap, ... a gap."""

    sound: States
    """(S,) column of the scores; the one after the last kind is that of a gap"""
    stays: Array
    """(S,) price of lasting: 0, or -inf where a state cannot"""
    enters: Array
    """(S,) price of passing over the state before: 0 for the first of a word, which has a gap there"""
    gaps: States
    """(W + 1,) states of the gaps"""
    owner: States
    """(S,) number of the sound that a state belongs to, counted over all words; -1 in gaps"""


def align(scores: Scores, words: Sequence[tuple[str, ...]], start: float = 0.0) -> list[Word]:
    """Find words in a voice.

    Args:
        scores: (T, K) log-probabilities of the kinds of sound, in the order of ``KINDS``
        words: the kinds of each, in order
        start: seconds of the first frame

    Returns:
        As many words.

    """
    chain = _chain(words)
    best = scores.max(1)
    gap = np.maximum(scores[:, KIND_INDEX[SILENCE]], best - _UNTOLD)
    emission = np.concatenate([scores, gap[:, None]], 1)
    path = _best_path(emission, chain)
    owner = chain.owner[path]
    lost = np.maximum(emission[np.arange(len(path)), chain.sound[path]] - best, _WORST)
    silent = (owner < 0) & (scores.argmax(1) == KIND_INDEX[SILENCE])
    return _words(words, owner, np.where(silent, 0.0, lost), ~silent, start)


def _chain(words: Sequence[tuple[str, ...]]) -> _Chain:
    sound, stays, enters, gaps, owner = [len(KINDS)], [True], [False], [0], [-1]
    number = 0
    for kinds in words:
        for i, kind in enumerate(kinds):
            for part in range(1 if kind in _SWIFT else 2):
                sound.append(KIND_INDEX[kind])
                stays.append(part == (0 if kind in _SWIFT else 1))
                enters.append(i == part == 0)
                owner.append(number)
            number += 1
        gaps.append(len(sound))
        sound.append(len(KINDS))
        stays.append(True)
        enters.append(False)
        owner.append(-1)
    stay, enter = (np.where(may, 0.0, -np.inf) for may in (stays, enters))
    return _Chain(np.array(sound), stay, enter, np.array(gaps), np.array(owner))


class _Search:
    """Scores of all states at one frame, and where each came from in the frames not yet settled."""

    def __init__(self, emission: Scores, chain: _Chain) -> None:
        self.emission, self.chain = emission, chain
        self.score = np.full(len(chain.sound), -np.inf)
        self.low, self.high = 0, min(2 * _REACH, len(self.score))
        self.came: list[tuple[int, States]] = []
        """of each frame: first state of the window, and the state before each of its states"""

    def first(self) -> None:
        """Begin in the gap before any word that few are left out for, or with its first sound."""
        chain, here = self.chain, slice(self.low, self.high)
        self.score[chain.gaps[0]] = 0.0
        self.score[1:2] = 0.0
        self._leave_out(np.arange(self.low, self.high))
        self.score[here] += self.emission[0, chain.sound[here]]

    def step(self, frame: int) -> None:
        """Go on by one frame."""
        chain = self.chain
        top = self.low + int(np.argmax(self.score[self.low : self.high]))
        low = max(self.low, top - _REACH)
        high = min(max(self.high, top + _REACH), len(self.score))
        self.score[self.low : low] = -np.inf
        here = slice(low, high)
        old = np.full(high - low + 2, -np.inf)
        before = max(low - 2, 0)
        old[before - low + 2 :] = self.score[before:high]
        best = old[2:] + chain.stays[here]
        back = np.zeros(high - low, np.int32)
        for steps, way in ((1, old[1:-1]), (2, old[:-2] + chain.enters[here])):
            better = way > best
            best[better] = way[better]
            back[better] = steps
        self.score[here] = best
        self.low, self.high = low, high
        came = self._leave_out(np.arange(low, high, dtype=np.int32) - back)
        self.score[here] += self.emission[frame, chain.sound[here]]
        self.came.append((low, came))

    def _leave_out(self, came: States) -> States:
        """Let words be passed over, from gap to gap; ``came`` with what that changes."""
        gaps = self.chain.gaps
        inside = gaps[np.searchsorted(gaps, self.low) : np.searchsorted(gaps, self.high)]
        price = _LEFT_OUT * np.arange(len(inside))
        risen = self.score[inside] + price
        reached = np.maximum.accumulate(risen)
        source = np.maximum.accumulate(np.where(risen == reached, np.arange(len(inside)), 0))
        self.score[inside] = reached - price
        came[inside - self.low] = came[inside[source] - self.low]
        return came

    def trace(self, states: States, frames: int) -> States:
        """States (frames + 1, N) of the last frames on the paths that end in ``states``."""
        path = [states]
        for low, came in self.came[len(self.came) - frames :][::-1]:
            path.append(came[path[-1] - low])
        return np.array(path[::-1])


def _best_path(emission: Scores, chain: _Chain) -> States:
    """(T,) states of the best path, exact but for how far it may leave the best state so far.

    Memory does not grow with the length of the voice but for the result: once a block of frames lies
    a block back, it is settled as the best path has it, and all other paths end there.
    """
    search = _Search(emission, chain)
    search.first()
    settled: list[States] = []
    for frame in range(1, len(emission)):
        search.step(frame)
        if len(search.came) == 2 * _BLOCK:
            alive = np.flatnonzero(np.isfinite(search.score))
            now = search.trace(alive, _BLOCK)[0]
            held = now[np.argmax(search.score[alive])]
            search.score[alive[now != held]] = -np.inf
            # The last state of this trace is the first one that stays open.
            done = search.came
            search.came = done[:_BLOCK]
            settled.append(search.trace(np.array([held]), _BLOCK)[:-1, 0])
            search.came = done[_BLOCK:]
    # Words that are left are left out, whether the voice ends in a gap or within a word.
    gaps = chain.gaps
    unsaid = len(gaps) - 1 - np.searchsorted(gaps, np.arange(len(search.score)))
    end = int(np.argmax(search.score - _LEFT_OUT * unsaid))
    return np.concatenate([*settled, search.trace(np.array([end]), len(search.came))[:, 0]])


def _words(
    words: Sequence[tuple[str, ...]], owner: States, lost: Array, counted: npt.NDArray[np.bool_],
    start: float,
) -> list[Word]:  # fmt: skip
    """The words with the times that the path gives their sounds, and their agreement."""
    inside = np.flatnonzero(owner >= 0)
    edges = np.searchsorted(owner[inside], np.arange(sum(map(len, words)) + 1))
    placed: dict[int, list[tuple[str, int, int]]] = {}
    number = 0
    for word, kinds in enumerate(words):
        bounds = edges[number : number + len(kinds) + 1]
        if np.all(np.diff(bounds) > 0):
            placed[word] = [(k, inside[a], inside[b - 1] + 1)
                            for k, a, b in zip(kinds, bounds, bounds[1:])]  # fmt: skip
        number += len(kinds)
    loss, count = (np.concatenate([[0], np.cumsum(v)]) for v in (lost, counted))

    def agreement(first: int, last: int, missing: int) -> float:
        mean = (loss[last] - loss[first] - _LEFT_OUT * missing) / max(count[last] - count[first], 1)
        return float(mean)

    found = []
    for word in range(len(words)):
        if word not in placed:
            found.append(Word((), _WORST, _WORST))
            continue
        near = [w for w in range(word - _AROUND, word + _AROUND + 1) if w in placed]
        missing = near[-1] - near[0] + 1 - len(near)
        phones = (Phone(k, start + a / RATE, start + b / RATE) for k, a, b in placed[word])
        found.append(Word(
            tuple(phones),
            agreement(placed[word][0][1], placed[word][-1][2], 0),
            agreement(placed[near[0]][0][1], placed[near[-1]][-1][2], missing),
        ))  # fmt: skip
    return found
