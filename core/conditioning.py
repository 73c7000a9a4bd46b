# SPDX-License-Identifier: GPL-3.0-or-later
"""What the head network sees of a frame: renders of the 3DMM (GMTalker's third stage).

The head model's mesh in the frame's expression, gaze and pose is rasterised to planes of geometry
and to two coordinate fields. At the coordinates the network looks up textures it has learned, so
that skin and hair detail needs no network weights and sticks to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .head.model import EYE_PARTS, HeadModel
from .raster import Camera, rasterise

PARTS = ("skin", "mouth", "teeth", "tongue", "eye", "lash")
PLANES = ("normal_x", "normal_y", "normal_z", "move_x", "move_y", "move_z", "depth", "eye_x", "eye_y",
          *PARTS)  # fmt: skip
"""Channels of `Conditioning.planes`: camera-space normal; displacement from rest in units of
`MOVE` metres; depth before the pivot in units of `DEPTH` metres; place on the eyeball in units of
its radius, x and y of the eye looking straight on; one mask a part."""

MOVE = 0.01
DEPTH = 0.1
CARD = 0.25
"""Half the side, metres, of the card that turns with the head and carries the hair's texture."""


@dataclass(frozen=True)
class Conditioning:
    """The renders of a batch of frames."""

    planes: Tensor
    """(B, 15, size, size), see `PLANES`."""
    surface: Tensor
    """(B, size, size, 2) texture coordinates of the mesh in -1..1; 2 where no mesh is."""
    card: Tensor
    """(B, size, size, 2) place on the head's card in -1..1."""

    def to(self, device: torch.device) -> Conditioning:
        """The same on another device."""
        return Conditioning(
            self.planes.to(device), self.surface.to(device), self.card.to(device)
        )


class HeadRenderer:
    """Renders a head model's conditioning.

    Args:
        path: a head in the format of ``core/assets/head.npz``.
        camera: fixed, in core space.
        size: pixels, height and width.
        device: where to rasterise.

    """

    def __init__(
        self, path: Path, camera: Camera, size: int, device: torch.device | None = None
    ) -> None:
        self.model = HeadModel.load(path)
        self.camera = camera
        self.size = size
        self.device = device or torch.device("cpu")
        triangles = self.model.triangles.astype(np.int64)
        self.triangles = self._tensor(triangles)
        self.uv_triangles = self._tensor(self.model.triangles_uv.astype(np.int64))
        self.uv = self._tensor(self.model.uv * 2 - 1)
        self.marks = self._tensor(_marks(self.model))
        self.fans = self._tensor(_fans(triangles, len(self.model.vertices)))
        self.rays = camera.rays(size, self.device)

    def render(
        self,
        weights: NDArray[np.float32],
        gaze: NDArray[np.float32],
        rotation: NDArray[np.float32],
        translation: NDArray[np.float32],
    ) -> Conditioning:
        """The renders of B frames.

        Args:
            weights: (B, 52) ARKit weights.
            gaze: (B, 2, 2) left/right eye, yaw/pitch, radians.
            rotation: (B, 3) of the head, axis-angle, radians.
            translation: (B, 3) metres.

        """
        still = np.zeros_like(rotation)
        local = self.model.deform(weights, gaze, still, still)
        posed = self._tensor(self.model.deform(weights, gaze, rotation, translation))
        move = self._tensor((local - self.model.vertices) / np.float32(MOVE))
        fragments = rasterise(self.camera.project(posed, self.size), self.triangles, self.size)
        dynamic = torch.cat([self.normals(posed), move, posed[..., 2:] / DEPTH], -1)
        values = torch.cat(
            [
                fragments.interpolate(self.triangles, dynamic),
                fragments.interpolate(self.triangles, self.marks),
            ],
            1,
        )
        planes = fragments.paint(values)
        surface = fragments.paint(fragments.interpolate(self.uv_triangles, self.uv), 2.0)
        return Conditioning(
            planes, surface.permute(0, 2, 3, 1), self.card(rotation, translation)
        )

    def card(self, rotation: NDArray[np.float32], translation: NDArray[np.float32]) -> Tensor:
        """(B, size, size, 2): where each pixel's ray meets the head's own plane z = 0."""
        turn = self._tensor(_matrices(rotation))
        start = self._tensor(np.asarray(self.camera.position, np.float32) - translation)
        start = torch.einsum("bij,bi->bj", turn, start)
        rays = torch.einsum("bij,hwi->bhwj", turn, self.rays)
        reach = -start[:, None, None, 2] / rays[..., 2]
        return (start[:, None, None, :2] + reach[..., None] * rays[..., :2]) / CARD

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


def _marks(model: HeadModel) -> NDArray[np.float32]:
    """(V, 2 + parts): the last `PLANES`, which stay with the vertex."""
    marks = np.zeros((len(model.vertices), 2 + len(PARTS)), np.float32)
    for name in model.part_names:
        part = model.part(name)
        marks[part, 2 + PARTS.index(_kind(name))] = 1.0
        if name in EYE_PARTS:
            centre = model.eye_center[EYE_PARTS.index(name)]
            marks[part, :2] = ((model.vertices[part] - centre) / model.eye_radius)[:, :2]
    return marks


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
