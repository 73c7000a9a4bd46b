# SPDX-License-Identifier: GPL-3.0-or-later
"""Other voices saying the same at the same times: pitch and vocal tract changed independently.

The vocoder WORLD (Morise, Yokomori, Ozawa 2016) parts a voice into pitch, spectral envelope and
aperiodicity; each is changed by itself and the voice put together again. Needs ``pyworld``
(``core/training/requirements-voices.txt``).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...audio import SAMPLE_RATE
from ...errors import ExitCode, UserError
from .clips import Clip, Samples

Array = npt.NDArray[np.float64]

_PITCH_HZ: Final = (65.0, 450.0)
"""the range of voices; the middle pitch of a variant stays in it"""
_PITCH, _THROAT, _MELODY = (0.6, 1.8), (0.82, 1.22), (0.6, 1.5)
_WHISPERED = 0.12
"""share of variants that are whispered"""


@dataclass(frozen=True)
class Manner:
    """How a variant differs."""

    pitch: float = 1.0
    """factor of the fundamental frequency"""
    throat: float = 1.0
    """factor of the formants' frequencies: over 1 a shorter vocal tract"""
    melody: float = 1.0
    """power of the pitch's departures from its middle"""
    whisper: bool = False
    """noise in place of the vibrating folds"""


@dataclass(frozen=True)
class Voice:
    """A voice in parts, every 5 ms."""

    pitch: Array
    """(F,) Hz, 0 where unvoiced"""
    envelope: Array
    """(F, B) power"""
    aperiodicity: Array
    """(F, B) 0..1"""


def _world() -> Any:
    try:
        import pyworld
    except ImportError as error:
        raise UserError("Training needs 'pyworld', which is not installed.",
                        f"Install it with 'python3 -m pip --python {sys.executable} install --require-hashes "
                        "-r core/training/requirements-voices.txt'.",
                        ExitCode.MISSING) from error  # fmt: skip
    return pyworld


def analyse(samples: Samples) -> Voice:
    """A voice (N,) at 16 kHz in parts."""
    world = _world()
    sound = samples.astype(np.float64)
    rough, at = world.dio(sound, SAMPLE_RATE, f0_floor=55.0, f0_ceil=600.0)
    pitch = world.stonemask(sound, rough, at, SAMPLE_RATE)
    return Voice(pitch, world.cheaptrick(sound, pitch, at, SAMPLE_RATE),
                 world.d4c(sound, pitch, at, SAMPLE_RATE))  # fmt: skip


def stretch(rows: Array, factor: float) -> Array:
    """Move what lies at a frequency to ``factor`` times that frequency; (F, B) both."""
    at = np.minimum(np.arange(rows.shape[1]) / factor, rows.shape[1] - 1)
    low = np.minimum(at.astype(int), rows.shape[1] - 2)
    share = at - low
    return np.ascontiguousarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)


def speak(voice: Voice, manner: Manner, count: int) -> Samples:
    """The voice in another manner, (count,), as loud at its peak as a voice usually is."""
    voiced = voice.pitch > 0
    pitch = np.zeros_like(voice.pitch)
    envelope, aperiodicity = (stretch(v, manner.throat) for v in (voice.envelope, voice.aperiodicity))
    if manner.whisper:
        aperiodicity = np.ones_like(aperiodicity)
        hz = np.linspace(0, SAMPLE_RATE / 2, envelope.shape[1])
        envelope = envelope * np.minimum((hz / 1500) ** 2 + 0.01, 4)  # breath lacks the folds' low tones
    elif voiced.any():
        middle = float(np.median(voice.pitch[voiced]))
        factor = np.clip(manner.pitch * middle, *_PITCH_HZ)
        pitch[voiced] = factor * (voice.pitch[voiced] / middle) ** manner.melody
    sound = _world().synthesize(pitch, envelope, np.clip(aperiodicity, 0, 1), SAMPLE_RATE)
    out = np.zeros(count)
    out[: min(count, len(sound))] = sound[:count]
    return np.asarray(out * (0.5 / (np.abs(out).max() + 1e-9)), np.float32)


def random_manner(rng: np.random.Generator) -> Manner:
    """Any other voice."""
    pitch, throat, melody = (float(np.exp(rng.uniform(*np.log(span)))) for span in (_PITCH, _THROAT, _MELODY))
    return Manner(pitch, throat, melody, bool(rng.uniform() < _WHISPERED))


def variants(clips: Sequence[Clip], count: int, seed: int) -> Iterator[Clip]:
    """``count`` variants of every clip, named ``<name>~0`` and so on; the mouth stays as it is."""
    for clip in clips:
        rng = np.random.default_rng([seed, zlib.crc32(f"{clip.speaker}/{clip.name}".encode())])
        voice = analyse(clip.samples)
        for number in range(count):
            sound = speak(voice, random_manner(rng), len(clip.samples))
            yield replace(clip, name=f"{clip.name}~{number}", samples=sound)
