# SPDX-License-Identifier: GPL-3.0-or-later
"""A coarticulation model: phone times in, mouth movement out.

Every phone pulls the mouth towards its targets with a dominance that falls off exponentially before
and after it (Cohen & Massaro 1993, Modeling coarticulation in synthetic visual speech, eq. 1-4);
the mouth goes where the weighted mean lies. How early and how long a phone pulls is its kind's own,
and short phones pull less (undershoot, Lindblom 1963). Lips, jaw, width and rounding have
dominances of their own, fitted to tracked speech. Bilabials then shut the lips whatever the
neighbours want. Before a sentence the lips part while the voice is still silent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...lips import LipMap
from ...phones import BILABIAL, KIND_NAMES, KINDS, SILENCE, Phone
from .lips import compose

Array = npt.NDArray[np.float64]

FITTED: Final = Path(__file__).with_name("teacher.json")
SHAPES: Final = ("pucker", "funnel", "roll", "press", "shrug", "tongue")
"""what no camera in front tells apart; one dominance, 'shape', for all of them"""
FITTED_TRACKS: Final = ("gap", "jaw", "width")
READY: Final = "ready"
"""the time before a sentence in which the lips have parted and nothing is heard yet"""
READY_KIND: Final = len(KIND_NAMES)
USUAL: Final = 0.08
"""seconds of a usual phone, at which nothing undershoots"""
_READY_TARGET: Final = {"gap": 0.08, "jaw": 0.10}
"""more than half a vowel: what GRID s1 shows in the last 0.2 s before he is heard (median of 100 sentences)"""
_RAMP = 0.06
"""seconds in which the lips shut and part"""
_REST = 0.28
"""seconds a silence must last for the mouth to come to rest in it"""
_BEFORE, _AFTER = 0.32, 0.10
"""seconds in which the mouth moves before speech and after it"""
_SHARE, _FIRST_SHARE = 0.4, 0.7
"""no more than this share of a pause belongs to the speech that follows; of the one that a recording
begins with, before which there may have been more silence"""
_REST_RAMP = 0.08
_EARLY, _EARLY_FIRST = 0.015, 0.09
"""seconds before the start of a label in which a bilabial is shut: within speech, after a pause"""


@dataclass(frozen=True)
class Track:
    """How one movement of the mouth follows the phones; K kinds, in the order of ``KIND_NAMES``."""

    strength: Array
    """(K,) positive: pull against the neighbours"""
    lead: Array
    """(K,) seconds: how early the pull is felt"""
    lag: Array
    """(K,) seconds: how long it lasts"""
    undershoot: float = 0.0
    """the pull goes with this power of the phone's duration"""
    gain: float = 1.0
    offset: float = 0.0
    """the mouth goes to gain times the weighted mean of the targets, plus offset"""
    loud: float = 0.0
    """the movement goes with this power of the loudness"""


@dataclass(frozen=True)
class Teacher:
    """Constants of the model."""

    target: dict[str, Array]
    """(K,) for each of gap, jaw, width and the ``SHAPES``"""
    track: dict[str, Track]
    """gap, jaw, width and shape"""

    @staticmethod
    def starting() -> Teacher:
        """The values before any fit."""
        rows = [KINDS[k] for k in KIND_NAMES]
        names = (*FITTED_TRACKS, *SHAPES)
        every = np.ones(len(rows))
        reach = {"gap": (0.06, 0.03), "jaw": (0.08, 0.04), "width": (0.07, 0.07), "shape": (0.09, 0.05)}
        return Teacher(
            {n: np.array([getattr(r, n) for r in rows]) for n in names},
            {t: Track(np.array([r.strength for r in rows]), lead * every, lag * every,
                      loud=float(t in ("gap", "jaw"))) for t, (lead, lag) in reach.items()},
        )  # fmt: skip

    @staticmethod
    def fitted(path: Path = FITTED) -> Teacher:
        """The values after the fit that ships."""
        said = json.loads(path.read_text("utf-8"))
        if said["kinds"] != list(KIND_NAMES):
            raise ValueError(f"{path} was fitted for other kinds of sound; run the fit again")
        tracks = {}
        for name, values in said["track"].items():
            strength, lead, lag = (np.array(values.pop(n)) for n in ("strength", "lead", "lag"))
            tracks[name] = Track(strength, lead, lag, **values)
        return Teacher({n: np.array(v) for n, v in said["target"].items()}, tracks)

    def save(self, path: Path = FITTED) -> None:
        """Write the constants as JSON."""
        said = {"kinds": KIND_NAMES, "target": self.target,
                "track": {t: asdict(v) for t, v in self.track.items()}}  # fmt: skip
        path.write_text(json.dumps(said, default=lambda v: np.round(v, 4).tolist()) + "\n", "utf-8")


def _pauses(phones: Sequence[Phone]) -> Iterator[tuple[float, float, float, float]]:
    """Long silences: start, end, and how much of each belongs to the speech before and after it."""
    for p in phones:
        length = p.end - p.start
        if p.kind == SILENCE and length > _REST:
            first = p is phones[0] and p.start <= 0
            before = 0.0 if first else min(_AFTER, _SHARE * length)
            after = min(_BEFORE, (_FIRST_SHARE if first else _SHARE) * length)
            yield p.start, p.end, before, 0.0 if p is phones[-1] else after


def with_ready(phones: Sequence[Phone]) -> list[Phone]:
    """Phones with the end of every long pause before speech split off as ``READY``.

    Before a bilabial the lips stay shut, as the closure begins before anything is heard.
    """
    turns = {end: end - after for _, end, _, after in _pauses(phones) if after}
    out: list[Phone] = []
    for p, following in zip(phones, [*phones[1:], None]):
        if p.kind == SILENCE and p.end in turns and following and following.kind not in BILABIAL:
            out += [p._replace(end=turns[p.end]), Phone(READY, turns[p.end], p.end)]
        else:
            out.append(p)
    return out


def kinds_of(phones: Sequence[Phone]) -> npt.NDArray[np.int64]:
    """(P,) index into ``KIND_NAMES``, one more for ``READY``."""
    return np.array([READY_KIND if p.kind == READY else KIND_NAMES.index(p.kind) for p in phones])


def distances(times: Array, phones: Sequence[Phone]) -> tuple[Array, Array, Array]:
    """Seconds before and after each phone's full pull, (T, P) each, and log of its length (P,)."""
    start, end = (np.array([getattr(p, n) for p in phones]) for n in ("start", "end"))
    quarter = 0.25 * (end - start)  # the pull is full over the middle half
    before = np.maximum((start + quarter)[None] - times[:, None], 0)
    after = np.maximum(times[:, None] - (end - quarter)[None], 0)
    return before, after, np.log(np.clip((end - start) / USUAL, 0.25, 2.0))


def _ready_as_silence(values: Array) -> Array:
    return np.append(values, values[0])


def pull(times: Array, phones: Sequence[Phone], track: Track) -> Array:
    """Share of each phone in where the mouth goes: (T, P), rows of sum 1."""
    kinds = kinds_of(phones)
    before, after, length = distances(times, phones)
    strength, lead, lag = (_ready_as_silence(v)[kinds] for v in (track.strength, track.lead, track.lag))
    log = np.log(strength) + track.undershoot * length - before / lead - after / lag
    weight = np.exp(log - log.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def closures(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Times in which bilabials hold the lips shut.

    The label of a stop holds its release too, in which the lips are already parting. Tracked speech
    has the lips nearest 25 ms before the middle of an aligned /b/, 15 ms before that of a /p/; at
    the beginning of a sentence they are shut 0.1 s before the label starts.
    """
    held = []
    for before, p in zip([None, *phones], phones):
        if p.kind not in BILABIAL:
            continue
        pause = before.end - before.start if before and before.kind == SILENCE else 0.0
        early = max(_EARLY if p.kind != "P" else 0.0, min(_EARLY_FIRST, 0.3 * pause))
        late = 0.005 if p.kind == "M" else 0.04
        held.append((p.start - early, max(p.end - late, p.start + 0.03)))
    return held


def opening(times: Array, intervals: Sequence[tuple[float, float]], ramp: float = _RAMP) -> Array:
    """(T,) 0 within the intervals, 1 away from them, smooth between."""
    free = np.ones_like(times)
    for start, end in intervals:
        away = np.clip(np.maximum(start - times, times - end) / ramp, 0, 1)
        free = np.minimum(free, away * away * (3 - 2 * away))
    return np.asarray(free)


def rest(times: Array, phones: Sequence[Phone]) -> Array:
    """(T,) 0 in long silences, 1 in speech and while the lips part before it."""
    still = [(start + before if before else -1.0, end - after if after else 1e9)
             for start, end, before, after in _pauses(phones)]  # fmt: skip
    return opening(times, still, ramp=_REST_RAMP)


def raw_tracks(teacher: Teacher, times: Array, phones: Sequence[Phone]) -> dict[str, Array]:
    """Opening, jaw, width and shapes before loudness, closures and silence: (T,) each."""
    said = with_ready(phones)
    kinds = kinds_of(said)
    out = {}
    for name, track in teacher.track.items():
        share = pull(times, said, track)
        for part in SHAPES if name == "shape" else (name,):
            target = np.append(teacher.target[part], _READY_TARGET.get(part, 0.0))
            out[part] = track.gain * (share @ target[kinds]) + track.offset
    return out


def teach(
    teacher: Teacher, lips: LipMap, times: Array, phones: Sequence[Phone], loudness: Array
) -> Array:
    """Coefficients of the mouth for speech whose phones are known.

    Args:
        teacher: constants
        lips: of the head
        times: (T,) seconds
        phones: in order, covering the time
        loudness: (T,) around 1: how widely the speaker opens here

    Returns:
        (T, 42) at neutral emotion.

    """
    track = raw_tracks(teacher, times, phones)
    awake, free = rest(times, phones), opening(times, closures(phones))
    loud = {n: loudness ** teacher.track[n].loud for n in ("gap", "jaw")}
    gap = np.maximum(track["gap"], 0) * loud["gap"] * free * awake
    jaw = np.maximum(track["jaw"], 0) * loud["jaw"] * awake
    extras = {n: np.maximum(track[n], 0) * awake for n in SHAPES}
    extras["upper_roll"] = 0.6 * extras["roll"] * (1 - free)
    return compose(lips, gap, jaw, track["width"] * awake, extras)
