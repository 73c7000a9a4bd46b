# SPDX-License-Identifier: GPL-3.0-or-later
"""What the generator has to beat: lips that follow loudness, and lips from recognised phones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...audio import SAMPLE_RATE
from ...errors import UserError
from ...mouth import RATE
from ...phones import Phone
from ...training.data.grid import TrackedClip, read_phones
from ...training.data.loudness import loudness
from ...training.data.prepare import frame_times
from ...training.data.teacher import Teacher, teach
from .signals import Array, correlation
from .voices import Bench, Samples

_SONE: Final = 0.3
"""loudness grows with the intensity to this power (Stevens 1957)"""
_SMOOTHING: Final = (0.02, 0.04, 0.06, 0.09)
"""seconds, of which the fit takes the best"""
_EARLY: Final = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
"""seconds by which lips go before the sound, of which the fit takes the best"""


def loud(samples: Samples) -> Array:
    """(T,) loudness at 50 Hz over that of the clip's loud passages: (p / p90)^0.3.

    p is the mean square of the 20 ms about each frame, p90 its 90th percentile.
    """
    hop = SAMPLE_RATE // RATE
    square = np.pad(samples.astype(np.float64) ** 2, (hop // 2, 2 * hop))
    power = np.array([square[k : k + hop].mean() for k in range(0, len(samples) + 1, hop)])
    return np.asarray((power / (np.percentile(power, 90) + 1e-12)) ** _SONE)


@dataclass(frozen=True)
class Envelope:
    """Lip gap = a l(t + early) + b, with l the smoothed loudness; width alike."""

    smoothing: float
    """seconds, standard deviation of the Gaussian window"""
    early: float
    """seconds"""
    gap: tuple[float, float]
    """a and b"""
    width: tuple[float, float]

    @staticmethod
    def fitted(clips: list[TrackedClip], voices: list[Samples]) -> Envelope:
        """Least squares over film; smoothing and advance are those of the greatest r of the gap."""
        curves = [loud(v) for v in voices]
        gap, width = (np.concatenate([getattr(c, n) for c in clips]) for n in ("gap", "width"))

        def heard(choice: tuple[float, float]) -> Array:
            return np.concatenate([_at(curve, c.times, *choice) for curve, c in zip(curves, clips)])

        best = max(product(_SMOOTHING, _EARLY), key=lambda choice: correlation(heard(choice), gap))
        lines = [np.polyfit(heard(best), v, 1) for v in (gap, width)]
        return Envelope(*best, *((float(a), float(b)) for a, b in lines))

    def lips(self, samples: Samples) -> tuple[Array, Array]:
        """Gap and width at 50 Hz."""
        times = frame_times(samples)
        curve = _at(loud(samples), times, self.smoothing, self.early)
        gap, width = (a * curve + b for a, b in (self.gap, self.width))
        return np.maximum(gap, 0), width


def _at(curve: Array, times: Array, smoothing: float, early: float) -> Array:
    smooth = gaussian_filter1d(curve, smoothing * RATE)
    return np.asarray(np.interp(times + early, np.arange(len(smooth)) / RATE, smooth))


def recognised(bench: Bench, name: str, samples: Samples) -> tuple[Array, Array]:
    """Gap and width at 50 Hz of the coarticulation model on phones heard without a text.

    The model is the one that taught the generator, so what differs is how the phones are heard.

    Raises:
        UserError: the phones are not in the cache.

    """
    path = bench.cache / "recognised" / "grid_other" / f"{name}.json"
    try:
        phones = read_phones(path)
    except (OSError, json.JSONDecodeError):
        raise UserError(f"There are no recognised phones '{path}'.",
                        "Run core.training.data.recognise, in the environment "
                        "of core.training.data.align.") from None  # fmt: skip
    return of_phones(bench, phones, samples)


def of_phones(bench: Bench, phones: list[Phone], samples: Samples) -> tuple[Array, Array]:
    """Gap and width at 50 Hz of the coarticulation model on phones whose times are known."""
    times = frame_times(samples)
    face = bench.player.seen(
        teach(Teacher.fitted(), bench.player.lips, times, phones, loudness(samples, times))
    )
    return face.gap, face.width
