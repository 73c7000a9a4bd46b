# SPDX-License-Identifier: GPL-3.0-or-later
"""What the voice says, on its way from a text of the .blend or the command line to the engine."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def asked(module, monkeypatch):
    """Text and language that the engine is given."""
    seen = []
    worker = module("gmtalker_addon.jobs").Worker
    submit = worker.submit

    def note(self, title, method, params):
        said = None if params.text is None else Path(params.text).read_text(encoding="utf-8")
        seen.append((said, params.language))
        return submit(self, title, method, params)

    monkeypatch.setattr(worker, "submit", note)
    return seen


def write(name, said):
    import bpy

    text = bpy.data.texts.new(name)
    text.write(said)
    return text


def test_a_text_of_the_file_reaches_the_engine(face, voice, engine, tmp_path, asked):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    bpy.ops.gmtalker.generate()
    face.gmtalker.transcript = write("Szene 1: Größe/?", "Viele Grüße,\nBob.")
    face.gmtalker.language = "de"
    bpy.ops.gmtalker.generate()
    assert asked == [(None, "en-us"), ("Viele Grüße,\nBob.", "de")]


def test_what_the_engine_warns_of_is_told(face, voice, engine, tmp_path, scene):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    face.gmtalker.transcript = write("text", "wrong")
    assert bpy.ops.gmtalker.generate() == {"FINISHED"}
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'. 'wrong' is not en-us."


def test_an_empty_text_is_refused_and_nothing_changes(face, voice, engine, tmp_path, state_of):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    face.gmtalker.transcript = write("lines", " \n")
    before = state_of(tmp_path)
    with pytest.raises(RuntimeError, match="The transcript 'lines' is empty"):
        bpy.ops.gmtalker.generate()
    assert state_of(tmp_path) == before


def test_the_command_keeps_the_text_in_the_file(face, voice, engine, tmp_path, asked, module):
    import bpy

    command = module("gmtalker_addon.commands").main
    script = tmp_path / "Drehbuch ü.srt"
    said = "1\n00:00:00,000 --> 00:00:02,000\nPapa probiert die Pilze.\n"
    script.write_text("\ufeff" + said, encoding="utf-8")
    blend = tmp_path / "a.blend"
    words = ["animate", str(voice), "--text", str(script), "--language", "de"]
    assert command([*words, "-o", str(blend)]) == 0
    assert asked == [(said, "de")]
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    settings = bpy.context.scene.gmtalker.character.gmtalker
    assert (settings.transcript.as_string(), settings.language) == (said, "de")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_the_command_refuses_what_is_no_text(scene, voice, engine, tmp_path, capsys, module, content):
    script = tmp_path / "text.txt"
    if content is not None:
        script.write_bytes(content)
    command = module("gmtalker_addon.commands").main
    blend = tmp_path / "a.blend"
    assert command(["animate", str(voice), "--text", str(script), "-o", str(blend)]) == 3
    assert "Cannot read the text" in capsys.readouterr().err
    assert not blend.exists()
