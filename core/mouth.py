# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to predicted lips by rule: dials of the artist, and a still, closed mouth in silence.

Coefficients are (T, 42) at 50 Hz in the order of ``EXPRESSION_NAMES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

from .arkit import EXPRESSION_NAMES
from .lips import LipMap

Array = npt.NDArray[np.float32]

RATE: Final = 50
MOUTH: Final = np.array([n.startswith(("jaw", "mouth", "tongue")) for n in EXPRESSION_NAMES])
"""(42,) channels that speech moves"""
JAW: Final = np.array([n.startswith("jaw") or n == "mouthClose" for n in EXPRESSION_NAMES])
"""(42,) channels of the jaw; mouthClose undoes the jaw's opening of the lips and goes with it"""

@dataclass(frozen=True)
class Dials:
    """What an artist sets; the defaults leave what was predicted."""

    lips: float = 1.0
    """strength of all mouth movement"""
    jaw: float = 1.0
    """strength of the jaw's part in it: how far it drops, while lips that meet still meet"""
    smoothing: float = 0.0
    """deviation of the Gaussian window over the motion, seconds"""

    def strength(self) -> Array:
        """(42,) factor of each channel."""
        factors = np.where(MOUTH, self.lips, 1.0) * np.where(JAW, self.jaw, 1.0)
        return np.asarray(factors, np.float32)


AS_PREDICTED: Final = Dials()


_SILENCE = 0.28
"""seconds without a sound after which the mouth comes to rest; in shorter ones the network has it"""
_CLICK = 0.06
"""seconds of sound that may be a click"""
_AUDIBLE = 0.45
"""energy over which a sound is heard: 33 dB under the voice's level"""
_QUIET_EDGE = 0.5
"""seconds at most by which the network's activity begins before the sound and ends after it"""
_PART, _PART_SHARE = 0.28, 0.4
"""seconds before a sound in which the lips begin to part, and at most which share of the silence:
filmed speakers (GRID) hold theirs open from a quarter of a second before they are heard"""
_PARTING, _SHUTTING = 0.10, (0.02, 0.13)
"""seconds that the lips take to part; from the last sound to where they begin to shut, and are shut"""
_STUCK, _OPEN, _STILL = 1.2, 0.03, 0.006
"""seconds, opening, and range of the opening of a mouth that is stuck"""
GATE_REACH: Final = 90
"""frames to either side that the gate of a frame depends on"""


def speaking(activity: Array, energy: Array) -> Array:
    """How far the mouth is free to move: 0 in silence, 1 in speech, with soft edges.

    It comes to rest in silences over 0.28 s; the lips part before the next sound, as people's do.

    Args:
        activity: (T,) probability that somebody is speaking, or is about to
        energy: (T,) of the sound, 0..1 from 60 dB under the voice's level to that level

    """
    heard = (gaussian_filter1d(activity, 1.0) > 0.5).astype(np.float32)
    click = 2 * round(_CLICK * RATE / 2) + 1
    heard = maximum_filter1d(minimum_filter1d(heard, click), click)
    gate, before = np.zeros(len(activity), np.float32), -np.inf
    for start, end in _spans(_audible(heard > 0.5, energy > _AUDIBLE)):
        part = min(_PART * RATE, _PART_SHARE * (start - before))
        low, high = max(start - round(part), 0), end + round(_SHUTTING[1] * RATE) + 1
        at = np.arange(low, min(high, len(gate)))
        rise = _ease((at - start + part) / (_PARTING * RATE))
        fall = _ease((end - at + _SHUTTING[1] * RATE) / ((_SHUTTING[1] - _SHUTTING[0]) * RATE))
        gate[low:high] = np.maximum(gate[low:high], rise * fall)
        before = end
    return gate


def moving(speech: Array) -> Array:
    """(T,) 0 where the mouth stands open and has not moved for long, as under a tone; else 1.

    Args:
        speech: (T, 42) as predicted

    """
    gap = speech @ LipMap.from_head().gap.astype(np.float32)
    wide = 2 * round(_STUCK * RATE / 2) + 1
    least, most = minimum_filter1d(gap, wide), maximum_filter1d(gap, wide)
    stuck = (least > _OPEN) & (most - least < _STILL)
    return np.asarray(1 - gaussian_filter1d(stuck.astype(np.float32), 4.0), np.float32)


def _audible(heard: npt.NDArray[np.bool_], loud: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What is heard, without the quiet at the beginning and at the end of each stretch."""
    return heard & ~_quiet_start(heard, loud) & ~_quiet_start(heard[::-1], loud[::-1])[::-1]


def _quiet_start(
    heard: npt.NDArray[np.bool_], loud: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    at = np.arange(len(heard))
    rises = heard & ~np.concatenate([[False], heard[:-1]])
    start = np.maximum.accumulate(np.where(rises, at, 0))
    last_loud = np.maximum.accumulate(np.where(heard & loud, at, -1))
    return np.asarray(heard & (last_loud < start) & (at - start < _QUIET_EDGE * RATE))


def _spans(heard: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last frame of each stretch of sound, over short silences."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], heard.astype(np.int8), [0]])))
    out: list[tuple[int, int]] = []
    for first, last in zip(edges[::2].tolist(), (edges[1::2] - 1).tolist()):
        joined = out and first - out[-1][1] < _SILENCE * RATE
        out[-1:] = [(out[-1][0], last)] if joined else [*out[-1:], (first, last)]
    return out


def _ease(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From 0 to 1 with a smooth start and stop."""
    x = np.clip(share, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def smooth(motion: Array, seconds: float) -> Array:
    """(T, C) under a Gaussian window of that deviation, without delay; 0 leaves it as it is."""
    if seconds <= 0:
        return motion
    return np.asarray(gaussian_filter1d(motion, seconds * RATE, axis=0, mode="nearest"), np.float32)


def smoothing_reach(dials: Dials) -> int:
    """Frames to either side that smoothing depends on."""
    return int(4 * dials.smoothing * RATE + 0.5)


def shape_speech(speech: Array, gate: Array, dials: Dials) -> Array:
    """Apply the dials and the silence gate.

    Lips that the prediction holds shut stay shut whatever the dials say: what scaling or smoothing
    opens there is closed again.

    Args:
        speech: (T, 42) at neutral emotion
        gate: (T,) from :func:`speaking`
        dials: of the artist

    """
    shaped = speech
    if dials != AS_PREDICTED:
        scaled = smooth(np.clip(speech * dials.strength(), 0, 1), dials.smoothing).astype(np.float64)
        shaped = LipMap.from_head().keep_shut(scaled, speech.astype(np.float64)).astype(np.float32)
    return np.asarray(shaped * np.where(MOUTH, gate[:, None], 1.0), np.float32)
