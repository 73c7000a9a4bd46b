# SPDX-License-Identifier: GPL-3.0-or-later
"""A character linked from another file and overridden, as studios do."""

from __future__ import annotations

import pytest


@pytest.fixture
def shot(face, tmp_path):
    """Link the character into a new file and override it: ``shot(touched=True)``, the override."""
    import bpy

    def make(*, touched: bool = False):
        collection = bpy.data.collections.new("Character")
        collection.objects.link(face)
        if touched:
            face.gmtalker.seed = 3
        library = str(tmp_path / "library.blend")
        bpy.data.libraries.write(library, {collection}, path_remap="NONE")
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        bpy.context.scene.render.fps = 25
        with bpy.data.libraries.load(library, link=True) as (_, wanted):
            wanted.collections = ["Character"]
        linked = wanted.collections[0]
        linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
        return local()

    return make


def local():
    import bpy

    [found] = [o for o in bpy.data.objects if o.library is None]
    return found


def reopen(path):
    """Save and reopen twice: what the first reload brings back, the second must not lose."""
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    for _ in range(2):
        bpy.ops.wm.open_mainfile(filepath=str(path))
        bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return local()


@pytest.mark.parametrize("touched", [False, True], ids=["library without settings", "with settings"])
def test_an_override_keeps_what_is_set_on_it(shot, module, tmp_path, touched):
    import bpy

    settings = shot(touched=touched).gmtalker
    assert settings.seed == (3 if touched else 0)
    names = [p.identifier for p in settings.bl_rna.properties if p.identifier not in ("rna_type", "name")]
    kinds = {name: settings.bl_rna.properties[name] for name in names}
    wanted = {}
    for name, kind in kinds.items():
        if kind.type == "FLOAT":
            wanted[name] = 0.25
        elif kind.type == "INT":
            wanted[name] = 7
        elif kind.type == "BOOLEAN":
            wanted[name] = not getattr(settings, name)
        elif kind.type == "STRING":
            wanted[name] = f"//some/{name}"
        elif kind.type == "POINTER":
            wanted[name] = bpy.data.texts.new("Said")
        else:
            wanted[name] = {"HEAD"} if kind.is_enum_flag else kind.enum_items[-1].identifier
        setattr(settings, name, wanted[name])
    wanted["transcript"] = wanted["transcript"].name
    settings = reopen(tmp_path / "shot.blend").gmtalker
    found = {name: getattr(settings, name) for name in names}
    found["transcript"] = found["transcript"] and found["transcript"].name
    assert set(module("core.arkit").EMOTIONS) < set(found)
    assert found == wanted


def test_an_ordinary_override_says_that_its_mesh_is_linked(shot, module):
    face = shot()
    assert face.data.library is not None
    with pytest.raises(module("core.errors").UserError) as said:
        module("gmtalker_addon.character").resolve(face)
    assert str(said.value) == (
        "The override 'Face' still has a linked mesh, 'Face', whose shape keys cannot be animated. "
        "Override the mesh as well: select 'Face', and in the Object Data properties "
        "Shift-click the chain icon at the mesh's name."
    )


def test_with_its_mesh_overridden_too_it_is_baked_and_stays_so(shot, module, make_tracks, tmp_path):
    face = shot()
    face.data.override_create(remap_local_usages=True)
    rig = module("gmtalker_addon.character").resolve(face)
    baking = module("gmtalker_addon.baking")
    baking.bake(make_tracks(), rig, 25, 1, set(baking.PARTS), None)
    face = reopen(tmp_path / "shot.blend")
    assert face.data.library is None
    tracks = face.data.shape_keys.animation_data.nla_tracks
    assert "GMTalker speech" in [t.name for t in tracks]


def test_what_its_library_has_baked_is_changed_in_the_shot_alone(shot, face, bake, module, make_tracks, tmp_path):
    import bpy

    def jaw(obj):
        bpy.context.scene.frame_set(7)
        return obj.data.shape_keys.key_blocks["jawOpen"].value

    bake(face, make_tracks())
    face = shot()
    face.data.override_create(remap_local_usages=True)
    before = jaw(face)
    baking, character = module("gmtalker_addon.baking"), module("gmtalker_addon.character")
    tracks = make_tracks(seed=1)
    baking.bake(tracks, character.resolve(face), 25, 1)
    asked = pytest.approx(tracks.expression[6, tracks.expression_names.index("jawOpen")], abs=1e-5)
    assert before != asked
    face = reopen(tmp_path / "shot.blend")
    assert jaw(face) == asked
    with pytest.raises(module("core.errors").UserError, match=r"came with the linked character.*Mute it"):
        baking.clear(character.resolve(face))
    assert jaw(face) == asked


def test_the_add_on_takes_its_handlers_away(extension, module):
    import bpy

    properties = module("gmtalker_addon.properties")

    def ours():
        lists = [getattr(bpy.app.handlers, name) for name in ("save_pre", "save_post", "save_post_fail")]
        return [h.__name__ for found in lists for h in found if h.__module__ == properties.__name__]

    assert ours() == ["_before_saving", "_after_saving", "_after_saving"]
    properties.unregister()
    try:
        assert ours() == []
    finally:
        properties.register()
