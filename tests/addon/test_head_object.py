# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head and the path-traced character, as Blender objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy")


@pytest.fixture
def heads(scene: Any, module: Any) -> Any:
    return module("gmtalker_addon.head_object")


@pytest.fixture
def avatar(scene: Any, module: Any) -> Any:
    return module("gmtalker_addon.avatar_scene")


def shown(rig: Any, body: Any) -> np.ndarray:
    """(V, 3) world places of the evaluated mesh, core space."""
    import bpy

    bpy.context.view_layer.update()
    mesh = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    x, y, z = points.reshape(-1, 3).T
    return np.stack([x, z, -y], 1)


def frame(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "weights": (random.uniform(size=(1, 52)) < 0.2) * random.uniform(size=(1, 52)),
        "gaze": random.uniform(-0.4, 0.4, (1, 2, 2)),
        "head_rotation": random.uniform(-0.3, 0.3, (1, 3)),
        "head_translation": random.uniform(-0.01, 0.01, (1, 3)),
    }


def test_head_has_keys_bones_and_materials(heads: Any, module: Any) -> None:
    import bpy

    rig = heads.create_head(bpy.context, name="Kopf")
    body = heads.head_mesh(rig)
    keys = [k.name for k in body.data.shape_keys.key_blocks]
    assert keys == ["Basis", *module("core.arkit").ARKIT_NAMES]
    assert [b.name for b in rig.data.bones] == list(heads.BONES)
    assert rig.name == "Kopf"
    assert body.parent == rig
    assert len(body.data.uv_layers) == 1
    for material in body.data.materials:
        outputs = [n for n in material.node_tree.nodes if n.type == "OUTPUT_MATERIAL"]
        assert outputs[0].inputs[0].is_linked
    used = {body.data.materials[p.material_index].name.split()[-1] for p in body.data.polygons}
    assert {"skin", "lips", "eye", "iris", "teeth", "tongue"} <= used


@pytest.mark.parametrize("seed", range(3))
def test_pose_is_what_the_head_model_says(heads: Any, module: Any, seed: int) -> None:
    import bpy

    rig, one = heads.create_head(bpy.context), frame(seed)
    model = module("core.head.model").HeadModel.load()
    heads.pose_head(
        rig, one["weights"][0], one["gaze"][0], one["head_rotation"][0], one["head_translation"][0]
    )
    apart = np.linalg.norm(shown(rig, heads.head_mesh(rig)) - model.deform(**one)[0], axis=1)
    assert apart[model.head_weight > 0.99].max() < 2e-5
    assert apart.max() < 5e-4  # the neck blends dual quaternions here, angles there


def test_skin_is_lined_where_the_brows_go(heads: Any) -> None:
    import bpy

    body = heads.head_mesh(heads.create_head(bpy.context))
    keys = body.data.shape_keys.key_blocks
    keys["browDownLeft"].value = keys["browDownRight"].value = 0.8
    keys["browInnerUp"].value = 0.6
    bpy.context.view_layer.update()
    seen = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert seen["crease_brow"] == pytest.approx(0.8)
    assert seen["crease_forehead"] == pytest.approx(0.2)
    assert all(f.driver.type == "AVERAGE" for f in body.animation_data.drivers)


def test_identity_changes_the_face_and_too_many_are_refused(heads: Any, module: Any) -> None:
    plain, own = heads.load_head(), heads.load_head(identity=[1.5, 0, -1])
    assert np.abs(own["vertices"] - plain["vertices"]).max() > 2e-3
    model = module("core.head.model").HeadModel.load()
    assert np.allclose(own["eye_center"], model.eye_centers([1.5, 0, -1]), atol=1e-5)
    with pytest.raises(module("core.errors").UserError, match="got 25"):
        heads.load_head(identity=[0.0] * 25)


def test_missing_and_broken_head_files(heads: Any, module: Any, tmp_path: Path) -> None:
    with pytest.raises(module("core.errors").UserError) as missing:
        heads.load_head(tmp_path / "no.npz")
    assert missing.value.code == 4
    whole = heads.BUILT_IN.read_bytes()
    for damaged in (b"no", b"PK\x03\x04", whole[: len(whole) // 2], whole[:2000] + b"\xff" * 2000 + whole[4000:]):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(module("core.errors").UserError) as broken:
            heads.load_head(tmp_path / "bad.npz")
        assert broken.value.code == 3


def test_the_fold_of_the_cheek_runs_from_nose_to_mouth(module: Any) -> None:
    masks = module("gmtalker_addon.head_masks")
    data = module("gmtalker_addon.avatar_head").character_head()
    fold = masks.masks(data)["crease_cheek"]
    at = lambda name: np.linalg.norm(data["vertices"] - masks.landmark(data, name), axis=1)  # noqa: E731
    skin = data["vertex_part"] == list(data["part_names"]).index("skin")
    for side in ("left", "right"):
        assert fold[skin & (at(f"lip_corner_{side}") < 0.012)].min() < 0.002
        assert fold[skin & (at(f"brow_inner_{side}") < 0.01)].min() > 0.03
    assert fold[skin & (at("chin") < 0.01)].min() > 0.02
    assert (fold[~skin] == 0.1).all()


def test_lids_of_the_character_clear_her_eyes(module: Any) -> None:
    data = module("gmtalker_addon.avatar_head").character_head()
    names, points = list(data["shape_names"]), data["vertices"].astype(np.float64)
    radius = float(data["eye_radius"])
    parts = [str(n) for n in data["part_names"]]
    skin = data["vertex_part"] == parts.index("skin")
    for centre, side in zip(data["eye_center"], ("Left", "Right"), strict=True):
        delta = data["shape_deltas"][names.index(f"eyeBlink{side}")].astype(np.float64)
        lid = skin & (np.linalg.norm(delta, axis=1) > 0.002) & (points[:, 2] > centre[2])
        for share, least in ((0.5, 0.0), (1.0, 0.0008)):
            away = np.linalg.norm(points[lid] + share * delta[lid] - centre, axis=1)
            assert away.min() > radius + least
        ball = data["vertex_part"] == parts.index(f"eye_{side.lower()}")
        assert np.allclose(np.linalg.norm(points[ball] - centre, axis=1), radius, atol=1e-4)


def test_lashes_go_down_with_the_lid(module: Any, avatar: Any) -> None:
    hair, data = module("gmtalker_addon.avatar_hair"), avatar.character_head()
    corners, strands = hair.lashes(data, 12, 0)
    root = strands[:, 0]
    bary = hair.weights_in(root, data["vertices"][corners].astype(np.float64))
    assert np.allclose(bary.sum(1), 1)
    pivots = np.where(root[:, :1] > 0, *data["eye_center"].astype(np.float64))
    offsets = hair.carried(data, corners, bary, strands, pivots)
    assert offsets.shape == (52, *strands.shape)
    blink = offsets[list(data["shape_names"]).index("eyeBlinkLeft")]
    upper = (root[:, 0] > 0) & (strands[:, -1, 1] > root[:, 1])
    assert blink[upper, 0, 1].min() < -0.006
    tips = (strands + blink)[upper]
    # A lash that pointed up and out points out or down once the lid is shut.
    before = (strands[upper, -1] - strands[upper, 0])[:, 1].mean()
    assert (tips[:, -1] - tips[:, 0])[:, 1].mean() < before - 0.001
    lengths = np.linalg.norm(np.diff(strands + blink, axis=1), axis=2)
    assert np.allclose(lengths, np.linalg.norm(np.diff(strands, axis=1), axis=2), atol=1e-4)


def test_render_set_is_made_once_and_can_be_read(
    avatar: Any, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, rows = 2, frame(5)
    arrays = {
        "arkit": np.repeat(rows["weights"], count, 0),
        "gaze": np.repeat(rows["gaze"], count, 0),
        "head_rotation": np.repeat(rows["head_rotation"], count, 0),
        "head_translation": np.repeat(rows["head_translation"], count, 0),
        "emotion": np.eye(8)[[0, 1]],
    }
    np.savez(tmp_path / "params.npz", **{k: v.astype(np.float32) for k, v in arrays.items()})
    (tmp_path / "set.json").write_text(
        json.dumps({"format": "gmtalker-render-set", "version": 1, "held_out": [2]})
    )
    monkeypatch.setattr(avatar, "STRANDS", 300)
    seen: list[tuple[int, int]] = []
    made = avatar.render_set(tmp_path, 32, 1, progress=lambda done, total: seen.append((done, total)))
    assert made == 2
    assert seen == [(1, 2), (2, 2)]
    info = json.loads((tmp_path / "set.json").read_text())
    assert info["size"] == 32
    assert info["held_out"] == [2]
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == ["000001.png", "000002.png"]
    pictures = [p.read_bytes() for p in sorted((tmp_path / "frames").iterdir())]
    assert pictures[0] != pictures[1]  # the same pose: only the emotion differs
    module("core.head.model").HeadModel.load(tmp_path / "proxy.npz")


def test_render_set_with_half_a_plan(avatar: Any, module: Any, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text("{}")
    for damaged in (None, b"PK\x03\x04"):
        if damaged:
            (tmp_path / "params.npz").write_bytes(damaged)
        with pytest.raises(module("core.errors").UserError, match="no whole plan"):
            avatar.render_set(tmp_path)


def test_avatar_command_says_what_it_lacks(
    scene: Any, module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set.json").write_text("{}")
    assert module("gmtalker_addon.commands").main(["avatar", "--out", str(tmp_path)]) == 3
    assert "no whole plan" in capsys.readouterr().err
