# SPDX-License-Identifier: GPL-3.0-or-later
"""What emotion does to lips and face, on a few clips of every group of unseen real voices.

With g_e the opening of the lips under emotion e at weight 1 and g_0 at neutral, same sound and seed:

- timing = median over clips of pearson(g_e, g_0).
- closures kept = share of the closures shut at neutral that are shut under e; recall as in
  ``closures``, under e.
- intensity: e at weights 0, 0.1 .. 1. An action unit of e is one name of its EMFACS prototype
  (``emotion_faces.PROTOTYPES``) with both its sides; its strength at a weight is the mean over its
  sides, all frames and clips. Spearman's rho of strength and weight; the mean over the emotion's
  action units, and the lowest.
- mixtures, temperature 0: for emotions a and b, the face m at weights one half each and the faces
  x_a, x_b at weight 1 alone. Share of the channels and frames with |x_a - x_b| >= 0.05 in which
  min(x_a, x_b) - 0.02 <= m <= max(x_a, x_b) + 0.02, over all pairs.
- draws: ten seeds at temperature 1. Lips: median over pairs of seeds and clips of pearson(g, g').
  Brows and cheeks: mean |x - x'| over pairs, frames and their channels.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from ...arkit import EMOTIONS
from ...lips import INDEX
from ...training.data.prepare import Clip
from ...training.emotion_faces import PROTOTYPES
from ..table import Row, at_least
from .closures import held, share
from .signals import Array, correlation, spearman
from .voices import Bench, Face

LEVELS: Final = np.arange(11) / 10
DIFFERENT, TOLERANCE = 0.05, 0.02
_SEEDS = 10
_BROWS: Final = [i for n, i in INDEX.items() if n.startswith(("brow", "cheekSquint"))]


def rows(bench: Bench) -> list[Row]:
    """The emotions' part of the table."""
    return [*weight_one(bench, bench.few(4)), *intensity(bench, bench.few(1)),
            *mixtures(bench, bench.few(1))]  # fmt: skip


def weight_one(bench: Bench, clips: list[Clip]) -> list[Row]:
    """Timing and closures under each emotion."""
    heading = f"emotions at weight 1 against neutral ({len(clips)} clips)"
    neutral = [bench.player.play(c.samples).gap for c in clips]
    table = []
    for number, name in enumerate(EMOTIONS[1:], 1):
        gaps = [bench.player.play(c.samples, {name: 1.0}).gap for c in clips]
        table += [
            Row(heading, f"{name}: timing, r of the lip gap", timing(gaps, neutral), at_least(0.95)),
            *kept(heading, name, gaps, neutral, clips),
        ]
        bench.progress("emotions", number, len(EMOTIONS) - 1)
    return table


def timing(gaps: list[Array], neutral: list[Array]) -> float:
    """Median correlation over clips."""
    return float(np.median([correlation(a, b) for a, b in zip(gaps, neutral)]))


def kept(
    heading: str, name: str, gaps: list[Array], neutral: list[Array], clips: list[Clip]
) -> list[Row]:
    """Closures that an emotion leaves."""
    before, after = ([f for g, c in zip(side, clips) for f in held(g, c)] for side in (neutral, gaps))
    stay = [a for b, a in zip(before, after) if b]
    return [
        Row(heading, f"{name}: closures kept", share(stay), at_least(0.97), note=f"{len(stay)} closures"),
        Row(heading, f"{name}: closures, recall", share(after)),
    ]  # fmt: skip


def action_units(emotion: str) -> dict[str, list[int]]:
    """Channels of each name in an emotion's prototype: one, or left and right."""
    return {n: [INDEX[full] for full in (n, f"{n}Left", f"{n}Right") if full in INDEX]
            for n in PROTOTYPES[emotion]}  # fmt: skip


def rising(strengths: dict[str, Array]) -> tuple[float, float, str]:
    """Mean and lowest Spearman's rho with the weight, and whose it is.

    Args:
        strengths: (11,) of each action unit at the weights 0, 0.1 .. 1

    """
    rho = {n: spearman(v, LEVELS) for n, v in strengths.items()}
    lowest = min(rho, key=lambda n: rho[n])
    return float(np.mean(list(rho.values()))), rho[lowest], lowest


def intensity(bench: Bench, clips: list[Clip]) -> list[Row]:
    """Whether the asked action units rise with the weight."""
    heading = f"intensity from 0 to 1 in ten steps ({len(clips)} clips)"
    table = []
    for number, name in enumerate(EMOTIONS[1:], 1):
        units = action_units(name)
        strengths = {n: np.zeros(len(LEVELS)) for n in units}
        for level, weight in enumerate(LEVELS):
            face = np.concatenate(
                [bench.player.play(c.samples, {name: float(weight)}).expression for c in clips]
            )
            for unit, channels in units.items():
                strengths[unit][level] = face[:, channels].mean()
        mean, lowest, whose = rising(strengths)
        table.append(Row(heading, f"{name}: Spearman, mean of its action units", mean, at_least(0.98),
                         beside={"lowest": lowest}, note=whose))  # fmt: skip
        bench.progress("intensity", number, len(EMOTIONS) - 1)
    return table


def between(mixed: Array, one: Array, other: Array) -> float:
    """Share of the values that lie between their parts, where these differ; nan where none do."""
    apart = np.abs(one - other) >= DIFFERENT
    low, high = np.minimum(one, other) - TOLERANCE, np.maximum(one, other) + TOLERANCE
    return share(list(((mixed >= low) & (mixed <= high))[apart]))


def mixtures(bench: Bench, clips: list[Clip]) -> list[Row]:
    """Whether a half-and-half mixture of two emotions lies between them."""
    alone = {n: _mean_faces(bench, clips, {n: 1.0}) for n in EMOTIONS}
    pairs = list(combinations(EMOTIONS, 2))
    found = {}
    for number, (a, b) in enumerate(pairs, 1):
        found[f"{a} and {b}"] = between(_mean_faces(bench, clips, {a: 0.5, b: 0.5}), alone[a], alone[b])
        bench.progress("mixtures", number, len(pairs))
    worst = min(found, key=lambda n: found[n])
    return [Row(f"mixtures of two emotions, half each ({len(pairs)} pairs)", "share between their parts",
                float(np.mean(list(found.values()))), beside={"lowest": found[worst]}, note=worst)]  # fmt: skip


def _mean_faces(bench: Bench, clips: list[Clip], emotion: dict[str, float]) -> Array:
    return np.concatenate([bench.player.play(c.samples, emotion, temperature=0.0).expression for c in clips])


def draws(bench: Bench) -> list[Row]:
    """What ten seeds share and what differs."""
    clips, table = bench.few(2), []
    for name in ("neutral", "happy"):
        lips, brows = [], []
        for number, clip in enumerate(clips, 1):
            faces = [bench.player.play(clip.samples, {name: 1.0}, seed=s) for s in range(_SEEDS)]
            agree, differ = agreement(faces)
            lips += agree
            brows.append(differ)
            bench.progress("seeds", number, len(clips))
        heading = f"ten seeds, {name} ({len(clips)} clips)"
        table += [Row(heading, "lips agree, r of the lip gap", float(np.median(lips)), at_least(0.97)),
                  Row(heading, "brows and cheeks differ by", float(np.mean(brows)))]  # fmt: skip
    return table


def agreement(faces: list[Face]) -> tuple[list[float], float]:
    """Pairwise correlations of the lip gap, and mean pairwise distance of brows and cheeks."""
    pairs = list(combinations(faces, 2))
    return ([correlation(a.gap, b.gap) for a, b in pairs],
            float(np.mean([np.abs(a.expression - b.expression)[:, _BROWS].mean() for a, b in pairs])))  # fmt: skip
