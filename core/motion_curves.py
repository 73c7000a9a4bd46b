# SPDX-License-Identifier: GPL-3.0-or-later
"""Head, lids and eyes as a path and events in time, and their curves at any frame rate.

- No ``bpy`` module use; numpy and scipy only.

Events keep their exact instants, so a blink is as crisp at 24 frames a second as at 60.

Shapes: a blink closes in about a third of its time (Caffier, Erdmann and Ullsperger 2003, Eur. J.
Appl. Physiol. 89); a saccade lasts 25 ms and 2.4 ms more for each degree (the main sequence as
fitted by Lee, Badler and Badler 2002, "Eyes Alive", ACM Trans. Graph. 21); between saccades the eyes
counter the head's turns (vestibulo-ocular reflex, gain 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, sosfiltfilt

from .angles import euler_degrees
from .prosody import RATE

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

BAND_HZ: Final = 6.5
"""Head motion in conversation stays below 7 Hz (Hadar et al. 1983, Hum. Mov. Sci. 2)."""
HOLD: Final = 0.03
"""seconds that the lids stay shut"""
GAZE_LIMIT: Final = (28.0, 20.0)
"""degrees of yaw and pitch that the eyes turn in the head"""
VERGENCE: Final = 1.5
"""degrees that each eye turns in, for somebody at 1.2 m"""
_SACCADE: Final = (0.025, 0.0024)


@dataclass(frozen=True)
class Frames:
    """Curves at the asked instants."""

    blink: Single
    """(T, 2) left, right; 0 open .. 1 closed"""
    gaze: Single
    """(T, 2, 2) left/right eye, yaw/pitch, radians"""
    head_rotation: Single
    """(T, 3) axis-angle, radians"""
    head_translation: Single
    """(T, 3) metres"""


@dataclass(frozen=True)
class Motion:
    """What head, lids and eyes do over some time."""

    pose: Array
    """(T, 6) at 25 Hz from time 0: axis-angle in radians, then metres"""
    blinks: Array
    """(N, 5) onset s, closing s, opening s, how far 0..1, seconds that the right lid is late"""
    saccades: Array
    """(M, 3) onset s, and the new line of sight in space: yaw, pitch, degrees"""

    def at(self, times: npt.ArrayLike) -> Frames:
        """Curves at (T,) seconds."""
        instants = np.asarray(times, np.float64)
        path = smooth_path(self.pose, instants)
        sight = line_of_sight(self.saccades, instants)
        turn = euler_degrees(path[:, :3])[:, :2]
        eyes = np.clip(sight - turn, -np.array(GAZE_LIMIT), GAZE_LIMIT)
        gaze = np.stack([eyes - (VERGENCE, 0), eyes + (VERGENCE, 0)], axis=1)
        lids = [lid_curve(self.blinks, instants - side * self._lags(instants)) for side in (0, 1)]
        return Frames(
            blink=np.stack(lids, axis=1).astype(np.float32),
            gaze=np.radians(gaze).astype(np.float32),
            head_rotation=path[:, :3].astype(np.float32),
            head_translation=path[:, 3:].astype(np.float32),
        )

    def _lags(self, instants: Array) -> Array:
        if not len(self.blinks):
            return np.zeros(len(instants))
        latest = np.searchsorted(self.blinks[:, 0], instants, "right") - 1
        lags: Array = np.where(latest >= 0, self.blinks[latest, 4], 0.0)
        return lags


def smooth_path(pose: Array, instants: Array) -> Array:
    """Band-limited cubic spline through (T, 6) at 25 Hz, at the instants; it rests past the ends."""
    edge = 12
    held = np.concatenate([np.repeat(pose[:1], edge, 0), pose, np.repeat(pose[-1:], edge, 0)])
    sections = butter(2, BAND_HZ, fs=RATE, output="sos")
    low = sosfiltfilt(sections, held, axis=0, padlen=0)
    at = (np.arange(len(held)) - edge) / RATE
    out: Array = make_interp_spline(at, low, k=3)(np.clip(instants, 0, (len(pose) - 1) / RATE))
    return out


def lid_curve(blinks: Array, instants: Array) -> Array:
    """(T,) how far a lid is closed."""
    out = np.zeros(len(instants))
    for onset, closing, opening, depth, _ in blinks:
        first, last = np.searchsorted(instants, [onset, onset + closing + HOLD + opening])
        since = instants[first:last] - onset
        down = np.clip(since / closing, 0, 1)
        up = np.clip((since - closing - HOLD) / opening, 0, 1)
        # The lid falls with a smooth start and stop and rises fast at first, then ever slower.
        shut = (3 - 2 * down) * down**2 * (1 - up) ** 2
        out[first:last] = np.maximum(out[first:last], depth * shut)
    return out


def line_of_sight(saccades: Array, instants: Array) -> Array:
    """(T, 2) yaw and pitch in space, degrees: still, but for quick steps."""
    target = np.zeros((len(instants), 2))
    before = np.zeros(2)
    for i, (onset, *end) in enumerate(saccades):
        until = saccades[i + 1, 0] if i + 1 < len(saccades) else np.inf
        first, last = np.searchsorted(instants, [onset, until])
        size = float(np.hypot(*(np.array(end) - before)))
        share = np.clip((instants[first:last] - onset) / (_SACCADE[0] + _SACCADE[1] * size), 0, 1)
        eased = share**3 * (10 - 15 * share + 6 * share**2)
        target[first:last] = before + eased[:, None] * (np.array(end) - before)
        before = np.array(end)
    return target
