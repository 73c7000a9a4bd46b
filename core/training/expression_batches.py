# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches for the expression generator: real timing, other voices, and a fresh face each time."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..arkit import EXPRESSION_NAMES
from ..audio import SAMPLE_RATE
from ..features import log_mel
from ..lips import LipMap
from ..models.expression import coefficient_count
from ..mouth import RATE
from .augment import change_sound, change_speed, change_throat, not_speech
from .data.prepare import Clip
from .emotion_faces import perform, pitch_of, random_weights, voice_of

Array = npt.NDArray[np.float32]

CORPUS_SHARE = {"grid": 0.24, "emodb": 0.26, "librispeech": 0.16, "vctk": 0.08, "ljspeech": 0.05,
                "flite": 0.10, "espeak": 0.11}  # fmt: skip
"""how often a batch draws from each corpus; kinds of voices count for more than minutes"""
_NOBODY = 0.06
"""share of windows in which nobody speaks"""


class Batch(NamedTuple):
    """B windows of T coefficient frames."""

    features: Tensor
    """(B, F, FEATURES)"""
    weights: Tensor
    """(B, T, 8)"""
    face: Tensor
    """(B, T, 42) under the emotions"""
    speech: Tensor
    """(B, T, 42) at neutral emotion, mouth only"""
    kind: Tensor
    """(B, T) index of the kind of sound"""
    awake: Tensor
    """(B, T) 0 in silence, 1 in speech"""
    closed: Tensor
    """(B, T) 1 where a bilabial shuts the lips"""


def resample_rows(rows: Array, factor: float, count: int) -> Array:
    """Rows of a track at times stretched as ``change_speed`` does, ``count`` of them."""
    at = np.clip(np.arange(count) * factor, 0, len(rows) - 1)
    low = np.minimum(at.astype(int), max(len(rows) - 2, 0))
    share = (at - low).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))
    high = np.minimum(low + 1, len(rows) - 1)
    return np.asarray(rows[low] * (1 - share) + rows[high] * share, np.float32)


def _silent_clip(count: int, rng: np.random.Generator) -> Clip:
    """Sound without a speaker, in which the mouth rests."""
    frames = coefficient_count(count)
    return Clip(
        "", "nobody", not_speech(count, rng), np.zeros((frames, len(EXPRESSION_NAMES)), np.float32),
        np.zeros(frames, np.int8), np.zeros(frames, np.float32), np.zeros(frames, np.bool_), False,
    )  # fmt: skip


class Windows:
    """Draws windows of a fixed length from clips, each time as another voice."""

    def __init__(self, clips: list[Clip], lips: LipMap, seconds: float, augment: bool) -> None:
        self.lips, self.augment = lips, augment
        self.samples = round(seconds * SAMPLE_RATE)
        self.groups: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self.groups[clip.speaker.split("-")[0]].append(clip)
        names = sorted(self.groups)
        share = np.array([CORPUS_SHARE.get(n, 0.1) for n in names])
        self.names, self.share = names, share / share.sum()

    def window(self, rng: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
        """One row of a :class:`Batch`."""
        nobody = self.augment and rng.uniform() < _NOBODY
        clip = _silent_clip(self.samples, rng) if nobody else self._clip(rng)
        factor = float(rng.uniform(0.84, 1.2)) if self.augment else 1.0
        count = coefficient_count(self.samples)
        sound, mouth, awake, closed, kind = self._cut(clip, int(np.ceil(count * factor)) + 1, rng)
        if factor != 1.0:
            sound = change_speed(sound, factor)
        sound = sound[: self.samples]
        mouth, awake, closed = (resample_rows(t, factor, count) for t in (mouth, awake, closed))
        kind = kind[np.minimum((np.arange(count) * factor).round().astype(int), len(kind) - 1)]
        if self.augment:
            sound = change_sound(sound, rng)
        features = log_mel(sound)
        if self.augment and rng.uniform() < 0.7:
            features = change_throat(features, rng)
        energy = features[::2, -1].astype(np.float64)
        voice = voice_of(energy, awake.astype(np.float64), pitch_of(sound, count))
        weights = random_weights(count, rng)
        face = perform(mouth.astype(np.float64), weights, voice, self.lips, rng)
        return features, weights, face, mouth, kind.astype(np.int64), awake, closed

    def _clip(self, rng: np.random.Generator) -> Clip:
        group = self.groups[str(rng.choice(self.names, p=self.share))]
        return group[rng.integers(len(group))]

    def _cut(self, clip: Clip, count: int, rng: np.random.Generator) -> tuple[Array, ...]:
        """Frames of a clip from a random place on; beyond its ends is silence, the mouth at rest."""
        hop = SAMPLE_RATE // RATE
        have = len(clip.mouth)
        quiet = int(rng.integers(10, 50)) if rng.uniform() < 0.25 else 0  # frames of silence let in
        first = int(rng.integers(min(0, have - count) - quiet, max(0, have - count) + quiet + 1))
        low, high = max(first, 0), min(first + count, have)
        sound = np.zeros(count * hop, np.float32)
        piece = clip.samples[low * hop : high * hop]
        sound[(low - first) * hop : (low - first) * hop + len(piece)] = piece
        cut = [sound]
        for track in (clip.mouth, clip.awake, clip.closed, clip.kind):
            out = np.zeros((count, *track.shape[1:]), np.float32)
            out[low - first : high - first] = track[low:high]
            cut.append(out)
        return tuple(cut)

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw ``size`` windows."""
        columns = zip(*(self.window(rng) for _ in range(size)))
        stacked = [torch.from_numpy(np.stack(c)) for c in columns]
        return Batch(*(t if t.dtype == torch.int64 else t.float() for t in stacked))
