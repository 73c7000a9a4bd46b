# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a take goes, how far its emotions reach, and the file that keeps it; the engine is a fake."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

SAD, HAPPY = 6, 5


@pytest.fixture
def strip(ready, scene, voice, module):
    """The voice as a strip at frames 101 to 150, chosen."""
    strip = module("gmtalker_addon.blender_compat").strips(scene).new_sound("v", str(voice), 1, 101)
    ready.gmtalker.voice_source, ready.gmtalker.voice_strip = "STRIP", "v"
    return strip


@pytest.fixture
def spoken(ready, module):
    """First and last frame of the baked speech."""

    def span():
        found = module("gmtalker_addon.baking").find_strip(ready.data.shape_keys, "SPEECH")
        return found.frame_start, found.frame_end

    return span


@pytest.fixture
def tracks_of(module):
    import bpy

    return lambda obj: module("core.tracks").FaceTracks.load(bpy.path.abspath(obj.gmtalker.tracks))


def ops():
    import bpy

    return bpy.ops.gmtalker


def set_left(strip, frame):
    setattr(strip, "left_handle" if hasattr(strip, "left_handle") else "frame_final_start", frame)


def set_right(strip, frame):
    setattr(strip, "right_handle" if hasattr(strip, "right_handle") else "frame_final_end", frame)


# --- where it goes -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_without_its_strip_a_take_is_not_baked_elsewhere(ready, strip, scene, module, state_of, tmp_path, how):
    ops().generate()
    if how == "renamed":
        strip.name = "other"
    else:
        module("gmtalker_addon.blender_compat").strips(scene).remove(strip)
    before = state_of(tmp_path)
    with pytest.raises(RuntimeError, match=r"The Sequencer has no sound strip 'v'\. Choose one"):
        ops().bake()
    assert state_of(tmp_path) == before


def test_a_take_stays_with_its_sound_when_the_strip_is_trimmed(ready, strip, scene, module, spoken):
    ops().generate()
    set_left(strip, 111)
    ops().bake()
    assert spoken() == (101, 150)
    ops().render_frames()
    compat = module("gmtalker_addon.blender_compat")
    [frames] = [s for s in compat.all_strips(scene) if s.type == "IMAGE"]
    assert compat.strip_span(frames) == (101, 151)
    assert compat.strip_span(strip) == (111, 151)


def test_a_take_of_a_trimmed_strip_stays_when_the_trim_is_undone(ready, strip, spoken, tracks_of):
    set_left(strip, 111)
    ops().generate()
    assert tracks_of(ready).start == pytest.approx(0.4)
    set_left(strip, 101)
    ops().bake()
    assert spoken() == (111, 150)


def test_a_take_moves_with_its_strip(ready, strip, module, spoken):
    set_left(strip, 111)
    ops().generate()
    ops().clear()
    name = "content_start" if hasattr(strip, "content_start") else "frame_start"
    setattr(strip, name, getattr(strip, name) + 30)
    ops().bake()
    assert spoken() == (141, 180)


def test_a_take_of_a_piece_lies_in_its_file_where_the_sound_is(ready, strip, scene, module, spoken):
    set_left(strip, 111)
    ops().generate()
    ops().clear()
    ready.gmtalker.voice_source, ready.gmtalker.frame_start = "FILE", 1
    ops().bake()
    assert spoken() == (11, 50)
    ops().render_frames()
    compat, sequencer = module("gmtalker_addon.blender_compat"), module("gmtalker_addon.sequencer")
    spans = [[compat.strip_span(s) for s in sequencer.ours(scene, kind, ready)] for kind in ("voice", "frames")]
    assert spans == [[(1, 51)], [(11, 51)]]


def test_the_face_begins_with_the_sound_not_with_a_handle_before_it(ready, strip, spoken, tracks_of):
    set_left(strip, 81)
    ops().generate()
    assert len(tracks_of(ready)) == 50
    assert tracks_of(ready).start == 0
    assert spoken() == (101, 150)
    ops().bake()
    assert spoken() == (101, 150)


@pytest.mark.parametrize(
    ("offset", "left", "first", "start"),
    [(0.4, 101, 111, 0), (0.4, 121, 121, 0.4), (0.4, 81, 111, 0), (-0.4, 101, 101, 0.4), (-0.4, 81, 91, 0)],
)
def test_the_strips_own_offset_of_its_sound_is_heard_and_followed(
    ready, strip, scene, module, spoken, tracks_of, tmp_path, offset, left, first, start
):
    import bpy

    strip.sound_offset = offset
    set_left(strip, left)
    assert first_heard(tmp_path) == first
    ops().generate()
    assert tracks_of(ready).start == pytest.approx(start, abs=1e-6)
    assert spoken() == (first, 150)
    strip.sound_offset = 0
    ops().bake()
    assert spoken()[0] == first - round(offset * 25)
    strip.sound_offset = offset
    ops().render_frames()
    compat = module("gmtalker_addon.blender_compat")
    [frames] = [s for s in compat.all_strips(bpy.context.scene) if s.type == "IMAGE"]
    assert compat.strip_span(frames) == (first, 151)


def first_heard(folder):
    """The frame where the Sequencer's sound begins."""
    import bpy

    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 200
    path = folder / "heard.wav"
    bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="S16")
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")[::channels]
    return 1 + round(np.argmax(np.abs(samples.astype(int)) > 1000) / rate * 25)


def test_a_strip_that_ends_before_its_sound_is_refused(ready, strip, module):
    compat = module("gmtalker_addon.blender_compat")
    set_left(strip, 51)
    set_right(strip, 61)
    if compat.strip_span(strip) != (51, 61):
        pytest.skip("this Blender does not let handles go there")
    with pytest.raises(RuntimeError, match=r"'v' ends before its sound begins"):
        ops().generate()


def test_a_strip_that_was_retimed_since_is_refused(ready, strip, module, monkeypatch):
    ops().generate()
    monkeypatch.setattr(module("gmtalker_addon.blender_compat"), "is_retimed", lambda strip: True)
    with pytest.raises(RuntimeError, match=r"The strip 'v' is retimed"):
        ops().bake()


def test_two_scenes_of_different_rates_are_refused(ready, strip, scene, module, monkeypatch):
    """From Blender 5.0 on the Sequencer may show another scene than the window."""
    import bpy

    ops().generate()
    other = bpy.data.scenes.new("Cut")
    other.render.fps = 24
    compat = module("gmtalker_addon.blender_compat")
    compat.strips(other).new_sound("v", ready.gmtalker.voice, 1, 101)
    monkeypatch.setattr(compat, "sequencer_scene", lambda context: other)
    for operator in (ops().generate, ops().render_frames, ops().bake):
        with pytest.raises(RuntimeError, match=r"has 25 frames a second, the Sequencer's scene 'Cut' 24\. Give"):
            operator()
    ready.gmtalker.voice_source, ready.gmtalker.add_sound = "FILE", False
    assert ops().generate() == {"FINISHED"}, "the Sequencer is not needed"
    other.render.fps, ready.gmtalker.voice_source = 25, "STRIP"
    assert ops().generate() == {"FINISHED"}


# --- emotions ----------------------------------------------------------------------------------


def drive_sadness(obj):
    driver = obj.driver_add("gmtalker.sad").driver
    driver.type, driver.expression = "SCRIPTED", "frame / 100"


def test_drivers_are_followed_to_the_end_of_a_file(ready, scene, tracks_of):
    scene.frame_end = 10
    drive_sadness(ready)
    ops().generate()
    emotion = tracks_of(ready).emotion
    np.testing.assert_allclose(emotion[:, SAD], np.arange(1, 51) / 100, atol=1e-5)


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
def test_nla_strips_are_followed_to_the_end_of_a_file(ready, scene, module, tracks_of, push_down, monkeypatch, known):
    scene.frame_end = 10
    for frame, value in ((1, 0.0), (41, 1.0)):
        ready.gmtalker.happy = value
        ready.keyframe_insert("gmtalker.happy", frame=frame)
    push_down(ready)
    if not known:
        monkeypatch.setattr(module("gmtalker_addon.voice"), "seconds", lambda path: None)
    ops().generate()
    joy = tracks_of(ready).emotion[:, HAPPY]
    assert (np.diff(joy[:41]) > 0).all()
    np.testing.assert_allclose(joy[40:], 1, atol=1e-5)


def test_a_sound_tells_its_seconds(scene, module, voice, tmp_path):
    import bpy

    seconds = module("gmtalker_addon.voice").seconds
    assert seconds(voice) == pytest.approx(2.0)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    assert seconds(broken) is None
    assert not bpy.data.sounds


# --- its file ----------------------------------------------------------------------------------


def test_two_files_in_a_folder_keep_their_own_takes(face, voice, engine, tmp_path, tracks_of):
    import bpy

    face.gmtalker.voice, face.gmtalker.output = str(voice), "//gmtalker"
    shots = [tmp_path / f"shot_{i}.blend" for i in (10, 20)]
    made = []
    for seed, shot in enumerate(shots):
        bpy.ops.wm.save_as_mainfile(filepath=str(shot))
        obj = bpy.context.scene.gmtalker.character
        obj.gmtalker.seed = seed
        ops().generate()
        made.append(tracks_of(obj))
        bpy.ops.wm.save_mainfile()
    for shot, tracks in zip(shots, made, strict=True):
        bpy.ops.wm.open_mainfile(filepath=str(shot))
        kept = tracks_of(bpy.context.scene.gmtalker.character)
        np.testing.assert_array_equal(kept.expression, tracks.expression)
    assert len(list((tmp_path / "gmtalker" / "Face").iterdir())) == 2


def test_a_take_is_never_written_over(ready, tracks_of):
    ops().generate()
    first = Path(ready.gmtalker.tracks)
    before = first.read_bytes(), first.stat().st_mtime_ns
    ready.gmtalker.seed = 1
    ops().generate()
    second = Path(ready.gmtalker.tracks)
    assert second != first
    ready.gmtalker.seed = 0
    ops().generate()
    assert Path(ready.gmtalker.tracks) == first
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    assert sorted(first.parent.iterdir()) == sorted((first, second))


def test_a_damaged_take_is_written_anew(ready, tracks_of):
    ops().generate()
    path = Path(ready.gmtalker.tracks)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    ops().generate()
    assert path.read_bytes() == whole
