# SPDX-License-Identifier: GPL-3.0-or-later
"""A coarticulation model: phone times in, mouth movement out.

Every phone pulls the mouth towards its targets with a dominance that falls off exponentially before
and after it (Cohen & Massaro 1993, Modeling coarticulation in synthetic visual speech, eq. 1-4);
the mouth goes where the weighted mean lies. Lips, jaw, width and rounding have dominances of their
own, fitted to tracked speech. Bilabials then shut the lips whatever the neighbours want.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...lips import LipMap
from .lips import KIND_NAMES, compose
from ...phones import BILABIAL, KINDS, SILENCE, Phone

Array = npt.NDArray[np.float64]

FITTED: Final = Path(__file__).with_name("teacher.json")
TRACKS: Final = ("gap", "jaw", "width", "shape")
"""what has a dominance of its own; 'shape' is the rounding and all else that is not fitted"""
SHAPES: Final = ("pucker", "funnel", "roll", "press", "shrug", "tongue")
_WIDER: Final = {"gap": (1.36, 0.010), "jaw": (1.4, 0.0), "width": (1.5, 0.0)}
"""gain and offset: weighted means move less than tracked lips do, by this much on GRID's speaker"""
_RAMP = 0.06
"""seconds in which the lips shut and part"""
_REST = 0.28
"""seconds a silence must last for the mouth to come to rest in it"""


@dataclass(frozen=True)
class Teacher:
    """Constants of the model; K kinds, in the order of ``KIND_NAMES``."""

    target: dict[str, Array]
    """(K,) for each of gap, jaw, width and the ``SHAPES``"""
    strength: dict[str, Array]
    """(K,) positive, for each of ``TRACKS``"""
    lead: dict[str, float]
    """seconds, for each of ``TRACKS``: how early the pull of a phone is felt"""
    lag: dict[str, float]
    """seconds: how long it lasts"""

    @staticmethod
    def starting() -> Teacher:
        """The values before any fit."""
        rows = [KINDS[k] for k in KIND_NAMES]
        names = ("gap", "jaw", "width", *SHAPES)
        return Teacher(
            {n: np.array([getattr(r, n) for r in rows]) for n in names},
            {t: np.array([r.strength for r in rows]) for t in TRACKS},
            {"gap": 0.06, "jaw": 0.08, "width": 0.07, "shape": 0.09},
            {"gap": 0.03, "jaw": 0.04, "width": 0.07, "shape": 0.05},
        )

    @staticmethod
    def fitted(path: Path = FITTED) -> Teacher:
        """The values after the fit that ships."""
        said = json.loads(path.read_text("utf-8"))
        if said["kinds"] != list(KIND_NAMES):
            raise ValueError(f"{path} was fitted for other kinds of sound; run the fit again")
        target, strength = ({n: np.array(v) for n, v in said[k].items()} for k in ("target", "strength"))
        return Teacher(target, strength, said["lead"], said["lag"])

    def save(self, path: Path = FITTED) -> None:
        """Write the constants as JSON."""
        round4 = {k: {n: np.round(v, 4).tolist() for n, v in d.items()}
                  for k, d in (("target", self.target), ("strength", self.strength))}  # fmt: skip
        said = {"kinds": KIND_NAMES, **round4, "lead": self.lead, "lag": self.lag}
        path.write_text(json.dumps(said, indent=1) + "\n", "utf-8")


def pull(
    times: Array, phones: Sequence[Phone], strength: Array, lead: float, lag: float
) -> Array:
    """Share of each phone in where the mouth goes: (T, P), rows of sum 1."""
    start, end = (np.array([getattr(p, n) for p in phones]) for n in ("start", "end"))
    quarter = 0.25 * (end - start)  # the pull is full over the middle half
    before = (start + quarter)[None] - times[:, None]
    after = times[:, None] - (end - quarter)[None]
    log = -np.maximum(before, 0) / lead - np.maximum(after, 0) / lag
    kinds = np.array([KIND_NAMES.index(p.kind) for p in phones])
    log = log + np.log(strength[kinds])
    weight = np.exp(log - log.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def closures(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Times in which bilabials hold the lips shut.

    A stop's label holds its release too, in which the lips are already parting (tracked speech
    shows the minimum 20 ms after the start and 60 ms before the end of an aligned /p/ or /b/).
    """
    held = []
    for p in phones:
        if p.kind == "M":
            held.append((p.start + 0.01, max(p.end - 0.01, p.start + 0.03)))
        elif p.kind in BILABIAL:
            held.append((p.start, max(p.end - 0.05, p.start + 0.035)))
    return held


def opening(times: Array, intervals: Sequence[tuple[float, float]], ramp: float = _RAMP) -> Array:
    """(T,) 0 within the intervals, 1 away from them, smooth between."""
    free = np.ones_like(times)
    for start, end in intervals:
        away = np.clip(np.maximum(start - times, times - end) / ramp, 0, 1)
        free = np.minimum(free, away * away * (3 - 2 * away))
    return np.asarray(free)


def rest(times: Array, phones: Sequence[Phone], edge: float = 0.10) -> Array:
    """(T,) 0 in long silences, 1 in speech; the mouth moves ``edge`` before and after the sound."""
    still = [(p.start + edge if p.start > 0 else -1.0, p.end - edge if p is not phones[-1] else 1e9)
             for p in phones if p.kind == SILENCE and p.end - p.start > _REST]  # fmt: skip
    return opening(times, still, ramp=0.08)


def raw_tracks(teacher: Teacher, times: Array, phones: Sequence[Phone]) -> dict[str, Array]:
    """Opening, jaw, width and shapes before closures and silence: (T,) each."""
    kinds = np.array([KIND_NAMES.index(p.kind) for p in phones])
    out = {}
    for track in TRACKS:
        share = pull(times, phones, teacher.strength[track], teacher.lead[track], teacher.lag[track])
        for name in SHAPES if track == "shape" else (track,):
            out[name] = share @ teacher.target[name][kinds]
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
    gap, jaw, width = (gain * track[n] - less for n, (gain, less) in _WIDER.items())
    gap = np.maximum(gap, 0) * loudness * free * awake
    jaw = np.maximum(jaw, 0) * loudness * awake
    extras = {n: np.maximum(track[n], 0) * awake for n in SHAPES}
    bilabial = opening(times, closures([p for p in phones if p.kind in BILABIAL]))
    extras["upper_roll"] = 0.6 * extras["roll"] * (1 - bilabial)
    return compose(lips, gap, jaw, width * awake, extras)
