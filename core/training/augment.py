# SPDX-License-Identifier: GPL-3.0-or-later
"""Other voices, rooms, microphones and lines made of the recordings at hand.

Without these a network learns its few speakers; with them it carries over to voices never heard.
What changes pitch and vocal tract apart takes longer and is done once (``data/variants.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, lfilter

from ..audio import SAMPLE_RATE
from ..features import MELS, RANGE_DB

Array = npt.NDArray[np.float32]


_COLOUR_DB, _KNOTS = 4.0, 7
"""deviation of a change of colour, and how many regions of the spectrum it tells apart"""


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
    """A tilt of the spectrum, up or down."""
    return np.asarray(lfilter([1, rng.uniform(-0.5, 0.5)], [1], samples), np.float32)


def band(samples: Array, low: float, high: float) -> Array:
    """Only what lies between two frequencies in Hz."""
    count = next_fast_len(len(samples), real=True)
    spectrum = rfft(samples, count)
    unit = SAMPLE_RATE / count
    spectrum[: int(low / unit)] = 0
    spectrum[int(high / unit) + 1 :] = 0
    return np.asarray(irfft(spectrum, count)[: len(samples)], np.float32)


def mu_law(samples: Array, bits: int = 8) -> Array:
    """Logarithmic steps as a telephone exchange makes them (ITU-T G.711), over the sound's own peak."""
    peak = np.abs(samples).max() + 1e-9
    steps = 2 ** (bits - 1) - 1
    coded = np.round(np.log1p(255 * np.abs(samples) / peak) / np.log(256) * steps) / steps
    return np.asarray(np.sign(samples) * peak * (256**coded - 1) / 255, np.float32)


def lose_packets(samples: Array, rng: np.random.Generator) -> Array:
    """Now and then 20 ms are missing, or are the 20 ms before them once more."""
    packet = SAMPLE_RATE // 50
    out = samples.copy()
    for first in packet * (1 + np.flatnonzero(rng.uniform(size=len(samples) // packet - 1) < rng.uniform(0, 0.06))):
        piece = out[first : first + packet]
        piece[:] = 0 if rng.uniform() < 0.5 else out[first - packet : first - packet + len(piece)]
    return out


def line(samples: Array, rng: np.random.Generator) -> Array:
    """A telephone or a narrow codec: band, coarse steps, lost packets; a part of them at a time."""
    kind = rng.uniform()
    if kind < 0.4:  # telephone
        samples = band(samples, rng.uniform(200, 350), rng.uniform(3200, 3600))
    elif kind < 0.7:  # recorded at 8 kHz, or less
        samples = band(samples, 0, rng.uniform(3000, 4000))
    elif kind < 0.85:  # a film's or a codec's band
        samples = band(samples, 0, rng.uniform(4500, 7500))
    if rng.uniform() < 0.5:
        samples = mu_law(samples, int(rng.integers(6, 9)))
    return lose_packets(samples, rng) if rng.uniform() < 0.3 else samples


def under(samples: Array, other: Array, decibels: float) -> Array:
    """``other`` beneath the voice, by so many decibels of power over the whole sound."""
    level = np.sqrt(np.mean(samples**2) + 1e-12) * 10 ** (-decibels / 20)
    return np.asarray(samples + other * (level / (np.sqrt(np.mean(other**2)) + 1e-9)), np.float32)


def music(count: int, rng: np.random.Generator) -> Array:
    """Chords of struck or held tones at a steady beat, ``count`` samples."""
    beat = int(rng.uniform(0.25, 0.8) * SAMPLE_RATE)
    t = np.arange(beat, dtype=np.float32) / SAMPLE_RATE
    swell = np.exp(-t * rng.uniform(0, 8)) * np.minimum(t * 60, 1)
    root = 110 * 2 ** rng.uniform(-1, 1)
    out = np.zeros(count + beat, np.float32)
    for start in range(0, count, beat):
        notes = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9]) / 12) * np.array([0.5, 1, 1.26, 1.5])
        for overtone in range(1, 4):
            phase = 2 * np.pi * overtone * notes[:, None].astype(np.float32) * t
            out[start : start + beat] += swell * np.sin(phase).sum(0) / overtone**1.5
    return out[:count]


def babble(count: int, voices: Sequence[Array], rng: np.random.Generator) -> Array:
    """Others' voices over one another, each from any place on."""
    out = np.zeros(count, np.float32)
    for voice in voices:
        shifted = np.resize(voice, count + len(voice))[rng.integers(len(voice)) :][:count]
        out += shifted / (np.sqrt(np.mean(shifted**2)) + 1e-6)
    return out


def hiss(count: int, rng: np.random.Generator) -> Array:
    """Noise of a random colour, ``count`` samples."""
    white = rng.standard_normal(count, np.float32)
    return np.asarray(lfilter([1], [1, -rng.uniform(0, 0.97)], white), np.float32)


def noise(samples: Array, rng: np.random.Generator) -> Array:
    """Noise of a random colour, 2 to 45 dB under the voice."""
    return under(samples, hiss(len(samples), rng), rng.uniform(2, 45))


def clip_and_gain(samples: Array, rng: np.random.Generator) -> Array:
    """Any level, now and then driven into clipping."""
    peak = np.abs(samples).max() + 1e-6
    if rng.uniform() < 0.08:
        limit = peak * rng.uniform(0.2, 0.7)
        samples = np.clip(samples, -limit, limit)
    return np.asarray(samples * (10 ** rng.uniform(-1.2, 0) / peak), np.float32)


def not_speech(count: int, rng: np.random.Generator) -> Array:
    """What a microphone hears when nobody speaks: hiss of any colour, hum, tones, clicks, music."""
    if rng.uniform() < 0.25:
        return np.asarray(music(count, rng) * 10 ** rng.uniform(-3, -0.7), np.float32)
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


def change_sound(samples: Array, rng: np.random.Generator, others: Sequence[Array] = ()) -> Array:
    """A random chain of the above, without change of time; ``others`` may speak far below."""
    out = microphone(samples, rng) if rng.uniform() < 0.6 else samples
    out = room(out, rng) if rng.uniform() < 0.35 else out
    if len(others) and rng.uniform() < 0.2:
        # One voice alone is followed as soon as the speaker pauses: it has to be fainter than many.
        away = rng.uniform(18, 35) if len(others) == 1 else rng.uniform(10, 30)
        out = under(out, babble(len(out), others, rng), away)
    if rng.uniform() < 0.12:
        out = under(out, music(len(out), rng), rng.uniform(8, 30))
    out = noise(out, rng) if rng.uniform() < 0.7 else out
    out = line(out, rng) if rng.uniform() < 0.2 else out
    return clip_and_gain(out, rng)


def change_throat(features: Array, formants: float) -> Array:
    """Warp the mel axis: ``formants`` over 1 makes a shorter vocal tract at the same pitch and speed.

    Vocal tract length perturbation (Jaitly & Hinton 2013).
    """
    at = np.clip(np.arange(MELS) / formants, 0, MELS - 1)
    low = np.minimum(at.astype(int), MELS - 2)
    share = (at - low).astype(np.float32)
    out = features.copy()
    out[:, :MELS] = features[:, low] * (1 - share) + features[:, low + 1] * share
    return out


def change_colour(features: Array, rng: np.random.Generator) -> Array:
    """Raise some regions of the spectrum and lower others, the same at all times, by some decibels.

    A voice and a microphone have a spectrum of their own in the long run, which says nothing of sounds.
    """
    knots = rng.normal(0, _COLOUR_DB / RANGE_DB, _KNOTS)
    bend = np.interp(np.linspace(0, _KNOTS - 1, MELS), np.arange(_KNOTS), knots).astype(np.float32)
    out = features.copy()
    out[:, :MELS] = np.clip(features[:, :MELS] + bend, 0, None)
    return out


def hide_bands(features: Array, rng: np.random.Generator) -> Array:
    """Replace a few neighbouring mel bands by their mean and move the level a little (SpecAugment,
    Park et al. 2019, frequency masking).
    """
    out = features + np.float32(rng.uniform(-0.08, 0.08) if rng.uniform() < 0.5 else 0)
    wide = int(rng.integers(2, 10))
    first = int(rng.integers(0, MELS - wide))
    out[:, first : first + wide] = out[:, first : first + wide].mean()
    return out
