# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips in pauses, on voices that were not trained on.

A pause is a stretch of more than 0.3 s labelled silent, less 0.15 s at each end that borders on
speech. With g the opening of the lips at 50 Hz and v[t] = (g[t+1] - g[t-1]) / 2:

- motion = mean v^2 over all pauses / mean v^2 over all speech.
- opening = mean g over all pauses. Lips part up to 0.2 s before speech, as filmed ones do, so some
  of it is the speech to come.
- opening in the middle = mean g over the middle third of each whole stretch; shut there = share of
  stretches whose greatest g in it is under SHUT.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...lips import SHUT
from ...mouth import RATE
from ...phones import KIND_NAMES
from ...training.data.prepare import Clip
from ..table import Row, at_most
from .closures import share
from .signals import Array, runs
from .voices import HEADINGS, Bench

_SILENT: Final = KIND_NAMES.index("SIL")
_LEAST: Final = round(0.3 * RATE) + 1
_EDGE: Final = round(0.15 * RATE)


def pauses(clip: Clip) -> list[slice]:
    """Silent stretches of more than 0.3 s."""
    return list(runs(clip.kind == _SILENT, _LEAST))


def inner(pause: slice, frames: int) -> slice:
    """A pause less its ends towards speech."""
    return slice(0 if pause.start == 0 else pause.start + _EDGE,
                 frames if pause.stop == frames else pause.stop - _EDGE)  # fmt: skip


def middle_third(pause: slice) -> slice:
    """The middle third of a pause."""
    third = (pause.stop - pause.start) // 3
    return slice(pause.start + third, pause.stop - third)


def judged(heading: str, gaps: list[Array], clips: list[Clip]) -> list[Row]:
    """Rows of one group of clips."""
    still, moving, opening, middle, shut = [], [], [], [], []
    for gap, clip in zip(gaps, clips):
        speed = np.gradient(gap) ** 2
        moving.append(speed[clip.kind != _SILENT])
        for pause in pauses(clip):
            inside, core = inner(pause, len(gap)), gap[middle_third(pause)]
            still.append(speed[inside])
            opening.append(gap[inside])
            middle.append(core)
            shut.append(bool(core.max() < SHUT))
    if not shut:
        return [Row(heading, "silence", float("nan"), note="no pause over 0.3 s")]
    mean = [float(np.concatenate(v).mean()) for v in (still, moving, opening, middle)]
    return [
        Row(heading, "silence: lip motion energy over speech's", mean[0] / mean[1], at_most(0.05),
            note=f"{len(shut)} pauses"),
        Row(heading, "silence: opening", mean[2], at_most(SHUT)),
        Row(heading, "silence: opening in the pause's middle", mean[3], at_most(SHUT)),
        Row(heading, "silence: shut in the pause's middle", share(shut)),
    ]  # fmt: skip


def rows(bench: Bench) -> list[Row]:
    """The silence's part of the table."""
    table = []
    for number, (corpus, heading) in enumerate(HEADINGS.items(), 1):
        clips = bench.unseen(corpus)
        table += judged(heading, [bench.player.play(c.samples).gap for c in clips], clips)
        bench.progress("silence", number, len(HEADINGS))
    return table
