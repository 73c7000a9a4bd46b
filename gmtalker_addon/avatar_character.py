# SPDX-License-Identifier: GPL-3.0-or-later
"""A render set of any mapped character, in the user's own scene and by its own engine.

    blender -b hero.blend -c gmtalker avatar --character NAME --out SET
    ENGINE -m core train head --renders SET --out AVATAR

The character is posed by the same channels that bakes write, so whatever animates it moves it here.
Its face is measured channel by channel on the evaluated meshes and the built-in head is registered
to it (`core.head.registration`): that is the set's `proxy.npz`. Where the head goes with each row is
read off its bone, so that a neck that takes a share, or a bone that cannot move, is told as it is.
Emotion weights are set on the character's own emotion properties, for drivers and materials to use.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..core.arkit import ARKIT_NAMES, EMOTIONS, EXPRESSION_NAMES
from ..core.errors import UserError
from ..core.head.model import HeadModel
from ..core.head.registration import Face, Registration, register
from ..core.tracks import FaceTracks
from . import avatar_set as sets
from . import blender_compat as compat
from .borrowed import Borrowed
from .channels import Channel, channels, space
from .character import Character, resolve

Floats = NDArray[np.float64]
PARTS = ("SPEECH", "HEAD", "BLINK", "GAZE")
"""Of a bake; speech carries the whole expression here."""
DISTANCE = 1.05
"""Metres from the middle of the head to the camera: that of a portrait."""
MARGIN = 1.3
"""The picture's side, in units of the head's extent from chin to crown or from ear to ear: room for
hair and for motion."""
ASKED = ("head_rotation", "head_translation")
"""What the character is driven by is kept beside where its head then is, as ``asked_...``."""
CREDITS = "Head topology derived from ICT-FaceKit (MIT, USC Institute for Creative Technologies)."


def render_set(
    obj: bpy.types.Object, out: Path, size: int = 256, count: int = 1200,
    engine: str | None = None, samples: int | None = None,
    first: int = 1, last: int | None = None, threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:  # fmt: skip
    """Render the frames of a character's set that are not there yet; returns how many were made.

    The scene is as it was afterwards.

    Args:
        obj: the character: a mesh with shape keys, or an armature.
        out: folder of the set; a new one is planned, a begun one goes on.
        size: pixels of the square frames; a multiple of 32.
        count: frames of a new plan.
        engine: "cycles", "eevee" or "workbench"; the scene's by default.
        samples: for each pixel; the scene's by default.
        first, last: frames to make, counted from 1; default all.
        threads: of the renderer; the scene's by default.
        progress: called with (done, total).

    Raises:
        UserError: the character cannot be driven or measured, or the folder is another's.

    """
    character = resolve(obj)
    with Borrowed() as borrowed:
        stage = _Stage(character, borrowed)
        if sets.begun(out):
            params, info = sets.read_plan(out)
            _check_same(out, info, obj, size)
        else:
            params, info = _plan(stage, out, size, count)
        stage.take(params, float(info["units"]))
        set_up_render(bpy.context.scene, borrowed, size, engine, samples, threads)
        camera = stage.add_camera(info["camera"], float(info["units"]))
        try:
            borrowed.set(bpy.context.scene, camera=camera)
            numbers = range(first, min(last or len(params["arkit"]), len(params["arkit"])) + 1)
            seconds = sets.render_frames(out, numbers, stage.show, progress)
            sets.note_pace(out, info, seconds)
        finally:
            bpy.context.scene.camera = None
            bpy.data.cameras.remove(camera.data)
    bpy.context.view_layer.update()
    return len(seconds)


def _check_same(out: Path, info: dict[str, Any], obj: bpy.types.Object, size: int) -> None:
    got = (info.get("character"), info.get("size"))
    if got != (obj.name, size):
        raise UserError(f"'{out}' is a set of '{got[0]}' at {got[1]} pixels, not of '{obj.name}' at {size}.",
                        "Name another folder.")  # fmt: skip


def _plan(stage: _Stage, out: Path, size: int, count: int) -> tuple[sets.Params, dict[str, Any]]:
    """Measure the character, and write its head, its rows and what the set is."""
    sys.stderr.write(f"Measuring '{stage.character.owner.name}' and planning {count} frames.\n")
    made = register(stage.face(), HeadModel.load())
    sys.stderr.write(f"Its head is registered to within {1000 * made.error:.1f} mm.\n")
    params, info = sets.new_plan(count)
    params |= {f"asked_{name}": params[name] for name in ASKED}
    stage.take(params, made.scale)
    params |= stage.measured(made.scale)
    name = stage.character.owner.name
    info |= {
        "name": re.sub(r"[^A-Za-z0-9_. -]|^[^A-Za-z0-9]+", "_", name).strip("_. -")[:64] or "character",
        "character": name, "size": size, "camera": framing(made), "units": made.scale,
        "licence": "LicenseRef-Character",
        "source": f"Renders of the Blender character '{name}'.",
        "consent": f"The character '{name}', rendered by whoever holds its file.",
        "credits": CREDITS,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    sets.write_arrays(out / "proxy.npz", made.arrays)
    sets.write_plan(out, params, info)
    return params, info


def framing(made: Registration) -> dict[str, Any]:
    """A portrait camera that looks straight at the head, in the words of `set.json`."""
    arrays = made.arrays
    place = arrays["vertices"].astype(np.float64)
    chin = place[arrays["landmark_indices"][list(arrays["landmark_names"]).index("chin")]]
    place = place[(arrays["head_weight"] > 0.9) & (place[:, 1] >= chin[1])]
    low, high = place.min(0), place.max(0)
    middle = (low + high) / 2
    half = MARGIN * float((high - low)[:2].max()) / 2
    position = middle + (0.0, 0.0, DISTANCE)
    return {"fov_y": round(2 * math.degrees(math.atan(half / DISTANCE)), 3),
            "position": [round(float(v), 5) for v in position]}  # fmt: skip


def set_up_render(
    scene: bpy.types.Scene, borrowed: Borrowed, size: int, engine: str | None,
    samples: int | None, threads: int | None,
) -> None:  # fmt: skip
    """Square PNG stills by the scene's or another engine."""
    render = scene.render
    if engine:
        borrowed.set(render, engine=compat.engine_id(engine))
    if samples:
        for owner, name in ((getattr(scene, "cycles", None), "samples"), (scene.eevee, "taa_render_samples")):
            if owner is not None:
                borrowed.set(owner, **{name: samples})
    if threads:
        borrowed.set(render, threads_mode="FIXED", threads=threads)
    borrowed.set(
        render, resolution_x=size, resolution_y=size, resolution_percentage=100,
        pixel_aspect_x=1.0, pixel_aspect_y=1.0, use_border=False, use_sequencer=False,
        use_multiview=False, use_motion_blur=False, use_stamp=False, use_overwrite=True,
        use_file_extension=True, use_persistent_data=True,
    )  # fmt: skip
    borrowed.keep(render, "filepath")
    picture = render.image_settings
    still = {"media_type": "IMAGE"} if hasattr(picture, "media_type") else {}
    borrowed.set(picture, **still, file_format="PNG", color_mode="RGB", color_depth="8")


@dataclass(frozen=True)
class _Axes:
    """Core space in the world, at rest."""

    turn: Floats
    """(3, 3) its axes as columns"""
    pivot: Floats
    """(3,)"""
    head: Floats
    """(4, 4) the head's matrix"""


class _Stage:
    """A character at rest in its scene, to be measured and posed row by row."""

    def __init__(self, character: Character, borrowed: Borrowed) -> None:
        self.character = character
        self.borrowed = borrowed
        self._channels: list[tuple[Any, str, int, Floats]] = []
        for obj in self._meshes():
            borrowed.set(obj, show_only_shape_key=False)
        self._hold(self._driven(np.zeros((1, len(ARKIT_NAMES)), np.float32)))
        self._rest = self._channels
        self.show(0)
        bpy.context.view_layer.update()
        self.axes = self._axes()

    # --- measuring -----------------------------------------------------------------------------

    def face(self) -> Face:
        """The face at rest and how each mapped channel moves it, in world units about the pivot."""
        rest, triangles = self._points()
        offsets = {}
        for name, targets in self.character.mapping.shapes.items():
            self._press(dict(targets))
            offsets[name] = self._points()[0] - rest
            self._press(dict.fromkeys(dict(targets), 0.0))
        bpy.context.view_layer.update()
        return Face(rest, triangles, offsets, self._eyes())

    def measured(self, scale: float) -> sets.Params:
        """Where the head really goes with each row, in core space (N, 3) radians and metres."""
        turns, moves = [], []
        back = np.linalg.inv(self.axes.head)
        for row in range(len(self._channels[0][3])):
            self.show(row)
            bpy.context.view_layer.update()
            motion = self._head_matrix() @ back
            turn = Matrix((self.axes.turn.T @ motion[:3, :3] @ self.axes.turn).tolist())
            axis, angle = turn.to_quaternion().to_axis_angle()
            turns.append(np.array(axis) * angle)
            moved = motion[:3, :3] @ self.axes.pivot + motion[:3, 3] - self.axes.pivot
            moves.append(moved @ self.axes.turn / scale)
        return {"head_rotation": np.array(turns, np.float32), "head_translation": np.array(moves, np.float32)}

    def _meshes(self) -> list[bpy.types.Object]:
        """The visible meshes that shape keys drive."""
        keys = {key.session_uid for key in self.character.keys}
        found = [o for o in bpy.context.scene.objects if o.type == "MESH" and o.visible_get()
                 and o.data.shape_keys and o.data.shape_keys.session_uid in keys]  # fmt: skip
        if not found:
            raise UserError(f"No mesh of '{self.character.owner.name}' is visible.", "Show its face.")
        return found

    def _points(self) -> tuple[Floats, NDArray[np.int64]]:
        """Vertices (N, 3) about the pivot in core's axes, and triangles (M, 3), as evaluated now."""
        bpy.context.view_layer.update()
        graph = bpy.context.evaluated_depsgraph_get()
        places, triangles, first = [], [], 0
        for obj in self._meshes():
            seen = obj.evaluated_get(graph)
            mesh = seen.to_mesh()
            place = np.empty(3 * len(mesh.vertices), np.float32)
            mesh.vertices.foreach_get("co", place)
            mesh.calc_loop_triangles()
            corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
            mesh.loop_triangles.foreach_get("vertices", corners)
            seen.to_mesh_clear()
            world = np.array(seen.matrix_world)
            places.append(place.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
            triangles.append(corners.reshape(-1, 3).astype(np.int64) + first)
            first += len(places[-1])
        world = np.concatenate(places).astype(np.float64)
        return (world - self.axes.pivot) @ self.axes.turn, np.concatenate(triangles)

    def _eyes(self) -> Floats | None:
        mapped = self.character.mapping.eyes
        if not (mapped.get("left") and mapped.get("right")):
            return None
        armature = self.character.armature
        heads = [armature.matrix_world @ armature.pose.bones[mapped[side][0]].head for side in ("left", "right")]
        return (np.array([list(h) for h in heads]) - self.axes.pivot) @ self.axes.turn

    def _axes(self) -> _Axes:
        head, mapping = self._head_matrix(), self.character.mapping
        turn = head[:3, :3]
        if mapping.head:
            bone = self.character.armature.data.bones[self._head_bone()]
            turn = turn @ np.linalg.inv(np.array(bone.matrix_local.to_3x3()))
        turn = np.array(Matrix(turn.tolist()).normalized()) @ space(mapping.forward, mapping.up)
        return _Axes(turn, head[:3, 3], head)

    def _head_matrix(self) -> Floats:
        armature = self.character.armature
        if not self.character.mapping.head:
            return np.array(self.character.owner.matrix_world)
        return np.array(armature.matrix_world @ armature.pose.bones[self._head_bone()].matrix)

    def _head_bone(self) -> str:
        """The one of the mapped bones that the others carry."""
        bones = self.character.armature.data.bones
        return max((name for name, _ in self.character.mapping.head), key=lambda n: len(bones[n].parent_recursive))

    def _press(self, values: dict[str, float]) -> None:
        for key in self.character.keys:
            for name, value in values.items():
                if name in key.key_blocks:
                    self._widen(key.key_blocks[name], np.array([value]))
                    key.key_blocks[name].value = value

    # --- posing --------------------------------------------------------------------------------

    def take(self, params: sets.Params, scale: float) -> None:
        """Learn the rows to show; lengths in core metres, `scale` world units in one."""
        self._channels = self._rest
        self.show(0)  # motion is added to the delta transform as it is now
        turn, move = (params[f"asked_{name}"] for name in ASKED)
        driven = self._driven(params["arkit"], params["gaze"], turn, move, scale)
        owner = self.character.owner
        for column, name in enumerate(EMOTIONS):
            weight = params["emotion"][:, column].astype(np.float64)
            driven.append(Channel(owner, f"gmtalker.{name}", 0, "", weight))
        self._hold(driven)

    def show(self, row: int) -> None:
        """Pose the character."""
        for owner, name, index, values in self._channels:
            if index is None:
                setattr(owner, name, float(values[row]))
            else:
                getattr(owner, name)[index] = float(values[row])

    def _driven(self, arkit: NDArray[np.float32], gaze: Any = None, turn: Any = None,
                move: Any = None, scale: float = 1.0) -> list[Channel]:  # fmt: skip
        """The channels of a bake, with those of one property added up."""
        count = len(arkit)
        column = {n: i for i, n in enumerate(ARKIT_NAMES)}
        reference = self.character.armature if self.character.mapping.head else self.character.owner
        unit = abs(reference.matrix_world.determinant()) ** (1 / 3)
        tracks = FaceTracks(
            fps=Fraction(25),
            expression=arkit[:, [column[n] for n in EXPRESSION_NAMES]],
            blink=arkit[:, [column["eyeBlinkLeft"], column["eyeBlinkRight"]]],
            gaze=np.zeros((count, 2, 2)) if gaze is None else gaze,
            head_rotation=np.zeros((count, 3)) if turn is None else turn,
            head_translation=np.zeros((count, 3)) if move is None else move * (scale / unit),
            emotion=np.zeros((count, len(EMOTIONS))),
        )
        added: dict[tuple[int, str, int], Channel] = {}
        for part in PARTS:
            for one in channels(part, tracks, self.character):
                place = (one.owner.session_uid, one.path, one.index)
                values = one.values + added[place].values if place in added else one.values
                added[place] = Channel(one.owner, one.path, one.index, one.group, values)
        return list(added.values())

    def _hold(self, driven: list[Channel]) -> None:
        """Keep the properties as they are, silence what else moves them, and widen their sliders."""
        self._channels = []
        paths: dict[int, tuple[bpy.types.ID, set[tuple[str, int]]]] = {}
        for one in driven:
            paths.setdefault(one.owner.session_uid, (one.owner, set()))[1].add((one.path, one.index))
            before, _, name = one.path.rpartition(".")
            owner = one.owner.path_resolve(before) if before else one.owner
            self.borrowed.keep(owner, name)
            if isinstance(one.owner, bpy.types.Key):
                self._widen(owner, one.values)
            array = getattr(owner.bl_rna.properties[name], "is_array", False)
            self._channels.append((owner, name, one.index if array else None, one.values))
        for owner, places in paths.values():
            self.borrowed.mute(owner, places)

    def _widen(self, block: bpy.types.ShapeKey, values: Floats) -> None:
        """A shape key's value is clamped to its slider."""
        self.borrowed.keep(block, "value")
        low, high = min(block.slider_min, float(values.min())), max(block.slider_max, float(values.max()))
        self.borrowed.set(block, slider_min=max(low, -10.0), slider_max=min(high, 10.0), mute=False)

    # --- seeing --------------------------------------------------------------------------------

    def add_camera(self, said: dict[str, Any], scale: float) -> bpy.types.Object:
        """The set's camera in the scene."""
        camera = bpy.data.cameras.new("GMTalker avatar")
        camera.lens_unit, camera.sensor_fit = "FOV", "VERTICAL"
        camera.angle = math.radians(said["fov_y"])
        camera.clip_start, camera.clip_end = 0.02 * scale, 1000.0 * scale
        made = bpy.data.objects.new(camera.name, camera)
        bpy.context.scene.collection.objects.link(made)
        place = Matrix(self.axes.turn.tolist()).to_4x4()
        position = self.axes.pivot + self.axes.turn @ np.array(said["position"]) * scale
        place.translation = position.tolist()
        made.matrix_world = place
        return made
