# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracked GRID clips: lip opening, width and jaw over time, beside the aligned phones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...arkit import EXPRESSION_NAMES
from ...files import read_made
from ...lips import LipMap
from ...phones import Phone, from_arpabet, spread
from .teacher import rest

Array = npt.NDArray[np.float64]

_EYES: Final = (33, 263)
_LIPS: Final = (13, 14)
_CORNERS: Final = (61, 291)
_NOSE, _CHIN = 1, 152
_LOST = 0.1
"""a clip with more lost frames than this is dropped"""
TRACK_AGAIN: Final = "Take it away and run core.training.data.track again."
"""How points in the training cache are made again."""


@dataclass(frozen=True)
class TrackedClip:
    """One film of a speaker; lengths in distances between the outer eye corners."""

    name: str
    times: Array
    """(T,) seconds"""
    gap: Array
    """(T,) between the lips, 0 where this speaker's lips touch"""
    width: Array
    """(T,) between the mouth corners, less that at rest"""
    jaw: Array
    """(T,) jawOpen that drops the built-in head's chin as far"""
    phones: list[Phone]
    speaking: Array
    """(T,) 1 in speech, 0 in silence"""
    held_out: bool
    """never trained on: sorted index % 5 == 4, or another speaker than s1"""


def held_out_names(names: list[str]) -> set[str]:
    """Every fifth name in sorted order, counted from the fifth."""
    return {n for i, n in enumerate(sorted(names)) if i % 5 == 4}


def read_phones(path: Path) -> list[Phone]:
    """Aligned phones as kinds, diphthongs in two parts."""
    return phones_of(json.loads(path.read_text("utf-8")))


def phones_of(rows: Sequence[Sequence[Any]]) -> list[Phone]:
    """Kinds of rows of ARPABET label, start and end; what else a row holds is left alone.

    The /h/ that the recogniser's dictionary writes before /w/ (``white``) is said by few, and the lips of
    those who do are rounded already: it is a part of the /w/.
    """
    phones: list[Phone] = []
    breath = None
    for label, start, end, *_ in rows:
        kinds = from_arpabet(label)
        if breath and "W" in kinds[:1]:
            start, breath = breath.start, None
        if breath:
            phones.append(breath)
        breath = Phone("HH", start, end) if kinds == ("HH",) else None
        phones += [] if breath else spread(kinds, start, end)
    return [*phones, breath] if breath else phones


def lip_measures(points: npt.NDArray[np.float32]) -> dict[str, Array]:
    """Opening, width and chin drop of tracked points (T, 478, 3): (T,) each, lost frames bridged."""
    good = np.isfinite(points[:, 0, 0])
    at = np.arange(len(points))

    def distance(pair: tuple[int, int]) -> Array:
        found = np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=1).astype(np.float64)
        return np.asarray(np.interp(at, at[good], found[good]))

    eyes = float(np.median(distance(_EYES)))  # the head hardly turns; one scale a clip is steadier
    return {n: distance(pair) / eyes
            for n, pair in (("gap", _LIPS), ("width", _CORNERS), ("chin", (_NOSE, _CHIN)))}  # fmt: skip


def tracked_clips(cache: Path, speaker: str, lips: LipMap) -> list[TrackedClip]:
    """All usable clips of ``s1`` or of the ``other`` speakers."""
    paths = sorted((cache / "tracked" / speaker).glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"no tracked clips in {cache}: run core.training.data.track first")
    held_out = held_out_names([p.stem for p in paths]) if speaker == "s1" else {p.stem for p in paths}
    jaw_unit = lips.chin[EXPRESSION_NAMES.index("jawOpen")]
    corpus = {"s1": "grid_s1", "other": "grid_other"}[speaker]
    measured = {}
    for path in paths:
        film = read_made(path, TRACK_AGAIN, ("points", "times"))
        if np.isnan(film["points"][:, 0, 0]).mean() <= _LOST:
            measured[path.stem] = (film["times"], lip_measures(film["points"]))
    # What counts as closed, as rest and as an open jaw is the speaker's own (of one clip for others).
    groups = [list(measured)] if speaker == "s1" else [[n] for n in measured]
    clips = []
    for group in groups:
        every = {n: np.concatenate([measured[c][1][n] for c in group]) for n in ("gap", "width", "chin")}
        closed, shut = np.percentile(every["gap"], 2), np.percentile(every["chin"], 10)
        at_rest = float(np.median(every["width"]))
        for name in group:
            times, m = measured[name]
            aligned = cache / "aligned" / corpus / f"{name}.json"
            if not aligned.exists():
                continue
            phones = read_phones(aligned)
            clips.append(TrackedClip(
                name, times, np.maximum(m["gap"] - closed, 0), m["width"] - at_rest,
                np.maximum(m["chin"] - shut, 0) / jaw_unit, phones, rest(times, phones),
                name in held_out,
            ))  # fmt: skip
    return clips


