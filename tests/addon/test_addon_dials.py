# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's dials on their way from properties and the command line to the engine."""

from __future__ import annotations

import pytest

DIALS = {"lip_strength": 1.2, "jaw_strength": 0.7, "smoothing": 0.04, "look_ahead": 60.0}


@pytest.fixture
def asked(module, monkeypatch):
    """What the engine is asked for."""
    seen = []
    worker = module("gmtalker_addon.jobs").Worker
    submit = worker.submit

    def note(self, title, method, params):
        seen.append(params)
        return submit(self, title, method, params)

    monkeypatch.setattr(worker, "submit", note)
    return seen


def sent(params):
    return (params.lip_strength, params.jaw_strength, params.smoothing, params.look_ahead_ms)


def test_properties_reach_the_engine(face, voice, engine, tmp_path, asked):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    bpy.ops.gmtalker.generate()
    for name, value in DIALS.items():
        setattr(face.gmtalker, name, value)
    bpy.ops.gmtalker.generate()
    assert sent(asked[0]) == (1, 1, 0, 0)
    assert sent(asked[1]) == pytest.approx(tuple(DIALS.values()))


def test_the_command_sets_them_and_keeps_them(face, voice, engine, tmp_path, asked, module):
    import bpy

    command = module("gmtalker_addon.commands").main
    words = [w for n, v in DIALS.items() for w in (f"--{n.replace('_', '-')}", str(v))]
    blend = str(tmp_path / "a.blend")
    assert command(["animate", str(voice), *words, "--intensity", "0.5", "-o", blend]) == 0
    assert sent(asked[0]) == pytest.approx(tuple(DIALS.values()))
    bpy.ops.wm.open_mainfile(filepath=blend)
    settings = bpy.context.scene.gmtalker.character.gmtalker
    assert settings.intensity == 0.5
    for name, value in DIALS.items():
        assert getattr(settings, name) == pytest.approx(value)


@pytest.mark.parametrize("words", [
    ("--intensity", "1.5"), ("--jaw-strength", "-1"), ("--smoothing", "nan"), ("--look-ahead", "900"),
], ids=" ".join)  # fmt: skip
def test_a_dial_out_of_its_range_is_refused(scene, voice, engine, tmp_path, capsys, module, words):
    command = module("gmtalker_addon.commands").main
    assert command(["animate", str(voice), *words, "-o", str(tmp_path / "a.blend")]) == 2
    assert f"Expected {words[0]} from 0" in capsys.readouterr().err
    assert not (tmp_path / "a.blend").exists()
