# SPDX-License-Identifier: GPL-3.0-or-later
"""EPPL and EPDV: how smoothly the face passes from one emotion to another. Our definition.

GMTalker (arXiv 2312.07669) names Emotion Perceptual Path Length and Emotion Perceptual Distance
Variance, but its formulas are not at hand. Their parents are: PPL, the sum of the LPIPS distances of
adjacent images in a 17-frame interpolation, and PDV, the variance of these distances within a
sequence, averaged over sequences (DiffMorpher, CVPR 2024, section 4.4). We put the distance of
emotion features in LPIPS' place and walk along the emotion weights, the sound fixed.

For a voice, emotions a and b, and i = 0 .. 16: x_i is the face at temperature 0 under the weights
(1 - i/16) a + (i/16) b, phi(x_i[t]) the features of frame t,

    d_i = mean_t |phi(x_{i+1}[t]) - phi(x_i[t])|^2,  i = 0 .. 15
    EPPL = sum_i d_i,  EPDV = var_i(d_i),  both averaged over voices and all 28 pairs of emotions.

The distance is squared because LPIPS is: so a change in even steps is shorter than the same change in
one jump (D^2 / 16 against D^2), whereas a plain metric would call every path without detours the same.
A face that does not change would have the shortest path of all; therefore both are given over the
whole way too, with D = mean_t |phi(x_16[t]) - phi(x_0[t])|^2: sum_i d_i / D is 1/16 for even steps in a
straight line and 1 for a jump, and var_i(d_i / D) is 0 and 0.0586.

phi is the last hidden layer of a recogniser of emotions that is trained here, seed fixed: two layers of
tanh on the 42 coefficients of a frame, which give the emotion weights of faces performed by the
teacher (``emotion_faces.perform``) over mouths of the training clips, plain, graded and mixed. No
recogniser of filmed faces sees this head, and coefficients alone would weigh channels by their scale.

The ablation is the same network with a one-hot emotion and a single Gaussian. It knows no weights between,
so along the way the face is that of the stronger emotion, and changes at the half.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Final, NamedTuple

import numpy as np

from ...arkit import EMOTIONS
from ...features import log_mel
from ...lips import LipMap
from ...training.data.prepare import Clip
from ...training.emotion_faces import perform, random_weights, voice_of
from ..table import Row, at_most
from .classifier import Classifier, train
from .signals import Array
from .voices import Bench, Player

STEPS: Final = 17
_CLEARLY: Final = 0.5
"""of the ablation's figure"""
_LESSONS, _FRAMES = 120, 40
"""performed clips, and frames taken of each"""
_STILL: Final = 0.03
"""deviation of a coefficient that the prototypes leave alone: a trace of it in a generated face says
nothing of the emotion"""


class Path(NamedTuple):
    """Figures of one interpolation, or their means over many."""

    length: float
    variance: float
    relative_length: float
    """over the whole way"""
    relative_variance: float


def path(features: list[Array]) -> Path:
    """Figures of one sequence of faces, (T, H) emotion features each."""
    steps = np.array([_distance(a, b) for a, b in pairwise(features)])
    whole = max(_distance(features[0], features[-1]), 1e-12)
    return Path(float(steps.sum()), float(steps.var()), float(steps.sum() / whole),
                float((steps / whole).var()))  # fmt: skip


def _distance(a: Array, b: Array) -> float:
    return float(((a - b) ** 2).sum(1).mean())


def performed(clips: list[Clip], count: int, seed: int) -> tuple[Array, Array]:
    """Faces of the teacher under random emotions, frame by frame: (N, 42), and their (N, 8) weights."""
    rng, lips = np.random.default_rng(seed), LipMap.from_head()
    faces, labels = [], []
    for number in rng.integers(len(clips), size=count):
        clip = clips[number]
        awake = clip.awake.astype(np.float64)
        energy = log_mel(clip.samples)[::2, -1].astype(np.float64)
        frames = min(len(energy), len(awake))
        weights = random_weights(frames, rng)
        face = perform(clip.mouth[:frames].astype(np.float64), weights,
                       voice_of(energy[:frames], awake[:frames]), lips, rng)  # fmt: skip
        some = rng.choice(frames, min(_FRAMES, frames), replace=False)
        faces.append(face[some])
        labels.append(weights[some])
    return np.concatenate(faces), np.concatenate(labels)


def recogniser(clips: list[Clip]) -> Classifier:
    """From coefficients to emotion weights; its 16 features are bounded by 1."""
    faces, labels = performed(clips, _LESSONS, seed=0)
    return train(faces, labels, (64, 16), decay=0.1, least_scale=_STILL)


def rows(bench: Bench, ablation: Player | None) -> list[Row]:
    """The smoothness' part of the table."""
    judge = recogniser([*bench.seen("librispeech"), *bench.seen("vctk"), *bench.seen("emodb")])
    faces, labels = performed(bench.few(4), 40, seed=1)
    clear = labels.max(1) > 0.75
    right = float((judge.classes(faces) == labels.argmax(1))[clear].mean())
    clips = bench.few(1)
    asked = [(judge.classes(bench.player.play(c.samples, {n: 1.0}).expression) == k).mean()
             for k, n in enumerate(EMOTIONS) for c in clips]  # fmt: skip
    own = _mean_path(bench, bench.player, clips, judge)
    other = _mean_path(bench, ablation, clips, judge) if ablation else None
    heading = "EPPL and EPDV, our definition"
    note = "" if ablation else "nothing to compare with; see --ablation"
    table = []
    for name, figure in (("length", "EPPL"), ("variance", "EPDV"), ("relative_length", "EPPL over the whole way"),
                         ("relative_variance", "EPDV over the whole way")):  # fmt: skip
        beside = {"ablation": getattr(other, name)} if other else {}
        target = at_most(_CLEARLY * beside["ablation"]) if beside else None
        table.append(Row(heading, figure, getattr(own, name), target, beside, note))
    return [
        *table,
        Row(heading, "recogniser: right on unseen performed faces", right, note="chance 0.125"),
        Row(heading, "recogniser: right on generated faces", float(np.mean(asked))),
    ]


def _mean_path(bench: Bench, player: Player, clips: list[Clip], judge: Classifier) -> Path:
    found, pairs = [], list(combinations(EMOTIONS, 2))
    for number, (a, b) in enumerate(pairs, 1):
        for clip in clips:
            shares = np.linspace(0, 1, STEPS)
            faces = [player.play(clip.samples, {a: 1 - s, b: s}, temperature=0.0) for s in shares]
            found.append(path([judge.features(f.expression) for f in faces]))
        bench.progress("paths", number, len(pairs))
    return Path(*np.mean(found, 0))
