# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds that say nothing: breaths and laughter, which open the mouth, and rumble, which does not.

Heard in what is measured of the sound 50 times a second (:func:`measure_sound`), by rules:

- a *breath* is noise without a voice in it, not much darker than white, that stands out of the
  pause around it for 0.15 to 0.8 s, within 1.5 s of speech. Breaths between phrases as heard in
  recordings: Fukuda, Ichikawa and Nishimura 2018 (Speech Commun. 98).
- *laughter* is a row of like bursts, four to six a second, voiced in turn with the breathy noise
  between them (Bachorowski, Smoski and Owren 2001, J. Acoust. Soc. Am. 110). Syllables are neither
  as regular nor breathy in between.

Steady hiss stands out of nothing, hum has a voice's periodicity, and noise without speech is no breath.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import (
    gaussian_filter1d,
    label,
    maximum_filter1d,
    minimum_filter1d,
)

from .audio import SAMPLE_RATE
from .features import FRAME_RATE, MELS
from .lips import INDEX
from .mouth import Dials
from .prosody import periodicity

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

RATE: Final = 50
REACH: Final = 135
"""frames to either side that an event's strength depends on"""

RUMBLE_REACH: Final = 32
"""the same of :func:`rumble`"""

_LOW, _HIGH = slice(2, 12), slice(32, 58)
"""mel bands of 190 to 600 Hz, where voices are strong, and of 1.7 to 5.5 kHz, where noise is"""

_STANDS_OUT = 0.13
"""8 dB over the quietest of the second around"""
_BREATH_LEVEL = (0.22, 0.85)
"""47 to 9 dB under the voice's level"""
_BREATH_TILT = -0.12
"""high bands at most 7 dB under the low ones; a voice's are 15 and more"""
_UNVOICED = 0.35
_BREATH_SECONDS = (0.15, 0.8)
_NEAR_SPEECH = 1.5
"""seconds"""

_RUMBLE = (0.3, -0.45)
"""periodicity and tilt over 0.3 s that dark noise stays under"""

_LAUGH_WINDOW = 61
_LAUGH_LAGS = range(8, 13)
"""frames from burst to burst: 0.16 to 0.24 s"""
_REGULAR = 0.8
"""correlation of a stretch with itself, one burst later; syllables stay under 0.75"""
_LAUGH_DEPTH = 0.06
"""deviation of the energy within laughter: 4 dB"""
_ASPIRATE = (-0.2, 0.2)
"""tilt between the bursts: a dark one is a voice's, a bright one a fricative's"""
_AUDIBLE = 0.3
"""42 dB under the voice's level, which the noise between bursts exceeds and a closure does not"""
_LAUGH_STEP = 5


def _shape(**weights: float) -> Array:
    out = np.zeros(len(INDEX), np.float32)
    for name, weight in weights.items():
        for channel, index in INDEX.items():
            if channel in (name, f"{name}Left", f"{name}Right"):
                out[index] = weight
    return out


_BREATHING: Final = _shape(jawOpen=0.07, mouthLowerDown=0.10, mouthUpperUp=0.06)
"""(42,) lips 0.035 of the eyes' distance apart, a third of an open vowel"""
_LAUGHING: Final = _shape(jawOpen=0.22, mouthLowerDown=0.15, mouthUpperUp=0.15)
"""(42,) lips 0.1 apart, an open vowel"""


class Sound(NamedTuple):
    """What is measured of the sound, (T,) each at 50 Hz."""

    energy: Array
    """0..1 from 60 dB under the voice's level to that level"""
    tilt: Array
    """high bands less low ones, in units of 60 dB"""
    voiced: Array
    """0..1 periodicity in the range of voices"""


def measure_sound(features: Array, samples: Array, first: int = 0) -> Sound:
    """Measure what events are told by.

    Args:
        features: (2 T, FEATURES) of ``features.log_mel``
        samples: (N,) mono, 16 kHz
        first: frame at 50 Hz, counted in the samples, at which the features begin

    """
    rows = features[:: FRAME_RATE // RATE]
    mel = rows[:, :MELS]
    found, _ = periodicity(samples, SAMPLE_RATE // RATE, first, first + len(rows))
    voiced = np.clip((found - 0.4) / 0.4, 0, 1)
    tilt = mel[:, _HIGH].mean(1) - mel[:, _LOW].mean(1)
    return Sound(rows[:, MELS], tilt, voiced.astype(np.float32))


def rumble(sound: Sound) -> Mask:
    """(T,) dark noise without a voice in it, as of traffic or wind: no speech, whatever it seems.

    Speech is dark where it is voiced and bright where it is not; of the loud frames of real voices
    2 in 10,000 are neither.
    """
    voiced, tilt = (gaussian_filter1d(track, 8.0) for track in (sound.voiced, sound.tilt))
    return np.asarray((voiced < _RUMBLE[0]) & (tilt < _RUMBLE[1]))


def breaths(sound: Sound, activity: Array) -> Array:
    """(T,) 0..1: how strongly a breath is drawn or let out.

    Args:
        sound: measured
        activity: (T,) probability that somebody speaks

    """
    energy = gaussian_filter1d(sound.energy, 2.0)
    floor = minimum_filter1d(energy, 2 * RATE // 2 + 1)
    speech = activity > 0.5
    near = maximum_filter1d(speech.astype(np.uint8), 2 * round(_NEAR_SPEECH * RATE) + 1) > 0
    noise = (
        (energy > floor + _STANDS_OUT)
        & (energy > _BREATH_LEVEL[0]) & (energy < _BREATH_LEVEL[1])
        & (gaussian_filter1d(sound.voiced, 2.0) < _UNVOICED)
        & (gaussian_filter1d(sound.tilt, 2.0) > _BREATH_TILT)
        & ~speech & near
    )  # fmt: skip
    least, most = (round(s * RATE) for s in _BREATH_SECONDS)
    kept = _of_length(noise, least, most)
    return np.asarray(gaussian_filter1d(kept.astype(np.float32), 3.0), np.float32)


def laughter(sound: Sound) -> Array:
    """(T,) 0..1: how sure it is that somebody laughs."""
    half = _LAUGH_WINDOW // 2
    energy, voiced, tilt = (
        sliding_window_view(np.pad(track, half, mode="constant"), _LAUGH_WINDOW)[::_LAUGH_STEP]
        for track in (gaussian_filter1d(sound.energy, 1.0), sound.voiced, sound.tilt)
    )
    centred = energy - energy.mean(1, keepdims=True)
    power = (centred**2).mean(1)
    alike = [
        (centred[:, lag:] * centred[:, :-lag]).mean(1) / (power + 1e-9) for lag in _LAUGH_LAGS
    ]
    between = centred < 0
    share = between.sum(1) + 1e-9
    breathy = ((voiced < 0.5) * between).sum(1) / share
    bright = (tilt * between).sum(1) / share
    burst_voiced = ((voiced > 0.5) * ~between).sum(1) / (_LAUGH_WINDOW - share)
    sure = (
        (np.max(alike, axis=0) > _REGULAR) & (np.sqrt(power) > _LAUGH_DEPTH)
        & (breathy > 0.6) & (burst_voiced > 0.4) & (energy.min(1) > _AUDIBLE)
        & (bright > _ASPIRATE[0]) & (bright < _ASPIRATE[1])
    )  # fmt: skip
    held = np.repeat(sure.astype(np.float32), _LAUGH_STEP)[: len(sound.energy)]
    return np.asarray(gaussian_filter1d(maximum_filter1d(held, 41), 4.0), np.float32)


def open_mouth(speech: Array, breath: Array, laugh: Array, dials: Dials) -> Array:
    """Let breaths part the lips a little, and laughter drop the jaw; (T, 42) to (T, 42).

    Laughter opens the mouth and leaves the smile to the emotion.
    """
    opening = np.maximum(breath[:, None] * _BREATHING, laugh[:, None] * _LAUGHING)
    out = np.maximum(speech, opening * dials.strength()).astype(np.float32)
    out[:, INDEX["mouthClose"]] *= 1 - laugh
    return np.asarray(np.minimum(out, 1), np.float32)


def _of_length(mask: Mask, least: int, most: int) -> Mask:
    """Only the stretches of so many frames, over gaps of 40 ms."""
    joined = minimum_filter1d(maximum_filter1d(mask.astype(np.uint8), 3), 3)
    numbers, _ = label(joined)
    length = np.bincount(numbers)
    good = (length >= least) & (length <= most)
    good[0] = False
    return np.asarray(good[numbers], np.bool_)
