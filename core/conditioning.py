# SPDX-License-Identifier: GPL-3.0-or-later
"""What the head network sees of a frame: renders of the 3DMM (GMTalker's third stage).

The head model's mesh in the frame's expression, gaze and pose is rasterised to planes of geometry
and to two coordinate fields. At the coordinates the network looks up textures it has learned, so
that skin and hair detail needs no network weights and sticks to the head.

One sample a pixel would make stair-steps that jump as the head moves. Where a part of the head ends
or hides another the pixel is sampled `SAMPLES` times and its planes are the samples' mean, so that a
mask is how much of the pixel the part covers. Those are few pixels, so this costs about as much as
the one sample of all the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .head.atlas import unwrapped
from .head.model import EYE_PARTS, HeadModel
from .posing import Poser
from .raster import Camera, Fragments, rasterise
from .samples import rasterise_samples

PARTS = ("skin", "mouth", "teeth", "tongue", "eye", "lash")
PLANES = ("normal_x", "normal_y", "normal_z", "move_x", "move_y", "move_z", "depth", "eye_x", "eye_y",
          *PARTS)  # fmt: skip
"""Channels of `Conditioning.planes`: camera-space normal; displacement from rest in units of
`MOVE` metres; depth before the pivot in units of `DEPTH` metres; place on the eyeball in units of
its radius, x and y of the eye looking straight on; the share of the pixel that each part covers.
The others are means over the pixel too, 0 where no mesh is."""

MOVE = 0.01
DEPTH = 0.1
STEP = 0.008
"""Metres: where the depths of neighbouring pixels differ by more, one part of the head hides another."""
SAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
"""Columns and rows from a pixel's centre; no two on a line, so that steep and flat edges alike show
every quarter of a pixel."""
CARD = 0.25
"""Half the side, metres, of the card that turns with the head and carries the hair's texture."""


@dataclass(frozen=True)
class Conditioning:
    """The renders of a batch of frames."""

    planes: Tensor
    """(B, 15, size, size), see `PLANES`."""
    surface: Tensor
    """(B, size, size, 2) texture coordinates of the mesh in -1..1 at the pixel's centre, or where the
    mesh misses that, at the first sample that it covers; 2 where no mesh is."""
    card: Tensor
    """(B, size, size, 2) place on the head's card in -1..1."""
    shoulders: Tensor
    """(B, 2, 3) from a place (x, y, 1) of the picture, right and down in half pictures from its middle,
    to where the shoulders that are there were at rest, less that place."""

    def to(self, device: torch.device) -> Conditioning:
        """The same on another device."""
        return Conditioning(
            self.planes.to(device), self.surface.to(device), self.card.to(device), self.shoulders.to(device)
        )


class HeadRenderer:
    """Renders a head model's conditioning.

    Args:
        path: a head in the format of ``core/assets/head.npz``.
        camera: fixed, in core space.
        size: pixels, height and width.
        device: where to rasterise.
        atlas: whether texture coordinates are those of the head's atlas, or of its materials.

    """

    def __init__(
        self, path: Path, camera: Camera, size: int, device: torch.device | None = None, *, atlas: bool = False
    ) -> None:
        self.model = HeadModel.load(path)
        self.camera = camera
        self.size = size
        self.device = device or torch.device("cpu")
        self.poser = Poser(self.model, self.device)
        triangles = self.model.triangles.astype(np.int64)
        self.triangles = self._tensor(triangles)
        uv, uv_triangles = unwrapped(self.model) if atlas else (self.model.uv, self.model.triangles_uv)
        self.uv_triangles = self._tensor(uv_triangles.astype(np.int64))
        self.uv = self._tensor(uv * 2 - 1)
        parts = _parts(self.model)[triangles[:, 0]]
        self.part = self._tensor(parts)
        self.masks = self._tensor(np.eye(len(PARTS), dtype=np.float32)[parts])
        self.iris = self._tensor(_iris(self.model))
        self.fans = self._tensor(_fans(triangles, len(self.model.vertices)))
        self.samples = self._tensor(np.array(SAMPLES, np.float32))

    def render(
        self,
        weights: NDArray[np.float32],
        gaze: NDArray[np.float32],
        rotation: NDArray[np.float32],
        translation: NDArray[np.float32],
        shoulders: NDArray[np.float32] | None = None,
    ) -> Conditioning:
        """The renders of B frames.

        Args:
            weights: (B, 52) ARKit weights.
            gaze: (B, 2, 2) left/right eye, yaw/pitch, radians.
            rotation: (B, 3) of the head, axis-angle, radians.
            translation: (B, 3) metres.
            shoulders: (B, 2, 3) as in `core.training.head_data`; None: they stay still.

        """
        if shoulders is None:
            shoulders = np.zeros((len(weights), 2, 3), np.float32)
        shaped = self.poser.shaped(weights, gaze)
        posed = self.poser.posed(shaped, rotation, translation, shoulders)
        move = (shaped - self.poser.rest) / MOVE
        iris = self.iris.expand(len(posed), -1, -1)
        attributes = torch.cat([self.normals(posed), move, posed[..., 2:] / DEPTH, iris], -1)
        projected = self.camera.project(posed, self.size)
        seen = rasterise(projected, self.triangles, self.size)
        planes = seen.paint(self._values(seen, attributes)).permute(0, 2, 3, 1)
        surface = seen.paint(self._places(seen), 2.0).permute(0, 2, 3, 1)
        borders = self._borders(seen, planes[..., PLANES.index("depth")])
        self._refine(projected, attributes, borders, planes.flatten(0, 2), surface.flatten(0, 2))
        return Conditioning(
            planes.permute(0, 3, 1, 2), surface, self.card(rotation, translation), self.moved(shoulders)
        )

    def _values(self, seen: Fragments, attributes: Tensor) -> Tensor:
        """(P, planes) of what is seen."""
        smooth = seen.interpolate(self.triangles, attributes)
        return torch.cat([smooth, self.masks.index_select(0, seen.triangle)], 1)

    def _places(self, seen: Fragments) -> Tensor:
        """(P, 2) texture coordinates of what is seen."""
        return seen.interpolate(self.uv_triangles, self.uv)

    def _borders(self, seen: Fragments, depth: Tensor) -> Tensor:
        """(B, size, size) pixels beside which another part is seen, none, or one far behind."""
        part = seen.paint(self.part.index_select(0, seen.triangle)[:, None] + 1)[:, 0]
        far = STEP / DEPTH
        borders = torch.zeros_like(part, dtype=torch.bool)
        count = self.size - 1
        for axis in (1, 2):
            other = part.narrow(axis, 0, count) != part.narrow(axis, 1, count)
            step = (depth.narrow(axis, 0, count) - depth.narrow(axis, 1, count)).abs() > far
            step |= other
            borders.narrow(axis, 0, count).logical_or_(step)
            borders.narrow(axis, 1, count).logical_or_(step)
        return borders

    def _refine(
        self, projected: Tensor, attributes: Tensor, borders: Tensor, planes: Tensor, surface: Tensor
    ) -> None:
        """Samples the pixels on borders several times, in place.

        Args:
            projected: (B, V, 3).
            attributes: (B, V, C).
            borders: (B, size, size) bool.
            planes: (B * size * size, planes).
            surface: (B * size * size, 2).

        """
        pixels = borders.flatten().nonzero()[:, 0]
        count = len(SAMPLES)
        found = rasterise_samples(projected, self.triangles, self.size, self.samples, pixels)
        seen = found.fragments
        each = planes.new_zeros(count * len(pixels), planes.shape[1])
        each.index_copy_(0, found.slot, self._values(seen, attributes))
        planes.index_copy_(0, pixels, each.view(count, len(pixels), planes.shape[1]).mean(0))
        places = self._places(seen)
        missed = surface[:, 0].index_select(0, seen.pixel) > 1.5
        sample = torch.div(found.slot, max(1, len(pixels)), rounding_mode="floor")
        for number in reversed(range(count)):  # The first is written last.
            mine = (missed & (sample == number)).nonzero()[:, 0]
            surface.index_copy_(0, seen.pixel.index_select(0, mine), places.index_select(0, mine))

    def card(self, rotation: NDArray[np.float32], translation: NDArray[np.float32]) -> Tensor:
        """(B, size, size, 2): where each pixel's ray meets the head's own plane z = 0.

        A ray through the pixel at (x, y) of the plane z = -1 before the camera is x, y and -1 times
        the columns of the head's turn back: each coordinate is a sum of a row and a column.
        """
        turn = self._tensor(_matrices(rotation))
        start = self._tensor(np.asarray(self.camera.position, np.float32) - translation)
        start = torch.einsum("bij,bi->bj", turn, start)[:, :, None, None]
        steps = (torch.arange(self.size, device=self.device) + 0.5 - 0.5 * self.size)
        steps = steps / self.camera.focal(self.size)
        level = turn[:, 0, :, None] * steps  # (B, 3, size)
        upright = -turn[:, 1, :, None] * steps - turn[:, 2, :, None]
        ray = level[:, :, None] + upright[..., None]
        reach = -start[:, 2:] / ray[:, 2:]
        return ((start[:, :2] + reach * ray[:, :2]) / CARD).permute(0, 2, 3, 1)

    def moved(self, shoulders: NDArray[np.float32]) -> Tensor:
        """(B, 2, 3) `Conditioning.shoulders`, seen as far away as the head's pivot."""
        half = 1 / (np.tan(np.radians(self.camera.fov_y) / 2) * self.camera.position[2])
        turn = np.array([half, -half])
        # The neck's end on the picture, about which the shoulders are told.
        end = (self.model.neck_end - self.camera.position[:2]) * turn
        shape = shoulders[..., :2].astype(np.float64) * turn[:, None] / turn
        shift = shoulders[..., 2] * turn - shape @ end
        back = np.linalg.inv(np.eye(2) + shape)
        rest = np.concatenate([back - np.eye(2), -back @ shift[..., None]], 2)
        return self._tensor(rest.astype(np.float32))

    def normals(self, vertices: Tensor) -> Tensor:
        """(B, V, 3) unit normals; each vertex gathers its faces, in a fixed order."""
        a, b, c = (vertices.index_select(1, self.triangles[:, k]) for k in range(3))
        (ux, uy, uz), (vx, vy, vz) = (b - a).unbind(2), (c - a).unbind(2)
        faces = torch.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 2)
        faces = torch.nn.functional.pad(faces, (0, 0, 0, 1))
        normals = faces.index_select(1, self.fans[0])
        for ring in self.fans[1:]:
            normals += faces.index_select(1, ring)
        return torch.nn.functional.normalize(normals, dim=-1, eps=1e-20)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _fans(triangles: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(K, V) triangles round each vertex, filled up with N, the index of a face without area."""
    corner = triangles.reshape(-1)
    order = np.argsort(corner, kind="stable")
    valence = np.bincount(corner, minlength=count)
    fans = np.full((int(valence.max()), count), len(triangles), np.int64)
    first = np.cumsum(valence) - valence
    place = np.arange(len(corner)) - first[corner[order]]
    fans[place, corner[order]] = order // 3
    return fans


def _parts(model: HeadModel) -> NDArray[np.int64]:
    """(V,) index of each vertex's mask in `PARTS`."""
    kinds = np.array([PARTS.index(_kind(name)) for name in model.part_names], np.int64)
    return kinds[model.vertex_part]


def _iris(model: HeadModel) -> NDArray[np.float32]:
    """(V, 2): place on the eyeball, which stays with the vertex."""
    place = np.zeros((len(model.vertices), 2), np.float32)
    for name, centre in zip(EYE_PARTS, model.eye_center, strict=True):
        part = model.part(name)
        place[part] = ((model.vertices[part] - centre) / model.eye_radius)[:, :2]
    return place


def _kind(name: str) -> str:
    """The mask that a part of the head model belongs to."""
    if name in ("mouth", "gums"):
        return "mouth"
    if name == "brow":
        return "lash"  # Cards with hairs, both.
    for kind in ("teeth", "tongue", "eye", "lash"):
        if name.startswith(kind):
            return kind
    return "skin"


def _matrices(rotation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, 3) axis-angle -> (B, 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(rotation, axis=-1)[:, None, None]
    x, y, z = (rotation / np.maximum(angle[:, :, 0], 1e-12)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turn, np.float32)
