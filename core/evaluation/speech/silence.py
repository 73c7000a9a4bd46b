# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips in pauses, on voices that were not trained on.

A pause is a stretch of more than 0.3 s labelled silent, less 0.15 s at each end that borders on
speech. With g the opening of the lips at 50 Hz and v[t] = (g[t+1] - g[t-1]) / 2:

- motion = mean v^2 over all pauses / mean v^2 over all speech.
- opening = mean g over all pauses. Lips part up to 0.2 s before speech, as filmed ones do, so some
  of it is the speech to come.
- opening in the middle = mean g over the middle third of each whole stretch; shut there = share of
  stretches whose greatest g in it is under SHUT.

Labels know words alone: in many a pause somebody breathes in, and parts the lips to do so. So the figures are
given again of the pauses in which nothing is heard, whatever the generator makes of it: no 60 ms whose power
over 1 kHz is 10 dB above the recording's quietest tenth.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import librosa
import numpy as np
import numpy.typing as npt

from ...features import HIGHEST, LOWEST, MELS, RANGE_DB, log_mel
from ...lips import SHUT
from ...mouth import RATE
from ...phones import KIND_NAMES
from ...training.data.prepare import Clip
from ..table import Row, at_most
from .closures import share
from .signals import Array, runs
from .voices import HEADINGS, Bench, Samples

_SILENT: Final = KIND_NAMES.index("SIL")
_LEAST: Final = round(0.3 * RATE) + 1
_EDGE: Final = round(0.15 * RATE)
_BREATHY: Final = librosa.mel_frequencies(MELS + 2, fmin=LOWEST, fmax=HIGHEST)[1:-1] > 1000
"""(MELS,) bands in which a breath is heard, and hum is not"""
_RISE_DB: Final = 10.0
_HEARD: Final = round(0.06 * RATE)


def pauses(clip: Clip) -> list[slice]:
    """Silent stretches of more than 0.3 s."""
    return list(runs(clip.kind == _SILENT, _LEAST))


def inner(pause: slice, frames: int) -> slice:
    """A pause less its ends towards speech."""
    return slice(0 if pause.start == 0 else pause.start + _EDGE,
                 frames if pause.stop == frames else pause.stop - _EDGE)  # fmt: skip


def audible(samples: Samples) -> npt.NDArray[np.bool_]:
    """(T,) at 50 Hz where a sound stands out of a recording's own noise."""
    power = 10 ** ((log_mel(samples)[::2, :MELS][:, _BREATHY] - 1) * RANGE_DB / 10)
    decibels = 10 * np.log10(power.mean(1) + 1e-9)
    return np.asarray(decibels > np.percentile(decibels, 10) + _RISE_DB)


def middle_third(pause: slice) -> slice:
    """The middle third of a pause."""
    third = (pause.stop - pause.start) // 3
    return slice(pause.start + third, pause.stop - third)


class Pause(NamedTuple):
    """What the lips do in one."""

    speed: Array
    """v^2"""
    gap: Array
    middle: Array
    """the gap in its middle third"""
    heard: bool
    """a sound in it"""


def judged(heading: str, gaps: list[Array], clips: list[Clip]) -> list[Row]:
    """Rows of one group of clips."""
    found, moving = [], []
    for gap, clip in zip(gaps, clips):
        speed, sounds = np.gradient(gap) ** 2, audible(clip.samples)
        moving.append(speed[clip.kind != _SILENT])
        for pause in pauses(clip):
            inside = inner(pause, len(gap))
            found.append(Pause(speed[inside], gap[inside], gap[middle_third(pause)], any(runs(sounds[inside], _HEARD))))
    return [
        *_rows(heading, "silence", found, moving),
        *_rows(heading, "no sound", [p for p in found if not p.heard], moving),
    ]


def _rows(heading: str, name: str, found: list[Pause], moving: list[Array]) -> list[Row]:
    if not found:
        return [Row(heading, name, float("nan"), note="no pause over 0.3 s")]

    def mean(pieces: list[Array]) -> float:
        return float(np.concatenate(pieces).mean())

    return [
        Row(heading, f"{name}: lip motion energy over speech's", mean([p.speed for p in found]) / mean(moving),
            at_most(0.05), note=f"pauses: {len(found)}"),
        Row(heading, f"{name}: opening", mean([p.gap for p in found]), at_most(SHUT)),
        Row(heading, f"{name}: opening in the pause's middle", mean([p.middle for p in found]), at_most(SHUT)),
        Row(heading, f"{name}: shut in the pause's middle", share([bool(p.middle.max() < SHUT) for p in found])),
    ]  # fmt: skip


def rows(bench: Bench) -> list[Row]:
    """The silence's part of the table."""
    table = []
    for number, (corpus, heading) in enumerate(HEADINGS.items(), 1):
        clips = bench.unseen(corpus)
        table += judged(heading, [bench.player.play(c.samples).gap for c in clips], clips)
        bench.progress("silence", number, len(HEADINGS))
    return table
