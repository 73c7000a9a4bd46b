# SPDX-License-Identifier: GPL-3.0-or-later
"""The real extension, enabled from a symlinked repository in an isolated Blender."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import time
import wave
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
ADDON = "bl_ext.user_default.gmtalker"
FAKE = Path(__file__).with_name("fake_engine.py")

if importlib.util.find_spec("bpy") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    # Blender reads this when it is imported, so it cannot wait for a fixture.
    _user = tempfile.mkdtemp(prefix="gmtalker-user-")
    os.environ["BLENDER_USER_RESOURCES"] = _user
    atexit.register(shutil.rmtree, _user, ignore_errors=True)


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Enable the add-on; disable it at the end, for what stays registered can hang Blender's exit."""
    import bpy  # first: it brings addon_utils

    addon_utils = importlib.import_module("addon_utils")
    repository = tmp_path_factory.mktemp("user_default")
    (repository / "gmtalker").symlink_to(ROOT, target_is_directory=True)
    for repo in bpy.context.preferences.extensions.repos:
        if repo.module == "user_default":
            repo.use_custom_directory, repo.custom_directory = True, str(repository)
    assert addon_utils.enable(ADDON, default_set=True)
    yield
    addon_utils.disable(ADDON, default_set=True)


@pytest.fixture
def module(extension: None) -> Any:
    """A module of the add-on by its name in the package: ``module("gmtalker_addon.baking")``."""
    return lambda name: importlib.import_module(f"{ADDON}.{name}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, with a space and other letters in its name."""
    folder = tmp_path / "Größe home"
    folder.mkdir()
    monkeypatch.setenv("GMTALKER_HOME", str(folder))
    return folder


@pytest.fixture
def scene(extension: None, module: Any, home: Path) -> Any:
    """An empty file at 25 frames a second, and an add-on that does nothing."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    yield scene
    module("gmtalker_addon.session").session.close()
    preferences = module("gmtalker_addon.preferences").preferences()
    preferences.engine_path, preferences.engine_kind = "", "AUTO"


@pytest.fixture
def face(scene: Any, module: Any) -> Any:
    """A mesh with ARKit-named shape keys and no armature, picked as the character."""
    import bpy

    names = module("core.arkit").ARKIT_NAMES
    mesh = bpy.data.meshes.new("Face")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new("Face", mesh)
    scene.collection.objects.link(obj)
    for name in ("Basis", *names):
        obj.shape_key_add(name=name, from_mix=False).value = 0.0
    scene.gmtalker.character = obj
    return obj


@pytest.fixture
def head(scene: Any) -> Any:
    """The built-in head."""
    import bpy

    bpy.ops.gmtalker.add_head(name="Head")
    return scene.gmtalker.character


@pytest.fixture
def make_tracks(module: Any) -> Any:
    """Tracks of random but repeatable motion."""

    def make(count: int = 50, fps: Fraction = Fraction(25), seed: int = 0) -> Any:
        random = np.random.default_rng(seed)
        names = len(module("core.arkit").EXPRESSION_NAMES)
        speech = random.uniform(0, 0.5, (count, names))
        return module("core.tracks").FaceTracks(
            fps=fps,
            expression=speech + random.uniform(0, 0.5, (count, names)),
            speech=speech,
            blink=random.uniform(0, 1, (count, 2)),
            gaze=random.uniform(-0.4, 0.4, (count, 2, 2)),
            head_rotation=random.uniform(-0.3, 0.3, (count, 3)),
            head_translation=random.uniform(-0.02, 0.02, (count, 3)),
            emotion=np.full((count, 8), 0.125),
        )

    return make


@pytest.fixture
def bake(module: Any, scene: Any) -> Any:
    """``bake(obj, tracks, first=1, parts=..., limits=...)`` at the scene's frame rate."""
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")

    def run(obj: Any, tracks: Any, first: int = 1, **options: Any) -> None:
        baking.bake(tracks, character.resolve(obj), baking.scene_fps(scene), first, **options)

    return run


@pytest.fixture
def strips(module: Any) -> Any:
    """Our NLA strips of an object and its shape keys, by part."""
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")

    def find(obj: Any) -> dict[tuple[str, str], Any]:
        owners = character.resolve(obj).action_owners
        return {(part, type(o).__name__): baking.find_strip(o, part)
                for part in baking.PARTS for o in owners if baking.find_strip(o, part)}  # fmt: skip

    return find


@pytest.fixture
def push_down() -> Any:
    """Make the object's action an NLA strip from frame 1 on, and return that."""

    def push(obj: Any) -> Any:
        data = obj.animation_data
        action, slot = data.action, getattr(data, "action_slot", None)
        data.action = None
        strip = data.nla_tracks.new().strips.new("pushed down", 1, action)
        if slot is not None:
            strip.action_slot = slot
        return strip

    return push


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Two seconds of a tone, in a file with spaces and other letters in its name."""
    path = tmp_path / "Stimme é 声.wav"
    samples = (8000 * np.sin(np.arange(32000) * 0.1)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine that speaks the protocol and behaves as told: ``engine("deaf")``."""
    starter = home / "engine" / "bin" / "python"
    starter.parent.mkdir(parents=True)
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n', encoding="utf-8")
    starter.chmod(starter.stat().st_mode | stat.S_IXUSR)
    (home / "engine.json").write_text("{}", encoding="utf-8")

    def behave(how: str) -> None:
        monkeypatch.setenv("GMTALKER_FAKE", how)

    behave("well")
    return behave


@pytest.fixture
def ready(face: Any, voice: Path, engine: Any, tmp_path: Path, home: Path, scene: Any) -> Any:
    """A character with a voice, an engine, an avatar, and an output folder."""
    (home / "avatars" / "ada").mkdir(parents=True)
    (home / "avatars" / "ada" / "avatar.toml").touch()
    face.gmtalker.voice = str(voice)
    face.gmtalker.output = str(tmp_path / "aus gabe")
    return face


@pytest.fixture
def state_of(module: Any) -> Any:
    """Everything that a job could leave behind, to be compared before and after."""
    import bpy

    def state(folder: Path) -> Any:
        compat = module("gmtalker_addon.blender_compat")
        strips = [(s.name, compat.strip_span(s), s.channel) for s in compat.all_strips(bpy.context.scene)]
        tracks = [
            (block.name, track.name, [s.name for s in track.strips])
            for block in (*bpy.data.objects, *bpy.data.shape_keys)
            if block.animation_data
            for track in block.animation_data.nla_tracks
        ]
        actions = [(a.name, a.users, tuple(a.frame_range)) for a in bpy.data.actions]
        values = [(k.name, b.name, b.value) for k in bpy.data.shape_keys for b in k.key_blocks]
        files = sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file())
        settings = [(o.name, o.gmtalker.tracks, o.gmtalker.frames) for o in bpy.data.objects]
        sounds = [s.name for s in bpy.data.sounds]
        return strips, tracks, actions, values, files, settings, sounds, bpy.context.scene.frame_current

    return state


@pytest.fixture
def until_progress() -> Callable[[Any], None]:
    """``until_progress(job)`` returns once it says how far it is."""

    def wait(job: Any) -> None:
        for _ in range(500):
            assert job.poll() is None
            if job.progress.total:
                return
            time.sleep(0.02)
        raise AssertionError("no progress")

    return wait


@pytest.fixture
def armature(face: Any, scene: Any) -> Callable[..., Any]:
    """``armature("Schädel")``: an armature with bones of these names, which deforms the face."""
    import bpy

    def build(*bones: str) -> Any:
        obj = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
        scene.collection.objects.link(obj)
        bpy.context.view_layer.objects.active = obj
        bpy.ops.object.mode_set(mode="EDIT")
        for name in bones:
            obj.data.edit_bones.new(name).tail = (0, 0, 1)
        bpy.ops.object.mode_set(mode="OBJECT")
        face.modifiers.new("Armature", "ARMATURE").object = obj
        return obj

    return build


@pytest.fixture
def remap(module: Any, tmp_path: Path) -> Callable[..., None]:
    """Give an object another mapping: ``remap(obj, ["jawOpen"], head=(("Schädel", 1.0),))``."""
    mapping, names = module("gmtalker_addon.mapping"), module("core.arkit").ARKIT_NAMES

    def load(obj: Any, shapes: list[str] = names, **options: Any) -> None:
        path = tmp_path / "map.json"
        mapping.save(mapping.RigMapping(shapes={n: ((n, 1.0),) for n in shapes}, **options), path)
        obj.gmtalker.mapping, obj.gmtalker.mapping_file = "CUSTOM", str(path)

    return load
