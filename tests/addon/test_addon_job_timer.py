# SPDX-License-Identifier: GPL-3.0-or-later
"""The timer that brings a job's result into the scene, called by hand: it does not fire without a window."""

from __future__ import annotations

import sys
import time

import pytest


@pytest.fixture
def watch(module, monkeypatch):
    """``watch()`` calls the timer to the job's end and returns the errors that popped up."""
    base, errors = module("gmtalker_addon.operators.base"), []
    # Blender has no icons without a window, and crashes on a pop-up.
    monkeypatch.setattr(base, "_pop_up", lambda context, title, text: errors.append((title, text)))

    def to_the_end():
        while base.watch() is not None:
            time.sleep(0.01)
        return errors

    return to_the_end


@pytest.fixture
def start(face, voice, engine, tmp_path, module):
    """``start("Generate")`` begins a task of the face, as a click on its button does."""
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    session, tasks = module("gmtalker_addon.session").session, module("gmtalker_addon.tasks")

    def begin(name="Generate"):
        session.start(getattr(tasks, name)(bpy.context, bpy.data.objects["Face"]))
        return session

    return begin


def step(name):
    """What an operator of the artist's leaves in the history."""
    import bpy

    bpy.ops.ed.undo_push(message=name)


def undo():
    import bpy

    bpy.ops.ed.undo()


def add_cube():
    import bmesh
    import bpy

    mesh = bpy.data.meshes.new("Cube")
    cube = bmesh.new()
    bmesh.ops.create_cube(cube)
    cube.to_mesh(mesh)
    obj = bpy.data.objects.new("Cube", mesh)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj


def test_a_result_is_one_undo_step_and_leaves_what_the_artist_did_meanwhile(start, watch):
    import bpy

    step("before")
    start()
    add_cube()
    step("Add Cube")
    assert watch() == []
    face = bpy.data.objects["Face"]
    assert face.gmtalker.tracks
    assert face.data.shape_keys.animation_data.nla_tracks
    undo()
    face = bpy.data.objects["Face"]
    assert not face.gmtalker.tracks
    assert not bpy.data.actions
    assert "Cube" in bpy.data.objects
    undo()
    assert "Cube" not in bpy.data.objects
    assert "Face" in bpy.data.objects


def test_an_undo_amid_a_job_does_not_harm_it(start, watch, module):
    import bpy

    step("before")
    add_cube()
    step("Add Cube")
    start()
    undo()
    assert watch() == []
    face = bpy.data.objects["Face"]
    assert "Cube" not in bpy.data.objects
    assert face.data.shape_keys.animation_data.nla_tracks
    undo()
    assert not bpy.data.actions
    assert not bpy.data.objects["Face"].gmtalker.tracks


def test_another_name_amid_a_job_does_not_harm_it(start, watch, scene):
    import bpy

    start()
    bpy.data.objects["Face"].name, scene.name = "Hero", "Shot"
    assert watch() == []
    assert bpy.data.objects["Hero"].data.shape_keys.animation_data.nla_tracks


def test_a_character_deleted_amid_a_job_is_missed(start, watch, scene):
    import bpy

    start()
    bpy.data.objects.remove(bpy.data.objects["Face"])
    assert watch() == [("Generate", "The character 'Face' is gone. Undo its deletion, and run it again.")]


def test_a_character_deleted_in_the_view_is_missed_too(start, watch, face):
    import bpy

    start()
    face.select_set(True)
    bpy.ops.object.delete()
    assert watch() == [("Generate", "The character 'Face' is gone. Undo its deletion, and run it again.")]


def test_a_script_may_ask_for_an_undo_step(face, voice, engine, tmp_path):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), str(tmp_path / "out")
    step("before")
    assert bpy.ops.gmtalker.generate("EXEC_DEFAULT", True) == {"FINISHED"}
    assert bpy.data.actions
    step("after")
    undo()
    undo()
    assert not bpy.data.actions
    assert "Face" in bpy.data.objects


def test_a_result_is_one_undo_step_in_edit_mode_too(start, watch, module, scene):
    """Frames whose data-blocks are there already: the mesh alone would be in the step."""
    import bmesh
    import bpy

    compat = module("gmtalker_addon.blender_compat")
    for name in ("Generate", "RenderFrames"):
        start(name)
        assert watch() == []
    images = [s.name for s in compat.all_strips(scene) if s.type == "IMAGE"]
    assert images
    for strip in [s for s in compat.all_strips(scene) if s.type == "IMAGE"]:
        compat.siblings(scene, strip).remove(strip)
    add_cube()
    step("before")
    start("RenderFrames")
    bpy.ops.object.mode_set(mode="EDIT")
    step("Edit Mode")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    step("Subdivide")

    def state():
        kinds = [s.type for s in compat.all_strips(bpy.context.scene)]
        return len(bmesh.from_edit_mesh(bpy.context.object.data).verts), kinds.count("IMAGE")

    assert watch() == []
    assert state() == (26, len(images))
    undo()
    assert state() == (26, 0)
    undo()
    assert state() == (8, 0)


def test_an_error_pops_up_and_stays_in_the_panel_without_an_undo_step(start, watch, engine, scene):
    import bpy

    step("before")
    add_cube()
    step("Add Cube")
    engine("bad voice")
    session = start()
    said = "This is no sound file. Choose another."
    assert watch() == [("Generate", said)]
    assert (scene.gmtalker.status, session.failed) == (said, True)
    undo()
    assert "Cube" not in bpy.data.objects


def test_a_bug_pops_up_too(start, watch, monkeypatch, module):
    """Blender prints the traceback, and forgets the timer."""
    def broken(*_):
        raise KeyError("x")

    monkeypatch.setattr(module("gmtalker_addon.tasks").Generate, "finish", broken)
    session = start()
    with pytest.raises(KeyError):
        watch()
    assert watch() == [("Generate", "Generate: a bug (KeyError); see Blender's log.")]
    assert not session.busy


def test_a_cancelled_job_pops_up_nothing(start, watch, engine):
    engine("slow")
    session = start()
    session.cancel()
    assert watch() == []
    assert session.message == "Generate: cancelled, nothing was changed."


def test_a_result_waits_for_the_end_of_a_stroke(start, watch, module, monkeypatch):
    import bpy

    base = module("gmtalker_addon.operators.base")
    session = start()
    with monkeypatch.context() as patch:
        patch.setattr(base, "_hands_full", lambda context: True)
        for _ in range(100):
            assert base.watch() == base.TICK
            time.sleep(0.01)
    assert not bpy.data.actions
    assert session.busy
    assert watch() == []
    assert bpy.data.actions


def test_setting_up_leaves_no_undo_step(scene, module, watch, home, engine, monkeypatch):
    import bpy

    monkeypatch.setattr(module("gmtalker_addon.engine"), "setup_command",
                        lambda words: [sys.executable, "-c", "print('ready')"])  # fmt: skip
    step("before")
    add_cube()
    step("Add Cube")
    module("gmtalker_addon.session").session.start(module("gmtalker_addon.tasks").SetUpEngine())
    assert watch() == []
    undo()
    assert "Cube" not in bpy.data.objects


def test_another_file_gives_the_job_up(start, watch, engine, module, tmp_path, until_progress):
    import bpy

    engine("deaf")
    session = start()
    until_progress(session.job)
    child = session.job.worker.child
    with pytest.raises(RuntimeError):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "none.blend"))
    assert session.busy, "the file at hand is still there"
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not session.busy
    assert not child.alive
    assert watch() == []


def test_another_file_shows_no_message_of_the_last(face, module, tmp_path):
    import bpy

    module("gmtalker_addon.session").session.say("Baked 50 frames on 'Face'.")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert bpy.context.scene.gmtalker.status == ""


def test_an_add_on_that_is_disabled_leaves_no_timer_and_no_handler(start, engine, module, until_progress):
    import bpy

    engine("deaf")
    base, registration = module("gmtalker_addon.operators.base"), module("gmtalker_addon.registration")
    session = start()
    until_progress(session.job)
    child = session.job.worker.child
    bpy.app.timers.register(base.watch, persistent=True)
    registration.unregister()
    try:
        assert not session.busy
        assert not child.alive
        assert not bpy.app.timers.is_registered(base.watch)
        assert base.abandon not in bpy.app.handlers.load_post
    finally:
        registration.register()
