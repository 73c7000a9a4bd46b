# SPDX-License-Identifier: GPL-3.0-or-later
"""Other voices, rooms and microphones made of the recordings at hand.

Without these a network learns its few speakers; with them it carries over to voices never heard.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter

from ..audio import SAMPLE_RATE
from ..features import MELS

Array = npt.NDArray[np.float32]


def change_speed(samples: Array, factor: float) -> Array:
    """Play faster by ``factor``; pitch and formants rise with it."""
    at = np.arange(0, len(samples) - 1, factor)
    return np.asarray(np.interp(at, np.arange(len(samples)), samples), np.float32)


def room(samples: Array, rng: np.random.Generator) -> Array:
    """The sound in a small random room, with the direct sound undelayed."""
    seconds = rng.uniform(0.05, 0.35)
    count = int(seconds * SAMPLE_RATE)
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    tail *= rng.uniform(0.05, 0.35) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return np.asarray(fftconvolve(samples, tail)[: len(samples)], np.float32)


def microphone(samples: Array, rng: np.random.Generator) -> Array:
    """A tilt of the spectrum, up or down, and now and then a telephone's band."""
    tilt = rng.uniform(-0.5, 0.5)
    out = lfilter([1, tilt], [1], samples)
    if rng.uniform() < 0.12:
        spectrum = np.fft.rfft(out)
        hz = np.fft.rfftfreq(len(out), 1 / SAMPLE_RATE)
        out = np.fft.irfft(spectrum * ((hz > 300) & (hz < 3500)), len(out))
    return np.asarray(out, np.float32)


def noise(samples: Array, rng: np.random.Generator) -> Array:
    """Noise of a random colour, 5 to 45 dB under the voice."""
    white = rng.standard_normal(len(samples))
    coloured = lfilter([1], [1, -rng.uniform(0, 0.97)], white)
    level = np.sqrt(np.mean(samples**2) + 1e-12) * 10 ** (-rng.uniform(5, 45) / 20)
    return np.asarray(samples + coloured * (level / np.sqrt(np.mean(coloured**2))), np.float32)


def clip_and_gain(samples: Array, rng: np.random.Generator) -> Array:
    """Any level, now and then driven into clipping."""
    peak = np.abs(samples).max() + 1e-6
    if rng.uniform() < 0.08:
        limit = peak * rng.uniform(0.2, 0.7)
        samples = np.clip(samples, -limit, limit)
    return np.asarray(samples * (10 ** rng.uniform(-1.2, 0) / peak), np.float32)


def not_speech(count: int, rng: np.random.Generator) -> Array:
    """What a microphone hears when nobody speaks: hiss of any colour, hum, tones, clicks."""
    t = np.arange(count) / SAMPLE_RATE
    sound = lfilter([1], [1, -rng.uniform(0, 0.97)], rng.standard_normal(count))
    sound /= sound.std()
    if rng.uniform() < 0.4:  # tones that come and go, a hum or a chord
        for hz in rng.uniform(1, 4) * np.array([50, 100, 150, 220, 275, 330])[: rng.integers(1, 7)]:
            sound += rng.uniform(0, 3) * np.sin(2 * np.pi * hz * t)
    if rng.uniform() < 0.5:  # swells, slower than syllables
        sound *= 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 0.8) * t + rng.uniform(0, 6.3))
    if rng.uniform() < 0.3:
        sound[rng.integers(0, count, 5)] += rng.uniform(3, 20)
    return np.asarray(sound * 10 ** rng.uniform(-4, -1), np.float32)


def change_sound(samples: Array, rng: np.random.Generator) -> Array:
    """A random chain of the above, without change of time."""
    out = microphone(samples, rng) if rng.uniform() < 0.6 else samples
    out = room(out, rng) if rng.uniform() < 0.35 else out
    out = noise(out, rng) if rng.uniform() < 0.7 else out
    return clip_and_gain(out, rng)


def change_throat(features: Array, rng: np.random.Generator) -> Array:
    """Warp the mel axis by up to 15 %: a longer or shorter vocal tract at the same pitch and speed.

    Vocal tract length perturbation (Jaitly & Hinton 2013).
    """
    factor = rng.uniform(0.86, 1.16)
    at = np.clip(np.arange(MELS) * factor, 0, MELS - 1)
    low = np.minimum(at.astype(int), MELS - 2)
    share = (at - low).astype(np.float32)
    out = features.copy()
    out[:, :MELS] = features[:, low] * (1 - share) + features[:, low + 1] * share
    return out
