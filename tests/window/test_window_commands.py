# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender -b -c gmtalker ...`` in the real application: results and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Application

DONE, USAGE, BAD_INPUT, MISSING = 0, 2, 3, 4


def test_a_voice_becomes_a_keyframed_scene(application: Application) -> None:
    out = application.stage / "batch é" / "talk.blend"
    out.parent.mkdir()
    words = [
        "animate",
        str(application.stage / "voice.wav"),
        "--emotion",
        "happy=0.8",
        "-o",
        str(out),
    ]
    done = application.run("-c", "gmtalker", *words)
    assert done.returncode == DONE, done.stdout + done.stderr
    assert out.stat().st_size > 10_000
    assert str(out) in done.stdout


def test_a_scene_becomes_frames_and_a_film(application: Application) -> None:
    folder = application.stage / "film"
    folder.mkdir()
    scene, film = folder / "talk.blend", folder / "talk.mp4"
    voice = application.stage / "short.wav"
    voice.write_bytes((application.stage / "voice.wav").read_bytes()[: 44 + 32000])
    for blend, words in (
        ([], ["animate", str(voice), "-o", str(scene)]),
        ([str(scene)], ["render", "--size", "256", "--save"]),
        ([str(scene)], ["film", "-o", str(film)]),
    ):
        done = application.run(*blend, "-c", "gmtalker", *words)
        assert done.returncode == DONE, done.stdout + done.stderr
    assert film.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["animate"], USAGE),
        (["fly"], USAGE),
        (["animate", "/no/such.wav", "-o", "OUT"], BAD_INPUT),
        (["animate", "NOISE", "-o", "OUT"], BAD_INPUT),
        (["render", "-o", "OUT"], BAD_INPUT),
    ],
    ids=["no voice", "no such command", "missing voice", "not a voice", "nothing to render"],
)
def test_what_cannot_be_done_says_so(application: Application, words: list[str], code: int) -> None:
    noise, out = application.stage / "noise.wav", application.stage / "never.blend"
    noise.write_bytes(b"this is no sound" * 100)
    names = {"NOISE": str(noise), "OUT": str(out)}
    done = application.run("-c", "gmtalker", *(names.get(word, word) for word in words))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_without_an_engine(application: Application, tmp_path: Path) -> None:
    words = [
        "animate",
        str(application.stage / "voice.wav"),
        "-o",
        str(application.stage / "x.blend"),
    ]
    empty = str(application.stage / "no engine")
    done = application.run("-c", "gmtalker", *words, GMTALKER_HOME=empty)
    assert done.returncode == MISSING, done.stdout + done.stderr
    assert "set up" in done.stderr.lower()


def test_the_network_is_touched_only_with_leave(application: Application) -> None:
    empty = str(application.stage / "no engine either")
    done = application.run("--offline-mode", "-c", "gmtalker", "setup", GMTALKER_HOME=empty)
    assert done.returncode == MISSING, done.stdout + done.stderr
    assert "online access" in done.stderr.lower()
    assert not Path(empty).exists()
