# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend that is saved in another folder finds the same files."""

from __future__ import annotations

import pytest

HERE = {"voice": "//a.wav", "tracks": "//gmtalker/Face/t.npz", "frames": "//gmtalker/Face/f",
        "avatar": "//avatars/eva", "mapping_file": "//map.json", "output": "//gmtalker"}  # fmt: skip
THERE = {name: path.replace("//", "//../../") for name, path in HERE.items()} | {"output": "//gmtalker"}


@pytest.fixture
def saved(face, tmp_path):
    """The character's settings in a saved file, with paths beside it and one elsewhere."""
    import bpy

    for name, path in HERE.items():
        setattr(face.gmtalker, name, path)
    other = bpy.data.objects.new("Other", None)
    bpy.context.scene.collection.objects.link(other)
    other.gmtalker.voice, other.gmtalker.avatar = "/sounds/a.wav", "ada"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    (tmp_path / "new" / "place").mkdir(parents=True)
    return face.gmtalker


def paths(settings):
    return {name: getattr(settings, name) for name in HERE}


def test_an_unsaved_file_and_its_own_folder_change_nothing(saved, tmp_path):
    import bpy

    assert paths(saved) == HERE
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "b.blend"))
    assert paths(saved) == HERE


def test_paths_follow_to_another_folder(saved, tmp_path):
    import bpy

    target = str(tmp_path / "new" / "place" / "b.blend")
    bpy.ops.wm.save_as_mainfile(filepath=target)
    assert paths(saved) == THERE
    bpy.ops.wm.open_mainfile(filepath=target)
    assert paths(bpy.data.objects["Face"].gmtalker) == THERE
    other = bpy.data.objects["Other"].gmtalker
    assert (other.voice, other.avatar, other.output) == ("/sounds/a.wav", "ada", "//gmtalker")


def test_a_copy_has_them_and_the_opened_file_keeps_its_own(saved, tmp_path):
    import bpy

    target = str(tmp_path / "new" / "place" / "b.blend")
    bpy.ops.wm.save_as_mainfile(filepath=target, copy=True)
    assert paths(saved) == HERE
    bpy.ops.wm.open_mainfile(filepath=target)
    assert paths(bpy.data.objects["Face"].gmtalker) == THERE


def test_a_save_that_fails_leaves_them(saved, tmp_path):
    import bpy

    with pytest.raises(RuntimeError):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "none" / "b.blend"))
    assert paths(saved) == HERE
