# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head: load it and deform it.

- No ``bpy`` module use; numpy only.

Space: metres, Y up, +Z out of the face, +X to the character's left; the origin is the head's pivot,
where the neck meets the skull.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arkit import ARKIT_NAMES
from ..errors import ExitCode, UserError
from ..files import read_npz

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

HEAD_FILE = Path(__file__).parent.parent / "assets" / "head.npz"
IDENTITIES = 20
EYE_PARTS = ("eye_left", "eye_right")

_DTYPES: dict[str, str] = {
    "vertices": "f4", "faces": "i4", "uv": "f2", "faces_uv": "i4", "face_material": "u1",
    "material_names": "U", "vertex_part": "u1", "part_names": "U", "shape_names": "U",
    "shape_deltas": "f2", "identity_deltas": "f2", "head_weight": "f4", "eye_center": "f4",
    "eye_radius": "f4", "brow_mask": "f4", "landmark_names": "U", "landmark_indices": "i4",
    "jaw_hinge": "f4",
}  # fmt: skip
_KINDS = {"f": "fiub", "i": "iub", "u": "iub", "U": "U"}
"""What numpy says of arrays that can be taken as one of these."""


@dataclass(frozen=True)
class HeadModel:
    """A head of V vertices, F faces, 52 shapes and 20 identity components.

    Attributes:
        vertices: (V, 3) metres, at rest: lips touching, eyes open, neutral.
        faces: (F, 4) quads, counter-clockwise from outside, -1 last for a triangle.
        uv, faces_uv: (U, 2) and (F, 4).
        face_material, material_names: (F,) index and names.
        vertex_part, part_names: (V,) index and names.
        shape_names, shape_deltas: the 52 ARKit names and (52, V, 3) metres at weight 1;
            ``eyeLook*`` move the lids only.
        identity_deltas: (20, V, 3) metres per standard deviation.
        head_weight: (V,) how far a vertex follows the head, 0 at the shoulders, 1 above the jaw.
        eye_center, eye_radius: (2, 3) left and right, metres; metres.
        brow_mask: (V,) 0..1 where eyebrows are painted.
        landmark_names, landmark_indices: named vertices.
        jaw_hinge: (2, 3) left and right end of the jaw's axis.

    """

    vertices: Floats
    faces: Ints
    uv: Floats
    faces_uv: Ints
    face_material: NDArray[np.uint8]
    material_names: tuple[str, ...]
    vertex_part: NDArray[np.uint8]
    part_names: tuple[str, ...]
    shape_names: tuple[str, ...]
    shape_deltas: Floats
    identity_deltas: Floats
    head_weight: Floats
    eye_center: Floats
    eye_radius: float
    brow_mask: Floats
    landmark_names: tuple[str, ...]
    landmark_indices: Ints
    jaw_hinge: Floats

    @property
    def neck_end(self) -> Floats:
        """(2,) metres across and up: the middle of what follows the head least, where shoulders begin."""
        return np.asarray(self.vertices[self.head_weight == self.head_weight.min(), :2].mean(0))

    @classmethod
    def load(cls, path: Path | str | None = None) -> HeadModel:
        """Read a ``head.npz``; the shipped one when ``path`` is None.

        Raises:
            UserError: the file is missing, damaged, no npz, or lacks or contradicts the format.

        """
        file = HEAD_FILE if path is None else Path(path)
        try:
            arrays = read_npz(file)
        except FileNotFoundError as error:
            raise UserError(
                f"Expected the head model {file}, found no such file.",
                "Install GMTalker again, or name another head.npz.", ExitCode.MISSING,
            ) from error  # fmt: skip
        except (OSError, ValueError) as error:
            raise UserError(
                f"Expected a head model (.npz) in {file}, got something else ({error}).",
                "Build one with python -m core.head.build.",
            ) from error
        return cls._checked(arrays, file)

    @classmethod
    def _checked(cls, arrays: dict[str, NDArray[np.generic]], file: Path) -> HeadModel:
        def refuse(expected: str, got: object) -> UserError:
            return UserError(
                f"Expected {expected} in {file}, got {got}.",
                "Build the head again with python -m core.head.build.",
            )

        missing = sorted(set(_DTYPES) - set(arrays))
        if missing:
            raise refuse("the arrays " + ", ".join(missing), "none of them")
        for name, dtype in _DTYPES.items():
            array = arrays[name]
            if array.size and array.dtype.kind not in _KINDS[dtype[0]]:
                raise refuse(f"{name} of kind {dtype}", array.dtype)
            if not array.ndim and name != "eye_radius":
                raise refuse(f"{name} as a list", "a single value")
        count, faces = len(arrays["vertices"]), len(arrays["faces"])
        parts, materials = len(arrays["part_names"]), len(arrays["material_names"])
        marks = len(arrays["landmark_names"])
        shapes: dict[str, tuple[int, ...]] = {
            "vertices": (count, 3), "faces": (faces, 4), "faces_uv": (faces, 4),
            "uv": (len(arrays["uv"]), 2), "face_material": (faces,), "vertex_part": (count,),
            "shape_deltas": (len(ARKIT_NAMES), count, 3),
            "identity_deltas": (IDENTITIES, count, 3), "head_weight": (count,),
            "eye_center": (2, 3), "eye_radius": (), "brow_mask": (count,),
            "landmark_indices": (marks,), "jaw_hinge": (2, 3), "part_names": (parts,),
            "material_names": (materials,), "landmark_names": (marks,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise refuse(f"{name} of shape {shape}", arrays[name].shape)
        limits = {
            "faces": (-1, count), "faces_uv": (-1, len(arrays["uv"])), "vertex_part": (0, parts),
            "face_material": (0, materials), "landmark_indices": (0, count),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            values = arrays[name].astype(np.int64)
            if values.size and (values.min() < low or values.max() >= high):
                raise refuse(f"{name} from {low} to {high - 1}", (values.min(), values.max()))
        names = tuple(str(n) for n in arrays["shape_names"])
        if names != ARKIT_NAMES:
            wrong = [n for n in names if n not in ARKIT_NAMES] or "another order or number"
            raise refuse("the 52 ARKit names in alphabetical order", wrong)
        for name, dtype in _DTYPES.items():
            if dtype[0] == "f" and not np.isfinite(arrays[name]).all():
                raise refuse(f"finite numbers in {name}", "NaN or infinity")

        def floats(name: str) -> Floats:
            return np.asarray(arrays[name], dtype=np.float32)

        def ints(name: str) -> Ints:
            return np.asarray(arrays[name], dtype=np.int32)

        def strings(name: str) -> tuple[str, ...]:
            return tuple(str(n) for n in arrays[name])

        return cls(
            vertices=floats("vertices"), faces=ints("faces"), uv=floats("uv"),
            faces_uv=ints("faces_uv"),
            face_material=np.asarray(arrays["face_material"], dtype=np.uint8),
            material_names=strings("material_names"),
            vertex_part=np.asarray(arrays["vertex_part"], dtype=np.uint8),
            part_names=strings("part_names"), shape_names=names,
            shape_deltas=floats("shape_deltas"), identity_deltas=floats("identity_deltas"),
            head_weight=floats("head_weight"), eye_center=floats("eye_center"),
            eye_radius=float(floats("eye_radius")), brow_mask=floats("brow_mask"),
            landmark_names=strings("landmark_names"), landmark_indices=ints("landmark_indices"),
            jaw_hinge=floats("jaw_hinge"),
        )  # fmt: skip

    @cached_property
    def triangles(self) -> Ints:
        """(N, 3) triangles: quads split along their first diagonal, faces in order."""
        quad = self.faces[:, 3] >= 0
        pairs = np.stack([self.faces[:, :3], self.faces[:, [0, 2, 3]]], axis=1)
        keep = np.stack([np.ones_like(quad), quad], axis=1)
        return np.ascontiguousarray(pairs[keep])

    @cached_property
    def triangle_faces(self) -> Ints:
        """(N,) the face that each triangle comes from."""
        counts = np.where(self.faces[:, 3] >= 0, 2, 1)
        return np.repeat(np.arange(len(self.faces), dtype=np.int32), counts)

    @cached_property
    def triangles_uv(self) -> Ints:
        """(N, 3) UV corners of ``triangles``."""
        first = np.concatenate([[True], np.diff(self.triangle_faces) > 0])
        corners = self.faces_uv[self.triangle_faces]
        return np.where(first[:, None], corners[:, :3], corners[:, [0, 2, 3]])

    def part(self, name: str) -> NDArray[np.int64]:
        """Indices of the vertices of a part."""
        return np.nonzero(self.vertex_part == self.part_names.index(name))[0]

    def landmark(self, name: str) -> int:
        """Index of a named vertex."""
        return int(self.landmark_indices[self.landmark_names.index(name)])

    def deform(
        self,
        weights: ArrayLike,
        gaze: ArrayLike | None = None,
        head_rotation: ArrayLike | None = None,
        head_translation: ArrayLike | None = None,
        identity: ArrayLike | None = None,
    ) -> Floats:
        """Vertices of T frames.

        Args:
            weights: (T, 52) of ``shape_names``; 0..1 in use, not clipped here.
            gaze: (T, 2, 2) left and right eye; yaw to the character's left and pitch up, radians,
                relative to the head. It turns the eyeballs; the lids follow ``eyeLook*`` weights.
            head_rotation: (T, 3) axis-angle about the origin, right-handed, radians.
            head_translation: (T, 3) metres.
            identity: (20,) or fewer, standard deviations.

        Returns:
            (T, V, 3) metres.

        """
        weight = np.asarray(weights, dtype=np.float32)
        if weight.ndim != 2 or weight.shape[1] != len(self.shape_names):
            raise UserError(
                f"Expected weights of shape (frames, {len(self.shape_names)}), got {weight.shape}.",
                "Give one column per ARKit blendshape.",
            )
        frames, count = len(weight), len(self.vertices)
        rest, centers = self._identity(identity)
        flat = self.shape_deltas.reshape(len(self.shape_names), -1)
        out = rest + (weight @ flat).reshape(frames, count, 3)
        if gaze is not None:
            self._turn_eyes(out, centers, _frames(gaze, "gaze", (frames, 2, 2)))
        turn = (
            None if head_rotation is None else _frames(head_rotation, "head_rotation", (frames, 3))
        )
        shift = (
            None if head_translation is None
            else _frames(head_translation, "head_translation", (frames, 3))
        )  # fmt: skip
        return self._pose(out, turn, shift)

    def eye_centers(self, identity: ArrayLike | None = None) -> Floats:
        """(2, 3) centres of the eyeballs of an identity, before the head turns."""
        return self._identity(identity)[1]

    def _identity(self, identity: ArrayLike | None) -> tuple[Floats, Floats]:
        if identity is None:
            return self.vertices, self.eye_center
        sigma = np.asarray(identity, dtype=np.float32).ravel()
        if len(sigma) > len(self.identity_deltas):
            raise UserError(
                f"Expected at most {len(self.identity_deltas)} identity weights, got {len(sigma)}.",
                "Leave the rest out.",
            )
        delta = np.tensordot(sigma, self.identity_deltas[: len(sigma)], axes=1)
        centers = [
            c + delta[self.part(p)].mean(0) for c, p in zip(self.eye_center, EYE_PARTS, strict=True)
        ]
        return self.vertices + delta, np.array(centers, dtype=np.float32)

    def _turn_eyes(self, out: Floats, centers: Floats, gaze: Floats) -> None:
        for side, name in enumerate(EYE_PARTS):
            mine = self.part(name)
            turn = gaze_rotation(gaze[:, side])
            out[:, mine] = (out[:, mine] - centers[side]) @ turn.transpose(0, 2, 1) + centers[side]

    def _pose(self, out: Floats, turn: Floats | None, shift: Floats | None) -> Floats:
        """Turn about the pivot and move; the neck takes a part of the turn by ``head_weight``."""
        if turn is not None:
            for level in np.unique(self.head_weight):
                mine = np.nonzero(self.head_weight == level)[0]
                matrix = rotation_matrix(turn * level)
                out[:, mine] = out[:, mine] @ matrix.transpose(0, 2, 1)
        if shift is not None:
            out = out + self.head_weight[None, :, None] * shift[:, None]
        return out

    def normals(self, vertices: ArrayLike) -> Floats:
        """Unit vertex normals (..., V, 3), weighted by area."""
        points = np.asarray(vertices, dtype=np.float32)
        a, b, c = (points[..., self.triangles[:, k], :] for k in range(3))
        face = np.cross(b - a, c - a)
        batch = face.reshape(-1, *face.shape[-2:])
        out = np.zeros((len(batch), points.shape[-2], 3), dtype=np.float32)
        where = self.triangles.T.ravel()
        for one, normal in zip(batch, out, strict=True):
            for d in range(3):
                normal[:, d] = np.bincount(where, np.tile(one[:, d], 3), minlength=len(normal))
        length = np.linalg.norm(out, axis=-1, keepdims=True)
        return np.asarray((out / np.maximum(length, 1e-12)).reshape(points.shape))


def _frames(values: ArrayLike, name: str, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(values, dtype=np.float32)
    if array.shape != shape:
        raise UserError(
            f"Expected {name} of shape {shape}, got {array.shape}.", "Give one per frame."
        )
    return array


def rotation_matrix(axis_angle: ArrayLike) -> Floats:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3), radians (Rodrigues)."""
    vector = np.asarray(axis_angle, dtype=np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    near = angle < 1e-8
    safe = np.where(near, 1.0, angle)
    first = np.where(near, 1.0, np.sin(safe) / safe)
    second = np.where(near, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross, dtype=np.float32)


def gaze_rotation(gaze: ArrayLike) -> Floats:
    """Matrices (..., 3, 3) that turn an eye looking along +Z by yaw (left) and pitch (up)."""
    yaw, pitch = np.moveaxis(np.asarray(gaze, dtype=np.float64), -1, 0)
    zero = np.zeros_like(yaw)
    level = rotation_matrix(np.stack([zero, yaw, zero], axis=-1))
    tilt = rotation_matrix(np.stack([-pitch, zero, zero], axis=-1))
    return np.asarray(level @ tilt, dtype=np.float32)
