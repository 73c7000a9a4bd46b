# SPDX-License-Identifier: GPL-3.0-or-later
"""Torch as it is, on the CPU or on Apple's MPS."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..conditioning import Conditioning
from ..models.head import HeadNetwork
from ..precision import autocast
from .base import Pictures, inputs


class TorchEngine:
    """Runs the network frame by frame: bfloat16 where it pays, channels last in memory."""

    canvas = torch.device("cpu")
    """The rasteriser needs operators that MPS lacks, so conditioning is made on the CPU."""
    batch = 1

    def __init__(self, network: HeadNetwork, device: torch.device, lanes: int, threads: int) -> None:
        self.name = f"torch {device.type}"
        self.device = device
        self.lanes, self.threads = lanes, threads
        self._pictures = Pictures(network).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def pictures(
        self, seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor
    ) -> NDArray[np.uint8]:
        """See `Engine`."""
        given = [part.to(self.device) for part in inputs(seen, emotion, look, variety)]
        with autocast(self.device):
            levels = self._pictures(*given)
        return np.asarray(levels.cpu().numpy())

    def shrink(self) -> None:
        """The batch is one frame already."""
