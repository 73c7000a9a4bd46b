# SPDX-License-Identifier: GPL-3.0-or-later
"""A render set made ready for training: conditioning rendered once, kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..conditioning import Conditioning, HeadRenderer
from ..models.head import HeadConfig
from ..progress import Progress
from .head_data import POSE, SEEN, Array, RenderSet, looks_of

FEATURES = (
    (("lip_corner_left", "lip_corner_right"), 0.036),
    (("eye_outer_left", "eye_inner_left"), 0.024),
    (("eye_outer_right", "eye_inner_right"), 0.024),
)
"""Where the loss looks closer: between these landmarks, within this many metres."""


@dataclass(frozen=True)
class Batch:
    """Frames to train on."""

    conditioning: Conditioning
    emotion: Tensor
    """(B, 8)"""
    look: Tensor
    """(B,) number of the look"""
    truth: Tensor
    """(B, 3, H, W) sRGB 0..1"""
    attention: Tensor
    """(B, 1, H, W) 0..1"""
    mask: Tensor | None
    """(B, 1, H, W) 0..1, where the person is; of footage alone"""


class HeadCache:
    """All frames of one split.

    About 2.7 MB a frame at 256 pixels: bfloat16 planes, float32 coordinates, 8-bit truth.
    """

    def __init__(self, data: RenderSet, numbers: Sequence[int], config: HeadConfig, progress: Progress) -> None:
        self.numbers = list(numbers)
        self.renderer = HeadRenderer(data.proxy, data.info.camera, data.info.size, atlas=config.atlas)
        self.rows = data.rows(numbers)
        self.looks = torch.from_numpy(looks_of(self.rows, data.looks))
        self.truth = torch.from_numpy(data.frames(numbers))
        self.masks = torch.from_numpy(data.masks(numbers)) if data.footage else None
        planes, surfaces, attention = [], [], []
        for index in range(len(numbers)):
            progress("conditioning", index, len(numbers))
            row = slice(index, index + 1)
            seen = self.renderer.render(*self._pose(row, SEEN))
            planes.append(seen.planes.bfloat16())
            surfaces.append(seen.surface)
            attention.append((self._attention(row) * 255).to(torch.uint8))
        progress("conditioning", len(numbers), len(numbers))
        self.planes = torch.cat(planes).contiguous(memory_format=torch.channels_last)
        self.surface = torch.cat(surfaces)
        self.attention = torch.cat(attention)

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The frames of these rows."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        where = index.numpy()
        card = self.renderer.card(
            self.rows["head_rotation"][where], self.rows["head_translation"][where]
        )
        return Batch(
            Conditioning(self.planes[index], self.surface[index], card, self.renderer.moved(self.rows["shoulders"][where])),
            torch.from_numpy(self.rows["emotion"][where]),
            self.looks[index],
            self.truth[index].permute(0, 3, 1, 2).float() / 255,
            self.attention[index].float() / 255,
            None if self.masks is None else self.masks[index][:, None].float() / 255,
        )

    def _pose(self, row: slice, names: Sequence[str]) -> list[Array]:
        return [self.rows[name][row] for name in names]

    def _attention(self, row: slice) -> Tensor:
        """(1, 1, H, W): one soft spot a feature, following its landmarks."""
        renderer = self.renderer
        model, camera, size = renderer.model, renderer.camera, renderer.size
        vertices = torch.from_numpy(model.deform(*self._pose(row, POSE))[0])
        steps = torch.arange(size) + 0.5
        spots = torch.zeros(size, size)
        for names, reach in FEATURES:
            corners = [model.landmark(name) for name in names]
            column, line, inverse = camera.project(vertices[corners].mean(0), size).tolist()
            radius = reach * inverse * camera.focal(size)
            distance = (steps - line)[:, None].square() + (steps - column)[None].square()
            spots = torch.maximum(spots, torch.exp(-2 * (distance / radius**2).square()))
        return spots[None, None]


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The order of an epoch: the same for the same seed, whether resumed or not."""
    return [int(i) for i in np.random.default_rng([seed, epoch]).permutation(count)]
