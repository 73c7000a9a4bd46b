# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake over an older one replaces, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest

HEAD, EYE = "Schädel", "Auge L"


@pytest.fixture
def rig(armature):
    return armature(HEAD, EYE)


@pytest.fixture
def curve(module):
    """An F-curve of a strip by the end of its data path."""
    compat = module("gmtalker_addon.blender_compat")

    def find(strip, path, index=0):
        curves = compat.assigned_curves(strip)
        return next(c for c in curves if c.data_path.endswith(path) and c.array_index == index)

    return find


def still(obj):
    import bpy

    bpy.context.view_layer.update()
    return np.allclose(obj.delta_rotation_euler, 0) and np.allclose(obj.delta_location, 0)


def frames_of(curve):
    return [key.co[0] for key in curve.keyframe_points]


# --- another mapping ---------------------------------------------------------------------------


def test_a_head_that_moves_to_a_bone_leaves_the_mesh(
    face, rig, scene, make_tracks, bake, strips, remap
):
    tracks = make_tracks(20)
    bake(face, tracks)
    remap(face, head=((HEAD, 1.0),))
    bake(face, tracks)
    assert ("HEAD", "Object") in strips(face)
    assert not face.animation_data.nla_tracks
    assert len(rig.animation_data.nla_tracks) == 1
    scene.frame_set(7)
    assert still(face)
    assert rig.pose.bones[HEAD].matrix_basis.to_quaternion().angle > 0.05


def test_eye_bones_of_an_older_mapping_come_to_rest(
    face, rig, scene, make_tracks, bake, strips, remap
):
    remap(face, eyes={"left": (EYE,)})
    bake(face, make_tracks(20))
    scene.frame_set(7)
    assert rig.pose.bones[EYE].matrix_basis.to_quaternion().angle > 0.05
    remap(face)
    bake(face, make_tracks(20))
    assert not rig.animation_data.nla_tracks
    assert ("GAZE", "Key") in strips(face)
    scene.frame_set(8)
    assert rig.pose.bones[EYE].matrix_basis.to_quaternion().angle < 1e-5


def test_a_part_without_channels_keeps_its_other_takes(
    face, rig, scene, make_tracks, bake, curve, remap, module
):
    bake(face, make_tracks(20), parts={"HEAD"})
    bake(face, make_tracks(20, seed=1), first=101, parts={"HEAD"})
    remap(face, head=((HEAD, 1.0),))
    bake(face, make_tracks(20), parts={"HEAD"})
    for frame, rests in ((1, True), (10, True), (20, True), (101, False), (120, False)):
        scene.frame_set(frame)
        assert still(face) is rests, frame
    bake(face, make_tracks(20), first=101, parts={"HEAD"})
    assert not face.animation_data.nla_tracks


def test_a_range_empties_no_other_frames_of_an_older_mapping(
    face, rig, scene, make_tracks, bake, remap
):
    bake(face, make_tracks(40), parts={"HEAD"})
    remap(face, head=((HEAD, 1.0),))
    bake(face, make_tracks(40), parts={"HEAD"}, limits=(10, 20))
    for frame, rests in ((9, False), (10, True), (15, True), (20, True), (21, False)):
        scene.frame_set(frame)
        assert still(face) is rests, frame


def test_a_range_without_channels_keeps_the_rest_of_the_part(
    face, scene, make_tracks, bake, strips, curve, remap
):
    bake(face, make_tracks(40))
    remap(face, ["jawOpen"])
    bake(face, make_tracks(40), parts={"BLINK"}, limits=(10, 20))
    frames = frames_of(curve(strips(face)["BLINK", "Key"], '"eyeBlinkLeft"].value'))
    assert frames == [*range(1, 11), *range(20, 41)]
    scene.frame_set(15)
    assert face.data.shape_keys.key_blocks["eyeBlinkLeft"].value == pytest.approx(0, abs=1e-6)


def test_shapes_that_a_mapping_lets_go_come_to_rest(face, scene, make_tracks, bake, remap):
    bake(face, make_tracks(20))
    scene.frame_set(7)
    blocks = face.data.shape_keys.key_blocks
    assert blocks["jawOpen"].value > 0
    remap(face, ["mouthFunnel"])
    bake(face, make_tracks(20))
    for frame in (7, 12):
        scene.frame_set(frame)
        assert blocks["jawOpen"].value == 0
        assert blocks["eyeBlinkLeft"].value == 0
        assert blocks["mouthFunnel"].value > 0


def test_a_shape_that_is_gone_does_not_stop_the_bake(face, scene, make_tracks, bake, strips):
    bake(face, make_tracks(20))
    face.shape_key_remove(face.data.shape_keys.key_blocks["jawOpen"])
    tracks = make_tracks(20, seed=1)
    bake(face, tracks)
    scene.frame_set(3)
    value = face.data.shape_keys.key_blocks["eyeBlinkLeft"].value
    assert value == pytest.approx(tracks.blink[2, 0], abs=1e-5)


def test_nothing_stays_below_parts_that_are_gone(face, make_tracks, bake, remap):
    bake(face, make_tracks(20), parts={"BLINK"})
    remap(face, ["jawOpen"])
    bake(face, make_tracks(20), parts={"BLINK"})
    assert not face.data.shape_keys.animation_data.nla_tracks


# --- keys made by hand -------------------------------------------------------------------------


def test_keys_outside_of_a_range_keep_their_shape(face, make_tracks, bake, strips, curve):
    bake(face, make_tracks(60))
    found = curve(strips(face)["SPEECH", "Key"], '"jawOpen"].value')
    free, aligned, bounce = (found.keyframe_points[i] for i in (40, 50, 4))
    free.interpolation = "BEZIER"
    free.handle_left_type = free.handle_right_type = "FREE"
    free.handle_left, free.handle_right = (40.2, 0.7), (41.6, -0.2)
    aligned.interpolation = "BEZIER"
    aligned.handle_left_type = aligned.handle_right_type = "ALIGNED"
    aligned.handle_left, aligned.handle_right = (50.5, 0.1), (51.5, aligned.co[1] * 2 - 0.1)
    bounce.interpolation, bounce.easing, bounce.type = "ELASTIC", "EASE_OUT", "EXTREME"
    bounce.amplitude, bounce.period = 0.25, 3.0
    found.update()
    before = {key.co[0]: look_of(key, expected=True) for key in found.keyframe_points}
    bake(face, make_tracks(60, seed=1), limits=(10, 20))
    found = curve(strips(face)["SPEECH", "Key"], '"jawOpen"].value')
    assert frames_of(found) == list(range(1, 61))
    for key in found.keyframe_points:
        if 10 <= key.co[0] <= 20:
            assert key.interpolation == "LINEAR"
        elif key.co[0] not in (9, 21):  # the automatic handles beside the range follow it
            assert look_of(key) == before[key.co[0]]
    assert before[41.0][:3] == ("BEZIER", "FREE", "FREE")
    assert before[5.0][0] == "ELASTIC"


def look_of(key, expected=False):
    shape = (key.amplitude, key.period, key.back, *key.co, *key.handle_left, *key.handle_right)
    return (key.interpolation, key.handle_left_type, key.handle_right_type, key.easing, key.type,
            *(pytest.approx(x, abs=1e-5) if expected else x for x in shape))  # fmt: skip


def test_another_take_keeps_keys_made_by_hand(face, make_tracks, bake, strips, curve):
    bake(face, make_tracks(20))
    key = curve(strips(face)["BLINK", "Key"], '"eyeBlinkLeft"].value').keyframe_points[9]
    key.interpolation = "CONSTANT"
    bake(face, make_tracks(20), first=101)
    points = curve(strips(face)["BLINK", "Key"], '"eyeBlinkLeft"].value').keyframe_points
    assert [p.interpolation for p in points] == ["LINEAR"] * 9 + ["CONSTANT"] + ["LINEAR"] * 30


# --- takes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [91, 111])
def test_a_voice_that_was_moved_leaves_nothing_of_its_old_place(
    face, make_tracks, bake, strips, first
):
    bake(face, make_tracks(100), first=101)
    bake(face, make_tracks(100), first=first)
    for strip in strips(face).values():
        assert tuple(strip.action.frame_range) == (first, first + 99)


@pytest.mark.parametrize("second", [(101, 50), (100, 100), (51, 80)])
def test_another_line_takes_only_its_own_frames(
    face, make_tracks, bake, strips, curve, second
):
    first, count = second
    bake(face, make_tracks(100))
    bake(face, make_tracks(count, seed=1), first=first)
    frames = frames_of(curve(strips(face)["SPEECH", "Key"], '"jawOpen"].value'))
    assert frames == list(range(1, first + count))


def test_a_shorter_take_leaves_the_line_that_lies_over_its_old_end(
    face, make_tracks, bake, strips, curve
):
    bake(face, make_tracks(100))
    bake(face, make_tracks(50, seed=1), first=81)
    bake(face, make_tracks(40), first=1)
    frames = frames_of(curve(strips(face)["SPEECH", "Key"], '"jawOpen"].value'))
    assert frames == [*range(1, 41), *range(81, 131)]


def test_what_the_artist_has_in_the_nla_is_added_to(face, scene, module, make_tracks, bake):
    compat = module("gmtalker_addon.blender_compat")
    key = face.data.shape_keys
    action = compat.new_action("mine", key)
    curve = compat.ensure_curve(action, 'key_blocks["jawOpen"].value', 0, "mine")
    compat.write_keys(curve, np.array([1.0, 50.0]), np.array([0.25, 0.25]))
    compat.new_nla_strip(key.animation_data_create().nla_tracks.new(), action, 1)
    tracks = make_tracks(20)
    for _ in range(2):
        bake(face, tracks)
        for frame in (1, 7, 20):
            scene.frame_set(frame)
            jaw = tracks.expression[frame - 1, tracks.expression_names.index("jawOpen")]
            pucker = tracks.expression[frame - 1, tracks.expression_names.index("mouthPucker")]
            assert key.key_blocks["jawOpen"].value == pytest.approx(min(1.0, 0.25 + jaw), abs=1e-4)
            assert key.key_blocks["mouthPucker"].value == pytest.approx(pucker, abs=1e-4)
