# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest


def shape_values(obj, names):
    blocks = obj.data.shape_keys.key_blocks
    return np.array([blocks[n].value for n in names])


def test_every_frame_shows_the_tracks(face, scene, module, make_tracks, bake):
    tracks = make_tracks(20)
    bake(face, tracks, first=11)
    names = module("core.arkit").ARKIT_NAMES
    for i in (0, 1, 9, 19):
        scene.frame_set(11 + i)
        np.testing.assert_allclose(shape_values(face, names), tracks.arkit_weights()[i], atol=2e-5)


def test_head_of_a_mesh_turns_the_object_and_keeps_its_place(face, scene, make_tracks, bake):
    from mathutils import Euler, Matrix, Vector

    face.location, face.rotation_euler = (3, 2, 1), (0.1, 0.2, 1.0)
    placed = Euler(face.rotation_euler).to_matrix()
    tracks = make_tracks(5)
    bake(face, tracks)
    scene.frame_set(3)
    x, y, z = tracks.head_rotation[2]
    vector = Vector((x, -z, y))
    turned = placed @ Matrix.Rotation(vector.length, 3, vector)
    np.testing.assert_allclose(face.matrix_world.to_3x3(), turned, atol=1e-5)
    x, y, z = tracks.head_translation[2]
    moved = Vector((3, 2, 1)) + placed @ Vector((x, -z, y))
    np.testing.assert_allclose(face.matrix_world.translation, moved, atol=1e-5)
    assert tuple(face.location) == (3, 2, 1)


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "QUATERNION"])
def test_rotation_modes_of_the_object_agree(face, scene, make_tracks, bake, mode):
    face.rotation_mode = mode
    tracks = make_tracks(5)
    bake(face, tracks, parts={"HEAD"})
    scene.frame_set(4)
    x, y, z = tracks.head_rotation[3]
    quaternion = face.matrix_world.to_quaternion()
    np.testing.assert_allclose(
        np.array(quaternion.axis) * quaternion.angle, (x, -z, y), atol=1e-4
    )


def test_built_in_head_moves_like_the_head_model(head, scene, module, make_tracks, bake):
    """The baked head against core's own model: skin, teeth, lids and eyeballs, in motion."""
    import bpy

    tracks = make_tracks(4)
    bake(head, tracks)
    model = module("core.head.model").HeadModel.load()
    wanted = model.deform(tracks.arkit_weights(), tracks.gaze, tracks.head_rotation, tracks.head_translation)
    mesh = next(child for child in head.children_recursive if child.type == "MESH")
    for i in (0, 3):
        scene.frame_set(1 + i)
        evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        got = np.empty(len(evaluated.data.vertices) * 3, np.float32)
        evaluated.data.vertices.foreach_get("co", got)
        x, y, z = wanted[i].T
        # Metres; the model turns the neck by a share of the angle, the armature blends two turns.
        np.testing.assert_allclose(got.reshape(-1, 3), np.stack([x, -z, y], 1), atol=1e-3)


def test_parts_lie_on_tracks_of_their_own(face, make_tracks, bake, strips):
    bake(face, make_tracks())
    found = strips(face)
    assert set(found) == {("SPEECH", "Key"), ("EMOTION", "Key"), ("BLINK", "Key"), ("GAZE", "Key"),
                          ("HEAD", "Object")}  # fmt: skip
    assert len({s.action.name for s in found.values()}) == 5
    assert found["EMOTION", "Key"].blend_type == "ADD"
    tracks = [t for t in face.data.shape_keys.animation_data.nla_tracks if t.name != "GMTalker rest"]
    assert [len(t.strips) for t in tracks] == [1, 1, 1, 1]
    assert face.animation_data.action is None


def test_a_muted_part_is_not_seen(face, scene, make_tracks, bake):
    tracks = make_tracks(5)
    bake(face, tracks)
    nla = {t.name: t for t in face.data.shape_keys.animation_data.nla_tracks}
    nla["GMTalker emotion"].mute = True
    nla["GMTalker blink"].mute = True
    scene.frame_set(2)
    blocks = face.data.shape_keys.key_blocks
    jaw = tracks.expression_names.index("jawOpen")
    assert blocks["jawOpen"].value == pytest.approx(tracks.speech[1, jaw], abs=1e-5)
    assert blocks["eyeLookInLeft"].value == pytest.approx(tracks.arkit_weights()[1, 12], abs=1e-5)


def test_the_artists_own_action_wins_and_survives(face, scene, make_tracks, bake):
    keys = face.data.shape_keys
    block = keys.key_blocks["jawOpen"]
    for frame, value in ((1, 0.9), (20, 0.1)):
        block.value = value
        block.keyframe_insert("value", frame=frame)
    action = keys.animation_data.action
    before = [tuple(k.co) for k in curves_of(keys.animation_data)[0].keyframe_points]
    bake(face, make_tracks(30))
    bake(face, make_tracks(30, seed=1))
    assert keys.animation_data.action == action
    assert [tuple(k.co) for k in curves_of(keys.animation_data)[0].keyframe_points] == before
    scene.frame_set(20)
    assert block.value == pytest.approx(0.1, abs=1e-5)


def curves_of(data):
    if hasattr(data, "action_slot"):
        bags = [s.channelbag(data.action_slot) for la in data.action.layers for s in la.strips]
        return [c for bag in bags for c in bag.fcurves]
    return list(data.action.fcurves)


def test_a_bake_again_replaces_and_adds_no_tracks(face, scene, module, make_tracks, bake, strips):
    bake(face, make_tracks(40))
    strip = strips(face)["SPEECH", "Key"]
    action = strip.action
    bake(face, make_tracks(30, seed=1))
    assert strips(face)["SPEECH", "Key"].action == action
    names = [t.name for t in face.data.shape_keys.animation_data.nla_tracks]
    assert len(names) == len(set(names)), "one track for each part"
    assert tuple(action.frame_range) == (1, 30), "a shorter take leaves nothing of the longer one"
    tracks = make_tracks(30, seed=1)
    scene.frame_set(17)
    names = module("core.arkit").ARKIT_NAMES
    np.testing.assert_allclose(shape_values(face, names), tracks.arkit_weights()[16], atol=2e-5)


def test_two_takes_live_side_by_side(face, scene, module, make_tracks, bake, strips):
    first, second = make_tracks(20), make_tracks(20, seed=1)
    bake(face, first, first=1)
    bake(face, second, first=101)
    names = module("core.arkit").ARKIT_NAMES
    for tracks, frame in ((first, 1), (second, 101)):
        scene.frame_set(frame + 7)
        np.testing.assert_allclose(shape_values(face, names), tracks.arkit_weights()[7], atol=2e-5)
    assert strips(face)["BLINK", "Key"].frame_end == 120


def test_a_range_touches_nothing_else(face, scene, module, make_tracks, bake):
    old, new = make_tracks(40), make_tracks(40, seed=1)
    bake(face, old)
    bake(face, new, limits=(10, 20))
    names = module("core.arkit").ARKIT_NAMES
    for frame, tracks in ((9, old), (10, new), (20, new), (21, old), (40, old)):
        scene.frame_set(frame)
        want = tracks.arkit_weights()[frame - 1]
        np.testing.assert_allclose(shape_values(face, names), want, atol=2e-5)


def test_one_part_alone(face, scene, module, make_tracks, bake, strips):
    old, new = make_tracks(10), make_tracks(10, seed=1)
    bake(face, old)
    bake(face, new, parts={"BLINK"})
    scene.frame_set(5)
    blocks = face.data.shape_keys.key_blocks
    assert blocks["eyeBlinkLeft"].value == pytest.approx(new.blink[4, 0], abs=1e-5)
    assert blocks["eyeLookUpLeft"].value == pytest.approx(
        old.arkit_weights()[4, module("core.arkit").ARKIT_NAMES.index("eyeLookUpLeft")], abs=1e-5
    )


def test_a_strip_that_was_moved_is_baked_where_it_lies(face, scene, module, make_tracks, bake, strips):
    bake(face, make_tracks(20))
    strip = strips(face)["SPEECH", "Key"]
    strip.frame_start_ui = 31
    new = make_tracks(20, seed=1)
    bake(face, new, first=31, parts={"SPEECH", "EMOTION"})
    scene.frame_set(36)
    jaw = new.expression_names.index("jawOpen")
    value = face.data.shape_keys.key_blocks["jawOpen"].value
    assert value == pytest.approx(new.expression[5, jaw], abs=1e-5)


def test_a_range_off_the_voice_is_refused_and_changes_nothing(face, module, make_tracks, bake):
    import bpy

    error = module("core.errors").UserError
    with pytest.raises(error, match="cover frames 1 to 10, the range is 20 to 30"):
        bake(face, make_tracks(10), limits=(20, 30))
    assert not bpy.data.actions
    assert face.data.shape_keys.animation_data is None


def test_a_strip_in_tweak_mode_is_left_alone(face, module, make_tracks, bake, strips):
    bake(face, make_tracks(10))
    data = face.data.shape_keys.animation_data
    data.nla_tracks[-1].select = data.nla_tracks[-1].strips[0].select = True
    data.nla_tracks.active = data.nla_tracks[-1]
    data.use_tweak_mode = True
    if not data.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode only from its editor")
    with pytest.raises(module("core.errors").UserError, match="Leave tweak mode"):
        bake(face, make_tracks(10, seed=1))
    data.use_tweak_mode = False


@pytest.mark.parametrize(
    ("fps", "base", "exact"),
    [(24, 1.001, Fraction(24000, 1001)), (30, 1.001, Fraction(30000, 1001)), (25, 1.0, Fraction(25)),
     (60, 1.001, Fraction(60000, 1001))],
    ids=["23.976", "29.97", "25", "59.94"],
)  # fmt: skip
def test_the_frame_rate_is_exact_after_an_hour(scene, module, make_tracks, fps, base, exact):
    baking = module("gmtalker_addon.baking")
    scene.render.fps, scene.render.fps_base = fps, base
    assert baking.scene_fps(scene) == exact
    tracks = make_tracks(10, fps=exact)
    assert list(baking.key_frames(tracks, exact, -3)) == list(range(-3, 7))


def test_tracks_of_another_rate_keep_their_time(module, make_tracks):
    baking = module("gmtalker_addon.baking")
    frames = baking.key_frames(make_tracks(26, fps=Fraction(25)), Fraction(30), 1)
    assert frames[25] == pytest.approx(31)
    assert frames[5] == pytest.approx(7)


def test_a_copy_of_a_character_has_a_face_of_its_own(face, scene, make_tracks, bake, strips):
    import bpy

    def jaw(obj):
        scene.frame_set(7)
        return obj.data.shape_keys.key_blocks["jawOpen"].value

    bake(face, make_tracks(20))
    before = jaw(face)
    face.select_set(True)
    bpy.context.view_layer.objects.active = face
    bpy.ops.object.duplicate()
    other = bpy.context.object
    assert jaw(other) == before
    bake(other, make_tracks(20, seed=1))
    assert jaw(face) == before != jaw(other)
    assert {s.action.name for s in strips(face).values()}.isdisjoint(s.action.name for s in strips(other).values())
    actions = len(bpy.data.actions)
    bake(other, make_tracks(20, seed=2))
    assert len(bpy.data.actions) == actions
    scene.gmtalker.character = other
    bpy.ops.gmtalker.clear()
    assert jaw(face) == before
    assert jaw(other) == 0
    assert len(bpy.data.actions) == actions / 2


def test_what_is_open_in_the_action_editor_is_baked_again(face, make_tracks, bake, strips):
    bake(face, make_tracks(20))
    action = strips(face)["SPEECH", "Key"].action
    face.data.shape_keys.animation_data.action = action
    bake(face, make_tracks(20, seed=1))
    assert strips(face)["SPEECH", "Key"].action == action


def test_keys_and_drivers_that_win_are_named(face, scene, make_tracks, bake, module):
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    blocks = face.data.shape_keys.key_blocks
    bake(face, make_tracks(20))
    assert baking.hidden(character.resolve(face)) == []
    blocks["mouthPucker"].driver_add("value").driver.expression = "0.25"
    blocks["jawOpen"].keyframe_insert("value", frame=1)
    assert baking.hidden(character.resolve(face)) == ["jawOpen", "mouthPucker"]
    face.data.shape_keys.animation_data.action_blend_type = "ADD"
    assert baking.hidden(character.resolve(face)) == ["mouthPucker"]


def test_teeth_that_follow_the_skin_are_not_named(face, scene, make_tracks, bake, module):
    import bpy

    teeth = bpy.data.objects.new("Teeth", bpy.data.meshes.new("Teeth"))
    scene.collection.objects.link(teeth)
    teeth.parent = face
    for name in ("Basis", "jawOpen"):
        teeth.shape_key_add(name=name)
    teeth.data.shape_keys.key_blocks["jawOpen"].driver_add("value")
    bake(face, make_tracks(20))
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    assert baking.hidden(character.resolve(face)) == []


def test_absolute_shape_keys_are_refused(face, make_tracks, bake, module):
    face.data.shape_keys.use_relative = False
    with pytest.raises(module("core.errors").UserError, match=r"'Face' are absolute.*Switch 'Relative' on"):
        bake(face, make_tracks(20))


def test_clearing_takes_only_ours_and_lets_the_face_rest(face, scene, module, make_tracks, bake):
    import bpy

    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    keys = face.data.shape_keys
    keys.key_blocks["cheekPuff"].value = 0.5
    keys.key_blocks["cheekPuff"].keyframe_insert("value", frame=1)
    bake(face, make_tracks(10))
    scene.frame_set(5)
    assert baking.clear(character.resolve(face)) == 5
    assert [a.name for a in bpy.data.actions] == [keys.animation_data.action.name]
    assert not keys.animation_data.nla_tracks
    assert not face.animation_data.nla_tracks
    assert keys.key_blocks["jawOpen"].value == 0
    scene.frame_set(1)
    assert keys.key_blocks["cheekPuff"].value == pytest.approx(0.5)
    assert face.matrix_world.is_identity


def test_keys_survive_saving_and_loading(face, scene, module, make_tracks, bake, tmp_path):
    import bpy

    tracks = make_tracks(12)
    bake(face, tracks)
    path = str(tmp_path / "Gespräch 1.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.context.scene.frame_set(8)
    names = module("core.arkit").ARKIT_NAMES
    loaded = bpy.data.objects["Face"]
    np.testing.assert_allclose(shape_values(loaded, names), tracks.arkit_weights()[7], atol=2e-5)


def test_gaze_rotation_looks_where_the_tracks_say(module):
    channels = module("gmtalker_addon.channels")
    yaw, pitch = 0.3, 0.2
    from mathutils import Matrix, Vector

    [turn] = channels.gaze_rotation(np.array([[yaw, pitch]]))
    vector = Vector(turn)
    looked = Matrix.Rotation(vector.length, 3, vector) @ Vector((0, 0, 1))
    wanted = (np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch))
    np.testing.assert_allclose(looked, wanted, atol=1e-6)


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_angles_agree_with_blenders(module, order):
    from mathutils import Euler, Quaternion

    channels = module("gmtalker_addon.channels")
    quaternions = np.random.default_rng(0).normal(size=(40, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    for angles, quaternion in zip(channels._eulers(quaternions, order), quaternions):
        ours = np.array(Euler(angles, order).to_matrix())
        np.testing.assert_allclose(ours, Quaternion(quaternion).to_matrix(), atol=5e-6)
