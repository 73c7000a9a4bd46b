# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of one curve, or of two curves beside each other; all arrays are (T,)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]

LAGS: Final = np.arange(-40, 41) * 0.005
"""seconds by which a curve is tried to be late"""
TREMBLING: Final = 12.0
"""Hz; lips do not follow speech faster than that"""


def runs(mask: npt.NDArray[np.bool_], least: int) -> Iterator[slice]:
    """Stretches of True of at least so many frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    for start, end in zip(edges[::2], edges[1::2]):
        if end - start >= least:
            yield slice(int(start), int(end))


def correlation(a: Array, b: Array) -> float:
    """Pearson's r = cov(a, b) / (s_a s_b); 0 where one of them does not move."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


def velocity_correlation(a: Array, b: Array) -> float:
    """Pearson's r of the velocities v[t] = (x[t+1] - x[t-1]) / 2, one-sided at the ends."""
    return correlation(np.gradient(a), np.gradient(b))


def spearman(a: Array, b: Array) -> float:
    """Spearman's rho: Pearson's r of the ranks, equal values sharing their mean rank."""
    return correlation(rankdata(a), rankdata(b))


def amplitude(found: Array, truth: Array) -> float:
    """Ratio of standard deviations s_found / s_truth; below 1 mumbles."""
    return float(found.std() / truth.std())


def lag(at: Array, found: Array, times: Array, truth: Array) -> float:
    """Seconds by which ``found`` is late: argmax over LAGS of r(found(t + lag), truth(t)).

    Args:
        at: (S,) seconds of ``found``, which is linear between them
        found: (S,)
        times: (T,) seconds of ``truth``
        truth: (T,)

    """
    return float(LAGS[np.argmax([correlation(np.interp(times + by, at, found), truth)
                                 for by in LAGS])])  # fmt: skip


def jitter(curve: Array, rate: float) -> float:
    """Share of energy from 12 Hz on: sum_{f >= 12} |X(f)|^2 / sum_{f > 0} |X(f)|^2.

    X is the discrete Fourier transform of the curve less its mean under a Hann window. At the 25
    frames a second of film only 12 to 12.5 Hz is left of the band, into which the tracker's noise
    falls as much as anywhere; compare with tracked film at the same rate.
    """
    power = np.abs(np.fft.rfft((curve - curve.mean()) * np.hanning(len(curve)))) ** 2
    hertz = np.fft.rfftfreq(len(curve), 1 / rate)
    total = power[hertz > 0].sum()
    return float(power[hertz >= TREMBLING].sum() / total) if total > 1e-12 else 0.0


def quartiles_apart(values: list[float]) -> float:
    """Interquartile range."""
    low, high = np.percentile(values, [25, 75])
    return float(high - low)
