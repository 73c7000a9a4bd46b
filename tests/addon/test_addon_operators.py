# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate, Render Frames and the rest, as buttons and scripts call them; the engine is a fake."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest


def ops():
    import bpy

    return bpy.ops.gmtalker


def to_its_end(session):
    """What the timer of a button does."""
    while session.poll() is None:
        time.sleep(0.01)


def test_generate_bakes_what_the_engine_made(ready, scene, module):
    ready.gmtalker.frame_start, ready.gmtalker.seed = 11, 3
    assert ops().generate() == {"FINISHED"}
    tracks = module("core.tracks").FaceTracks.load(ready.gmtalker.tracks)
    assert len(tracks) == 50
    scene.frame_set(20)
    jaw = tracks.expression[9, tracks.expression_names.index("jawOpen")]
    assert ready.data.shape_keys.key_blocks["jawOpen"].value == pytest.approx(jaw, abs=1e-5)
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'."
    compat = module("gmtalker_addon.blender_compat")
    [sound] = compat.all_strips(scene)
    assert compat.strip_span(sound) == (11, 61)
    assert list(Path(ready.gmtalker.output).rglob("*.part")) == []


def test_emotion_curves_reach_the_engine(ready, scene, module):
    ops().key_emotion(emotion="NEUTRAL", frame=1)
    ops().key_emotion(emotion="HAPPY", frame=26)
    ops().generate()
    emotion = module("core.tracks").FaceTracks.load(ready.gmtalker.tracks).emotion
    assert emotion[0, 5] == 0
    assert emotion[25, 5] == pytest.approx(1)
    assert 0.4 < emotion[12, 5] < 0.6


def test_a_second_run_changes_neither_names_nor_number(ready, scene, module, state_of, tmp_path):
    ops().generate()
    def shape(state):
        return [t[:2] for t in state[1]], [a[0] for a in state[2]], state[0]
    before = shape(state_of(tmp_path))
    ready.gmtalker.seed = 1
    ops().generate()
    assert shape(state_of(tmp_path)) == before


def test_a_strip_is_taken_as_it_is_trimmed(ready, scene, voice, module):
    import bpy

    compat = module("gmtalker_addon.blender_compat")
    strip = compat.strips(scene).new_sound("v", str(voice), 1, 101)
    if hasattr(strip, "left_handle_offset"):
        strip.left_handle_offset, strip.right_handle_offset = 10, 15
    else:
        strip.frame_offset_start, strip.frame_offset_end = 10, 15
    ready.gmtalker.voice_source, ready.gmtalker.voice_strip = "STRIP", "v"
    ops().generate()
    tracks = module("core.tracks").FaceTracks.load(ready.gmtalker.tracks)
    assert len(tracks) == 25
    assert tracks.start == pytest.approx(0.4)
    strips = module("gmtalker_addon.baking").find_strip(ready.data.shape_keys, "SPEECH")
    assert (strips.frame_start, strips.frame_end) == (111, 135)
    assert len(bpy.data.sounds) == 1, "no second sound beside the strip"


def test_a_packed_sound_is_used(ready, scene, voice, module):
    compat = module("gmtalker_addon.blender_compat")
    strip = compat.strips(scene).new_sound("v", str(voice), 1, 1)
    strip.sound.pack()
    voice.unlink()
    ready.gmtalker.voice_source, ready.gmtalker.voice_strip = "STRIP", "v"
    assert ops().generate() == {"FINISHED"}


def test_an_unsaved_file_writes_to_the_users_folder(ready, home):
    ready.gmtalker.output = "//gmtalker"
    ops().generate()
    [made] = (home / "files" / "Face").glob("tracks-*.npz")
    assert Path(ready.gmtalker.tracks) == made


def test_a_saved_file_has_its_tracks_beside_it(ready, tmp_path):
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "ä b.blend"))
    face = bpy.data.objects["Face"]
    face.gmtalker.output = "//gmtalker"
    ops().generate()
    [made] = (tmp_path / "gmtalker" / "Face").glob("tracks-*.npz")
    assert face.gmtalker.tracks == f"//gmtalker/Face/{made.name}"


@pytest.mark.parametrize("operator", ["generate", "render_frames"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("killed", "killed by signal 9"),
        ("bad voice", "no sound file"),
        ("disk full", "No space left on the disk. Free some space."),
        ("bug", "met a bug"),
        ("broken", "does not start"),
    ],
)
def test_a_failed_job_leaves_all_as_it_was(ready, engine, scene, module, state_of, tmp_path, operator, how, says):
    if operator == "render_frames":
        ops().generate()
        module("gmtalker_addon.session").session.close_worker()
    engine(how)
    before = state_of(tmp_path)
    with pytest.raises(RuntimeError, match=says):
        getattr(ops(), operator)()
    assert state_of(tmp_path) == before
    assert says.split(".")[0] in scene.gmtalker.status, "the message stays in the panel"
    assert not module("gmtalker_addon.session").session.busy
    engine("well")
    module("gmtalker_addon.session").session.close_worker()  # it was told how to behave at its start
    assert getattr(ops(), operator)() == {"FINISHED"}, "and the next run works"


def test_a_cancelled_job_leaves_all_as_it_was(ready, engine, scene, module, state_of, tmp_path):
    engine("slow")
    before = state_of(tmp_path)
    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")
    import bpy

    session.start(tasks.Generate(bpy.context, ready))
    assert session.busy
    assert ops().cancel() == {"FINISHED"}
    with pytest.raises(module("core.errors").Cancelled):
        to_its_end(session)
    assert state_of(tmp_path) == before
    assert scene.gmtalker.status == "Generate: cancelled, nothing was changed."
    ops().dismiss()
    assert scene.gmtalker.status == ""


def test_two_runs_at_once_are_refused(ready, engine, module):
    import bpy

    engine("slow")
    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")
    session.start(tasks.Generate(bpy.context, ready))
    for operator in (ops().generate, ops().setup):
        with pytest.raises(RuntimeError, match=r"'Generate' is still running\. Wait for its end, or cancel"):
            operator()
    with pytest.raises(module("core.errors").UserError, match="still running"):
        session.start(tasks.Generate(bpy.context, ready))
    assert session.busy


def test_a_character_deleted_during_the_job(ready, engine, module):
    import bpy

    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")
    session.start(tasks.Generate(bpy.context, ready))
    bpy.data.objects.remove(ready)
    with pytest.raises(module("core.errors").UserError, match="The character 'Face' is gone"):
        to_its_end(session)
    assert not bpy.data.actions


def test_a_folder_without_permission_is_found_before_the_work(ready, state_of, tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()
    ready.gmtalker.output = str(locked / "deeper")
    allowed = os.access
    # Root may write anywhere, so the refusal is pretended.
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != locked and allowed(p, mode))
    before = state_of(tmp_path)
    with pytest.raises(RuntimeError, match=r"Cannot write to .*deeper.* \(no permission\)"):
        ops().generate()
    assert state_of(tmp_path) == before


def test_a_disk_that_fills_at_the_end_leaves_all_as_it_was(ready, state_of, tmp_path, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    before = state_of(tmp_path)
    with pytest.raises(RuntimeError, match="No space left on device"):
        ops().generate()
    assert state_of(tmp_path) == before
    assert not Path(ready.gmtalker.output).exists()


def test_an_output_that_is_a_file_is_refused(ready, tmp_path):
    ready.gmtalker.output = str(tmp_path / "file")
    Path(ready.gmtalker.output).write_text("x")
    with pytest.raises(RuntimeError, match="not a folder"):
        ops().generate()


# --- setting up -------------------------------------------------------------------------------


def test_setting_up_asks_for_online_access(scene, module, monkeypatch):
    import bpy

    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Online access is needed to download the engine"):
        ops().setup()


def test_a_set_up_runs_the_installer_and_tells_its_last_word(scene, module, home, monkeypatch):
    finder = module("gmtalker_addon.engine")
    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")
    monkeypatch.setattr(finder, "setup_command", lambda words: [shutil.which("sh"), "-c",
        "echo 'Downloading: 1 of 3'; echo 'Error: The disk is full. Free some space.' >&2; exit 5"])  # fmt: skip
    with pytest.raises(module("core.errors").UserError, match=r"^The disk is full\. Free some space\.$") as caught:
        session.run(tasks.SetUpEngine())
    assert caught.value.code == 5


def test_a_set_up_that_is_cancelled_ends_its_children(scene, module, home, monkeypatch, tmp_path):
    finder = module("gmtalker_addon.engine")
    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")
    monkeypatch.setattr(finder, "setup_command",
                        lambda words: [shutil.which("sh"), "-c", "echo begun; sleep 60 & wait"])  # fmt: skip
    session.start(tasks.SetUpEngine())
    process = session.job.child.process
    while "Begun" not in str(session.job.progress):
        session.poll()
    session.cancel()
    with pytest.raises(module("core.errors").Cancelled):
        to_its_end(session)
    assert process.poll() is not None


def test_the_installer_understands_the_set_up_command(module):
    import subprocess

    finder = module("gmtalker_addon.engine")
    command = [*finder.setup_command(["--engine", "cpu"]), "--help"]
    done = subprocess.run(command, cwd=finder.ROOT, env=finder.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--engine" in done.stdout


# --- with the real engine ----------------------------------------------------------------------


def test_a_real_voice_through_the_real_engine(ready, scene, module, monkeypatch):
    """Needs an engine that is set up: GMTALKER_HOME (or the user's own) as the session began."""
    finder = module("gmtalker_addon.engine")
    monkeypatch.delenv("GMTALKER_HOME")
    if REAL_HOME:
        monkeypatch.setenv("GMTALKER_HOME", REAL_HOME)
    try:
        finder.find_python()
    except module("core.errors").UserError:
        pytest.skip("no engine is set up")
    sample = finder.ROOT / "demo" / "voice.wav"
    ready.gmtalker.voice = str(sample)
    assert ops().generate() == {"FINISHED"}
    tracks = module("core.tracks").FaceTracks.load(ready.gmtalker.tracks)
    jaw = tracks.expression[:, tracks.expression_names.index("jawOpen")]
    assert np.ptp(jaw) > 0.1, "the mouth speaks"
    frame = int(jaw.argmax())
    scene.frame_set(1 + frame)
    value = ready.data.shape_keys.key_blocks["jawOpen"].value
    assert value == pytest.approx(min(1.0, float(jaw[frame])), abs=1e-4)


REAL_HOME = os.environ.get("GMTALKER_HOME", "")
