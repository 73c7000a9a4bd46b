# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest


@pytest.fixture
def mapping(module):
    return module("gmtalker_addon.mapping")


@pytest.mark.parametrize(
    "spelled",
    ["browDownLeft", "BrowDownLeft", "brow_down_left", "browDown_L", "browDownL", "browDown.L",
     "Head.browDownLeft", "blendShape1.browDown_L", "ns:browDown_l"],
)  # fmt: skip
def test_usual_spellings_are_found(mapping, spelled):
    assert mapping.match([spelled, "unrelated"], []).shapes == {"browDownLeft": ((spelled, 1.0),)}


def test_every_arkit_name_matches_itself_alone(mapping, module):
    names = module("core.arkit").ARKIT_NAMES
    found = mapping.match(names, ["neck", "head", "eye.L", "eye.R"])
    assert found.shapes == {name: ((name, 1.0),) for name in names}
    assert found.head == (("head", 1.0),)
    assert found.eyes == {"left": ("eye.L",), "right": ("eye.R",)}
    shouted = mapping.match([n.upper() for n in names], [])
    assert shouted.shapes.keys() == set(names)


def test_a_mapping_survives_its_file(mapping, tmp_path):
    mine = mapping.RigMapping(
        shapes={"jawOpen": (("Kiefer auf", 1.2), ("Zähne", 0.5))},
        head=(("Hals", 0.4), ("Kopf", 0.6)),
        eyes={"left": ("Auge L",)},
        forward="Y",
        name="Mein Rig",
    )
    path = tmp_path / "Zuordnung é.json"
    mapping.save(mine, path)
    assert mapping.load(path) == mine
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "Cannot read"),
        ("[]", "no mapping of format 1"),
        ('{"gmtalker_mapping": 2}', "no mapping of format 1"),
        ('{"gmtalker_mapping": 1}', "wrong entry"),
        ('{"gmtalker_mapping": 1, "shapes": {"jawWide": []}}', "unknown channels: jawWide"),
        ('{"gmtalker_mapping": 1, "shapes": {"jawOpen": [{"scale": 1}]}}', "wrong entry"),
        ('{"gmtalker_mapping": 1, "shapes": {}, "up": "Z", "forward": "-Z"}', "different axes"),
    ],
)
def test_wrong_files_are_refused_with_a_reason(mapping, module, tmp_path, content, says):
    path = tmp_path / "m.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(module("core.errors").UserError, match=says):
        mapping.load(path)
    with pytest.raises(module("core.errors").UserError, match="There is no mapping"):
        mapping.load(tmp_path / "none.json")


def test_operators_save_edit_and_load(face, scene, make_tracks, module, tmp_path):
    import bpy

    path = tmp_path / "map.json"
    bpy.ops.gmtalker.save_mapping(filepath=str(path))
    data = json.loads(path.read_text(encoding="utf-8"))
    data["shapes"] = {"jawOpen": [{"key": "mouthFunnel", "scale": 0.5}, {"key": "tongueOut"}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    bpy.ops.gmtalker.load_mapping(filepath=str(path))
    tracks = make_tracks(5)
    tracks.save(tmp_path / "t.npz")
    bpy.ops.gmtalker.bake(filepath=str(tmp_path / "t.npz"))
    scene.frame_set(3)
    jaw = tracks.expression[2, tracks.expression_names.index("jawOpen")]
    blocks = face.data.shape_keys.key_blocks
    assert blocks["mouthFunnel"].value == pytest.approx(0.5 * jaw, abs=1e-5)
    assert blocks["tongueOut"].value == pytest.approx(jaw, abs=1e-5)
    assert blocks["jawOpen"].value == 0


def test_a_mapping_file_that_was_never_chosen_is_asked_for(face, module):
    face.gmtalker.mapping = "CUSTOM"
    with pytest.raises(module("core.errors").UserError, match="No mapping file is chosen for 'Face'"):
        module("gmtalker_addon.character").resolve(face)


def test_what_a_lost_mapping_has_baked_can_be_cleared(face, make_tracks, bake, remap, tmp_path):
    import bpy

    remap(face, ["jawOpen"])
    bake(face, make_tracks(20))
    (tmp_path / "map.json").unlink()
    face.data.shape_keys.key_blocks["jawOpen"].name = "Kiefer"
    assert bpy.ops.gmtalker.clear() == {"FINISHED"}
    assert not bpy.data.actions
    assert face.data.shape_keys.key_blocks["Kiefer"].value == 0


def test_a_new_mapping_leaves_no_keys_of_the_old_one(face, scene, make_tracks, module, tmp_path):
    import bpy

    make_tracks(5).save(tmp_path / "t.npz")
    bpy.ops.gmtalker.bake(filepath=str(tmp_path / "t.npz"))
    path = tmp_path / "map.json"
    mapping = module("gmtalker_addon.mapping")
    mapping.save(mapping.RigMapping(shapes={"jawOpen": (("jawOpen", 1.0),)}), path)
    bpy.ops.gmtalker.load_mapping(filepath=str(path))
    bpy.ops.gmtalker.bake()
    strip = module("gmtalker_addon.baking").find_strip(face.data.shape_keys, "SPEECH")
    curves = module("gmtalker_addon.blender_compat").assigned_curves(strip)
    assert [c.data_path for c in curves] == ['key_blocks["jawOpen"].value']


def test_a_mapping_of_another_rig_is_refused(face, tmp_path, module):
    import bpy

    mapping = module("gmtalker_addon.mapping")
    path = tmp_path / "m.json"
    mapping.save(mapping.RigMapping(shapes={"jawOpen": (("Kiefer", 1.0),)}), path)
    with pytest.raises(RuntimeError, match="'Face' lacks Kiefer, which its mapping names"):
        bpy.ops.gmtalker.load_mapping(filepath=str(path))
    assert face.gmtalker.mapping == "AUTO"


def test_a_linked_character_says_what_to_do(face, module, tmp_path, make_tracks):
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.objects = ["Face"]
    linked = bpy.data.objects["Face"]
    with pytest.raises(module("core.errors").UserError, match=r"'Face' is linked.*Make a library override"):
        module("gmtalker_addon.character").resolve(linked)
    bpy.context.scene.gmtalker.character = linked
    for operator in (bpy.ops.gmtalker.key_emotion, bpy.ops.gmtalker.generate):
        with pytest.raises(RuntimeError, match=r"'Face' is linked.*Make a library override"):
            operator()


def test_a_shape_key_for_both_directions_moves_in_both(mapping, face, scene, make_tracks, bake, tmp_path):
    mine = mapping.RigMapping(shapes={"mouthLeft": (("mouthLeft", 2.0),), "mouthRight": (("mouthLeft", -2.0),)})
    assert mine.reach("mouthLeft") == (-2.0, 2.0)
    mapping.save(mine, tmp_path / "m.json")
    face.gmtalker.mapping, face.gmtalker.mapping_file = "CUSTOM", str(tmp_path / "m.json")
    tracks = make_tracks(20)
    bake(face, tracks)
    left, right = (tracks.expression[:, tracks.expression_names.index(n)] for n in ("mouthLeft", "mouthRight"))
    assert (left < right).any()
    for frame, value in enumerate(2 * (left - right), 1):
        scene.frame_set(frame)
        assert face.data.shape_keys.key_blocks["mouthLeft"].value == pytest.approx(value, abs=1e-5)
