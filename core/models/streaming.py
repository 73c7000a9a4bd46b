# SPDX-License-Identifier: GPL-3.0-or-later
"""The expression generator on sound that comes in pieces: what is ready goes out, the rest waits.

A frame waits for the sound ahead that it depends on, no longer, and what nothing depends on any more
is dropped: memory does not grow with the sound. Whole files go the same way, so a stream gives what
the file gives. Only the voice's level is a matter of the whole; see :class:`ExpressionStream`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..audio import SAMPLE_RATE
from ..features import frame_count, log_mel, speech_level
from ..lips import LipMap
from ..mouth import (
    AS_PREDICTED,
    GATE_REACH,
    Dials,
    moving,
    shape_speech,
    smooth,
    smoothing_reach,
    speaking,
)
from ..vocal_events import REACH as EVENT_REACH
from ..vocal_events import RUMBLE_REACH, Sound, breaths, laughter, measure_sound, open_mouth, rumble
from .expression_network import COEFFICIENT_RATE, LATENT_STRIDE, STEM_STRIDE
from .mixture import SmoothNoise

if TYPE_CHECKING:
    from .expression import ExpressionModel

Array = npt.NDArray[np.float32]
Rows = Callable[[int, int], Array]
"""emotion weights (last - first, 8) of sum 1 of the frames first..last-1"""

LEVEL_SECONDS: Final = 5.0
"""of a stream's beginning that its level is taken from"""
LEAST_LEVEL: Final = -40.0
"""dB of full scale under which that is no voice yet but the room's noise"""

_HOP = SAMPLE_RATE // COEFFICIENT_RATE
_NOISE_STEPS = 8.0
"""latent steps over which the drawn latent drifts (0.8 s)"""
_EDGE = 3
"""frames of sound around a frame that its own features are made of, at most"""


@dataclass(frozen=True)
class Performance:
    """What a voice does to the face, at 50 Hz."""

    expression: Array
    """(T, 42) 0..1 under the emotion asked for"""
    speech: Array
    """(T, 42) 0..1 the same at neutral emotion"""
    activity: Array
    """(T,) 0..1: 0 in silence, 1 while somebody speaks, with soft edges"""

    def __len__(self) -> int:
        return len(self.activity)


def joined(parts: list[Performance]) -> Performance:
    """Pieces of a stream, one after the other."""
    return Performance(*(np.concatenate([getattr(p, name) for p in parts])
                         for name in ("expression", "speech", "activity")))  # fmt: skip


class _Raw(NamedTuple):
    """What network and ear give, before any rule: (T, ...) each."""

    expression: Array
    speech: Array
    activity: Array
    energy: Array
    tilt: Array
    voiced: Array


class ExpressionStream:
    """One voice, fed piece by piece.

    Args:
        model: the generator
        level: dB of full scale that count as loud speech; None takes ``speech_level`` of the first
            5 s, which wait for it, though no less than -40 dB. With the level of the whole
            (``speech_level`` of all samples) the frames are those of ``ExpressionModel.predict``.
        emotion: weights for frames; None is neutral
        seed: of the latent draw
        temperature: of the latent draw; 0 takes the mean
        dials: of the artist
        chunk_seconds: sound handled at a time: shorter chunks answer sooner and cost more

    """

    def __init__(
        self,
        model: ExpressionModel,
        *,
        level: float | None = None,
        emotion: Rows | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        dials: Dials = AS_PREDICTED,
        chunk_seconds: float = 2.0,
    ) -> None:
        config = model.config
        self.model, self.level, self.dials = model, level, dials
        self.chunk = max(round(chunk_seconds * COEFFICIENT_RATE / LATENT_STRIDE), 1) * LATENT_STRIDE
        """frames handled at a time"""
        self.around = _whole_strides(config.context)
        rules = max(GATE_REACH, EVENT_REACH) + RUMBLE_REACH
        self.reach = _whole_strides(max(rules, smoothing_reach(dials)))
        self._emotion = emotion or _neutral
        self._noise = SmoothNoise(config.latent, seed, _NOISE_STEPS)
        self._temperature = temperature
        self._pieces: list[Array] = []
        self._base = 0
        """frame at which the samples kept begin"""
        self._heard = 0
        """samples fed in all"""
        self._raw: _Raw | None = None
        self._predicted = 0
        """frames that have been through the network"""
        self._given = 0
        """frames handed out"""

    @property
    def look_ahead(self) -> float:
        """Seconds of later sound that a frame waits for, besides the rest of its chunk."""
        return (self.around + self.reach + _EDGE) / COEFFICIENT_RATE

    def feed(self, samples: Array) -> Performance:
        """Take (N,) samples, mono, 16 kHz; give the frames that are ready, perhaps none."""
        self._take(samples)
        if self.level is None:
            if self._heard < LEVEL_SECONDS * SAMPLE_RATE:
                return self._perform(self._given)
            self._set_level()
        known = self._heard // _HOP - _EDGE
        while self._predicted + self.chunk + self.around <= known:
            self._predict(self._predicted + self.chunk, known)
        return self._perform(max(self._predicted - self.reach, self._given))

    def finish(self) -> Performance:
        """Give the last frames; nothing can be fed after it."""
        if self.level is None:
            self._set_level()
        count = -(-frame_count(self._heard) // STEM_STRIDE)
        while self._predicted < count:
            self._predict(min(self._predicted + self.chunk, count), count)
        return self._perform(count)

    def _take(self, samples: Array) -> None:
        if len(samples):
            self._pieces.append(np.asarray(samples, np.float32))
            self._heard += len(samples)

    def _set_level(self) -> None:
        first = self._samples()[: round(LEVEL_SECONDS * SAMPLE_RATE)]
        self.level = max(speech_level(first), LEAST_LEVEL)

    def _samples(self) -> Array:
        """All samples kept, as one piece."""
        if len(self._pieces) != 1:
            self._pieces = [np.concatenate([np.empty(0, np.float32), *self._pieces])]
        return self._pieces[0]

    @torch.inference_mode()
    def _predict(self, last: int, known: int) -> None:
        """Send the frames up to ``last`` through the network, whose sound is known up to ``known``."""
        first = self._predicted
        low, high = max(first - self.around, 0), min(last + self.around, known)
        samples = self._samples()
        end = min((high - self._base) * STEM_STRIDE, frame_count(len(samples)))
        features = log_mel(samples, self.level, (low - self._base) * STEM_STRIDE, end)
        weights = torch.from_numpy(self._emotion(low, high))
        noise = self._temperature * self._noise.steps(
            low // LATENT_STRIDE, -(-high // LATENT_STRIDE)
        )
        expression, speech, activity = self.model._chunk(
            torch.from_numpy(features), (weights, torch.from_numpy(_neutral(low, high))),
            noise, first - low, last - low,
        )  # fmt: skip
        own = features[(first - low) * STEM_STRIDE : (last - low) * STEM_STRIDE]
        sound = measure_sound(own, samples, first - self._base)
        new = _Raw(expression.numpy(), speech.numpy(), activity.numpy(), *sound)
        old = self._raw
        self._raw = new if old is None else _Raw(*map(np.concatenate, zip(old, new)))
        self._predicted = last
        self._forget_sound(max(last - self.around - _EDGE, 0))

    def _forget_sound(self, before: int) -> None:
        if before > self._base:
            self._pieces = [self._samples()[(before - self._base) * _HOP :].copy()]
            self._base = before

    def _perform(self, until: int) -> Performance:
        """Apply the rules to the frames up to ``until`` that have not been given yet."""
        if self._raw is None or until == self._given:
            empty = np.empty((0, len(EXPRESSION_NAMES)), np.float32)
            return Performance(empty, empty, np.empty(0, np.float32))
        start = self._predicted - len(self._raw.activity)
        done = performed(self._raw, self.dials)
        own = slice(self._given - start, until - start)
        out = Performance(done.expression[own], done.speech[own], done.activity[own])
        self._given = until
        drop = max(until - self.reach - start, 0)
        self._raw = _Raw(*(part[drop:] for part in self._raw))
        return out


def performed(raw: _Raw, dials: Dials) -> Performance:
    """Dials, silence, breaths and laughter over what was predicted."""
    sound = Sound(raw.energy, raw.tilt, raw.voiced)
    activity = np.where(rumble(sound), 0, raw.activity).astype(np.float32)
    gate = speaking(activity, raw.energy) * moving(raw.speech)
    shaped = shape_speech(raw.speech, gate, dials)
    shaped = open_mouth(shaped, breaths(sound, activity), laughter(sound), dials)
    # What the emotion adds is smoothed at most, and gives way to lips that speech holds shut.
    felt = smooth(raw.expression - raw.speech, dials.smoothing)
    face = LipMap.from_head().keep_shut(np.clip(shaped + felt, 0, 1), shaped.astype(np.float64))
    return Performance(face.astype(np.float32), shaped, gate)


def _neutral(first: int, last: int) -> Array:
    weights = np.zeros((last - first, len(EMOTIONS)), np.float32)
    weights[:, 0] = 1
    return weights


def _whole_strides(frames: int) -> int:
    return -(-frames // LATENT_STRIDE) * LATENT_STRIDE
