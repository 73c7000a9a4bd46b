# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said in a voice, as the artist has it: plain text, or subtitles (.srt, .vtt) with times."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from .errors import UserError
from .espeak import pronounce

_MOST: Final = 4_000_000
"""bytes; a day of speech has fewer"""
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})"
_CUE = re.compile(rf"^\s*{_TIME}\s+-->\s+{_TIME}(?:\s.*)?$")
_NOT_SPOKEN = re.compile(r"<[^<>\n]*>|\{[^{}\n]*\}|\[[^\[\]]*\]")
"""marks of subtitles, and directions in square brackets"""


class Cue(NamedTuple):
    """A stretch of text."""

    words: list[tuple[str, ...]]
    """the kinds of sound of each word"""
    start: float | None = None
    """seconds from the start of the file; None: anywhere"""
    end: float | None = None


def load(path: str | os.PathLike[str], language: str) -> list[Cue]:
    """Read a transcript.

    Args:
        path: UTF-8 text; lines with ``00:00:01,000 --> 00:00:02,500`` make it subtitles
        language: as in :func:`core.espeak.pronounce`

    Returns:
        One cue for a plain text; those of subtitles in the order of their times.

    Raises:
        UserError: no text, no words in it, or no such language.

    """
    lines = _read(path).splitlines()
    timed = any(_CUE.match(line) for line in lines)
    if not timed and Path(path).suffix.lower() in (".srt", ".vtt"):
        raise UserError(f"Expected cues such as '00:00:01,000 --> 00:00:02,500' in '{path}', got none.",
                        "Save the subtitles again, or give plain text as .txt.")  # fmt: skip
    stretches = _subtitles(lines) if timed else iter([("\n".join(lines), None, None)])
    cues = [Cue(pronounce(_NOT_SPOKEN.sub(" ", text), language), start, end)
            for text, start, end in stretches]  # fmt: skip
    if not any(cue.words for cue in cues):
        raise UserError(f"Expected words in '{path}', got none.", "Write down what is said, or leave the text out.")
    return sorted((cue for cue in cues if cue.words), key=lambda cue: cue.start or 0.0)


def _read(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        raise UserError(f"There is no file '{path}'.", "Check the path of the text.") from None
    except OSError as error:
        raise UserError(f"Cannot read '{path}': {error.strerror or error}.",
                        "Check the path and its permissions.") from error  # fmt: skip
    if len(data) > _MOST:
        raise UserError(f"Expected a text of at most {_MOST // 1_000_000} MB, got more in '{path}'.",
                        "Give what is said in the voice, as plain text.")  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"Expected UTF-8 text in '{path}', got something else.",
                        "Save it as plain text in UTF-8.")  # fmt: skip
    return text


def _subtitles(lines: list[str]) -> Iterator[tuple[str, float, float]]:
    """Text, start and end of each cue: the lines from its times to the next empty line."""
    at = 0
    while at < len(lines):
        times = _CUE.match(lines[at])
        at += 1
        if times is None:
            continue
        said = []
        while at < len(lines) and lines[at].strip() and not _CUE.match(lines[at]):
            said.append(lines[at])
            at += 1
        numbers = [int(n or 0) for n in times.groups()]
        start, end = (3600 * h + 60 * m + s + ms / 1000 for h, m, s, ms in (numbers[:4], numbers[4:]))
        yield "\n".join(said), start, max(start, end)
