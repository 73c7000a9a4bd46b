# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks as the values of animatable properties, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..core.arkit import ARKIT_NAMES, EXPRESSION_NAMES
from ..core.errors import UserError
from . import resting
from .mapping import AXES

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.tracks import FaceTracks
    from .character import Character

    Array = npt.NDArray[np.float64]

PARTS: Final = ("SPEECH", "EMOTION", "HEAD", "BLINK", "GAZE")
"""Each is baked into actions of its own, on NLA tracks of its own."""


@dataclass(frozen=True)
class Channel:
    """One F-curve to be."""

    owner: bpy.types.ID
    path: str
    index: int
    group: str
    values: Array
    """(T,)"""


def channels(part: str, tracks: FaceTracks, character: Character) -> list[Channel]:
    """The F-curves of one part."""
    if part == "HEAD":
        return _head(tracks, character)
    found = _shapes(_weights(part, tracks), character)
    if part == "GAZE":
        found += _eyes(tracks, character)
    return found


def _weights(part: str, tracks: FaceTracks) -> dict[str, Array]:
    """(T,) weights of the ARKit channels that the part drives."""
    full = dict(zip(ARKIT_NAMES, tracks.arkit_weights().T))
    if part == "BLINK":
        return {n: v for n, v in full.items() if n.startswith("eyeBlink")}
    if part == "GAZE":
        return {n: v for n, v in full.items() if n.startswith("eyeLook")}
    expression = dict(zip(tracks.expression_names, tracks.expression.T))
    speech = expression if tracks.speech is None else dict(zip(tracks.expression_names, tracks.speech.T))
    if part == "SPEECH":
        return {n: speech[n] for n in EXPRESSION_NAMES if n in speech}
    return {n: expression[n] - speech[n] for n in EXPRESSION_NAMES if n in speech}


def _shapes(weights: dict[str, Array], character: Character) -> list[Channel]:
    """Sum the channels that go to one shape key, in every mesh that has it."""
    driven: dict[str, Array] = {}
    for channel, values in weights.items():
        for key, scale in character.mapping.shapes.get(channel, ()):
            driven[key] = driven.get(key, 0.0) + scale * values.astype(np.float64)
    return [
        Channel(key, f'key_blocks["{bpy.utils.escape_identifier(name)}"].value', 0, "Shape keys", values)
        for key in character.keys
        for name, values in driven.items()
        if name in key.key_blocks and key.key_blocks[name] != key.reference_key
    ]


# --- head and eyes -----------------------------------------------------------------------------


def space(forward: str, up: str) -> Array:
    """(3, 3) from the tracks' space (left, up, out of the face) to the object's."""
    u, f = np.array(AXES[up], float), np.array(AXES[forward], float)
    return np.stack([np.cross(u, f), u, f], axis=1)


def _head(tracks: FaceTracks, character: Character) -> list[Channel]:
    to_object = space(character.mapping.forward, character.mapping.up)
    turn = tracks.head_rotation.astype(np.float64) @ to_object.T
    move = tracks.head_translation.astype(np.float64) @ to_object.T
    if not character.mapping.head:
        return _object_motion(character.owner, turn, move)
    found = []
    for number, (name, share) in enumerate(character.mapping.head):
        rest = _rest(character, name)
        found += _bone_rotation(character, name, share * turn @ rest)
        if number == 0 and not character.armature.data.bones[name].use_connect:
            path = f"{_bone_path(name)}.location"
            found += _vector(character.armature, path, name, move @ rest)
    return found


def _eyes(tracks: FaceTracks, character: Character) -> list[Channel]:
    to_object = space(character.mapping.forward, character.mapping.up)
    found = []
    for side, label in enumerate(("left", "right")):
        for name in character.mapping.eyes.get(label, ()):
            turn = gaze_rotation(tracks.gaze[:, side]) @ to_object.T
            found += _bone_rotation(character, name, turn @ _rest(character, name))
    return found


def gaze_rotation(gaze: Array) -> Array:
    """(T, 3) axis-angle in the tracks' space from (T, 2) yaw and pitch: first pitch, then yaw."""
    yaw, pitch = gaze[:, 0].astype(np.float64) / 2, -gaze[:, 1].astype(np.float64) / 2
    # The product of a turn about y (up) and one about x (left), as quaternions.
    w = np.cos(yaw) * np.cos(pitch)
    xyz = np.stack([np.cos(yaw) * np.sin(pitch), np.sin(yaw) * np.cos(pitch),
                    -np.sin(yaw) * np.sin(pitch)], axis=1)  # fmt: skip
    sine = np.linalg.norm(xyz, axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, w[:, None])
    return xyz * np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 1e-9)


def _rest(character: Character, name: str) -> Array:
    """(3, 3) the bone's axes as columns, in the armature's space; a row times it is bone-local."""
    return np.array(character.armature.data.bones[name].matrix_local.to_3x3())


def _bone_path(name: str) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(name)}"]'


def _bone_rotation(character: Character, name: str, turn: Array) -> list[Channel]:
    mode = character.armature.pose.bones[name].rotation_mode
    return _rotation(character.armature, f"{_bone_path(name)}.rotation", name, mode, turn)


def _object_motion(obj: bpy.types.Object, turn: Array, move: Array) -> list[Channel]:
    """The delta transform, so that the object's own place and its animation stay as they are.

    What the artist has set there turns and moves all of it.
    """
    if obj.rotation_mode == "AXIS_ANGLE":
        raise UserError(f"'{obj.name}' turns by axis and angle, which has no layer for head motion.",
                        "Set its rotation mode to XYZ Euler or Quaternion.")  # fmt: skip
    quaternion = obj.rotation_mode == "QUATERNION"
    own = (obj.rotation_quaternion if quaternion else obj.rotation_euler).copy()
    delta = resting.base(obj, "delta_rotation_quaternion" if quaternion else "delta_rotation_euler")
    about = Quaternion(delta) if quaternion else Euler(delta, obj.rotation_mode).to_quaternion()
    about.normalize()
    turned = np.array(own.to_matrix())
    found = _rotation(obj, "delta_rotation", "Head", obj.rotation_mode, turn @ turned.T, about)
    size = np.array(obj.scale) * np.array(obj.delta_scale)
    move = (move * size) @ (np.array(about.to_matrix()) @ turned).T
    return found + _vector(obj, "delta_location", "Head", resting.base(obj, "delta_location") + move)


def _rotation(
    owner: bpy.types.ID, path: str, group: str, mode: str, turn: Array, about: Quaternion | None = None
) -> list[Channel]:
    """(T, 3) axis-angle vectors, and then the turn ``about``, as whatever the property's rotation mode asks for."""
    angle = np.linalg.norm(turn, axis=1)
    axis = np.divide(turn, angle[:, None], out=np.tile([0.0, 1.0, 0.0], (len(turn), 1)),
                     where=angle[:, None] > 1e-9)  # fmt: skip
    if mode == "AXIS_ANGLE":
        return _vector(owner, f"{path}_axis_angle", group, np.column_stack([angle, axis]))
    quaternions = np.column_stack([np.cos(angle / 2), axis * np.sin(angle / 2)[:, None]])
    if about is not None:
        w, x, y, z = about
        quaternions = quaternions @ np.array([[w, x, y, z], [-x, w, z, -y], [-y, -z, w, x], [-z, y, -x, w]])
    if mode == "QUATERNION":
        return _vector(owner, f"{path}_quaternion", group, quaternions)
    return _vector(owner, f"{path}_euler", group, _eulers(quaternions, mode))


def _eulers(quaternions: Array, order: str) -> Array:
    """(T, 3) angles about x, y, z, without jumps, from (T, 4) quaternions.

    Blender's order ``XYZ`` turns about x first: R = Rz Ry Rx.
    """
    w, v = quaternions[:, 0, None, None], quaternions[:, 1:]
    cross = np.cross(np.eye(3), v[:, None])  # (T, 3, 3), row i is e_i x v
    matrix = (2 * w * w - 1) * np.eye(3) + 2 * v[:, :, None] * v[:, None] + 2 * w * cross
    i, j, k = ("XYZ".index(axis) for axis in order)
    sign = 1 if (j - i) % 3 == 1 else -1
    out = np.empty((len(quaternions), 3))
    out[:, i] = np.unwrap(np.arctan2(sign * matrix[:, k, j], matrix[:, k, k]))
    out[:, j] = np.arcsin(np.clip(-sign * matrix[:, k, i], -1, 1))
    out[:, k] = np.unwrap(np.arctan2(sign * matrix[:, j, i], matrix[:, i, i]))
    return out


def _vector(owner: bpy.types.ID, path: str, group: str, values: Array) -> list[Channel]:
    return [Channel(owner, path, i, group, values[:, i]) for i in range(values.shape[1])]
