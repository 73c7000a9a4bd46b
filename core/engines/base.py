# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine does: conditioning and emotion to pictures."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..conditioning import Conditioning
from ..models.head import HeadNetwork


class Engine(Protocol):
    """Runs a head network."""

    name: str
    """For the log and the bench."""
    canvas: torch.device
    """Where it wants its conditioning."""
    lanes: int
    """Threads that may ask at once, to use the whole machine."""
    threads: int
    """Threads that torch may use within each of them."""
    batch: int
    """Frames to ask for at once; goes down when memory runs out."""

    def pictures(
        self, seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor
    ) -> NDArray[np.uint8]:
        """(B, H, W, 3) sRGB, or 4 with alpha, if the network has it.

        Args:
            seen: B frames, on `canvas`; at most `batch`.
            emotion: (B, 8) weights, on the CPU.
            look: (B,) number of the look, on the CPU.
            variety: (B, n) normal numbers that stray from it, on the CPU.

        """
        ...

    def shrink(self) -> None:
        """Halves the batch after memory ran out, and lets go of what was set aside."""
        ...


class Pictures(nn.Module):
    """A head network from conditioning as it lies in memory to 8-bit pictures."""

    def __init__(self, network: HeadNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, planes: Tensor, surface: Tensor, card: Tensor, shoulders: Tensor, emotion: Tensor, look: Tensor,
        variety: Tensor,
    ) -> Tensor:  # fmt: skip
        """Pictures of B frames.

        Args:
            planes: (B, H, W, planes), channels last.
            surface: (B, H, W, 2).
            card: (B, H, W, 2).
            shoulders: (B, 2, 3).
            emotion: (B, 8).
            look: (B,) int64.
            variety: (B, n).

        Returns:
            (B, H, W, 3) uint8, or 4 with alpha.

        """
        seen = Conditioning(planes.permute(0, 3, 1, 2), surface, card, shoulders)
        made: Tensor = self.network(seen, emotion, look, variety)
        levels = (made.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1)


def inputs(seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor) -> tuple[Tensor, ...]:
    """The arguments of `Pictures`, contiguous."""
    planes = seen.planes.permute(0, 2, 3, 1)
    every = (planes, seen.surface, seen.card, seen.shoulders, emotion, look, variety)
    return tuple(part.contiguous() for part in every)
