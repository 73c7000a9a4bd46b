# SPDX-License-Identifier: GPL-3.0-or-later
"""Avatars: folders with a trained head and the 3DMM that its conditioning renders show.

::

    AVATAR/
      avatar.toml        name, resolution, licence, source, consent statement, credits, camera,
                         network sizes, and the SHA-256 of the other files
      head.safetensors   StyleUNet and emotion mapping network, fp16
      proxy.npz          the head model, in the format of core/assets/head.npz

A folder is taken only if format, hashes, array names and shapes are as they should be; nothing in
it is ever executed. Those that ship are in ``core/avatars``, the user's own in
``GMTALKER_HOME/avatars``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from .errors import ExitCode, UserError
from .files import digest, write_bytes
from .models.head import HeadConfig, HeadNetwork
from .raster import Camera

FORMAT = "gmtalker-avatar"
VERSION = 1
NETWORK = "head.safetensors"
PROXY = "proxy.npz"
MOST_LOOKS = 65536
"""Films that an avatar can be made from, and one more."""
SHIPPED = Path(__file__).parent / "avatars"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,63}")
_HINT = "Get the avatar again from whoever made it, or make it again with 'core train head'."


@dataclass(frozen=True)
class AvatarCard:
    """What `avatar.toml` tells of an avatar, besides camera, sizes and hashes."""

    name: str
    licence: str
    """SPDX identifier."""
    source: str
    """What it was trained on."""
    consent: str
    """The consent statement of the person shown, or why none is needed."""
    credits: str


@dataclass(frozen=True)
class Avatar:
    """An avatar whose folder has been checked."""

    folder: Path
    card: AvatarCard
    camera: Camera
    config: HeadConfig
    hashes: dict[str, str]

    @property
    def proxy(self) -> Path:
        """The head model."""
        return self.folder / PROXY

    @property
    def key(self) -> str:
        """Changes with everything that changes its frames."""
        parts = [self.hashes, dataclasses.asdict(self.camera), dataclasses.asdict(self.config)]
        said = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def network(self) -> HeadNetwork:
        """The trained network, in float32, ready for inference.

        Raises:
            UserError: the weights are of another network.

        """
        path = self.folder / NETWORK
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError, ValueError) as error:
            raise UserError(f"'{path}' holds no network ({error}).", _HINT) from error
        network = HeadNetwork(self.config)
        want = {name: value.shape for name, value in network.state_dict().items()}
        got = {name: value.shape for name, value in tensors.items()}
        if want != got:
            wrong = sorted(n for n in want.keys() | got.keys() if want.get(n) != got.get(n))
            raise UserError(f"'{path}' does not fit its avatar.toml: {', '.join(wrong[:3])}.", _HINT)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise UserError(f"'{path}' holds values that are not numbers.", _HINT)
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
        if not network.well_seated():
            raise UserError(f"'{path}' names a sitting that it has not.", _HINT)
        return network.eval()


def home() -> Path:
    """Where the user's own avatars are: ``GMTALKER_HOME/avatars``."""
    base = os.environ.get("GMTALKER_HOME") or platformdirs.user_data_dir("gmtalker")
    return Path(base) / "avatars"


def names() -> list[str]:
    """Names of the avatars at hand, sorted; a user's own hides a shipped one of that name."""
    found = {
        folder.name
        for place in (home(), SHIPPED)
        if place.is_dir()
        for folder in place.iterdir()
        if (folder / "avatar.toml").is_file()
    }
    return sorted(found)


def find(name: str) -> Avatar:
    """Loads an avatar by its name, or by the path of its folder.

    Raises:
        UserError: there is none (code 4), or it is damaged or foreign (code 3).

    """
    if _NAME.fullmatch(name):
        for place in (home(), SHIPPED):
            if (place / name / "avatar.toml").is_file():
                return load(place / name)
    if (Path(name) / "avatar.toml").is_file():
        return load(Path(name))
    raise UserError(
        f"There is no avatar '{name}'.",
        f"Choose one of: {', '.join(names()) or '(none installed)'}; or give an avatar's folder.",
        ExitCode.MISSING,
    )


def load(folder: Path) -> Avatar:
    """Reads and checks an avatar's folder.

    Raises:
        UserError: missing (code 4), damaged or foreign (code 3).

    """
    said = _read_toml(folder / "avatar.toml")
    avatar = _parsed(folder, said)
    for name in (NETWORK, PROXY):
        path = folder / name
        if not path.is_file():
            raise UserError(f"The avatar has no '{path}'.", _HINT, ExitCode.MISSING)
        if digest(path) != avatar.hashes[name]:
            raise UserError(f"'{path}' is not the file that avatar.toml names by its hash.", _HINT)
    return avatar


def check_name(name: str) -> None:
    """Raises `UserError` if no avatar can have this name."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' is no name for an avatar.",
                        "Use up to 64 letters, digits, spaces, dots and dashes of ASCII.")  # fmt: skip


def save_avatar(
    folder: Path, card: AvatarCard, camera: Camera, network: HeadNetwork, proxy: Path
) -> Avatar:
    """Writes an avatar's folder; `avatar.toml` last, so that a half-written one is no avatar.

    Raises:
        UserError: the folder cannot be written.

    """
    check_name(card.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot make '{folder}': {error.strerror}.", "Choose another.") from error
    contents = {NETWORK: save(_halved(network)), PROXY: proxy.read_bytes()}
    for name, content in contents.items():
        write_bytes(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    avatar = Avatar(folder, card, camera, network.config, hashes)
    write_bytes(folder / "avatar.toml", _toml(avatar).encode())
    return avatar


def _halved(network: HeadNetwork) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: value.detach().cpu().half().contiguous() for name, value in state.items()}


def _toml(avatar: Avatar) -> str:
    head = {
        "format": FORMAT,
        "version": VERSION,
        **dataclasses.asdict(avatar.card),
        "resolution": avatar.config.resolution,
    }
    sizes = dataclasses.asdict(avatar.config)
    del sizes["resolution"]
    tables = {"camera": dataclasses.asdict(avatar.camera), "network": sizes, "hashes": avatar.hashes}
    lines = [f"{name} = {_value(value)}" for name, value in head.items()]
    for title, table in tables.items():
        lines += ["", f"[{title}]"]
        lines += [f"{json.dumps(name)} = {_value(value)}" for name, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A TOML value; a JSON string is one too when it is not escaped beyond the basic plane."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no '{path}'.", _HINT, ExitCode.MISSING) from None
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({error}).", _HINT) from error


def _parsed(folder: Path, said: dict[str, Any]) -> Avatar:
    path = folder / "avatar.toml"
    if (said.get("format"), said.get("version")) != (FORMAT, VERSION):
        raise UserError(
            f"'{path}' is {said.get('format')} {said.get('version')}, expected {FORMAT} {VERSION}.",
            _HINT,
        )
    try:
        card = AvatarCard(*(_text(said[f.name]) for f in dataclasses.fields(AvatarCard)))
        x, y, z = (float(v) for v in said["camera"]["position"])
        camera = Camera(float(said["camera"]["fov_y"]), (x, y, z))
        config = _config(said["resolution"], said["network"])
        hashes = {name: _text(said["hashes"][name]) for name in (NETWORK, PROXY)}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"'{path}' is not complete or not well formed: {error!r}.", _HINT) from error
    return Avatar(folder, card, camera, config, hashes)


_SWITCHES = "alpha", "atlas"
_NO_COUNTS = {"widths", *_SWITCHES, "looks", "sharpening", "shoulder_channels"}


def _config(resolution: Any, sizes: dict[str, Any]) -> HeadConfig:
    """Sizes within what a head network can have; a foreign file must not fill the memory."""
    # Avatars from before there were such have none.
    sizes = {"alpha": False, "atlas": False, "sharpening": 0.0, "sittings": 1, "shoulder_channels": 0, **sizes}
    fields = {f.name for f in dataclasses.fields(HeadConfig)} - {"resolution"}
    if sizes.keys() != fields:
        raise ValueError(f"network: expected {sorted(fields)}, got {sorted(sizes)}")
    widths = tuple(_count(v, 1024) for v in sizes["widths"])
    rest = {name: _count(sizes[name], 1024) for name in fields - _NO_COUNTS}
    rest["looks"] = _count(sizes["looks"], MOST_LOOKS)
    rest["shoulder_channels"] = _count(sizes["shoulder_channels"], 1024, 0)
    for name in _SWITCHES:
        if not isinstance(sizes[name], bool):
            raise ValueError(f"network: expected {name} true or false, got {sizes[name]!r}")
    pixels = _count(resolution, 1024)
    if not 2 <= len(widths) <= 9 or pixels % (1 << (len(widths) - 1)):
        raise ValueError(f"network: {pixels} pixels do not halve {len(widths) - 1} times")
    return HeadConfig(
        resolution=pixels, widths=widths, alpha=sizes["alpha"], atlas=sizes["atlas"],
        sharpening=_share(sizes["sharpening"]), **rest,
    )  # fmt: skip


def _count(value: Any, most: int, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"expected a whole number from {least} to {most}, got {value!r}")
    return value


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"expected a number from 0 to 1, got {value!r}")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value
