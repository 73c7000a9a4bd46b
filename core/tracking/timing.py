# SPDX-License-Identifier: GPL-3.0-or-later
"""From a film's own time stamps to frames at a rational rate."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

USUAL_RATES: Final = tuple(
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1),
                 (60000, 1001), (60, 1), (100, 1), (120000, 1001), (120, 1))
)  # fmt: skip
_SPAN: Final = 25
"""Frames over which the rate is measured: one step says little where stamps are in milliseconds."""
_UNEVEN: Final = 0.5
"""Share of a frame by which the stamps of a constant rate may be off it."""
_NEAR: Final = 0.02
"""Share by which the median step of a variable rate may be off a usual one."""


def rational_rate(times: Array, stated: Fraction = Fraction(0)) -> Fraction:
    """The rate of a stream: the one that it states, or a usual one, if its time stamps keep to it.

    Else (variable rate, as telephones record) the usual whole rate nearest to the median step, or that
    of the step itself where none is near.

    Args:
        times: (T,) rising seconds.
        stated: frames per second, 0 where unknown.

    Returns:
        Frames per second, 1 to 1000.

    """
    known = [stated] if 1 <= stated <= 1000 else []
    span = min(_SPAN, len(times) - 1)
    if span < 1:
        return [*known, Fraction(25)][0]
    measured = span / float(np.median(times[span:] - times[:-span]))
    for rate in [*known, *sorted(USUAL_RATES, key=lambda r: abs(float(r) - measured))]:
        if np.ptp((times - times[0]) * float(rate) - np.arange(len(times))) <= _UNEVEN:
            return rate
    step = float(np.median(np.diff(times)))
    whole = [r for r in USUAL_RATES if r.denominator == 1]  # nothing tells 30 from 29.97 here
    nearest = min(whole, key=lambda r: abs(float(r) * step - 1))
    if abs(float(nearest) * step - 1) <= _NEAR:
        return nearest
    return min(max(Fraction(1 / step).limit_denominator(1001), Fraction(1)), Fraction(1000))


def frame_times(times: Array, fps: Fraction) -> Array:
    """(N,) seconds of the frames at ``fps`` from the first to the last time stamp."""
    count = int(np.floor((times[-1] - times[0]) * float(fps) + 0.5)) + 1
    return np.asarray(times[0] + np.arange(count) * fps.denominator / fps.numerator)


def resample(values: npt.NDArray[np.float32], times: Array, at: Array) -> npt.NDArray[np.float32]:
    """(T, ...) at ``times`` to (N, ...) at the instants ``at``: linear, nan where either side is.

    An instant that meets a time stamp to a thousandth of the step takes that value alone.
    """
    if len(times) == 1:
        return np.repeat(values, len(at), axis=0)
    after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    share = (at - times[after - 1]) / (times[after] - times[after - 1])
    share = np.clip(np.where(abs(share - np.round(share)) < 1e-3, np.round(share), share), 0, 1)
    share = share.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    low, high = values[after - 1], values[after]
    mixed = low * (1 - share) + high * share
    return np.where(share == 0, low, np.where(share == 1, high, mixed))


def bridge(values: Array, found: npt.NDArray[np.bool_], rest: float, ease: int) -> Array:
    """Fill what was lost.

    A short gap is crossed in a straight line. In a longer one the value goes to ``rest`` and comes
    back, each within ``ease`` frames: nobody knows what the face did, and no mouth stays open.

    Args:
        values: (N, C) of the N frames found.
        found: (T,) with N times True, N > 0.
        rest: the value in the middle of a long gap.
        ease: frames to rest; a gap of up to twice as many is short.

    Returns:
        (T, C).

    """
    known, at = np.flatnonzero(found), np.arange(len(found))
    filled = np.stack([np.interp(at, known, c) for c in values.T], axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], found, [True]]).astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2]):
        if last - first > 2 * ease:
            away = abs(at[first:last, None] - known)
            keep = np.clip(1 - away.min(1) / ease, 0, 1)[:, None]
            filled[first:last] = rest + keep * (values[away.argmin(1)] - rest)
    return filled
