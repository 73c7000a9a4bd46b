# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress with time left, on stderr: one moving line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time


def say(text: str) -> None:
    """One line for the user on stderr; results alone go to stdout."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def left(seconds: float) -> str:
    """A duration in a user's words."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Progress:
    """How far one stage has come. Safe to call from several threads."""

    def __init__(self, stage: str, total: float, unit: str = "") -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.done = 0.0
        self._began = time.monotonic()
        self._shown = 0.0
        self._lock = threading.Lock()
        self._moving = sys.stderr.isatty()

    def add(self, amount: float) -> None:
        """Count more work as done."""
        with self._lock:
            self.done += amount
            self._show()

    def set(self, done: float) -> None:
        """Say how much is done in all."""
        with self._lock:
            self.done = done
            self._show()

    def finish(self) -> None:
        """Close the stage with the time it took."""
        took = left(time.monotonic() - self._began)
        say(f"{chr(13) if self._moving else ''}{self.stage}: done in {took}{' ' * 30}".rstrip())

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown < (0.2 if self._moving else 5.0) or now - self._began < 0.5:
            return
        self._shown = now
        line = f"{self.stage}: {self.done:.0f} of {self.total:.0f} {self.unit}".rstrip()
        if 0.1 * self.total < self.done < self.total:
            remaining = (now - self._began) * (self.total - self.done) / self.done
            line += f", {left(remaining)} left"
        if self._moving:
            sys.stderr.write("\r" + line.ljust(78))
            sys.stderr.flush()
        else:
            say(line)
