# SPDX-License-Identifier: GPL-3.0-or-later
"""How widely a speaker opens at each instant, from how loud the voice is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from ...audio import SAMPLE_RATE


def loudness(samples: npt.NDArray[np.float32], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T,) around 1 at usual loudness, more when loud; 0.6 to 1.2."""
    power = uniform_filter1d(samples.astype(np.float64) ** 2, SAMPLE_RATE // 8)
    level = 10 * np.log10(power + 1e-12)
    level = level - np.percentile(level, 90)
    at = np.clip((times * SAMPLE_RATE).astype(int), 0, len(samples) - 1)
    return np.asarray(np.clip(1.05 + level[at] / 30, 0.6, 1.2))
