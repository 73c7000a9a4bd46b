# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in child processes: start, progress, cancel, and a certain end.

- No ``bpy`` module use; standard library only.

Reader threads only fill a queue; everything else happens in the caller's thread, in ``poll``.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from ..core import protocol
from ..core.errors import Cancelled, ExitCode, UserError
from . import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

START_TIMEOUT: Final = 60.0
"""Seconds until the worker has to say that it is ready; a cold disk is slow."""
CANCEL_TIMEOUT: Final = protocol.CANCEL_GRACE + 0.1
"""Seconds from a cancel until the worker is terminated, if it has not answered."""
KILL_TIMEOUT: Final = 0.2
"""Seconds from terminating to killing."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    stage: str = "starting"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def __str__(self) -> str:
        parts = [self.stage.capitalize()]
        if self.total > 1:
            parts.append(f"{self.done} of {self.total}")
        if self.seconds_left:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Child:
    """A child process in a group of its own, whose lines arrive in a queue.

    Raises:
        UserError: it cannot be started.

    """

    def __init__(self, command: Sequence[str], *, merged: bool = False) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.tail: collections.deque[str] = collections.deque(maxlen=30)
        """the last lines of its log"""
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            # A group of its own, or a Ctrl-C meant for the child would reach Blender too.
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            options = {"creationflags": flags}
        try:
            self.process = subprocess.Popen(
                command, cwd=engine.ROOT, env=engine.environment(), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                encoding="utf-8", errors="replace", **options,
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"Cannot start '{command[0]}': {error.strerror or error}.",
                            "Set the engine up again.", ExitCode.MISSING) from error  # fmt: skip
        self._read(self.process.stdout, self._queue_lines)
        if self.process.stderr:
            self._read(self.process.stderr, self._log_lines)

    def _read(self, pipe: IO[str] | None, reader: Callable[[IO[str]], None]) -> None:
        threading.Thread(target=reader, args=(pipe,), daemon=True).start()

    def _queue_lines(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.lines.put(line)
        self.lines.put(None)

    def _log_lines(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.tail.append(line.rstrip())
            log.info("engine: %s", line.rstrip())

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def write(self, line: str) -> bool:
        """Send a line; False when nobody reads."""
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def terminate(self) -> None:
        """Ask the whole group to end, so that a child's child does not live on."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _signal(self, number: int) -> None:
        if not self.alive:
            return
        try:
            if sys.platform == "win32":
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.process.pid)],
                               capture_output=True, check=False)  # fmt: skip
            else:
                os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            self.process.kill()

    def close(self) -> None:
        """End it for certain: closed stdin, then terminate, then kill."""
        with contextlib.suppress(OSError):  # a broken pipe: it has ended already
            self.process.stdin.close()
        for step in (self.terminate, self.kill):
            try:
                self.process.wait(KILL_TIMEOUT)
                return
            except subprocess.TimeoutExpired:
                step()
        self.process.wait()


class Job:
    """Something that runs. ``poll`` until it returns a result or raises."""

    title = ""

    def __init__(self) -> None:
        self.progress = Progress()
        self._cancelled_at: float | None = None

    def poll(self) -> dict[str, Any] | None:
        """The result, or None while it runs.

        Raises:
            UserError: it failed.
            Cancelled: it was cancelled, and has ended.

        """
        raise NotImplementedError

    def cancel(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Free what a job that is given up holds."""

    @property
    def cancelling(self) -> bool:
        return self._cancelled_at is not None

    def wait(self, watch: Callable[[Progress], None] | None = None) -> dict[str, Any]:
        """Block until the end, for Blender without a window."""
        try:
            while True:
                result = self.poll()
                if result is not None:
                    return result
                if watch:
                    watch(self.progress)
                time.sleep(0.02)
        except KeyboardInterrupt:
            self.cancel()
            return self.wait(watch)


class Worker:
    """The engine's long-lived process, as its client."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.child = Child(command)
        self.ready = False
        self._ids = itertools.count(1)
        self._started = time.monotonic()

    @property
    def alive(self) -> bool:
        return self.child.alive

    def submit(self, title: str, method: str, params: Any) -> WorkerJob:
        """Ask for a job; it starts when the worker is ready."""
        return WorkerJob(self, next(self._ids), title, method, asdict(params))

    def receive(self) -> dict[str, Any] | None:
        """The next event, or None when there is none yet.

        Raises:
            UserError: the worker has ended, is of another version, or does not come up.

        """
        try:
            line = self.child.lines.get_nowait()
        except queue.Empty:
            if not self.ready and time.monotonic() - self._started > START_TIMEOUT:
                self.child.close()
                raise UserError(f"The engine did not answer within {START_TIMEOUT:.0f} s.",
                                "Try again; if it stays so, set the engine up again.",
                                ExitCode.MISSING) from None  # fmt: skip
            return None
        if line is None:
            raise self._ended()
        message = protocol.parse_line(line)
        if not self.ready:
            self._shake_hands(message)
        return message

    def _shake_hands(self, message: dict[str, Any]) -> None:
        if message.get("event") == "ready" and message.get("protocol") == protocol.PROTOCOL:
            self.ready = True
            log.info("engine ready: %s", message)
            return
        self.child.close()
        raise UserError(f"The engine speaks protocol {message.get('protocol')}, the add-on "
                        f"{protocol.PROTOCOL}.", engine.SETUP_HINT, ExitCode.MISSING)  # fmt: skip

    def _ended(self) -> UserError:
        self.child.close()
        code = self.child.process.returncode
        said = next((line for line in reversed(self.child.tail) if line.strip()), "")
        if not self.ready:
            return UserError(f"The engine does not start (exit code {code}): {said or 'it said nothing'}.",
                             engine.SETUP_HINT, ExitCode.MISSING)  # fmt: skip
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return UserError(f"The engine {how} in the middle of its work. {said}",
                         "Nothing was changed; try again. If it happens again, free some memory.",
                         ExitCode.DEVICE)  # fmt: skip

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self.alive:
            self.child.write(protocol.request(0, "shutdown"))
        self.child.close()


class WorkerJob(Job):
    """One request to the worker."""

    def __init__(self, worker: Worker, id_: int, title: str, method: str, params: dict[str, Any]) -> None:
        super().__init__()
        self.worker, self.id, self.title = worker, id_, title
        self._request = protocol.request(id_, method, params)
        self._sent = False
        self._terminated_at: float | None = None

    def poll(self) -> dict[str, Any] | None:
        self._press_cancel()
        try:
            while True:
                if self.worker.ready and not self._sent:
                    self._sent = True
                    self.worker.child.write(self._request)
                message = self.worker.receive()
                if message is None:
                    return None
                if message.get("id") != self.id:
                    continue  # ready, or the late word of a job given up
                if message["event"] == "progress":
                    self.progress = Progress(str(message["stage"]), int(message["done"]),
                                             int(message["total"]), message.get("seconds_left"))  # fmt: skip
                elif message["event"] == "result":
                    return dict(message["result"])
                elif message["event"] == "error":
                    raise _error(message)
        except UserError:
            if self.cancelling:
                raise Cancelled from None
            raise

    def cancel(self) -> None:
        if not self.cancelling:
            self._cancelled_at = time.monotonic()
            if not self._sent:
                self.worker.close()
            self.worker.child.write(protocol.request(0, "cancel", {"id": self.id}))

    def _press_cancel(self) -> None:
        """A worker that is deaf to a cancel is terminated, then killed."""
        if self._cancelled_at is None:
            return
        now = time.monotonic()
        if self._terminated_at is not None:
            if now - self._terminated_at > KILL_TIMEOUT:
                self.worker.child.kill()
        elif now - self._cancelled_at > CANCEL_TIMEOUT:
            self._terminated_at = now
            self.worker.child.terminate()

    def close(self) -> None:
        self.worker.close()


def _error(message: dict[str, Any]) -> Exception:
    code = message.get("code")
    if code == ExitCode.CANCELLED:
        return Cancelled()
    if message.get("traceback"):
        log.error("%s", message["traceback"])
        return UserError(f"The engine met a bug: {message.get('message')}.",
                         "Its traceback is in Blender's log; please report it.")  # fmt: skip
    known = code in set(ExitCode)
    return UserError(str(message.get("message")), str(message.get("hint", "")),
                     ExitCode(code) if known else ExitCode.BAD_INPUT)  # fmt: skip


class SetupJob(Job):
    """The installer in a child process of Blender's own Python."""

    title = "Set up the engine"

    def __init__(self, words: Sequence[str] = ()) -> None:
        super().__init__()
        self.child = Child(engine.setup_command(words), merged=True)
        self.last = ""
        self._ended = False

    def poll(self) -> dict[str, Any] | None:
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > CANCEL_TIMEOUT:
            self.child.kill()
        while not self._ended:
            try:
                line = self.child.lines.get_nowait()
            except queue.Empty:
                return None
            self._ended = line is None
            text = (line or "").rsplit("\r", 1)[-1].strip()
            if text:
                self.last = text
                self.progress = Progress(text)
                log.info("installer: %s", text)
        self.child.close()
        code = self.child.process.returncode
        if self.cancelling:
            raise Cancelled
        if code != 0:
            known = code in set(ExitCode)
            raise UserError(self.last.removeprefix("Error: ") or f"The set-up ended with exit code {code}.",
                            "", ExitCode(code) if known else ExitCode.MISSING)  # fmt: skip
        return {}

    def cancel(self) -> None:
        if not self.cancelling:
            self._cancelled_at = time.monotonic()
            # The installer keeps what it has downloaded, and the next set-up goes on from there.
            self.child.terminate()

    def close(self) -> None:
        self.child.kill()
        self.child.close()
