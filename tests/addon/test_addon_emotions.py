# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def sample(module, scene, face):
    curves = module("gmtalker_addon.emotion_curves")
    return lambda first, last: curves.sample(scene, face, first, last)


HAPPY, SAD = 5, 6


def test_sliders_without_keys_are_one_row(face, sample):
    face.gmtalker.happy, face.gmtalker.intensity = 0.8, 0.5
    weights = sample(1, 1)
    np.testing.assert_allclose(weights, [[0, 0, 0, 0, 0, 0.4, 0, 0]], atol=1e-6)


def test_curves_are_read_at_every_frame(face, sample):
    for frame, value in ((1, 0.0), (11, 1.0)):
        face.gmtalker.happy = value
        face.keyframe_insert("gmtalker.happy", frame=frame)
    [curve] = face_curves(face)
    for point in curve.keyframe_points:
        point.interpolation = "LINEAR"
    weights = sample(1, 5)
    assert len(weights) == 11, "to the last key, for the voice may be longer"
    np.testing.assert_allclose(weights[:, HAPPY], np.linspace(0, 1, 11), atol=1e-6)


def face_curves(obj):
    data = obj.animation_data
    if hasattr(data, "action_slot"):
        bags = [s.channelbag(data.action_slot) for la in data.action.layers for s in la.strips]
        return [c for bag in bags for c in bag.fcurves]
    return list(data.action.fcurves)


def test_a_muted_curve_counts_for_nothing(face, sample):
    face.gmtalker.happy = 1.0
    face.keyframe_insert("gmtalker.happy", frame=1)
    face_curves(face)[0].mute = True
    face.gmtalker.happy = 0.25
    assert sample(1, 3)[:, HAPPY] == pytest.approx(0.25)


def test_drivers_are_followed(face, scene, sample):
    driver = face.driver_add("gmtalker.sad").driver
    driver.type, driver.expression = "SCRIPTED", "frame / 100"
    scene.frame_set(42)
    np.testing.assert_allclose(sample(10, 12)[:, SAD], [0.10, 0.11, 0.12], atol=1e-6)
    assert scene.frame_current == 42


def test_drivers_of_a_hidden_character_are_not_taken_for_nothing(face, scene, sample, module):
    face.driver_add("gmtalker.sad").driver.expression = "frame / 100"
    scene.frame_set(42)
    face.hide_viewport = True
    with pytest.raises(module("core.errors").UserError, match=r"'Face' is hidden.*Show it in the viewport"):
        sample(10, 12)
    assert scene.frame_current == 42


def test_nla_strips_are_followed(face, sample, push_down):
    for frame, value in ((1, 0.0), (21, 1.0)):
        face.gmtalker.happy = value
        face.keyframe_insert("gmtalker.happy", frame=frame)
    for point in face_curves(face)[0].keyframe_points:
        point.interpolation = "LINEAR"
    push_down(face).frame_start_ui = 6
    np.testing.assert_allclose(sample(1, 11)[10, HAPPY], 0.25, atol=1e-5)


def test_a_preset_sets_and_keys(face, scene, sample):
    import bpy

    bpy.ops.gmtalker.emotion_preset(emotion="SAD", strength=0.5)
    assert face.gmtalker.sad == 0.5
    assert face.animation_data is None
    bpy.ops.gmtalker.key_emotion(emotion="NEUTRAL", frame=1)
    bpy.ops.gmtalker.key_emotion(emotion="HAPPY", strength=0.9, frame=20)
    assert scene.frame_current == 1
    assert face.gmtalker.happy == 0, "the slider shows the curve at the current frame"
    weights = sample(1, 20)
    assert weights[19, HAPPY] == pytest.approx(0.9)
    assert weights[0].sum() == 0
    assert len(face_curves(face)) == 9


def test_keys_at_the_current_frame_by_default(face, scene):
    import bpy

    scene.frame_set(33)
    face.gmtalker.fear = 0.7
    bpy.ops.gmtalker.key_emotion()
    points = [c.keyframe_points[0] for c in face_curves(face) if c.data_path == "gmtalker.fear"]
    assert tuple(points[0].co) == pytest.approx((33, 0.7))


def test_values_out_of_bounds_are_held(face, sample):
    for frame, value in ((1, 1.0), (5, 0.0), (9, 1.0)):
        face.gmtalker.angry = value
        face.keyframe_insert("gmtalker.angry", frame=frame)
    for point in face_curves(face)[0].keyframe_points:
        point.handle_left_type = point.handle_right_type = "FREE"
        point.handle_left.y -= 3
        point.handle_right.y += 3
    weights = sample(1, 9)
    assert weights.min() >= 0
    assert weights.max() <= 1
