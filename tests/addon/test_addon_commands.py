# SPDX-License-Identifier: GPL-3.0-or-later
"""``-c gmtalker ...`` as Blender calls it: words in, an exit code out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def command(module, scene):
    return module("gmtalker_addon.commands").main


@pytest.fixture
def avatar(home):
    folder = home / "avatars" / "ada"
    folder.mkdir(parents=True)
    (folder / "avatar.toml").touch()


def test_animate_render_and_film_in_one_go(command, voice, engine, avatar, tmp_path, capsys):
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True)
    blend = tmp_path / "Szene ü.blend"
    words = ["animate", str(voice), "--emotion", "happy=0.8,sad=0.1", "--start-frame", "5", "--seed", "2"]
    assert command([*words, "-o", str(blend)]) == 0
    assert f"Baked 48 frames on 'Head'. {blend}" in capsys.readouterr().out
    assert [p.name for p in tmp_path.glob("*.blend*")] == [blend.name], "no backup of a half-made file"
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert sorted(o.name for o in bpy.data.objects) == ["Head", "Head Mesh"]
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (5, 52)
    settings = bpy.data.objects["Head"].gmtalker
    assert settings.happy == pytest.approx(0.8)
    [made] = (tmp_path / "gmtalker" / "Head").glob("tracks-*.npz")
    assert settings.tracks == f"//gmtalker/Head/{made.name}"
    assert command(["render", "--avatar", "ada", "--size", "512", "--save"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    settings = bpy.data.objects["Head"].gmtalker
    assert settings.frames.startswith("//gmtalker/Head/frames-ada-512-")
    assert settings.output == "//gmtalker"
    film = tmp_path / "Film ü.mp4"
    assert command(["film", "-o", str(film)]) == 0
    assert b"avc1" in film.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_render_takes_footage_and_alpha(command, face, voice, engine, avatar, tmp_path, monkeypatch):
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    assert command(["animate", str(voice), "--save"]) == 0
    monkeypatch.chdir(tmp_path)
    assert command(["render", "--film", "b.mov", "--save"]) == 2
    assert command(["render", "--into", "work/set-1", "--alpha", "--save"]) == 2
    assert command(["render", "--into", "work/set-1", "--film", "b.mov", "--save"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    settings = bpy.context.scene.gmtalker.character.gmtalker
    assert bpy.path.abspath(settings.footage) == str(tmp_path / "work" / "set-1")
    assert settings.film == "b.mov"
    assert settings.frames.startswith("//gmtalker/Face/frames-ada-b-")
    assert command(["render", "--alpha", "--save"]) == 0
    assert (settings.footage, settings.transparent) == ("", True)


def test_the_opened_files_character_is_used(command, face, voice, engine, tmp_path):
    import bpy

    face.gmtalker.seed = 9
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    assert command(["animate", str(voice), "--parts", "head,blink", "--save"]) == 0
    face = bpy.context.scene.gmtalker.character
    assert face.gmtalker.seed == 9
    keys = face.data.shape_keys.animation_data.nla_tracks
    assert [t.name for t in keys if t.name != "GMTalker rest"] == ["GMTalker blink"]
    assert [t.name for t in face.animation_data.nla_tracks] == ["GMTalker head"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["dance"], 2),
        (["animate"], 2),
        (["animate", "VOICE"], 2),
        (["animate", "VOICE", "--save"], 2),
        (["animate", "VOICE", "-o", "OUT", "--emotion", "glad=1"], 2),
        (["animate", "VOICE", "-o", "OUT", "--emotion", "happy=2"], 2),
        (["animate", "VOICE", "-o", "OUT", "--parts", "nose"], 2),
        (["animate", "NONE", "-o", "OUT"], 3),
        (["animate", "VOICE", "-o", "NOWHERE"], 3),
        (["animate", "VOICE", "-o", "OUT", "--character", "Nobody"], 3),
        (["render", "-o", "OUT"], 3),
        (["film", "-o", "OUT"], 3),
        (["setup"], 4),
        (["--help"], 0),
    ],
)
def test_exit_codes(command, voice, engine, tmp_path, capsys, words, code):
    names = {"VOICE": voice, "NONE": tmp_path / "none.wav", "OUT": tmp_path / "out.blend",
             "NOWHERE": tmp_path / "none" / "out.blend"}  # fmt: skip
    assert command([str(names.get(w, w)) for w in words]) == code
    if code:
        error = capsys.readouterr().err
        assert error
        assert "Traceback" not in error
    assert not (tmp_path / "out.blend").exists()


def test_no_engine_is_exit_code_4(command, voice, tmp_path, home, capsys):
    assert command(["animate", str(voice), "-o", str(tmp_path / "o.blend")]) == 4
    assert "The engine is not set up." in capsys.readouterr().err


def test_a_file_without_a_character_names_the_option(command, scene, tmp_path, capsys):
    assert command(["film", "-o", str(tmp_path / "a.mp4")]) == 3
    assert "name an object with --character" in capsys.readouterr().err


def test_an_unknown_avatar_is_exit_code_4(command, face, engine, tmp_path, capsys):
    assert command(["render", "--avatar", "nobody", "-o", str(tmp_path / "o.blend")]) == 4
    assert "There is no avatar 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(("how", "code"), [("killed", 5), ("bad voice", 3), ("broken", 4)])
def test_the_engines_failures_keep_their_codes(command, voice, engine, tmp_path, how, code):
    engine(how)
    before = sorted(tmp_path.rglob("*"))
    assert command(["animate", str(voice), "-o", str(tmp_path / "o.blend")]) == code
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupt_cancels_with_130(command, module, voice, engine, tmp_path, monkeypatch, capsys):
    engine("slow")

    def interrupt(progress):
        if progress.total and not module("gmtalker_addon.session").session.job.cancelling:
            raise KeyboardInterrupt

    monkeypatch.setattr(module("gmtalker_addon.commands"), "_watcher", lambda: interrupt)
    assert command(["animate", str(voice), "-o", str(tmp_path / "o.blend")]) == 130
    assert "Cancelled." in capsys.readouterr().err
    assert not (tmp_path / "o.blend").exists()


def test_bench_tells_channels_and_seconds(command, module, monkeypatch, capsys):
    import bpy

    monkeypatch.setattr(module("gmtalker_addon.bench"), "FRAMES", 100)
    assert command(["bench"]) == 0
    assert "channels x 100 frames in Blender" in capsys.readouterr().out
    assert not bpy.data.objects
    assert not bpy.data.actions


def test_a_film_that_cannot_be_written_leaves_nothing(command, voice, engine, avatar, tmp_path):
    blend = tmp_path / "a.blend"
    assert command(["animate", str(voice), "-o", str(blend)]) == 0
    assert command(["render", "--save"]) == 0
    before = sorted(p for p in tmp_path.rglob("*"))
    target = tmp_path / "folder.mp4"
    target.mkdir()
    assert command(["film", "-o", str(target)]) == 3
    target.rmdir()
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert Path(blend).is_file()


def test_saving_leaves_the_paths_of_others_alone(command, face, voice, engine, avatar, tmp_path):
    import bpy

    bpy.data.images.new("Map", 8, 8).save(filepath=str(tmp_path / "map.png"))
    deliberate = bpy.data.images.load(str(tmp_path / "map.png"))
    own = bpy.data.sounds.load(str(shutil.copy(voice, tmp_path / "own.wav")))
    other = bpy.data.objects.new("Other", None)
    bpy.context.scene.collection.objects.link(other)
    deliberate.use_fake_user = own.use_fake_user = True
    other.gmtalker.voice, other.gmtalker.tracks = str(voice), "//theirs/tracks.npz"
    names = deliberate.name, own.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"), relative_remap=False)
    assert command(["animate", str(voice), "--save"]) == 0
    assert command(["render", "--save"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert bpy.data.images[names[0]].filepath == str(tmp_path / "map.png")
    assert bpy.data.sounds[names[1]].filepath == str(tmp_path / "own.wav")
    other, face = bpy.data.objects["Other"].gmtalker, bpy.data.objects["Face"].gmtalker
    assert (other.voice, other.tracks) == (str(voice), "//theirs/tracks.npz")
    assert face.voice == f"//{voice.name}"
    assert face.tracks.startswith("//gmtalker/Face/tracks")


def test_a_new_file_has_relative_strips(command, module, voice, engine, avatar, tmp_path):
    import bpy

    assert command(["animate", str(voice), "-o", str(tmp_path / "a.blend")]) == 0
    assert command(["render", "--save"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    strips = {s.type: s for s in module("gmtalker_addon.blender_compat").all_strips(bpy.context.scene)}
    assert strips["SOUND"].sound.filepath == f"//{voice.name}"
    assert strips["IMAGE"].directory.startswith("//gmtalker/Head/frames-ada-")
    assert bpy.data.objects["Head"].gmtalker.voice == f"//{voice.name}"


def test_a_copy_elsewhere_finds_the_same_files(command, face, module, voice, engine, avatar, tmp_path):
    import bpy

    mapping = module("gmtalker_addon.mapping")
    mapping.save(mapping.match(*module("gmtalker_addon.character").names_of(face)), tmp_path / "m.json")
    face.gmtalker.mapping, face.gmtalker.mapping_file = "CUSTOM", "//m.json"
    other = bpy.data.objects.new("Other", None)
    bpy.context.scene.collection.objects.link(other)
    other.gmtalker.voice, other.gmtalker.avatar = "//theirs/a.wav", "//avatars/eva"
    other.gmtalker.frames, other.gmtalker.mapping_file = str(tmp_path / "frames"), ""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    copies = tmp_path / "copies" / "new"
    copies.mkdir(parents=True)
    assert command(["animate", str(voice), "-o", str(copies / "b.blend")]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(copies / "b.blend"))
    face, other = bpy.data.objects["Face"].gmtalker, bpy.data.objects["Other"].gmtalker
    assert face.mapping_file == "//../../m.json"
    assert face.tracks.startswith("//gmtalker/Face/tracks")
    assert (copies / face.tracks[2:]).is_file()
    assert (other.voice, other.avatar) == ("//../../theirs/a.wav", "//../../avatars/eva")
    assert (other.frames, other.mapping_file) == (str(tmp_path / "frames"), "")
    assert (other.output, face.output, face.avatar) == ("//gmtalker", "//gmtalker", "ada")
    assert command(["render", "--save"]) == 0, "and from there it goes on"
