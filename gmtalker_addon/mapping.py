# SPDX-License-Identifier: GPL-3.0-or-later
"""Which channel drives which shape key or bone, and the mapping's JSON file.

- No ``bpy`` module use.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.arkit import ARKIT_NAMES
from ..core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 1
HEAD_BONES = ("head", "def-head", "mixamorig:head", "j_bip_c_head", "head_m", "c_head.x", "bip01 head")
EYE_BONES = {
    "left": ("eye.l", "eye_l", "lefteye", "eyeleft", "eye_left", "mixamorig:lefteye",
             "j_adj_l_faceeye", "def-eye.l", "c_eye.l"),
    "right": ("eye.r", "eye_r", "righteye", "eyeright", "eye_right", "mixamorig:righteye",
              "j_adj_r_faceeye", "def-eye.r", "c_eye.r"),
}  # fmt: skip
AXES = {"X": (1, 0, 0), "-X": (-1, 0, 0), "Y": (0, 1, 0), "-Y": (0, -1, 0),
        "Z": (0, 0, 1), "-Z": (0, 0, -1)}  # fmt: skip
_HINT = "Save a mapping from a character with 'Save Mapping' and edit that file."


@dataclass(frozen=True)
class RigMapping:
    """From the 52 ARKit channels, the head and the eyes to what a character has."""

    shapes: dict[str, tuple[tuple[str, float], ...]]
    """ARKit channel: (shape key, scale), ..."""
    head: tuple[tuple[str, float], ...] = ()
    """(bone, share of the rotation), ...; empty: the object itself turns"""
    eyes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """"left" and "right": bones that turn with the gaze"""
    forward: str = "-Y"
    """where the face looks, in the object's space"""
    up: str = "Z"
    """where the crown points, in the object's space"""
    name: str = "ARKit names"

    def keys(self) -> set[str]:
        """Every shape key that is driven."""
        return {key for targets in self.shapes.values() for key, _ in targets}

    def reach(self, key: str) -> tuple[float, float]:
        """The least and the most that a shape key can be driven to, within Blender's bounds of a slider."""
        scales = [scale for targets in self.shapes.values() for name, scale in targets if name == key]
        low, high = sum(min(s, 0.0) for s in scales), sum(max(s, 0.0) for s in scales)
        return max(low, -10.0), min(high, 10.0)


def plain(name: str) -> str:
    """A name without prefix, case, underscores and the spelling of its side.

    ``Face.browDown_L``, ``BrowDownLeft`` and ``brow_down_left`` are the same channel.
    """
    last = re.split(r"[:|]|\.(?=[A-Za-z]{3})", name)[-1]
    sided = re.sub(r"(?<=[a-z])[._ -]?L$|[._ -]l$", "Left", last)
    sided = re.sub(r"(?<=[a-z])[._ -]?R$|[._ -]r$", "Right", sided)
    return re.sub(r"[^a-z0-9]", "", sided.lower())


def match(shape_keys: Iterable[str], bones: Iterable[str]) -> RigMapping:
    """Find the ARKit channels among shape keys, and the head and the eyes among bones."""
    exact = set(shape_keys)
    by_plain: dict[str, str] = {}
    for key in sorted(exact):
        by_plain.setdefault(plain(key), key)
    shapes = {}
    for channel in ARKIT_NAMES:
        key = channel if channel in exact else by_plain.get(channel.lower())
        if key is not None:
            shapes[channel] = ((key, 1.0),)
    named = {bone.lower(): bone for bone in bones}
    heads = [named[n] for n in HEAD_BONES if n in named][:1]
    eyes = {side: tuple(named[n] for n in names if n in named)[:1]
            for side, names in EYE_BONES.items()}  # fmt: skip
    return RigMapping(shapes, tuple((b, 1.0) for b in heads), {s: e for s, e in eyes.items() if e})


def save(mapping: RigMapping, path: str | os.PathLike[str]) -> None:
    """Write the JSON file.

    Raises:
        UserError: the place cannot be written.

    """
    data = {
        "gmtalker_mapping": FORMAT,
        "name": mapping.name,
        "forward": mapping.forward,
        "up": mapping.up,
        "head": [{"bone": bone, "share": share} for bone, share in mapping.head],
        "eyes": {side: list(bones) for side, bones in mapping.eyes.items()},
        "shapes": {channel: [{"key": key, "scale": scale} for key, scale in targets]
                   for channel, targets in mapping.shapes.items()},
    }  # fmt: skip
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(f"Cannot write '{target}': {error.strerror or error}.",
                        "Choose a folder that you can write to.") from error  # fmt: skip


def load(path: str | os.PathLike[str]) -> RigMapping:
    """Read a mapping.

    Raises:
        UserError: missing, not JSON, of another form, or with unknown channels.

    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"There is no mapping '{path}'.", "Check the path.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the mapping '{path}' ({error}).", _HINT) from error
    if not isinstance(data, dict) or data.get("gmtalker_mapping") != FORMAT:
        raise UserError(f"'{path}' is no mapping of format {FORMAT}.", _HINT)
    try:
        return _parse(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"The mapping '{path}' has a wrong entry ({error!r}).", _HINT) from error


def _parse(data: Mapping[str, Any]) -> RigMapping:
    mapping = RigMapping(
        shapes={
            str(channel): tuple((str(t["key"]), float(t.get("scale", 1.0))) for t in targets)
            for channel, targets in data["shapes"].items()
        },
        head=tuple((str(h["bone"]), float(h.get("share", 1.0))) for h in data.get("head", ())),
        eyes={str(s): tuple(str(b) for b in bones) for s, bones in data.get("eyes", {}).items()},
        forward=str(data.get("forward", "-Y")),
        up=str(data.get("up", "Z")),
        name=str(data.get("name", "")),
    )
    unknown = sorted((mapping.shapes.keys() - set(ARKIT_NAMES)) | (mapping.eyes.keys() - {"left", "right"}))
    if unknown:
        raise UserError(f"The mapping names unknown channels: {', '.join(unknown)}.",
                        "Channels are the 52 ARKit names; eyes are left and right.")  # fmt: skip
    axes = mapping.forward.strip("-"), mapping.up.strip("-")
    if {mapping.forward, mapping.up} - AXES.keys() or axes[0] == axes[1]:
        raise UserError(f"Expected two different axes, got forward {mapping.forward}, up {mapping.up}.",
                        f"Use {', '.join(AXES)}.")  # fmt: skip
    return mapping
