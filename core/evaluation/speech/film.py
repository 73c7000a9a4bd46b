# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips against tracked film of speakers that were not trained on.

For each clip, over its film frames t = 0 .. T - 1 at 25 a second, with g the opening of the lips,
w their width, ^ the prediction at the film's instants:

- r = pearson(g^, g); velocity r = pearson(dg^, dg), dg[t] = (g[t+1] - g[t-1]) / 2; width
  r = pearson(w^, w). All at lag 0, silences included. While speaking: r over the frames of speech.
- amplitude = std(g^) / std(g); while speaking: of the frames of speech alone, for a speaker whose
  lips rest open moves them less than one who shuts them, however wide both speak.
- lag = argmax_l r(g^(t + l), g(t)), l = -200 .. 200 ms in steps of 5; positive is late. Its spread is
  the interquartile range over clips. How late sound and picture of one film are against each other, and its
  speaker on that day, is in it too; lips made of the aligned text alone (the coarticulation model) are
  as late where it is the film, so the spread of the difference from theirs stands beside it.
- jitter = J(g^) / J(g), J(x) the share of energy from 12 Hz on (``signals.jitter``); medians over
  clips above and below the line. At 50 Hz: J(g^) of the network's own frames, which hides nothing
  above the film's band.

Figures of several clips are medians over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...audio import load
from ...errors import UserError
from ...mouth import RATE
from ...training.data.grid import TrackedClip, tracked_clips
from ..table import Row, Target, at_least, at_most
from .baselines import Envelope, of_phones, recognised
from .signals import (
    Array,
    amplitude,
    correlation,
    jitter,
    lag,
    quartiles_apart,
    velocity_correlation,
)
from .voices import HEADINGS, Bench, Samples

_FILM_RATE = 25
_FOLDERS = {"s1": "grid_s1/video", "other": "grid_other"}


class Lips(NamedTuple):
    """Lips at 50 Hz from time 0: (T,) each."""

    gap: Array
    width: Array


Speaker = Callable[[TrackedClip, Samples], Lips]
"""lips of a clip from its sound"""


class Likeness(NamedTuple):
    """Figures of one clip."""

    r: float
    velocity_r: float
    width_r: float
    amplitude: float
    lag: float
    """ms"""
    speaking_r: float
    speaking_amplitude: float
    jitter: float
    film_jitter: float
    own_jitter: float
    """at 50 Hz"""


def likeness(found: Lips, clip: TrackedClip) -> Likeness:
    """Compare with the film."""
    at = np.arange(len(found.gap)) / RATE
    gap, width = (np.interp(clip.times, at, v) for v in found)
    talk = clip.speaking > 0.5
    return Likeness(
        correlation(gap, clip.gap), velocity_correlation(gap, clip.gap),
        correlation(width, clip.width), amplitude(gap, clip.gap),
        1000 * lag(at, found.gap, clip.times, clip.gap), correlation(gap[talk], clip.gap[talk]),
        amplitude(gap[talk], clip.gap[talk]),
        jitter(gap, _FILM_RATE), jitter(clip.gap, _FILM_RATE), jitter(found.gap, RATE),
    )  # fmt: skip


def compared(bench: Bench, speaker: str, clips: list[TrackedClip], lips_of: Speaker) -> list[Likeness]:
    """Figures of each clip."""
    rows = []
    for number, clip in enumerate(clips, 1):
        samples = load(bench.data / _FOLDERS[speaker] / f"{clip.name}.mpg")
        rows.append(likeness(lips_of(clip, samples), clip))
        bench.progress("film", number, len(clips))
    return rows


def unseen_films(bench: Bench, speaker: str) -> list[TrackedClip]:
    """Tracked clips that the split keeps for testing, of ``s1`` or of the ``other`` speakers.

    Raises:
        UserError: nothing is tracked, or the split keeps none.

    """
    clips = [c for c in _films(bench, speaker)
             if bench.split.tests("grid-s1" if speaker == "s1" else f"grid-{c.name}", c.name)]  # fmt: skip
    if not clips:
        raise UserError(f"The split keeps no film of '{speaker}' for testing.",
                        "Use the split that was written with these weights and this cache.")  # fmt: skip
    return clips


def _films(bench: Bench, speaker: str) -> list[TrackedClip]:
    try:
        return tracked_clips(bench.cache, speaker, bench.player.lips)
    except FileNotFoundError:
        raise UserError(f"'{bench.cache}' holds no tracked films of '{speaker}'.",
                        "'core train expression' finds what is seen and said in them.") from None  # fmt: skip


def rows(bench: Bench) -> list[Row]:
    """The film's part of the table."""

    def generator(_clip: TrackedClip, samples: Samples) -> Lips:
        face = bench.player.play(samples)
        return Lips(face.gap, face.width)

    def text(clip: TrackedClip, samples: Samples) -> Lips:
        return Lips(*of_phones(bench, clip.phones, samples))

    known = unseen_films(bench, "s1")
    table = medians(HEADINGS["grid_s1"], compared(bench, "s1", known, generator),
                    compared(bench, "s1", known, text), (0.93, 0.80, 0.60))  # fmt: skip
    others = unseen_films(bench, "other")
    found = compared(bench, "other", others, generator)
    heading = HEADINGS["grid_other"]
    table += medians(heading, found, compared(bench, "other", others, text), (0.80, 0.70, 0.50))
    kept = [c for c in _films(bench, "s1") if bench.split.trains("grid-s1", c.name)]
    envelope = Envelope.fitted(
        kept, [load(bench.data / _FOLDERS["s1"] / f"{c.name}.mpg") for c in kept]
    )
    simple: dict[str, Speaker] = {
        "envelope": lambda _clip, samples: Lips(*envelope.lips(samples)),
        "recogniser": lambda clip, samples: Lips(*recognised(bench, clip.name, samples)),
    }
    beside = {name: compared(bench, "other", others, speaker) for name, speaker in simple.items()}
    for name in ("r", "velocity_r", "width_r"):
        table.append(Row(heading, f"{name.replace('_', ' ')}, median, beside simpler means",
                         middle(found, name), beside={n: middle(b, name) for n, b in beside.items()}))  # fmt: skip
    for i, clip in enumerate(others):
        for name in ("r", "velocity_r", "width_r"):
            table.append(Row(heading, f"{clip.name}: {name.replace('_', ' ')}", getattr(found[i], name),
                             beside={n: getattr(b[i], name) for n, b in beside.items()}))  # fmt: skip
        table += [Row(heading, f"{clip.name}: amplitude", found[i].amplitude),
                  Row(heading, f"{clip.name}: lag, ms", found[i].lag),
                  Row(heading, f"{clip.name}: jitter", found[i].jitter / found[i].film_jitter)]  # fmt: skip
    return table


def medians(
    heading: str, found: list[Likeness], text: list[Likeness], least: tuple[float, float, float]
) -> list[Row]:
    """Rows of one group of clips.

    Args:
        heading: of the rows
        found: likeness of the generator
        text: likeness of the aligned text's lips
        least: targets of r, velocity r and width r

    """
    lags = [f.lag for f in found]
    apart = quartiles_apart([f.lag - t.lag for f, t in zip(found, text, strict=True)])
    ratio = middle(found, "jitter") / middle(found, "film_jitter")
    return [
        Row(heading, "r of the lip gap", middle(found, "r"), at_least(least[0]), note=f"{len(found)} clips"),
        Row(heading, "r of its velocity", middle(found, "velocity_r"), at_least(least[1])),
        Row(heading, "r of the lip width", middle(found, "width_r"), at_least(least[2])),
        Row(heading, "r of the lip gap while speaking", middle(found, "speaking_r")),
        Row(heading, "amplitude, over the film's", middle(found, "amplitude"), Target(0.9, 1.1)),
        Row(heading, "amplitude while speaking", middle(found, "speaking_amplitude")),
        Row(heading, "lag, ms", middle(found, "lag"), Target(-10, 10)),
        Row(heading, "lag, interquartile range, ms", quartiles_apart(lags), at_most(20),
            {"against the aligned text's lips": apart}),
        Row(heading, "jitter, over the film's", ratio, at_most(1.2)),
        Row(heading, "share of energy from 12 Hz on, at 50 Hz", middle(found, "own_jitter"),
            note=f"film, to 12.5 Hz: {middle(found, 'film_jitter'):.5f}"),
    ]  # fmt: skip


def middle(found: list[Likeness], name: str) -> float:
    """Median of one figure over clips."""
    return float(np.median([getattr(f, name) for f in found]))
