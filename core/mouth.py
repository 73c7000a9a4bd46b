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


AS_PREDICTED: Final = Dials()


_SHORT_PAUSE = 0.10
"""seconds of silence that may be a closure or a hesitation, which the network shapes itself"""
_SHORT_SOUND = 0.06
"""seconds of sound that may be a click"""


def speaking(activity: Array) -> Array:
    """How far the mouth is free to move: 0 in silence, 1 in speech, with soft edges.

    Pauses over 0.3 s close the mouth; shorter ones are left to the network, whose activity already
    begins before a sound and ends after it, as lips do.

    Args:
        activity: (T,) probability that somebody is speaking.

    """
    heard = (gaussian_filter1d(activity, 1.0) > 0.5).astype(np.float32)
    pause, sound = (2 * round(s * RATE / 2) + 1 for s in (_SHORT_PAUSE, _SHORT_SOUND))
    heard = maximum_filter1d(minimum_filter1d(heard, sound), sound)  # drops clicks
    heard = minimum_filter1d(maximum_filter1d(heard, pause), pause)  # bridges short pauses
    wide = maximum_filter1d(heard, 5)  # the soft edge lies outside of what was heard
    return np.asarray(np.clip(gaussian_filter1d(wide, 2.0), 0, 1), np.float32)


def smooth(motion: Array, seconds: float) -> Array:
    """(T, C) under a Gaussian window of that deviation, without delay; 0 leaves it as it is."""
    if seconds <= 0:
        return motion
    return np.asarray(gaussian_filter1d(motion, seconds * RATE, axis=0, mode="nearest"), np.float32)


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
        strength = np.where(MOUTH, dials.lips, 1.0) * np.where(JAW, dials.jaw, 1.0)
        scaled = smooth(np.clip(speech * strength, 0, 1).astype(np.float32), dials.smoothing)
        shaped = LipMap.from_head().keep_shut(scaled, speech.astype(np.float64)).astype(np.float32)
    return np.asarray(shaped * np.where(MOUTH, gate[:, None], 1.0), np.float32)
