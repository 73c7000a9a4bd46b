# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender and the engine say to each other: one JSON object a line, in ASCII.

- No ``bpy`` module use; standard library only.

Blender writes requests to the worker's stdin; the worker writes events to its stdout and logs to
its stderr. The worker speaks first, with ``ready``; when the protocol versions differ, the add-on
ends it and asks for a new set-up. When stdin closes, the worker ends. Other letters go as JSON's
escapes, so that any path gets through: on Linux one may hold bytes that are no UTF-8.

    -> {"id": 7, "method": "animate", "params": {...}}
    <- {"event": "progress", "id": 7, "stage": "expression", "done": 12, "total": 60, "seconds_left": 3.1}
    <- {"event": "result", "id": 7, "result": {...}}
    <- {"event": "error", "id": 7, "code": 3, "message": "...", "hint": "..."}
    -> {"id": 8, "method": "cancel", "params": {"id": 7}}
    -> {"id": 9, "method": "shutdown", "params": {}}

A cancelled job answers with an error of code 130. A job that does not notice its cancellation
within ``CANCEL_GRACE`` seconds ends the worker, with exit code 130. One job runs at a time; a
second one is answered with an error. A bug is an error of code 1 with ``traceback``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, TypeVar

from .errors import UserError

PROTOCOL: Final = 3
"""Goes up with every change that an older partner would not understand."""

MOST_STRENGTH: Final = 100
"""Of the dials that scale motion: far beyond any use, and far from where numbers overflow."""

CANCEL_GRACE: Final = 1.5
"""Seconds from a cancel to the worker's end, if the job has not stopped by itself."""


@dataclass(frozen=True)
class AnimateParams:
    """``animate``: a voice to ``tracks.npz``."""

    voice: str
    """path of the sound or video file"""
    output: str
    """path of the tracks to write"""
    fps: tuple[int, int] = (25, 1)
    """numerator, denominator"""
    start: float = 0.0
    """seconds of the file to skip (a strip's trim)"""
    length: float | None = None
    """seconds to take; None: to the end"""
    emotion: dict[str, float] = field(default_factory=dict)
    """constant weights by name; what is left of 1 is neutral"""
    emotion_file: str | None = None
    """a curve instead: JSON {"fps": [num, den], "names": [...], "weights": [[...], ...]} or CSV with a time column"""
    intensity: float = 1.0
    """scales all emotions but neutral, 0..1"""
    seed: int = 0
    """same seed, same face"""
    lip_strength: float = 1.0
    """scales mouth motion; 1 as predicted"""
    jaw_strength: float = 1.0
    """scales the jaw's part in it; closed lips stay closed"""
    smoothing: float = 0.0
    """seconds: deviation of a Gaussian window over the face's motion; closed lips stay closed"""
    look_ahead_ms: float = 0.0
    """milliseconds by which the mouth leads the sound, as an animator slips keys ahead"""
    head_strength: float = 1.0
    """scales head motion; 1 as predicted"""
    text: str | None = None
    """path of what is said, UTF-8: plain, or subtitles with times in the file; sharpens the lips where it agrees"""
    language: str = "en-us"
    """of the text"""


@dataclass(frozen=True)
class RenderParams:
    """``render``: tracks to photoreal frames."""

    tracks: str
    """path of ``tracks.npz``"""
    avatar: str
    """name of an avatar, or the path of its folder"""
    output: str
    """folder for ``frame_000001.png`` and on"""
    frames: tuple[int, int] | None = None
    """first and last frame, counted from 1, inclusive; None: all"""
    size: int = 256
    """pixels, 256 or 512"""
    overwrite: bool = False
    """render frames again that are there and valid"""
    seed: int = 0
    """noise of the emotion mapping network"""
    device: str = "auto"
    """where the network runs: auto, cpu, cuda or mps"""
    into: str = ""
    """folder of the render set of footage that the avatar was made from: the frames are a film's with the face in
    them, on the film's own head motion and gaze"""
    film: str = ""
    """which film of that set; its first if empty"""
    alpha: bool = False
    """frames with alpha, for compositing"""


T = TypeVar("T")


def parse_params(kind: type[T], params: dict[str, Any]) -> T:
    """Build a parameter record from a request.

    Raises:
        UserError: unknown or missing fields.

    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(params.keys() - known)
    if unknown:
        raise UserError(f"{kind.__name__} has no field {', '.join(unknown)}.",
                        "Update the add-on and the engine to the same version.")  # fmt: skip
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in params.items()})
    except TypeError as error:
        raise UserError(f"{kind.__name__} is not complete: {error}.",
                        "Update the add-on and the engine to the same version.") from error  # fmt: skip


def request(id_: int, method: str, params: Any = None) -> str:
    """One request line, newline included."""
    body = params if isinstance(params, dict) else asdict(params) if params is not None else {}
    return json.dumps({"id": id_, "method": method, "params": body}) + "\n"


def event(kind: str, id_: int | None = None, **body: Any) -> str:
    """One event line, newline included."""
    head: dict[str, Any] = {"event": kind} if id_ is None else {"event": kind, "id": id_}
    return json.dumps(head | body) + "\n"


def parse_line(line: str) -> dict[str, Any]:
    """Read one line.

    Raises:
        UserError: not a JSON object.

    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise UserError(f"Expected one JSON object a line, got '{line.strip()[:80]}'.",
                        "Nothing else may write to the worker's pipes.")  # fmt: skip
    return message
