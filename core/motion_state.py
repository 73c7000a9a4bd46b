# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion as a row of numbers per 0.2 s, which a flow can model, and back.

- No ``bpy`` module use; numpy only.

A row holds the head's path in the chunk and, for lids and eyes, the *marks* of the event that
happens if one happens in it. When one happens is told by a clock of its own that runs from 0 to 1
between events: its pace is drawn anew after each event, and the lids' clock is sped up and slowed
down by a channel that follows the voice. So waiting times are continuous quantities with a
log-normal shape, where a yes or no per frame would be none that an affine flow can model.

The head's path counts as what is left after linear prediction from the two chunks before it; a
triangular map with ones on its diagonal, so the flow's likelihood is that of the path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from .motion_curves import Motion
from .prosody import RATE

Array = npt.NDArray[np.float64]

CHUNK: Final = 5
"""frames at 25 Hz in a row"""
SECONDS: Final = CHUNK / RATE
"""length of a row"""
HEAD: Final = 6 * CHUNK
"""columns of the head's path: frame by frame, rotation then translation"""
LIDS: Final = slice(HEAD, HEAD + 6)
"""log pace 1/s, log speed-up by the voice, log closing s, log opening s, depth, lag in 10 ms"""
EYES: Final = slice(HEAD + 6, HEAD + 9)
"""log pace 1/s, yaw and pitch of the next line of sight, compressed"""
SIZE: Final = HEAD + 9
"""columns of a row"""
HISTORY: Final = HEAD + 6 + 7
"""columns of what the past tells"""
UNITS: Final = np.array([0.04, 0.05, 0.03, 0.004, 0.003, 0.004])
"""radians and metres that count as 1"""
_SIGHT_UNIT: Final = 1.5
"""degrees around which the compression of the line of sight turns from linear to logarithmic"""
_SHORTEST: Final = 0.04
"""seconds that a clock's pace is measured over at the least"""


def compress(degrees: npt.ArrayLike) -> Array:
    """Line of sight in degrees to a scale where its many small and few large values even out."""
    out: Array = np.arcsinh(np.asarray(degrees, np.float64) / _SIGHT_UNIT)
    return out


def expand(compressed: npt.ArrayLike) -> Array:
    """The inverse of :func:`compress`, within what eyes can do."""
    out: Array = _SIGHT_UNIT * np.sinh(np.clip(compressed, -3.5, 3.5))
    return out


@dataclass
class Clock:
    """Runs from 0 to 1; an event happens when it arrives."""

    phase: float = 0.0
    pace: float = 0.0
    """log of 1/s"""
    fresh: bool = True
    """the next row's pace counts"""
    since: float = 2.0
    """seconds since the last event"""

    def advance(self, pace: float, speed_up: float) -> float | None:
        """Run through one row; the event's time within it, if one happens."""
        if self.fresh:
            self.pace, self.fresh = pace, False
        rate = float(np.exp(np.clip(self.pace + speed_up, -5.0, 3.2)))
        left = (1 - self.phase) / rate
        self.since += SECONDS
        if left > SECONDS:
            self.phase += rate * SECONDS
            return None
        self.phase, self.fresh, self.since = 0.0, True, SECONDS - left
        return left


@dataclass
class Follower:
    """Turns rows into motion, one at a time, and tells what the next row can know of the past."""

    prediction: Array
    """(30, 60) from the path in the two chunks before to that in this one"""
    lids: Clock = field(default_factory=Clock)
    eyes: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.path: list[Array] = [np.zeros(HEAD), np.zeros(HEAD)]
        self.residual = np.zeros(HEAD)
        self.sight = np.zeros(2)
        self.blinks: list[tuple[float, ...]] = []
        self.saccades: list[tuple[float, ...]] = []
        self.rows = 0

    def expected(self) -> Array:
        """(30,) the path that the two chunks before foretell."""
        return self.prediction @ np.concatenate(self.path[-2:])

    def history(self) -> Array:
        """(HISTORY,) what the next row can know of the past."""
        clocks = [self.lids.phase, self.lids.pace, np.log(0.1 + self.lids.since),
                  self.eyes.phase, self.eyes.pace]  # fmt: skip
        return np.concatenate(
            [self.residual * 10, self.path[-1][-6:], clocks, compress(self.sight)]
        )

    def follow(self, row: Array) -> None:
        """Take the next row (SIZE,)."""
        start = self.rows * SECONDS
        self.residual = row[:HEAD]
        self.path.append(self.expected() + self.residual)
        pace, speed_up, closing, opening, depth, lag = row[LIDS]
        at = self.lids.advance(pace, speed_up)
        if at is not None:
            self.blinks.append((
                start + at,
                float(np.exp(np.clip(closing, -3.2, -1.9))),
                float(np.exp(np.clip(opening, -2.5, -1.2))),
                float(np.clip(depth, 0.3, 1)),
                float(np.clip(lag, -1.5, 1.5)) / 100,
            ))  # fmt: skip
        at = self.eyes.advance(row[EYES][0], 0.0)
        if at is not None:
            self.sight = expand(row[EYES][1:])
            self.saccades.append((start + at, *map(float, self.sight)))
        self.rows += 1

    def motion(self) -> Motion:
        """All rows so far."""
        path = np.concatenate(self.path[2:]).reshape(-1, 6) * UNITS
        return Motion(path, np.array(self.blinks).reshape(-1, 5),
                      np.array(self.saccades).reshape(-1, 3))  # fmt: skip
