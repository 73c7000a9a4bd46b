# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches for the expression generator: real timing, other voices, and a fresh face each time.

A batch depends on its number and the seed alone, so that it does not matter which worker draws it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..arkit import EXPRESSION_NAMES
from ..audio import SAMPLE_RATE
from ..features import log_mel
from ..lips import LipMap
from ..models.expression import coefficient_count
from ..mouth import RATE
from .augment import (
    change_colour,
    change_sound,
    change_speed,
    change_throat,
    clip_and_gain,
    hide_bands,
    not_speech,
)
from .data.prepare import Clip, feeling
from .emotion_faces import perform, pitch_of, random_weights, voice_of

Array = npt.NDArray[np.float32]

CORPUS_SHARE = {"grid": 0.42, "emodb": 0.16, "librispeech": 0.11, "librispeech_untold": 0.20, "vctk": 0.07,
                "ljspeech": 0.04, "facegood": 0.04, "flite": 0.06, "espeak": 0.12}  # fmt: skip
"""how often a batch draws from each corpus; kinds of voices count for more than minutes"""
_NOBODY = 0.05
"""share of windows in which nobody speaks"""
_ROUGH = 0.5
"""share of windows heard through rooms, noise and lines; the others are as they were recorded"""
_COLOURED = 0.5
"""share of windows whose spectrum is bent as microphones and throats bend it"""


class Batch(NamedTuple):
    """B windows of T coefficient frames."""

    features: Tensor
    """(B, F, FEATURES)"""
    mouth: Tensor
    """(B, T, 42) at neutral emotion"""
    awake: Tensor
    """(B, T) 0 in silence, 1 in speech"""
    closed: Tensor
    """(B, T) 1 where a bilabial shuts the lips"""
    kind: Tensor
    """(B, T) index of the kind of sound, -1 where unknown"""
    feeling: Tensor
    """(B,) index of the speaker's own emotion, -1 where unknown"""
    weights: Tensor
    """(B, T, 8) emotion weights asked for"""
    added: Tensor
    """(B, T, 42) what these emotions add to the mouth's coefficients"""


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


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


class Windows(Dataset[Batch]):
    """Draws windows of a fixed length from clips, each time as another voice."""

    def __init__(
        self, clips: list[Clip], lips: LipMap, seconds: float, *, size: int, steps: int, seed: int,
        augment: bool = True, faces: bool = False,
    ) -> None:  # fmt: skip
        """Prepare to draw.

        Args:
            clips: to draw from
            lips: of the head
            seconds: length of a window
            size: windows a batch
            steps: batches
            seed: of everything random
            augment: change the voices
            faces: let emotions act; without, ``weights`` and ``added`` are 0

        """
        self.lips, self.augment, self.faces = lips, augment, faces
        self.size, self.steps, self.seed = size, steps, seed
        self.frames = coefficient_count(round(seconds * SAMPLE_RATE))
        self.groups: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self.groups[clip.speaker.split("-")[0]].append(clip)
        self.names = sorted(self.groups)
        share = np.array([CORPUS_SHARE.get(n, 0.1) for n in self.names])
        self.share = share / share.sum()

    def __len__(self) -> int:
        """Batches in all."""
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        # On one core: threads for products this small mostly wait for each other, and take from the
        # training what they wait with. Their number would change the last bits, too.
        with _blas().limit(limits=1, user_api="blas"):
            columns = list(zip(*(self.window(rng) for _ in range(self.size))))
        stacked = [torch.from_numpy(np.stack(c)) for c in columns]
        return Batch(*(t if t.dtype == torch.int64 else t.float() for t in stacked))

    def stream(self, workers: int) -> Iterator[Batch]:
        """All batches in order, drawn by other processes (0: by this one)."""
        return iter(DataLoader(self, batch_size=None, num_workers=workers,
                               prefetch_factor=4 if workers else None))  # fmt: skip

    def window(self, rng: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
        """One row of a :class:`Batch`."""
        hop, count = SAMPLE_RATE // RATE, self.frames
        nobody = self.augment and rng.uniform() < _NOBODY
        clip = _silent_clip(count * hop, rng) if nobody else self._clip(rng)
        factor = float(rng.uniform(0.85, 1.18)) if self.augment else 1.0
        sound, mouth, awake, closed, kind = self._cut(clip, int(np.ceil(count * factor)) + 1, rng)
        if factor != 1.0:
            sound = change_speed(sound, factor)
        sound = np.pad(sound[: count * hop], (0, max(count * hop - len(sound), 0)))
        mouth, awake, closed = (resample_rows(t, factor, count) for t in (mouth, awake, closed))
        kind = kind[np.minimum((np.arange(count) * factor).round().astype(int), len(kind) - 1)]
        if self.augment:
            others = [self._clip(rng).samples for _ in range(rng.integers(1, 4))]
            sound = (change_sound(sound, rng, others) if rng.uniform() < _ROUGH
                     else clip_and_gain(sound, rng))  # fmt: skip
        features = log_mel(sound)[: 2 * count]
        weights, added = np.zeros((count, 8)), np.zeros_like(mouth)
        if self.faces:
            energy = features[::2, -1].astype(np.float64)
            voice = voice_of(energy, awake.astype(np.float64), pitch_of(sound, count))
            weights = random_weights(count, rng)
            face = perform(mouth.astype(np.float64), weights, voice, self.lips, rng)
            added = np.asarray(face - mouth, np.float32)
        if self.augment:
            # Playing faster has raised the formants already, and a variant has a throat of its own.
            formants = rng.uniform(0.97, 1.03) if "~" in clip.name else rng.uniform(0.88, 1.14) / factor
            features = change_throat(features, formants)
            features = change_colour(features, rng) if rng.uniform() < _COLOURED else features
            features = hide_bands(features, rng) if rng.uniform() < 0.4 else features
        return (features, mouth, awake, closed, kind.astype(np.int64), np.array(feeling(clip), np.int64),
                weights, added)  # fmt: skip

    def _clip(self, rng: np.random.Generator) -> Clip:
        group = self.groups[str(rng.choice(self.names, p=self.share))]
        return group[rng.integers(len(group))]

    def _cut(self, clip: Clip, count: int, rng: np.random.Generator) -> tuple[Array, ...]:
        """Frames of a clip from a random place on; beyond its ends is silence, the mouth at rest."""
        hop = SAMPLE_RATE // RATE
        have = len(clip.mouth)
        quiet = int(rng.integers(5, 40)) if rng.uniform() < 0.3 else 0  # frames of silence let in
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
