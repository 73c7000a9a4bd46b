# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts, subtitles, and how they sound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ExitCode, UserError
from core.espeak import languages, pronounce
from core.transcript import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("language", "text", "kinds"), [
    ("en-us", "Bob's brown pump.", [
        ("B", "AA", "B", "Z"), ("B", "R", "AA", "UH", "N"), ("P", "AH", "M", "P")]),
    ("de", "Papa fährt Bus.", [("P", "AA", "P", "AA"), ("F", "EH", "D", "T"), ("B", "UH", "S")]),
    ("fr", "Petit bateau, mon pont!", [
        ("P", "AX", "T", "IY"), ("B", "AA", "T", "AO"), ("M", "AO"), ("P", "AO")]),
    ("ru", "Мама", [("M", "AA", "M", "AA")]),
], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_how_a_text_sounds(language: str, text: str, kinds: list[tuple[str, ...]]) -> None:
    assert pronounce(text, language) == kinds


def test_languages_are_told_in_any_spelling() -> None:
    assert {"en-us", "en-gb", "de", "fr", "cmn", "es-419"} <= languages().keys()
    assert pronounce("hop", "EN_us") == pronounce("hop", "en-us") != pronounce("hop", "en-gb")


def test_a_language_leaves_the_next_text_alone() -> None:
    first = pronounce("table", "en-us")
    assert pronounce("table", "fr") != first
    assert pronounce("table", "en-us") == first


@pytest.mark.parametrize("language", ["", "klingonisch", "en-xx", "en-us\0", "../en"])
def test_an_unknown_language_is_refused(language: str) -> None:
    with pytest.raises(UserError, match="Expected a language") as refused:
        pronounce("hello", language)
    assert refused.value.code == ExitCode.BAD_INPUT
    assert "en-us" in refused.value.hint


def test_the_library_waits_for_a_text() -> None:
    code = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "import core.pipeline, core.espeak\n"
        "try: core.espeak.pronounce('a', 'en')\n"
        "except core.errors.UserError as error: sys.exit(int(error.code))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == ExitCode.MISSING, done.stderr


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_a_plain_text_is_one_stretch(tmp_path: Path) -> None:
    path = write(tmp_path, "Text ü.txt", "\ufeffBob's brown\r\n\r\n[sighs] pump.")
    [cue] = load(path, "en-us")
    assert cue == (pronounce("Bob's brown pump.", "en-us"), None, None)


SRT = """1
00:00:01,500 --> 00:00:02,250
<i>Bob's</i> brown

2
01:00:04,000 --> 01:00:05,000
{\\an8}pump

3
01:00:06,000 --> 01:00:07,000
[music]
"""
VTT = """WEBVTT

NOTE not spoken

01:00:04.000 --> 01:00:05.000 align:start position:10%
pump

00:01.500 --> 00:02.250
<v Ann>Bob's
brown
"""


@pytest.mark.parametrize(("name", "text"), [("a.srt", SRT), ("b.vtt", VTT), ("c.txt", SRT)])
def test_subtitles_have_times(tmp_path: Path, name: str, text: str) -> None:
    cues = load(write(tmp_path, name, text), "en-us")
    assert cues == [
        (pronounce("Bob's brown", "en-us"), 1.5, 2.25),
        (pronounce("pump", "en-us"), 3604.0, 3605.0),
    ]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("empty.txt", b"", "Expected words"),
    ("blank.txt", b" \n\t\n", "Expected words"),
    ("signs.txt", "… — ♪ [music]".encode(), "Expected words"),
    ("latin.txt", "Grüße".encode("latin-1"), "Expected UTF-8"),
    ("wide.txt", "hello".encode("utf-16"), "Expected UTF-8"),
    ("zeros.txt", bytes(100), "Expected UTF-8"),
    ("plain.srt", b"hello there", "Expected cues"),
    ("hours.srt", b"9" * 5000 + b":00:00,000 --> 00:00:02,000\nhello", "Expected cues"),
    ("huge.txt", b"a " * 3_000_000, "at most 4 MB"),
    ("none.txt", None, "There is no file"),
    ("", None, "Cannot read"),
], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_what_is_no_transcript_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as refused:
        load(tmp_path / name, "en-us")
    assert refused.value.code == ExitCode.BAD_INPUT
