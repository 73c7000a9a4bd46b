# SPDX-License-Identifier: GPL-3.0-or-later
"""Render sets of any mapped character, in its own scene."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy")

SIZE = 32


@pytest.fixture
def avatars(scene: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with a registration that is quick rather than close."""
    monkeypatch.setattr(module("core.head.registration"), "SAMPLE", 0.02)
    return module("gmtalker_addon.avatar_character")


@pytest.fixture
def rigged(head: Any) -> Any:
    """The built-in head with its bones, somewhere in the scene, larger and turned."""
    import bpy

    head.location, head.rotation_euler, head.scale = (3.0, 1.0, 2.0), (0.2, 0.0, 1.0), (2.0, 2.0, 2.0)
    light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    bpy.context.scene.collection.objects.link(light)
    bpy.context.view_layer.update()
    return head


@pytest.fixture
def mesh_only(rigged: Any) -> Any:
    """A mesh with shape keys of other names and no armature, in an odd unit, placed by its delta transform."""
    import bpy

    body = next(o for o in rigged.children if o.type == "MESH")
    for modifier in list(body.modifiers):
        body.modifiers.remove(modifier)
    body.parent = None
    body.scale, body.rotation_mode = (9.0, 9.0, 9.0), "QUATERNION"
    body.delta_location, body.delta_rotation_quaternion = (1.0, -2.0, 3.0), (0.8, 0.0, 0.0, 0.6)
    bpy.data.objects.remove(rigged)
    for block in body.data.shape_keys.key_blocks[1:]:
        block.name = f"Face.{block.name}"
    bpy.context.view_layer.update()
    return body


@pytest.fixture
def shared(rigged: Any, module: Any, tmp_path: Path) -> Any:
    """The head's turn shared with the neck, by a mapping file."""
    mappings, character = (module(f"gmtalker_addon.{n}") for n in ("mapping", "character"))
    found = mappings.match(*character.names_of(rigged))
    path = tmp_path / "mapping.json"
    mappings.save(replace(found, head=(("neck", 0.4), ("head", 0.6))), path)
    rigged.gmtalker.mapping, rigged.gmtalker.mapping_file = "CUSTOM", str(path)
    return rigged


def projected(place: np.ndarray, camera: Any, size: int) -> np.ndarray:
    """(N, 2) pixels of world points, by Blender's own camera."""
    import bpy
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    seen = [world_to_camera_view(bpy.context.scene, camera, Vector(p)) for p in place.tolist()]
    return np.array([(size * v.x, size * (1 - v.y)) for v in seen])


def by_definition(place: np.ndarray, camera: dict[str, Any], size: int) -> np.ndarray:
    """(N, 2) pixels of core points, by the words of the format."""
    away = place - camera["position"]
    focal = size / 2 / math.tan(math.radians(camera["fov_y"]) / 2)
    return np.stack([size / 2 - focal * away[:, 0] / away[:, 2], size / 2 + focal * away[:, 1] / away[:, 2]], 1)


@pytest.mark.parametrize("kind", ["rigged", "shared", "mesh_only"])
def test_frames_show_what_the_proxy_does(
    avatars: Any, module: Any, request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import bpy

    obj = request.getfixturevalue(kind)
    body = obj if kind == "mesh_only" else next(o for o in obj.children if o.type == "MESH")
    for modifier in list(body.modifiers):
        if modifier.type == "SUBSURF":
            body.modifiers.remove(modifier)
    seen: list[np.ndarray] = []

    def render(path: Path) -> None:
        bpy.context.view_layer.update()
        shown = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
        world = np.array(shown.matrix_world)
        place = np.array([v.co[:] for v in shown.data.vertices]) @ world[:3, :3].T + world[:3, 3]
        seen.append(projected(place, bpy.context.scene.camera, 256))
        path.touch()

    monkeypatch.setattr(module("gmtalker_addon.avatar_set"), "render_still", render)
    out = tmp_path / "set"
    assert avatars.render_set(obj, out, 256, 5) == 5
    info = json.loads((out / "set.json").read_text())
    with np.load(out / "params.npz") as file:
        params = dict(file)
    asked, was = params["asked_head_translation"], params["head_translation"]
    assert np.allclose(asked, was, atol=0.002) == (kind != "shared")
    model = module("core.head.model").HeadModel.load(out / "proxy.npz")
    posed = model.deform(*(params[n] for n in ("arkit", "gaze", "head_rotation", "head_translation")))
    marks = model.landmark_indices[[n != "chin" for n in model.landmark_names]]
    for row in range(5):
        want = by_definition(posed[row], info["camera"], 256)
        assert np.linalg.norm(want - seen[row], axis=1)[marks].max() < 3.0
        assert (seen[row][marks] > 20).all()
        assert (seen[row][marks] < 236).all()


def tiny(avatars: Any, obj: Any, out: Path, **more: Any) -> int:
    """Two frames by Cycles, one path a pixel."""
    return avatars.render_set(obj, out, **({"size": SIZE, "count": 2, "engine": "cycles", "samples": 1, "threads": 1} | more))


def state(obj: Any) -> Any:
    """What a render could leave behind."""
    import bpy

    scene = bpy.context.scene
    render, picture = scene.render, scene.render.image_settings
    blocks = [(k.name, b.name, b.value, b.slider_min, b.slider_max) for k in bpy.data.shape_keys for b in k.key_blocks]
    bones = [(b.name, *b.rotation_quaternion, *b.rotation_euler, *b.location)
             for o in bpy.data.objects if o.pose for b in o.pose.bones]  # fmt: skip
    curves = [c.mute for a in bpy.data.actions for layer in a.layers
              for s in layer.strips for b in s.channelbags for c in b.fcurves]  # fmt: skip
    return (
        blocks, bones, curves, sorted(o.name for o in bpy.data.objects), scene.frame_current,
        scene.camera, render.engine, render.resolution_x, render.filepath, picture.file_format,
        picture.color_mode, scene.cycles.samples, obj.gmtalker.happy, *obj.delta_rotation_euler,
    )  # fmt: skip


def test_a_set_is_rendered_once_and_the_scene_left_as_it_was(
    avatars: Any, module: Any, rigged: Any, make_tracks: Any, tmp_path: Path
) -> None:
    import bpy

    scene, character = bpy.context.scene, module("gmtalker_addon.character")
    module("gmtalker_addon.baking").bake(make_tracks(10), character.resolve(rigged), scene.render.fps, 1)
    scene.frame_set(4)
    picture = scene.render.image_settings
    if hasattr(picture, "media_type"):
        picture.media_type = "VIDEO"
    picture.file_format = "FFMPEG"
    rigged.gmtalker.happy, scene.render.filepath = 0.3, "//mine"
    before = state(rigged)
    assert tiny(avatars, rigged, tmp_path) == 2
    assert state(rigged) == before
    info = json.loads((tmp_path / "set.json").read_text())
    assert (info["name"], info["character"], info["size"]) == ("Head", "Head", SIZE)
    assert info["render_seconds"] > 0
    assert info["renderer"] == "Cycles, 1 samples a pixel"
    frames = sorted(tmp_path.glob("frames/*"))
    assert [f.name for f in frames] == ["000001.png", "000002.png"]
    first, second = (f.read_bytes() for f in frames)
    assert first != second
    frames[1].unlink()
    assert tiny(avatars, rigged, tmp_path, count=50) == 1
    assert frames[1].read_bytes() == second
    assert tiny(avatars, rigged, tmp_path) == 0
    for wrong in ({"size": 64}, {"obj": bpy.data.objects["Head Mesh"]}):
        with pytest.raises(module("core.errors").UserError, match="Name another folder"):
            tiny(avatars, **({"obj": rigged, "out": tmp_path} | wrong))


def test_emotions_reach_what_the_artist_drives_by_them(
    avatars: Any, module: Any, rigged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    body = next(o for o in rigged.children if o.type == "MESH")
    driver = body.driver_add('["flush"]').driver
    driver.type = "AVERAGE"
    target = driver.variables.new().targets[0]
    target.id, target.data_path = rigged, "gmtalker.angry"
    seen = []

    def render(path: Path) -> None:
        bpy.context.view_layer.update()
        seen.append(body.evaluated_get(bpy.context.evaluated_depsgraph_get())["flush"])
        path.touch()

    monkeypatch.setattr(module("gmtalker_addon.avatar_set"), "render_still", render)
    avatars.render_set(rigged, tmp_path, SIZE, 8)
    with np.load(tmp_path / "params.npz") as file:
        angry = file["emotion"][:, 1]
    assert max(angry) > 0.5
    assert seen == pytest.approx(list(angry), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--size", "100"], 2, "in steps of 32"),
        (["--frames", "0"], 2, "at least 1"),
        (["--engine", "cycles"], 2, "--character"),
        (["--character", "Nobody"], 3, "no object 'Nobody'"),
        (["--character", "Face"], 3, "move nothing here"),
        (["--character", "hidden"], 3, "Show its face"),
    ],
)
def test_exit_codes(
    avatars: Any, module: Any, face: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], code: int, said: str,
) -> None:  # fmt: skip
    if "hidden" in words:
        face.name = "hidden"
        face.hide_viewport = True
    out = tmp_path / "set"
    assert module("gmtalker_addon.commands").main(["avatar", "--out", str(out), *words]) == code
    assert said in capsys.readouterr().err
    assert not out.exists()
