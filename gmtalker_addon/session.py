# SPDX-License-Identifier: GPL-3.0-or-later
"""What this Blender is doing: the running task, the engine's process, the last message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import Cancelled, UserError
from . import engine
from .jobs import Worker
from .preferences import engine_override

if TYPE_CHECKING:
    from collections.abc import Callable

    from .jobs import Job, Progress

log = logging.getLogger(__name__)


class Task(Protocol):
    """Gathers, asks for a job, and applies its result; the scene changes only in ``finish``."""

    title: str
    undoable: bool
    """whether ``finish`` changes the .blend"""

    def begin(self) -> Job: ...
    def finish(self, result: dict[str, Any]) -> str: ...
    def discard(self) -> None: ...


class Session:
    """One for each Blender; one task at a time."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.job: Job | None = None
        self.message = ""
        self.failed = False
        self._worker: Worker | None = None

    @property
    def busy(self) -> bool:
        return self.task is not None

    @property
    def status(self) -> str:
        """What the panel says."""
        if self.job is None:
            return self.message
        return "Cancelling" if self.job.cancelling else str(self.job.progress)

    def say(self, message: str, *, failed: bool = False) -> None:
        self.message, self.failed = message, failed

    def worker(self) -> Worker:
        """The engine's process, started where it is not running."""
        command = engine.worker_command(engine.find_python(engine_override()))
        if self._worker is not None and (not self._worker.alive or self._worker.command != command):
            self.close_worker()
        if self._worker is None:
            self._worker = Worker(command)
        return self._worker

    def start(self, task: Task) -> None:
        """Begin a task.

        Raises:
            UserError: one is running, or it cannot begin.

        """
        if self.task is not None:
            raise UserError(f"'{self.task.title}' is still running.", "Wait for its end, or cancel it.")
        self.say("")
        self.task = task
        try:
            self.job = task.begin()
        except BaseException as error:
            self._end(error)
            raise

    def poll(self) -> str | None:
        """The closing message of the task, or None while it runs; raises what it raises."""
        try:
            result = self.job.poll()
            return None if result is None else self._finish(result)
        except BaseException as error:
            self._end(error)
            raise

    def run(self, task: Task, watch: Callable[[Progress], None] | None = None) -> str:
        """Do a task to its end, for Blender without a window."""
        self.start(task)
        try:
            return self._finish(self.job.wait(watch))
        except BaseException as error:
            self._end(error)
            raise

    def _finish(self, result: dict[str, Any]) -> str:
        message = self.task.finish(result)
        self._end(None)
        self.say(message)
        return message

    def _end(self, error: BaseException | None) -> None:
        if self.task is None:
            return
        task, self.task, self.job = self.task, None, None
        task.discard()
        if isinstance(error, UserError):
            self.say(str(error), failed=True)
        elif isinstance(error, Cancelled):
            self.say(f"{task.title}: cancelled, nothing was changed.")
        elif error is not None:
            self.say(f"{task.title}: a bug ({type(error).__name__}); see Blender's log.", failed=True)

    def cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()

    def abandon(self) -> None:
        """Give the running task up at once: its file or Blender is going away."""
        if self.job is not None:
            self.job.close()
        self._end(Cancelled())

    def close_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def close(self) -> None:
        """Leave nothing behind, when the add-on or Blender ends."""
        self.abandon()
        self.close_worker()
        self.say("")


session = Session()
