# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to predicted lips by rule: dials of the artist, and a still, closed mouth in silence.

Coefficients are (T, 42) at 50 Hz in the order of ``EXPRESSION_NAMES``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

from .arkit import EXPRESSION_NAMES

Array = npt.NDArray[np.float32]

RATE: Final = 50
MOUTH: Final = np.array([n.startswith(("jaw", "mouth", "tongue")) for n in EXPRESSION_NAMES])
"""(42,) channels that speech moves"""
JAW: Final = np.array([n.startswith("jaw") or n == "mouthClose" for n in EXPRESSION_NAMES])
"""(42,) channels of the jaw; mouthClose undoes the jaw's opening of the lips and goes with it"""

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


def shape_speech(speech: Array, gate: Array, lips: float, jaw: float) -> Array:
    """Apply the dials and the silence gate.

    Args:
        speech: (T, 42) at neutral emotion
        gate: (T,) from :func:`speaking`
        lips: strength of all mouth movement; 1 leaves it
        jaw: strength of the jaw on top of that

    """
    strength = np.where(MOUTH, lips, 1.0) * np.where(JAW, jaw, 1.0)
    gated = np.where(MOUTH, gate[:, None], 1.0)
    return np.asarray(np.clip(speech * strength * gated, 0, 1), np.float32)
