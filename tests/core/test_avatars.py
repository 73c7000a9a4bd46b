# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import avatars
from core.avatars import AvatarCard, find, load, names, save_avatar
from core.errors import ExitCode, UserError
from core.files import digest
from core.models.head import TINY, tiny_head_network
from core.raster import Camera
from core.toy_head import write_toy_head

CARD = AvatarCard(
    "Zoë 1", "GPL-3.0-or-later", 'Renders of a "toy".', "No real person.", "Ünïcode\nand lines \\"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard(
        "toy", *(getattr(CARD, n) for n in ("licence", "source", "consent", "credits"))
    )
    target = tmp_path / "avatars" / "toy"
    save_avatar(
        target, card, Camera(20.0, (0.0, 0.04, 1.1)), tiny_head_network(), tmp_path / "head.npz"
    )
    return target


def edit(folder: Path, pattern: str, new: str) -> None:
    path = folder / "avatar.toml"
    text, count = re.subn(pattern, lambda _: new, path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, "utf-8")


def resign(folder: Path, name: str) -> None:
    edit(folder, f'"{name}" = "[0-9a-f]+"', f'"{name}" = "{digest(folder / name)}"')


def test_what_is_saved_is_loaded(folder: Path) -> None:
    avatar = load(folder)
    assert avatar.card.credits == CARD.credits
    assert avatar.card.source == CARD.source
    assert avatar.camera == Camera(20.0, (0.0, 0.04, 1.1))
    network = tiny_head_network()
    assert avatar.config == network.config
    loaded = avatar.network()
    assert not loaded.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_any_text_can_be_told(folder: Path, tmp_path: Path) -> None:
    known = load(folder)
    said = "I, Zo\u00eb, agree.\n\"Yes\"\\ \x7f \t \U0001f600 \x01"
    save_avatar(tmp_path / "told", replace(known.card, consent=said), known.camera, tiny_head_network(), known.proxy)
    assert load(tmp_path / "told").card.consent == said


def test_same_avatar_same_bytes(folder: Path, tmp_path: Path) -> None:
    avatar = load(folder)
    again = save_avatar(
        tmp_path / "again", avatar.card, avatar.camera, tiny_head_network(), avatar.proxy
    )
    assert again.key == avatar.key
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_found_by_name_and_by_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMTALKER_HOME", str(folder.parent.parent))
    assert "toy" in names()
    assert find("toy").folder == folder
    assert find(str(folder)).folder == folder


def test_a_users_avatar_goes_before_a_shipped_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder.parent, tmp_path / "shipped")
    monkeypatch.setattr(avatars, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "nowhere"))
    assert find("toy").folder == tmp_path / "shipped" / "toy"
    monkeypatch.setenv("GMTALKER_HOME", str(folder.parent.parent))
    assert find("toy").folder == folder


def test_a_look_of_a_sitting_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    known = load(folder)
    network = tiny_head_network(config=replace(TINY, looks=3, sittings=2))
    save_avatar(tmp_path / "good", known.card, known.camera, network, known.proxy)
    assert load(tmp_path / "good").network().sitting.tolist() == [0, 0, 0]
    network.sitting[1] = 2
    save_avatar(tmp_path / "bad", known.card, known.camera, network, known.proxy)
    with pytest.raises(UserError, match="sitting"):
        load(tmp_path / "bad").network()


@pytest.mark.parametrize("name", ["nobody", "../toy", "", "/", "toy\n"])
def test_an_avatar_that_is_not_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        find(name)
    assert error.value.code == ExitCode.MISSING


@pytest.mark.parametrize("name", ["avatar.toml", "head.safetensors", "proxy.npz"])
def test_a_missing_file_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError) as error:
        load(folder)
    assert error.value.code == ExitCode.MISSING


@pytest.mark.parametrize("name", ["head.safetensors", "proxy.npz"])
def test_a_tampered_file_is_refused_by_its_hash(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="hash") as error:
        load(folder)
    assert error.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        pytest.param('format = "[^"]+"', 'format = "other"', id="foreign format"),
        pytest.param("version = 1", "version = 99", id="later version"),
        pytest.param("resolution = 32", "resolution = 33", id="size that does not halve"),
        pytest.param("resolution = 32", "resolution = 1048576", id="size that fills the memory"),
        pytest.param('"widths" = .*', '"widths" = [4, 100000]', id="width that fills the memory"),
        pytest.param('"style" = 8', '"style" = true', id="no number"),
        pytest.param('"style" = 8', '"unknown" = 8', id="unknown size"),
        pytest.param(r"\[hashes\]", "[sums]", id="no hashes"),
        pytest.param('consent = "[^"]+"', "consent = 1", id="consent is no text"),
        pytest.param(r'"fov_y" = .*', '"fov_y" = "wide"', id="camera"),
        pytest.param(r"\[camera\]", "[camera", id="no TOML"),
    ],
)
def test_a_foreign_card_is_refused(folder: Path, pattern: str, new: str) -> None:
    edit(folder, pattern, new)
    with pytest.raises(UserError) as error:
        load(folder)
    assert error.value.code == ExitCode.BAD_INPUT
    assert "\n" not in str(error.value)


def _fewer(path: Path) -> None:
    tensors = load_file(path)
    del tensors["unet.stem.bias"]
    save_file(tensors, path)


def _nan(path: Path) -> None:
    tensors = load_file(path)
    tensors["unet.stem.bias"][0] = torch.nan
    save_file(tensors, path)


def _wider(path: Path) -> None:
    tensors = load_file(path)
    tensors["unet.stem.bias"] = torch.zeros(9)
    save_file(tensors, path)


def _pickle(path: Path) -> None:
    path.write_bytes(
        b"\x80\x04\x95\x17\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x0eunet.stem.bias\x94K\x01s."
    )  # {"unet.stem.bias": 1}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("spoil", [_fewer, _nan, _wider, _pickle, _cut])
def test_weights_of_another_network_are_refused(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(folder / "head.safetensors")
    resign(folder, "head.safetensors")
    with pytest.raises(UserError) as error:
        load(folder).network()
    assert error.value.code == ExitCode.BAD_INPUT


def test_a_name_that_leaves_the_folder_is_no_name(tmp_path: Path) -> None:
    write_toy_head(tmp_path / "head.npz")
    card = AvatarCard("../x", "", "", "", "")
    with pytest.raises(UserError, match="name"):
        save_avatar(tmp_path / "x", card, Camera(), tiny_head_network(), tmp_path / "head.npz")
    assert not (tmp_path / "x").exists()


def test_avatars_that_ship_are_whole() -> None:
    shipped = [p for p in avatars.SHIPPED.iterdir() if p.is_dir()]
    assert "ada" in {p.name for p in shipped}
    for place in shipped:
        avatar = load(place)
        assert avatar.card.name == place.name
        assert avatar.card.consent
        assert avatar.card.licence
        assert json.dumps(avatar.config.widths)
        assert avatar.network().config.resolution >= 256
        assert sum(p.stat().st_size for p in place.iterdir()) < 16e6
