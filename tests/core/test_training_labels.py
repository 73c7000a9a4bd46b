# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracking and alignment are started where they are missing, and only there."""

import sys

import pytest

from core.errors import ExitCode, UserError
from core.training.data import labels, synthesis


@pytest.fixture
def calls(monkeypatch):
    """Processes asked for, none of them started; each ends well."""
    asked = []
    monkeypatch.setattr(labels, "tracker_python", lambda: "tracker-python")
    monkeypatch.setattr(labels, "_run", lambda command, quiet=False: asked.append(command) or 0)
    return asked


def folders(cache):
    for folder in labels.STEPS.values():
        (cache / folder).mkdir()


def test_every_step_runs_once(tmp_path, calls):
    folders(tmp_path)
    labels.find_labels(tmp_path, tmp_path)
    steps = [c[2] for c in calls if c[1] == "-m"]
    assert steps == [f"core.training.data.{n}" for n in ("track", "align", "recognise")]
    assert all(c[3:] == ["--data", str(tmp_path), "--cache", str(tmp_path)] for c in calls if c[1] == "-m")
    calls.clear()
    labels.find_labels(tmp_path, tmp_path)
    assert calls == []


def test_a_failed_step_is_not_complete(tmp_path, calls, monkeypatch):
    folders(tmp_path)
    monkeypatch.setattr(labels, "_run", lambda command, quiet=False: 0 if quiet else 7)
    with pytest.raises(RuntimeError, match="track ended with 7"):
        labels.find_labels(tmp_path, tmp_path)
    assert not list(tmp_path.glob("*/complete"))


def test_a_missing_aligner_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "tracker_python", lambda: sys.executable)
    monkeypatch.setattr(labels, "_run", lambda command, quiet=False: 1)
    with pytest.raises(UserError) as told:
        labels.find_labels(tmp_path, tmp_path)
    assert told.value.code == ExitCode.MISSING
    assert "requirements-align.txt" in told.value.hint


def test_a_missing_tracker_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError) as told:
        labels.find_labels(tmp_path, tmp_path)
    assert told.value.code == ExitCode.MISSING
    assert "--tracker" in told.value.hint


def test_missing_synthesisers_are_named(monkeypatch):
    monkeypatch.setattr(synthesis.shutil, "which", lambda name: None)
    monkeypatch.setattr(synthesis.ctypes.util, "find_library", lambda name: None)
    for speak in (lambda: synthesis.flite("Hello.", "slt", 1.0), synthesis.Espeak):
        with pytest.raises(UserError) as told:
            speak()
        assert told.value.code == ExitCode.MISSING
        assert "flite" in told.value.hint


def test_steps_can_be_started_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert labels._run([sys.executable, "-c", "import core.training.data.align"]) == 0
    assert labels._run([sys.executable, "-c", "import no_such_module"], quiet=True) == 1
