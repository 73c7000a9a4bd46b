# SPDX-License-Identifier: GPL-3.0-or-later
"""`HeadModel.deform` in torch, in its two steps, on any device: shape the face, then pose the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .head.model import EYE_PARTS, HeadModel, gaze_rotation


class Poser:
    """A head model's vertices for frames of tracks.

    Args:
        model: the head, at its own identity.
        device: where to work.

    """

    def __init__(self, model: HeadModel, device: torch.device) -> None:
        self.device = device
        self.rest = self._tensor(model.vertices)
        self._deltas = self._tensor(model.shape_deltas.reshape(len(model.shape_names), -1))
        self._level = self._tensor(model.head_weight)[:, None]
        self._eyes = [self._tensor(model.part(name)) for name in EYE_PARTS]
        self._centres = self._tensor(model.eye_center)
        self._neck = self._tensor(model.neck_end)

    def shaped(self, weights: NDArray[np.float32], gaze: NDArray[np.float32]) -> Tensor:
        """(B, V, 3) metres: expression (B, 52) and gaze (B, 2, 2), the head still at rest."""
        moved = (self._tensor(weights) @ self._deltas).view(len(weights), *self.rest.shape)
        out = self.rest + moved
        turns = self._tensor(gaze_rotation(gaze))
        for side, (mine, centre) in enumerate(zip(self._eyes, self._centres, strict=True)):
            out[:, mine] = (out[:, mine] - centre) @ turns[:, side].mT + centre
        return out

    def posed(
        self, shaped: Tensor, rotation: NDArray[np.float32], translation: NDArray[np.float32],
        shoulders: NDArray[np.float32],
    ) -> Tensor:  # fmt: skip
        """(B, V, 3) metres: the shaped head turned by (B, 3) axis-angle and moved by (B, 3) metres.

        Each vertex turns by its own share of the angle about the common axis (Rodrigues' formula),
        so the neck follows the head; with the rest it goes where the shoulders go, of which (B, 2, 3)
        `shoulders` tell as in `core.training.head_data`.
        """
        turn = self._tensor(rotation)[:, None]
        angle = turn.norm(dim=2, keepdim=True)
        axis = (turn / angle.clamp(min=1e-12)).expand_as(shaped)
        own = angle * self._level
        out: Tensor = shaped * own.cos() + torch.linalg.cross(axis, shaped) * own.sin()
        out += axis * ((axis * shaped).sum(2, keepdim=True) * (1 - own.cos()))
        out += self._level * self._tensor(translation)[:, None]
        moved = self._tensor(shoulders)
        across = shaped[..., :2] - self._neck
        out[..., :2] += (1 - self._level) * (across @ moved[..., :2].mT + moved[:, None, :, 2])
        return out

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
