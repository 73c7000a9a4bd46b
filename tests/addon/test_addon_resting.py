# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist has set but not keyed: motion is added to a delta transform, and Clear gives all back."""

from __future__ import annotations

import numpy as np
import pytest

HEAD = "Schädel"
DELTA = (0.5, -1.25, 2.0)
TURN = (0.3, -0.2, 0.7)


@pytest.fixture
def posed(face, armature):
    """Shape keys, delta transform and a bone of its armature as an artist left them, without a key."""
    rig = armature(HEAD)
    rig.pose.bones[HEAD].rotation_quaternion = (0.8, 0.6, 0, 0)
    rig.pose.bones[HEAD].location = (0.1, 0.2, 0.3)
    blocks = face.data.shape_keys.key_blocks
    blocks["mouthSmileLeft"].value, blocks["eyeBlinkLeft"].value = 0.3, 0.1
    face.delta_location, face.delta_rotation_euler = DELTA, TURN
    return face


@pytest.fixture
def clear(module):
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    return lambda obj, parts=baking.PARTS: baking.clear(character.resolve(obj), parts)


@pytest.fixture
def bake_anew(module, make_tracks):
    """Bake once the ``scene`` that the tests began with is gone."""
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    return lambda obj: baking.bake(make_tracks(20, seed=1), character.resolve(obj), 25, 1)


def state(obj):
    """Every value that a bake could change, after the scene was evaluated."""
    import bpy

    scene, bone = bpy.context.scene, bpy.data.objects["Rig"].pose.bones[HEAD]
    scene.frame_set(scene.frame_current)
    return (
        {block.name: block.value for block in obj.data.shape_keys.key_blocks},
        tuple(obj.delta_location), tuple(obj.delta_rotation_euler), tuple(obj.delta_rotation_quaternion),
        tuple(bone.rotation_quaternion), tuple(bone.location),
    )  # fmt: skip


# --- Clear -------------------------------------------------------------------------------------


def test_clear_gives_back_what_was_before_the_first_bake(posed, scene, make_tracks, bake, clear):
    import bpy

    before = state(posed)
    bake(posed, make_tracks(20))
    scene.frame_set(7)
    assert state(posed) != before
    for seed in (1, 2):
        bake(posed, make_tracks(20, seed=seed), first=1 + 40 * seed)
        scene.frame_set(7 + 40 * seed)
    clear(posed)
    assert state(posed) == before
    assert not bpy.data.actions


def test_clear_gives_it_back_in_another_session(
    posed, scene, make_tracks, bake, bake_anew, clear, tmp_path
):
    import bpy

    before = state(posed)
    bake(posed, make_tracks(20))
    scene.frame_set(7)
    path = str(tmp_path / "Gespräch.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    loaded = bpy.data.objects["Face"]
    bake_anew(loaded)
    bpy.context.scene.frame_set(9)
    clear(loaded)
    assert state(loaded) == before


def test_clear_gives_it_back_after_other_mappings(posed, scene, make_tracks, bake, clear, remap):
    before = state(posed)
    bake(posed, make_tracks(20))
    scene.frame_set(7)
    remap(posed, ["jawOpen"], head=((HEAD, 1.0),))
    bake(posed, make_tracks(20))
    scene.frame_set(8)
    shapes, *delta = state(posed)
    assert shapes["mouthSmileLeft"] == before[0]["mouthSmileLeft"], "the new mapping leaves it alone"
    assert tuple(delta[:3]) == before[1:4]
    remap(posed)
    bake(posed, make_tracks(20))
    scene.frame_set(9)
    assert state(posed)[4:] == before[4:]
    clear(posed)
    assert state(posed) == before


def test_clear_leaves_what_the_artist_set_since_a_mapping_let_it_go(
    posed, scene, make_tracks, bake, clear, remap
):
    bake(posed, make_tracks(20))
    remap(posed, ["jawOpen"])
    bake(posed, make_tracks(20))
    block = posed.data.shape_keys.key_blocks["mouthSmileLeft"]
    block.value = 0.75
    scene.frame_set(9)
    assert block.value == 0.75
    bake(posed, make_tracks(20))
    clear(posed)
    assert block.value == 0.75


def test_parts_cleared_one_by_one_give_all_back(posed, scene, make_tracks, bake, clear, module):
    before = state(posed)
    bake(posed, make_tracks(20), parts={"EMOTION", "BLINK"})
    scene.frame_set(7)
    bake(posed, make_tracks(20))
    for frame, part in enumerate(module("gmtalker_addon.baking").PARTS):
        scene.frame_set(frame + 3)
        clear(posed, {part})
    assert state(posed) == before


def test_undo_of_clear_and_of_the_bake(posed, scene, make_tracks, bake, bake_anew, clear):
    import bpy

    before = state(posed)
    bpy.ops.ed.undo_push(message="posed")
    bake(posed, make_tracks(20))
    scene.frame_set(7)
    bpy.ops.ed.undo_push(message="baked")
    clear(posed)
    bpy.ops.ed.undo_push(message="cleared")
    bpy.ops.ed.undo()
    face = bpy.data.objects["Face"]
    assert bpy.data.actions
    bake_anew(face)
    bpy.context.scene.frame_set(9)
    clear(face)
    assert state(face) == before
    bpy.ops.ed.undo_push(message="cleared again")
    for _ in range(2):
        bpy.ops.ed.undo()
    face = bpy.data.objects["Face"]
    assert not bpy.data.actions
    assert state(face) == before


def test_bakes_of_older_versions_come_to_rest_at_the_defaults(
    face, scene, make_tracks, bake, clear, module
):
    import bpy

    bake(face, make_tracks(20))
    for action in bpy.data.actions:
        action.pop(module("gmtalker_addon.resting").BEFORE, None)
    scene.frame_set(7)
    bake(face, make_tracks(20))
    scene.frame_set(8)
    clear(face)
    scene.frame_set(9)
    assert not any(block.value for block in face.data.shape_keys.key_blocks)
    assert face.matrix_world.is_identity


def test_a_long_name_is_given_back_too(posed, scene, make_tracks, bake, clear, module, tmp_path):
    block = posed.data.shape_keys.key_blocks["mouthSmileLeft"]
    block.name = 'a "' + "ü" * 28
    mapping, path = module("gmtalker_addon.mapping"), tmp_path / "long.json"
    mapping.save(mapping.RigMapping(shapes={"jawOpen": ((block.name, 1.0),)}), path)
    posed.gmtalker.mapping, posed.gmtalker.mapping_file = "CUSTOM", str(path)
    before = block.value
    bake(posed, make_tracks(20))
    scene.frame_set(7)
    assert block.value != before
    clear(posed)
    assert block.value == before


# --- delta transforms --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "QUATERNION"])
def test_the_head_moves_about_where_it_was(posed, scene, make_tracks, bake, mode):
    from mathutils import Euler, Matrix, Vector

    posed.rotation_mode = mode
    posed.location, posed.scale, posed.delta_scale = (3, 2, 1), (2, 2, 2), (0.5, 0.5, 0.5)
    posed.rotation_euler = Euler((0.1, 0.2, 1.0), "XYZ" if mode == "QUATERNION" else mode)
    posed.rotation_quaternion = posed.rotation_euler.to_quaternion()
    posed.delta_rotation_quaternion = Euler(TURN).to_quaternion()
    scene.frame_set(1)
    placed = posed.matrix_world.copy()
    tracks = make_tracks(20)
    for _ in range(3):
        bake(posed, tracks)
        for frame in (1, 7, 20):
            scene.frame_set(frame)
            x, y, z = tracks.head_rotation[frame - 1]
            vector = Vector((x, -z, y))
            x, y, z = tracks.head_translation[frame - 1]
            motion = Matrix.Translation((x, -z, y)) @ Matrix.Rotation(vector.length, 4, vector)
            np.testing.assert_allclose(posed.matrix_world, placed @ motion, atol=1e-5)


@pytest.mark.parametrize("pushed", [False, True], ids=["action", "NLA"])
def test_what_the_artist_animates_is_not_added_twice(posed, scene, make_tracks, bake, push_down, pushed):
    posed.delta_rotation_euler = (0, 0, 0)  # the motion would turn with it
    for frame in (1, 20):
        posed.keyframe_insert("delta_location", index=2, frame=frame)
    if pushed:
        push_down(posed)
    tracks = make_tracks(20)
    for _ in range(2):
        bake(posed, tracks, parts={"HEAD"})
        scene.frame_set(7)
        moved = np.array(posed.delta_location) - DELTA
        x, y, z = tracks.head_translation[6]
        np.testing.assert_allclose(moved, (x, -z, y if pushed else 0), atol=1e-5)


def test_a_take_of_another_mapping_leaves_the_head_where_it_was(
    posed, scene, make_tracks, bake, remap
):
    bake(posed, make_tracks(20), parts={"HEAD"})
    bake(posed, make_tracks(20, seed=1), first=101, parts={"HEAD"})
    remap(posed, head=((HEAD, 1.0),))
    bake(posed, make_tracks(20), parts={"HEAD"})
    for frame, rests in ((1, True), (10, True), (20, True), (110, False)):
        scene.frame_set(frame)
        found = np.allclose([posed.delta_location, posed.delta_rotation_euler], [DELTA, TURN], atol=1e-5)
        assert found is rests, frame
