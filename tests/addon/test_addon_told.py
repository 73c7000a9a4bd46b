# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist is told: why a button is disabled, and what of a result does not show."""

from __future__ import annotations

from pathlib import Path

import pytest


def ops():
    import bpy

    return bpy.ops.gmtalker


def reason(module, name):
    import bpy

    return getattr(module("gmtalker_addon.validation"), name)(bpy.context)


def test_every_missing_thing_is_named_in_turn(face, scene, module, voice, engine, home, tmp_path):
    import bpy

    scene.gmtalker.character = None
    assert reason(module, "generating").startswith("No character is picked.")
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    scene.gmtalker.character = face
    assert reason(module, "generating").startswith("No voice is chosen.")
    face.gmtalker.voice = str(tmp_path / "none.wav")
    assert "There is no voice file" in reason(module, "generating")
    face.gmtalker.voice = str(voice)
    face.gmtalker.parts = set()
    assert reason(module, "generating").startswith("No part is chosen.")
    face.gmtalker.parts = {"HEAD"}
    assert reason(module, "generating") == ""
    assert reason(module, "rendering").startswith("There are no face tracks yet.")
    assert reason(module, "filming").startswith("There are no frames yet.")
    face.gmtalker.voice_source = "STRIP"
    assert "Choose a sound strip" in reason(module, "generating")
    face.gmtalker.voice_strip = "gone"
    assert "no sound strip 'gone'" in reason(module, "generating")
    face.gmtalker.voice_source = "FILE"
    (home / "engine.json").unlink()
    assert reason(module, "generating") == "The engine is not set up. Press 'Set Up Engine'."
    with pytest.raises(RuntimeError, match="The engine is not set up"):
        ops().generate()
    assert reason(module, "idle").startswith("Nothing is running")


def test_a_deleted_character_is_no_character(ready, scene, module):
    import bpy

    ready.select_set(True)
    bpy.ops.object.delete()
    assert scene.gmtalker.character is not None, "our own pointer keeps it"
    assert reason(module, "generating").startswith("'Face' is deleted. Pick another")


def test_tracks_that_are_gone_are_to_be_generated_again(ready):
    with pytest.raises(RuntimeError, match="Press 'Generate' first"):
        ops().bake()
    ops().generate()
    Path(ready.gmtalker.tracks).unlink()
    with pytest.raises(RuntimeError, match=r"gone from their place\. Press 'Generate' again"):
        ops().bake()


def test_without_a_part_nothing_is_said_to_be_done(ready):
    ops().generate()
    ready.gmtalker.parts = set()
    for operator in (ops().bake, ops().clear):
        with pytest.raises(RuntimeError, match=r"No part is chosen\. Switch on"):
            operator()
        assert operator(parts={"HEAD"}) == {"FINISHED"}


def test_frames_outside_of_the_scenes_are_told(ready, scene):
    scene.frame_start, scene.frame_end = 1, 49
    ops().generate()
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'. They go from 1 to 50, the scene from 1 to 49."
    scene.frame_end = 50
    ops().bake()
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'."
    scene.frame_start = 2
    ops().bake()
    assert scene.gmtalker.status.endswith("the scene from 2 to 50.")


def test_a_head_says_where_it_is(scene):
    ops().add_head()
    assert scene.gmtalker.status.startswith("Added 'Head' at the world's origin.")


def test_what_the_artist_has_keyed_is_told(ready, scene):
    for name in ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker"):
        ready.data.shape_keys.key_blocks[name].keyframe_insert("value", frame=1)
    told = "Your own keys or drivers stay on top at jawOpen, mouthClose, mouthFunnel and 1 more."
    ops().generate()
    assert scene.gmtalker.status == f"Baked 50 frames on 'Face'. {told}"
    ops().bake()
    assert scene.gmtalker.status == f"Baked 50 frames on 'Face'. {told}"


def test_what_does_not_play_is_told(ready, scene):
    keys = ready.data.shape_keys
    ops().generate()
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'."
    keys.animation_data.nla_tracks[-1].is_solo = True  # ours: the artist looks at it alone
    ops().bake()
    assert scene.gmtalker.status == "Baked 50 frames on 'Face'."
    keys.animation_data.nla_tracks[-1].is_solo = False
    keys.key_blocks["jawOpen"].mute = keys.key_blocks["mouthPucker"].mute = True
    ops().bake()
    assert scene.gmtalker.status.endswith(" It does not show where 'jawOpen' is muted; 'mouthPucker' is muted.")
    keys.key_blocks["jawOpen"].mute = keys.key_blocks["mouthPucker"].mute = False
    theirs = keys.animation_data.nla_tracks.new()
    theirs.is_solo = True
    ops().bake()
    off = f" It does not show where the NLA of '{keys.name}' is off or has another track soloed."
    assert scene.gmtalker.status.endswith(off)
    theirs.is_solo = False
    keys.animation_data.use_nla = False
    ops().bake()
    assert scene.gmtalker.status.endswith(off)


def test_an_unknown_avatar_is_named(ready, module):
    ops().generate()
    ready.gmtalker.avatar = "nobody"
    assert reason(module, "rendering").startswith("There is no avatar 'nobody'. Choose one of: ada")
