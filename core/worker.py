# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's long-lived process: requests in, events out, one job at a time.

- No ``bpy`` module use. Nothing heavy is imported before the first job, so ``ready`` comes at once.

The main thread reads requests and a second one works, so that a cancel is heard at any time. The
pipes of the protocol are taken away from everybody else: a stray print of a library goes to the
log, and a child process cannot eat a request.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from .cli.guard import as_user_error
from .errors import Cancelled, ExitCode, UserError
from .progress import Pace, Progress
from .protocol import (
    CANCEL_GRACE,
    PROTOCOL,
    AnimateParams,
    RenderParams,
    event,
    parse_line,
    parse_params,
)
from .version import installed, version

log = logging.getLogger(__name__)

PROGRESS_INTERVAL: Final = 0.1
"""Seconds between two progress events of one stage."""

Method = Callable[[dict[str, Any], Progress], dict[str, Any]]
Exit = Callable[[int], Any]


@dataclass
class Job:
    """One request that takes long."""

    id: int
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Answers requests from one stream on another.

    Args:
        requests: where requests come from.
        events: where events go.
        methods: what can be asked for, by name.
        leave: ends the process at once, with an exit code.
        grace: seconds that a cancelled job has to stop by itself.

    """

    def __init__(
        self,
        requests: TextIO,
        events: TextIO,
        methods: dict[str, Method],
        leave: Exit = os._exit,
        grace: float = CANCEL_GRACE,
    ) -> None:
        self._requests = requests
        self._events = events
        self._methods = methods
        self._leave = leave
        self._grace = grace
        self._writing = threading.Lock()
        self._job: Job | None = None

    def serve(self) -> int:
        """Answer until stdin closes or a shutdown is asked for; the exit code."""
        self._send("ready", protocol=PROTOCOL, version=version(), torch=installed("torch"),
                   python=platform.python_version(), pid=os.getpid())  # fmt: skip
        for line in self._requests:
            if not line.strip():
                continue
            try:
                message = parse_line(line)
            except UserError as error:
                self._send_error(None, error)
                continue
            if message.get("method") == "shutdown":
                break
            self._answer(message)
        self._end_job()
        return ExitCode.DONE

    def _answer(self, message: dict[str, Any]) -> None:
        id_, method, params = message.get("id"), message.get("method"), message.get("params", {})
        if not isinstance(id_, int) or not isinstance(params, dict):
            known = id_ if isinstance(id_, int) else None
            self._refuse(known, "Expected a whole number as 'id' and an object as 'params'.")
        elif method == "cancel":
            self._cancel(params.get("id"))
        elif not isinstance(method, str) or method not in self._methods:
            names = ", ".join([*sorted(self._methods), "cancel", "shutdown"])
            self._refuse(id_, f"There is no method '{method}'; there are {names}.")
        elif self._job is not None and not self._job.done.is_set():
            self._send_error(id_, UserError(f"Job {self._job.id} is still running.",
                                            "Wait for its end, or cancel it."))  # fmt: skip
        else:
            job = self._job = Job(id_)
            work = (job, self._methods[method], params)
            threading.Thread(target=self._work, args=work, name=f"job-{id_}", daemon=True).start()

    def _work(self, job: Job, method: Method, params: dict[str, Any]) -> None:
        try:
            result = method(params, self._progress(job))
            self._finish(job, "result", result=result)
        except BaseException as error:
            known = as_user_error(error)
            if known is None:
                log.exception("job %d", job.id)
                bug = {"code": 1, "message": f"{type(error).__name__}: {error}",
                       "hint": "This is a bug: please report it with its traceback.",
                       "traceback": traceback.format_exc()}  # fmt: skip
                self._finish(job, "error", **bug)
            else:
                self._finish(job, "error", **_body(known))

    def _finish(self, job: Job, kind: str, **body: Any) -> None:
        # Done before it is told: whoever reads the answer may send the next request at once.
        job.done.set()
        self._send(kind, job.id, **body)

    def _progress(self, job: Job) -> Progress:
        pace = Pace()
        last: tuple[str, float] = ("", 0.0)

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal last
            if job.cancelled.is_set():
                raise Cancelled
            left = pace.seconds_left(stage, done, total)
            now = time.monotonic()
            if stage == last[0] and done < total and now - last[1] < PROGRESS_INTERVAL:
                return
            last = (stage, now)
            seconds = None if left is None else round(left, 2)
            self._send(
                "progress", job.id, stage=stage, done=done, total=total, seconds_left=seconds
            )

        return progress

    def _cancel(self, id_: Any) -> None:
        job = self._job
        if job is None or job.id != id_ or job.done.is_set():
            return  # it has answered already, and that answer stands
        job.cancelled.set()
        watch = threading.Timer(self._grace, self._give_up, (job,))
        watch.daemon = True
        watch.start()

    def _give_up(self, job: Job) -> None:
        if not job.done.is_set():
            log.warning("job %d did not stop in %.1f s: ending", job.id, self._grace)
            self._send_error(job.id, UserError("Cancelled.", "", ExitCode.CANCELLED))
            self._leave(ExitCode.CANCELLED)

    def _end_job(self) -> None:
        """Stop what still runs, for nobody is there to take its result."""
        job = self._job
        if job is not None and not job.done.is_set():
            job.cancelled.set()
            if not job.done.wait(self._grace):
                self._leave(ExitCode.DONE)

    def _refuse(self, id_: int | None, message: str) -> None:
        hint = "Update the add-on and the engine to the same version."
        self._send_error(id_, UserError(message, hint, ExitCode.USAGE))

    def _send_error(self, id_: int | None, error: UserError) -> None:
        self._send("error", id_, **_body(error))

    def _send(self, kind: str, id_: int | None = None, **body: Any) -> None:
        with self._writing:
            try:
                self._events.write(event(kind, id_, **body))
                self._events.flush()
            except (OSError, ValueError):
                # Nobody reads any more: Blender is gone, perhaps killed.
                self._leave(ExitCode.DONE)


def _body(error: UserError) -> dict[str, Any]:
    return {"code": int(error.code), "message": error.message, "hint": error.hint}


def serve(weights: Path | None = None) -> int:
    """Serve on this process's stdin and stdout until stdin closes; the exit code."""
    requests, events = _take_pipes()
    if not log.isEnabledFor(logging.INFO):
        logging.getLogger().setLevel(logging.INFO)
    try:
        code = Worker(requests, events, methods(weights)).serve()
    except KeyboardInterrupt:
        code = ExitCode.CANCELLED
    # A job's thread may sit in a library's code; waiting for it could hang the end.
    sys.stderr.flush()
    os._exit(code)


def methods(weights: Path | None = None) -> dict[str, Method]:
    """What the add-on may ask for. The imports wait for the first request."""

    def animate(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        request = parse_params(AnimateParams, params)
        progress("engine", 0, 1)
        from .pipeline import animate_to_file

        return asdict(animate_to_file(request, progress, weights=weights))

    def render(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        request = parse_params(RenderParams, params)
        progress("engine", 0, 1)
        from .render import render as render_frames

        return asdict(render_frames(request, progress))

    return {"animate": animate, "render": render}


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep the protocol's pipes for ourselves; leave an empty stdin and the log to all others."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="replace", newline="\n")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, events
