# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of earlier strips, and of the artist's work on them, when new ones are placed."""

from __future__ import annotations

import wave

import pytest


@pytest.fixture
def place(module, scene):
    """The module under test."""
    return module("gmtalker_addon.sequencer")


@pytest.fixture
def compat(module):
    return module("gmtalker_addon.blender_compat")


@pytest.fixture
def sound(tmp_path):
    """Sound files by name and number of frames, at 25 a second."""

    def make(name, frames=50, level=0):
        path = tmp_path / f"{name}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes([0, 0, 0, level]) * 320 * frames)
        return path

    return make


@pytest.fixture
def pictures(tmp_path):
    """Folders of frames; only the first is a real picture, for the others are not looked into."""
    import bpy

    def make(name, count=50, size=16, color=(0, 0, 0)):
        folder = tmp_path / name
        folder.mkdir()
        paths = [folder / f"frame_{i + 1:06d}.png" for i in range(count)]
        image = bpy.data.images.new("frame", size, size)
        image.pixels = [*color, 1] * size**2
        image.filepath_raw, image.file_format = str(paths[0]), "PNG"
        image.save()
        bpy.data.images.remove(image)
        return paths

    return make


@pytest.fixture
def spans(compat, scene):
    """Where the strips of a type are."""
    return lambda kind: sorted(compat.strip_span(s) for s in compat.all_strips(scene) if s.type == kind)


@pytest.fixture
def blur(compat, scene):
    """Put the artist's own blur on a strip, and an offset into its transform."""

    def add(strip):
        words = compat.strips(scene).bl_rna.functions["new_effect"].parameters.keys()
        first, end = compat.strip_span(strip)
        length = {"length": end - first} if "length" in words else {"frame_end": end}
        word = "input1" if "input1" in words else "seq1"
        strip.transform.offset_x = 7
        return compat.strips(scene).new_effect(
            "Blur", "GAUSSIAN_BLUR", strip.channel + 1, first, **length, **{word: strip}
        )

    return add


def names(strip):
    return [element.filename for element in strip.elements]


def folder_of(strip):
    return strip.directory.rstrip("/").rpartition("/")[2]


def test_a_second_line_leaves_the_first(place, scene, face, sound, pictures, spans):
    for name, first in (("a", 1), ("b", 101)):
        voice = place.place_sound(scene, face, sound(name), first, 50)
        place.place_frames(scene, face, pictures(name), first, voice)
    assert spans("SOUND") == spans("IMAGE") == [(1, 51), (101, 151)]
    assert place.film_span(scene, face)[:2] == (1, 150)


def test_an_overlapped_line_is_replaced(place, scene, face, sound, pictures, spans):
    for name, first in (("a", 1), ("b", 31)):
        voice = place.place_sound(scene, face, sound(name), first, 50)
        place.place_frames(scene, face, pictures(name), first, voice)
    assert spans("SOUND") == spans("IMAGE") == [(31, 81)]
    [image] = place.ours(scene, "frames", face)
    assert folder_of(image) == "b"


@pytest.mark.parametrize("first", [21, 301])
def test_the_same_voice_at_another_frame_moves(place, scene, face, sound, pictures, spans, first):
    path, frames = sound("a"), pictures("a")
    strip = place.place_sound(scene, face, path, 1, 50)
    place.place_frames(scene, face, frames, 1, strip)
    strip.volume, channel = 0.5, strip.channel
    moved = place.place_sound(scene, face, path, first, 50)
    place.place_frames(scene, face, frames, first, moved)
    assert (moved, moved.volume, moved.channel) == (strip, 0.5, channel)
    assert spans("SOUND") == spans("IMAGE") == [(first, first + 50)]


@pytest.mark.parametrize("frames", [50, 80])
def test_another_voice_at_the_same_frame_keeps_its_volume(place, scene, face, sound, frames, compat):
    strip = place.place_sound(scene, face, sound("a"), 1, 50)
    strip.volume, strip.pan = 0.5, -0.25
    strip = place.place_sound(scene, face, sound("b", frames), 1, frames)
    assert (strip.name, strip.volume, strip.pan, strip.channel) == ("Face voice", 0.5, -0.25, 1)
    assert compat.strip_span(strip) == (1, 1 + frames)
    assert strip.sound.filepath.endswith("b.wav")
    assert list(compat.all_strips(scene)) == [strip]


def test_a_sound_that_cannot_be_read_replaces_nothing(
    place, scene, face, sound, compat, module, monkeypatch
):
    class Deaf(list):
        def new_sound(self, *words):
            raise RuntimeError("Error: Blender compiled without Audaspace support\n")

    strip = place.place_sound(scene, face, sound("a"), 1, 50)
    monkeypatch.setattr(compat, "strips", lambda scene: Deaf())
    with pytest.raises(module("core.errors").UserError, match="without Audaspace support"):
        place.place_sound(scene, face, sound("b"), 1, 50)
    assert list(compat.all_strips(scene)) == [strip]


def test_a_renamed_character_keeps_its_strips_and_another_of_its_name_has_none(
    place, scene, face, sound, pictures, tmp_path
):
    import bpy

    voice = place.place_sound(scene, face, sound("a"), 1, 50)
    place.place_frames(scene, face, pictures("a"), 1, voice)
    face.name = "Ada"
    other = bpy.data.objects.new("Face", None)
    scene.collection.objects.link(other)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    scene, ada, other = bpy.context.scene, bpy.data.objects["Ada"], bpy.data.objects["Face"]
    assert place.ours(scene, "frames", other) == []
    assert len(place.ours(scene, "voice", ada)) == len(place.ours(scene, "frames", ada)) == 1
    assert place.film_span(scene, ada) == (1, 50, (16, 16))


def test_a_deleted_character_is_not_saved_with_its_strips(place, scene, face, sound, pictures, tmp_path):
    import bpy

    strip = place.place_sound(scene, face, sound("a"), 1, 50)
    place.place_frames(scene, face, pictures("a"), 1, strip)
    kept = bpy.data.objects.new("Kept", face.data)
    kept.use_fake_user = True
    place.place_frames(scene, kept, pictures("b"), 101, None)
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert scene.gmtalker.character == strip[place.OWNER] == face
    bpy.ops.ed.undo_push(message="made")
    scene.collection.objects.unlink(face)
    bpy.ops.ed.undo_push(message="deleted")
    bpy.ops.wm.save_mainfile()
    bpy.ops.ed.undo()
    scene, face = bpy.context.scene, bpy.data.objects["Face"]
    assert scene.gmtalker.character == face
    assert len(place.ours(scene, "voice", face)) == len(place.ours(scene, "frames", face)) == 1
    bpy.ops.wm.open_mainfile(filepath=path)
    assert [obj.name for obj in bpy.data.objects] == ["Kept"]
    scene = bpy.context.scene
    assert scene.gmtalker.character is None
    assert len(scene.sequence_editor.strips_all) == 3
    assert len(place.ours(scene, "frames", bpy.data.objects["Kept"])) == 1


def test_strips_of_older_versions_are_known_by_name(place, scene, face, pictures, compat):
    place.place_frames(scene, face, pictures("a"), 1, None)
    [strip] = compat.all_strips(scene)
    del strip[place.OWNER]
    place.place_frames(scene, face, pictures("b"), 1, None)
    assert list(compat.all_strips(scene)) == [strip]
    assert strip[place.OWNER] == face


@pytest.mark.parametrize(("first", "count"), [(11, 50), (11, 30), (11, 80), (25, 60), (5, 20)])
def test_rendering_again_keeps_the_artists_work(place, scene, face, pictures, compat, blur, first, count):
    import bpy

    place.place_frames(scene, face, pictures("a"), 11, None)
    [strip] = compat.all_strips(scene)
    effect = blur(strip)
    second = blur(effect)
    outer = compat.strips(scene).new_image("mine", "mine.png", 1, 61, fit_method="FIT")
    compat.set_strip_end(outer, 200)
    modified = bpy.app.version[:2] != (5, 0)  # where a modifier added without a window crashes
    if modified:
        strip.modifiers.new("Balance", "COLOR_BALANCE")
    frames = pictures("b", count)
    place.place_frames(scene, face, frames, first, None)
    assert place.ours(scene, "frames", face) == [strip]
    assert names(strip) == [f.name for f in frames]
    assert folder_of(strip) == "b"
    assert {compat.strip_span(s) for s in (strip, effect, second)} == {(first, first + count)}
    assert (effect.input_1, second.input_1) == (strip, effect)
    assert strip.transform.offset_x == 7
    assert len(strip.modifiers) == modified
    assert (outer.channel, compat.strip_span(outer)) == (1, (61, 200)), "the artist's own stays"
    at = {s.channel for s in (strip, effect, second)}
    assert len(at) == 3
    assert 1 not in at or first + count <= 61


def test_a_trimmed_and_cut_strip_stays_so(place, scene, face, pictures, compat):
    place.place_frames(scene, face, pictures("a"), 1, None)
    [strip] = compat.all_strips(scene)
    other = strip.split(frame=21, split_method="SOFT")
    assert sorted(map(compat.strip_span, (strip, other))) == [(1, 21), (21, 51)]
    for name, count, ends in (("b", 70, [(1, 21), (21, 71)]), ("c", 30, [(1, 21), (21, 31)])):
        place.place_frames(scene, face, pictures(name, count), 1, None)
        assert sorted(map(compat.strip_span, compat.all_strips(scene))) == ends
        assert {(folder_of(s), s.channel) for s in compat.all_strips(scene)} == {(name, 1)}
    place.place_frames(scene, face, pictures("d", 15), 1, None)
    assert [compat.strip_span(s) for s in compat.all_strips(scene)] == [(1, 16)]


def test_a_cut_voice_is_another_in_both_parts(place, scene, face, sound, compat):
    strip = place.place_sound(scene, face, sound("a"), 1, 50)
    strip.split(frame=21, split_method="SOFT")
    place.place_sound(scene, face, sound("b"), 1, 50)
    parts = list(compat.all_strips(scene))
    assert sorted(map(compat.strip_span, parts)) == [(1, 21), (21, 51)]
    assert {s.sound.filepath.rpartition("/")[2] for s in parts} == {"b.wav"}


def test_what_changed_in_place_is_seen_and_heard(place, scene, face, sound, pictures, compat, tmp_path):
    import bpy

    def picture():
        scene.render.filepath = str(tmp_path / "seen.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        color = tuple(round(c) for c in image.pixels[:3])
        bpy.data.images.remove(image)
        return color

    def loudness():
        path = tmp_path / "heard.wav"
        bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="S16")
        return max(path.read_bytes()[200:])

    render = scene.render
    render.resolution_x = render.resolution_y = 16
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, 50
    scene.frame_set(1)
    for name, color, level in (("a", (1, 0, 0), 0), ("b", (0, 1, 0), 64)):
        voice = place.place_sound(scene, face, sound(name, level=level), 1, 50)
        place.place_frames(scene, face, pictures(name, color=color), 1, voice)
        assert picture() == color
        assert (loudness() > 0) == (level > 0)
    assert len(compat.all_strips(scene)) == 2


def test_a_piece_less_is_muted_where_an_effect_of_the_artist_needs_it(
    place, scene, face, pictures, compat, blur, monkeypatch
):
    monkeypatch.setattr(place, "PIECE", 20)
    place.place_frames(scene, face, pictures("a", 60), 1, None)
    last = max(place.ours(scene, "frames", face), key=compat.strip_start)
    effect = blur(last)
    place.place_frames(scene, face, pictures("b", 30), 1, None)
    assert sorted(compat.strip_span(s) for s in place.ours(scene, "frames", face)) == [(1, 21), (21, 31)]
    assert effect.input_1 == last
    assert (last.mute, effect.mute) == (True, True)
    place.place_frames(scene, face, pictures("c", 50), 1, None)
    assert sorted(compat.strip_span(s) for s in place.ours(scene, "frames", face)) == [(1, 21), (21, 41), (41, 51)]


@pytest.mark.parametrize("first", [11, 31, 4])
def test_pieces_that_move_stay_on_their_channel(place, scene, face, pictures, compat, monkeypatch, first):
    monkeypatch.setattr(place, "PIECE", 20)
    frames = pictures("a", 50)
    place.place_frames(scene, face, frames, 1, None)
    place.place_frames(scene, face, frames, first, None)
    strips = sorted(compat.all_strips(scene), key=compat.strip_span)
    assert [compat.strip_span(s) for s in strips] == [
        (first, first + 20), (first + 20, first + 40), (first + 40, first + 50)
    ]  # fmt: skip
    assert {s.channel for s in strips} == {1}
    assert [n for s in strips for n in names(s)] == [f.name for f in frames]


def test_strips_in_a_meta_strip_change_there(place, scene, face, sound, pictures, compat):
    voice = place.place_sound(scene, face, sound("a"), 1, 50)
    place.place_frames(scene, face, pictures("a"), 1, voice)
    meta = compat.strips(scene).new_meta("Meta", 5, 1)
    for strip in list(compat.strips(scene)):
        if strip != meta:
            strip.move_to_meta(meta)
    voice = place.place_sound(scene, face, sound("b"), 1, 50)
    place.place_frames(scene, face, pictures("b"), 1, voice)
    assert list(compat.strips(scene)) == [meta]
    [image] = place.ours(scene, "frames", face)
    assert folder_of(image) == "b"
    assert voice.sound.filepath.endswith("b.wav")
    assert compat.strip_span(image) == (1, 51)
    place.place_sound(scene, face, sound("c", 60), 1, 60)
    assert [s.type for s in compat.siblings(scene, image)] == ["IMAGE"]
    assert len(place.ours(scene, "voice", face)) == 1


def test_frames_of_another_size_fill_the_same_place(place, scene, face, pictures, compat, tmp_path):
    scene.render.resolution_x = scene.render.resolution_y = 64
    place.place_frames(scene, face, pictures("a", size=16), 1, None)
    [strip] = compat.all_strips(scene)
    assert strip.transform.scale_x == pytest.approx(4)
    place.place_frames(scene, face, pictures("b", size=32), 1, None)
    assert strip.transform.scale_x == strip.transform.scale_y == pytest.approx(2)
    place.set_film(scene, face, str(tmp_path / "film.mp4"))
    assert (scene.render.resolution_x, strip.transform.scale_x) == (32, 1)
