# SPDX-License-Identifier: GPL-3.0-or-later
"""How long work tells how far it is.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; it may raise :class:`~.errors.Cancelled`."""


def silent(stage: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


class Pace:
    """Guesses the seconds left in a stage from its pace so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._began = 0.0
        self._first = 0

    def seconds_left(self, stage: str, done: int, total: int) -> float | None:
        """Seconds to the end of ``stage``, or None while nothing is known."""
        now = self._clock()
        if stage != self._stage or done < self._first:
            self._stage, self._began, self._first = stage, now, done
        if done >= total:
            return 0.0
        steps = done - self._first
        return (now - self._began) / steps * (total - done) if steps > 0 else None
