# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress on stderr: one line that rewrites itself, or plain lines where there is no terminal.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ..progress import Pace, Progress

INTERVAL = 1.0
"""Seconds between two plain lines."""


class Reporter:
    """A :data:`Progress` that writes to a stream."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._pace = Pace(clock)
        self._last = -INTERVAL
        self._stage = ""
        self._live = stream.isatty()
        self._width = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report one step, if the last report is old enough or the stage ends."""
        left = self._pace.seconds_left(stage, done, total)
        if not self._live and (not done or total == 1):
            return  # a step that has no middle is not worth a line, and a refusal stays the only one
        now = self._clock()
        ends = done >= total
        if (
            not ends
            and stage == self._stage
            and now - self._last < (0.1 if self._live else INTERVAL)
        ):
            return
        self._stage, self._last = stage, now
        text = f"{stage}: {done}/{total}" + (f", {clock_text(left)} left" if left else "")
        if self._live:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the live line."""
        if self._width:
            self._stream.write("\n")
            self._width = 0


def clock_text(seconds: float) -> str:
    """Seconds as ``1:05`` or ``2:01:05``."""
    whole = round(seconds)
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


@contextmanager
def reporting() -> Iterator[Progress]:
    """A progress on stderr for the length of the block."""
    reporter = Reporter(sys.stderr)
    try:
        yield reporter
    finally:
        reporter.end()
