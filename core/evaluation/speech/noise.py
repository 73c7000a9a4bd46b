# SPDX-License-Identifier: GPL-3.0-or-later
"""The films again, heard through noise, others' voices, music, lines and rooms (`film` has the definitions).

What lies under a voice lies so many decibels of power under it, both over the whole clip. All of it is
made anew from the clip's number. Medians over clips; the clean sound stands first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ...training.augment import babble, band, hiss, mu_law, music, room, under
from ...training.data.grid import TrackedClip
from ..table import Row
from .film import Lips, Speaker, compared, middle, unseen_films
from .voices import HEADINGS, Bench, Samples

Change = Callable[[Samples, np.random.Generator], Samples]

_VOICES: Final = 4
"""that speak at once, others than the one filmed"""


def changes(voices: Sequence[Samples]) -> dict[str, Change]:
    """How a clip may sound, by name.

    Args:
        voices: of others, to speak under it

    """

    def others(count: int, rng: np.random.Generator) -> Samples:
        return babble(count, [voices[k] for k in rng.choice(len(voices), _VOICES, replace=False)], rng)

    def beneath(make: Callable[[int, np.random.Generator], Samples], decibels: float) -> Change:
        return lambda samples, rng: under(samples, make(len(samples), rng), decibels)

    return {
        "clean": lambda samples, _: samples,
        "hiss 20 dB under it": beneath(hiss, 20), "hiss 10 dB under it": beneath(hiss, 10),
        "hiss as loud as it": beneath(hiss, 0),
        f"{_VOICES} others' voices 15 dB under it": beneath(others, 15),
        "music 15 dB under it": beneath(music, 15),
        "by telephone": lambda samples, _: mu_law(band(samples, 300, 3400)),
        "in a room": room,
    }  # fmt: skip


def rows(bench: Bench) -> list[Row]:
    """The noise's part of the table."""
    voices = [clip.samples for clip in bench.unseen("librispeech")]
    table = []
    for speaker, corpus in (("s1", "grid_s1"), ("other", "grid_other")):
        films = unseen_films(bench, speaker)
        for name, change in changes(voices).items():
            found = compared(bench, speaker, films, _through(change, bench, films))
            table.append(Row(HEADINGS[corpus], f"r of the lip gap, {name}", middle(found, "r"),
                             beside={"velocity": middle(found, "velocity_r"), "width": middle(found, "width_r"),
                                     "amplitude": middle(found, "amplitude")}))  # fmt: skip
    return table


def _through(change: Change, bench: Bench, films: Sequence[TrackedClip]) -> Speaker:
    """Lips of a clip from its changed sound."""
    numbers = {clip.name: number for number, clip in enumerate(films)}

    def lips(clip: TrackedClip, samples: Samples) -> Lips:
        face = bench.player.play(change(samples, np.random.default_rng(numbers[clip.name])))
        return Lips(face.gap, face.width)

    return lips
