# SPDX-License-Identifier: GPL-3.0-or-later
"""What head, lids and eyes hear of a voice: loudness, stress, pitch and pauses, 25 times a second.

Frame ``i`` is about the instant ``i / 25`` s. The voice's level and its middle pitch are the only
statistics over the whole sound.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from .audio import SAMPLE_RATE
from .features import FRAME_RATE, frame_count, log_mel, numbers, speech_level

Array = npt.NDArray[np.float32]

RATE: Final = 25
"""frames per second"""
NAMES: Final = ("energy", "rise", "tilt", "voiced", "pitch", "accent", "speaking")
"""energy 0..1 over 60 dB; its rise; low minus high bands; periodicity 0..1; octaves over the
voice's middle pitch; how far loudness and pitch stand out from the seconds around; 1 while somebody speaks, 0 in pauses, with soft edges"""

_HOP = SAMPLE_RATE // RATE
_WINDOW = 1024
_PITCH_HZ = (70.0, 400.0)
_LOUD = 0.55
"""energy over which a frame is speech: 27 dB under the voice's level"""
_BRIDGED = 6
"""frames of quiet inside words, such as closures, that are no pause"""
_NEAR_HIGHEST = 0.9
_BLOCK = 1500


def prosody(samples: Array) -> Array:
    """(N,) mono at 16 kHz to (T, 7), T = N // 640 + 1, columns as in :data:`NAMES`."""
    count = len(samples) // _HOP + 1
    level = speech_level(samples)
    parts = [_spectral(samples, level, k, min(k + _BLOCK, count)) for k in range(0, count, _BLOCK)]
    energy, tilt = np.concatenate(parts, axis=1)
    rise = np.clip(np.diff(energy, prepend=energy[:1]), 0, None)
    voiced, pitch = _pitch(samples, count)
    speaking = _speaking(energy)
    loud = gaussian_filter1d(energy + 0.25 * pitch, 1.2)
    accent = loud - gaussian_filter1d(loud, 20)
    columns = [energy, rise, tilt, voiced, pitch, accent, speaking]
    return np.asarray(np.stack(columns, axis=1), np.float32)


def _spectral(samples: Array, level: float, first: int, last: int) -> Array:
    """(2, last-first) energy and tilt."""
    step, wide = FRAME_RATE // RATE, 2
    end = frame_count(len(samples))
    low, high = max(first * step - wide, 0), min(last * step + wide, end)
    mel = log_mel(samples, level, low, high)
    around = np.clip(np.arange(first, last)[:, None] * step + np.arange(-wide, wide + 1), low, high - 1)
    near = mel[around - low].mean(1)
    return np.stack([near[:, -1].clip(0, 1.2), near[:, :16].mean(1) - near[:, 40:-1].mean(1)])


def _pitch(samples: Array, count: int) -> tuple[Array, Array]:
    """Periodicity (T,) and octaves over the median pitch (T,), 0 where unvoiced."""
    found, lag = periodicity(samples, _HOP, 0, count)
    voiced = np.clip((found - 0.4) / 0.4, 0, 1)
    frequency = SAMPLE_RATE / lag
    firm = voiced > 0.5
    middle = np.median(frequency[firm]) if firm.any() else 1.0
    octaves = np.where(firm, np.log2(frequency / middle), 0).clip(-1, 1)
    return voiced.astype(np.float32), octaves.astype(np.float32)


def periodicity(
    samples: Array, hop: int, first: int, last: int
) -> tuple[Array, npt.NDArray[np.int64]]:
    """How periodic the sound is at the samples ``hop * (first..last-1)``, and the period in samples.

    The first high peak of the normalised autocorrelation within the range of voices: multiples of a
    period are as high, so the highest one alone would often be octaves down.

    Returns:
        (last-first,) 0..1, and (last-first,).

    """
    taper = np.hanning(_WINDOW).astype(np.float32)
    # Dividing by the window's own autocorrelation undoes what tapering costs the longer lags.
    fade = _autocorrelation(taper[None])[0]
    low, high = int(SAMPLE_RATE / _PITCH_HZ[1]), int(SAMPLE_RATE / _PITCH_HZ[0])
    found, lag = np.zeros(last - first, np.float32), np.full(last - first, low)
    for start in range(first, last, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, last))
        frames = _frames(samples, index * hop)
        auto = _autocorrelation((frames - frames.mean(1, keepdims=True)) * taper)[:, :high] / fade[:high]
        peak = np.zeros(auto.shape, bool)
        peak[:, low:-1] = (auto[:, low:-1] >= auto[:, low - 1 : -2]) & (
            auto[:, low:-1] > auto[:, low + 1 :]
        )
        high_enough = auto >= _NEAR_HIGHEST * np.max(auto * peak, axis=1, keepdims=True)
        best = np.argmax(peak & high_enough, axis=1)
        lag[index - first] = np.maximum(best, low)
        found[index - first] = auto[np.arange(len(index)), best] / (auto[:, 0] + 1e-7)
    return found, lag


def _frames(samples: Array, centres: npt.NDArray[np.int64]) -> Array:
    """(K, WINDOW) samples around the centres, silence beyond both ends."""
    low, high = int(centres[0]) - _WINDOW // 2, int(centres[-1]) + _WINDOW // 2
    piece = numbers(samples[max(low, 0) : max(high, 0)])
    piece = np.pad(piece, (max(-low, 0), high - low - len(piece) - max(-low, 0)))
    return np.asarray(piece[(centres - low - _WINDOW // 2)[:, None] + np.arange(_WINDOW)], np.float32)


def _autocorrelation(frames: Array) -> Array:
    """(K, WINDOW) to (K, 2 WINDOW), lag 0 first."""
    spectrum = fft.rfft(frames, 2 * _WINDOW)
    return np.asarray(fft.irfft(spectrum.real**2 + spectrum.imag**2), np.float32)


def _speaking(energy: Array) -> Array:
    loud = energy > _LOUD
    bridged = maximum_filter1d(loud.astype(np.float32), _BRIDGED + 1)  # grown by half the bridge
    return np.asarray(uniform_filter1d(bridged, 5, mode="nearest"), np.float32)
