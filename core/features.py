# SPDX-License-Identifier: GPL-3.0-or-later
"""What the speech networks hear: a log-mel spectrum and the energy, 100 frames a second.

Frame ``i`` is centred on sample ``160 i``, with a Hann window of 25 ms. The only statistic over the
whole sound is its level (``speech_level``), one number which makes features independent of gain.
Given the level, each frame depends on its own 32 ms only, so any cut into blocks gives the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import librosa
import numpy as np
import numpy.typing as npt

from .audio import SAMPLE_RATE

Array = npt.NDArray[np.float32]

FRAME_RATE: Final = 100
"""feature frames per second"""
HOP: Final = SAMPLE_RATE // FRAME_RATE
"""samples between feature frames"""
MELS: Final = 64
FEATURES: Final = MELS + 1
"""mel bands, and the energy over all of them"""

_FFT = 512
_WINDOW = 400
_SCALE = 2 / (_FFT * 0.375 * _WINDOW)
"""makes the bins of a spectrum sum to the power of the samples; a Hann window holds 3/8 of it"""
LOWEST, HIGHEST = 60.0, 7600.0
"""Hz that the mel bands span"""
RANGE_DB = 60.0
"""dB under the speech level that are told apart"""
_QUIETEST_DB = -70.0
"""No sound counts as speech under this level (dB of full scale): silence is not made loud."""
_LOUDEST = 1e6
"""of full scale: what lies beyond is no sample, and its square would overflow"""
_BLOCK = 6000
"""feature frames computed at a time (one minute)"""


def frame_count(samples: int) -> int:
    """Feature frames of so many samples: one at time 0 and one for each hop begun after it."""
    return samples // HOP + 1


def numbers(samples: Array) -> Array:
    """(N,) samples, with silence for what is no number or no sample."""
    return np.where(np.abs(samples) < _LOUDEST, samples, 0).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_basis() -> Array:
    """(MELS, FFT/2+1) triangular filters, each summing to 1, so that a band shows its mean power."""
    basis = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_FFT, n_mels=MELS, fmin=LOWEST, fmax=HIGHEST)
    return np.asarray(basis / basis.sum(1, keepdims=True), np.float32)


def _power(samples: Array, first: int, last: int) -> Array:
    """(last-first, FFT/2+1) power spectra of the frames first..last-1; silence beyond both ends."""
    low, high = first * HOP - _FFT // 2, (last - 1) * HOP + _FFT // 2
    piece = np.pad(numbers(samples[max(low, 0) : max(high, 0)]),
                   (max(-low, 0), max(high - max(len(samples), max(low, 0)), 0)))  # fmt: skip
    spectrum = librosa.stft(piece, n_fft=_FFT, hop_length=HOP, win_length=_WINDOW, center=False)
    return np.asarray(np.abs(spectrum).T ** 2 * _SCALE, np.float32)


def _decibels(power: Array) -> Array:
    return np.asarray(10 * np.log10(np.maximum(power, 1e-20)), np.float32)


def speech_level(samples: Array) -> float:
    """Level of a voice, dB: the 95th percentile of the energy of its 10 ms pieces.

    Pauses do not lower it and a click does not raise it.

    Args:
        samples: (N,) mono at 16 kHz.

    """
    whole = samples[: len(samples) // HOP * HOP] if len(samples) >= HOP else samples
    if not len(whole):
        return _QUIETEST_DB
    pieces = whole.reshape(-1, HOP if len(samples) >= HOP else len(samples))
    energy = np.einsum("ij,ij->i", pieces, pieces) / pieces.shape[1]
    energy = np.nan_to_num(energy, posinf=0.0)
    return max(float(10 * np.log10(np.percentile(energy, 95) + 1e-12)), _QUIETEST_DB)


def log_mel(
    samples: Array, level: float | None = None, first: int = 0, last: int | None = None
) -> Array:
    """Features of a voice.

    Args:
        samples: (N,) mono at 16 kHz.
        level: dB that count as loud speech; None measures it (``speech_level``).
        first: the first frame asked for.
        last: one past the last; None is ``frame_count(N)``.

    Returns:
        (last - first, FEATURES): log power of each mel band relative to the level, then that of
        all the sound; 60 dB map to 0..1, and what lies above goes on above 1.

    """
    loud = speech_level(samples) if level is None else level
    end = frame_count(len(samples)) if last is None else last
    out = np.empty((end - first, FEATURES), np.float32)
    for start in range(first, end, _BLOCK):
        stop = min(start + _BLOCK, end)
        power = _power(samples, start, stop)
        # A band of speech holds some 15 dB less than the whole, so bands sit on a scale of their own.
        bands = _decibels(power @ _mel_basis().T * (_FFT / 2)) - loud + 15
        whole = _decibels(power.sum(1, keepdims=True)) - loud
        out[start - first : stop - first] = np.concatenate([bands, whole], 1) / RANGE_DB + 1
    return np.clip(out, 0, 1.5, out=out)
