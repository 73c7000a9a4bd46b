# SPDX-License-Identifier: GPL-3.0-or-later
"""Render Frames and Set Film Output: pictures, strips and the film; the engine is a fake."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest


def ops():
    import bpy

    return bpy.ops.gmtalker


@pytest.fixture
def asked(module, monkeypatch):
    """What the engine is asked to render, in turn."""
    worker, seen = module("gmtalker_addon.jobs").Worker, []
    submit = worker.submit

    def spied(self, title, method, params):
        if method == "render":
            seen.append(params)
        return submit(self, title, method, params)

    monkeypatch.setattr(worker, "submit", spied)
    return seen


def test_render_frames_go_to_the_sequencer_in_sync(ready, scene, module):
    ready.gmtalker.frame_start = 5
    ops().generate()
    assert ops().render_frames() == {"FINISHED"}
    compat = module("gmtalker_addon.blender_compat")
    by_kind = {s.type: s for s in compat.all_strips(scene)}
    assert set(by_kind) == {"IMAGE", "SOUND"}
    image, sound = by_kind["IMAGE"], by_kind["SOUND"]
    assert compat.strip_span(image) == compat.strip_span(sound) == (5, 55)
    assert image.channel == sound.channel + 1
    names = [e.filename for e in image.elements]
    assert names == [f"frame_{i:06d}.png" for i in range(1, 51)]
    folder = Path(ready.gmtalker.frames)
    assert all((folder / n).is_file() for n in names)
    assert folder.parent == Path(ready.gmtalker.output) / "Face"
    ops().render_frames()
    assert len(compat.all_strips(scene)) == 2


def test_each_frame_is_shown_at_its_time(ready, scene, tmp_path):
    """The fake engine's frame i is grey of level i in a white border; the film shows all of it."""
    import bpy

    ready.gmtalker.frame_start = 5
    ops().generate()
    ops().render_frames()
    ops().film_settings(filepath=str(tmp_path / "film.mp4"))
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    for frame in (5, 20, 54):
        scene.frame_set(frame)
        scene.render.filepath = str(tmp_path / f"{frame}.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        assert tuple(image.size) == (256, 256)
        levels = np.array(image.pixels).reshape(256, 256, 4)[..., 0] * 255
        assert levels[128, 128] == pytest.approx(frame - 5, abs=0.6)
        assert levels[[1, 1, -2, -2], [1, -2, 1, -2]] == pytest.approx([255] * 4, abs=0.6)


def test_long_frames_lie_in_pieces_without_a_gap(face, scene, module, tmp_path):
    sequencer, compat = module("gmtalker_addon.sequencer"), module("gmtalker_addon.blender_compat")
    frames = [tmp_path / f"frame_{i + 1:06d}.png" for i in range(4500)]
    for _ in range(2):
        sequencer.place_frames(scene, face, frames, 11, None)
        strips = sorted(compat.all_strips(scene), key=compat.strip_span)
        spans = [(11, 2011), (2011, 4011), (4011, 4511)]
        assert [compat.strip_span(s) for s in strips] == spans
        assert {s.channel for s in strips} == {1}
        assert [e.filename for s in strips for e in s.elements] == [f.name for f in frames]
    assert sequencer.film_span(scene, face)[:2] == (11, 4510)


def test_strips_of_the_artist_stay(ready, scene, voice, module):
    compat = module("gmtalker_addon.blender_compat")
    mine = compat.strips(scene).new_sound("mine", str(voice), 1, 1)
    ops().generate()
    ops().render_frames()
    ops().render_frames()
    spans = {s.name: s.channel for s in compat.all_strips(scene)}
    assert spans.pop("mine") == 1
    assert sorted(spans.values()) == [2, 3]
    assert compat.strip_span(mine)[0] == 1


def test_the_film_is_written_with_picture_and_sound(ready, scene, tmp_path):
    import bpy

    ops().generate()
    ops().render_frames()
    path = tmp_path / "Film é.mp4"
    ops().film_settings(filepath=str(path))
    assert (scene.frame_start, scene.frame_end) == (1, 50)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (256, 256)
    scene.frame_end = 10
    bpy.ops.render.render(animation=True)
    content = path.read_bytes()
    assert b"avc1" in content
    assert b"mp4a" in content


def test_the_film_of_an_unsaved_file_goes_beside_its_frames(ready, scene):
    ops().generate()
    ops().render_frames()
    ops().film_settings()
    assert Path(scene.render.filepath) == Path(ready.gmtalker.frames).parent / "film.mp4"


def test_the_film_of_odd_pictures_is_even(ready, scene, module, monkeypatch):
    """H.264 has a colour for every second pixel and row; a film's own frames may be of any size."""
    ops().generate()
    ops().render_frames()
    monkeypatch.setattr(module("gmtalker_addon.sequencer"), "_size", lambda strip: (361, 289))
    ops().film_settings(filepath="/film.mp4")
    assert (scene.render.resolution_x, scene.render.resolution_y) == (360, 288)


def test_no_film_of_frames_that_are_gone(ready, scene):
    ops().generate()
    ops().render_frames()
    shutil.rmtree(ready.gmtalker.frames)
    with pytest.raises(RuntimeError, match=r"'Face' are gone\. Press 'Render Frames' again"):
        ops().film_settings(filepath="/film.mp4")
    assert scene.render.filepath != "/film.mp4"


def test_frames_come_without_sound_where_it_is_not_wanted(ready, scene, module):
    ready.gmtalker.add_sound = False
    ops().generate()
    ops().render_frames()
    assert [s.type for s in module("gmtalker_addon.blender_compat").all_strips(scene)] == ["IMAGE"]


def test_a_sound_that_blender_cannot_read_loses_no_frames(ready, scene, module, monkeypatch):
    def deaf(*words):
        raise module("core.errors").UserError("Blender cannot use the sound.", "Switch 'Add Sound' off.")

    monkeypatch.setattr(module("gmtalker_addon.sequencer"), "place_sound", deaf)
    ops().generate()
    assert ops().render_frames() == {"FINISHED"}
    assert scene.gmtalker.status.endswith("Blender cannot use the sound. Switch 'Add Sound' off.")
    assert [s.type for s in module("gmtalker_addon.blender_compat").all_strips(scene)] == ["IMAGE"]


def test_tracks_of_another_frame_rate_are_not_rendered(ready, scene):
    ops().generate()
    scene.render.fps = 30
    with pytest.raises(RuntimeError, match=r"25 frames a second, the scene 30\. Press 'Generate' again"):
        ops().render_frames()


# --- what goes wrong ---------------------------------------------------------------------------


def test_footage_and_film_go_to_the_engine(ready, asked, tmp_path):
    ops().generate()
    ops().render_frames()
    alone = ready.gmtalker.frames
    ready.gmtalker.transparent = True
    ops().render_frames()
    assert ready.gmtalker.frames != alone
    ready.gmtalker.footage, ready.gmtalker.film = str(tmp_path / "set-1"), "täke 2.mov"
    ops().render_frames()
    assert Path(ready.gmtalker.frames).name.startswith("frames-ada-täke 2-")
    ready.gmtalker.film = ""
    ops().render_frames()
    assert Path(ready.gmtalker.frames).name.startswith("frames-ada-film-")
    ready.gmtalker.footage, ready.gmtalker.transparent = "", False
    ops().render_frames()
    assert ready.gmtalker.frames == alone
    footage = str(tmp_path / "set-1")
    assert [(p.into, p.film, p.alpha) for p in asked] == [
        ("", "", False), ("", "", True), (footage, "täke 2.mov", False), (footage, "", False), ("", "", False),
    ]  # fmt: skip


def test_transparent_frames_show_what_lies_below(ready, scene, module):
    ops().generate()
    ops().render_frames()
    [image] = [s for s in module("gmtalker_addon.blender_compat").all_strips(scene) if s.type == "IMAGE"]
    assert image.blend_type == "ALPHA_OVER"
