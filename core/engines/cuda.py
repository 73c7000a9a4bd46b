# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA GPUs: bfloat16, channels last, whole batches, and one graph of all kernels.

Launching the network's kernels one by one takes longer than running them; a CUDA graph launches all
of them at once. It has a fixed batch, so a shorter one is filled up, and a frame's kernels do not
depend on how many frames are asked for with it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..conditioning import Conditioning
from ..models.head import HeadNetwork
from ..precision import has_bfloat16
from .base import Pictures, inputs

WARM_UP = 3
"""Runs before the graph is taken, in which cuDNN chooses its kernels."""


class CudaEngine:
    """Runs the network in batches on one NVIDIA GPU."""

    lanes = 1

    def __init__(self, network: HeadNetwork, batch: int = 16) -> None:
        self.canvas = torch.device("cuda", torch.cuda.current_device())
        self.name = f"torch CUDA, {torch.cuda.get_device_name(self.canvas)}"
        self.threads = 1
        self.batch = batch
        self._pictures = Pictures(network).eval().to(self.canvas, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._given: list[Tensor] = []
        self._taken: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def pictures(
        self, seen: Conditioning, emotion: Tensor, look: Tensor, variety: Tensor
    ) -> NDArray[np.uint8]:
        """See `Engine`."""
        given = [part.to(self.canvas) for part in inputs(seen, emotion, look, variety)]
        if self._graph is None:
            self._capture(given)
        count = len(emotion)
        for fixed, part in zip(self._given, given, strict=True):
            fixed[: len(part)].copy_(part)
        assert self._graph is not None
        assert self._taken is not None
        self._graph.replay()
        return np.asarray(self._taken[:count].cpu().numpy())

    def shrink(self) -> None:
        """See `Engine`."""
        self.batch = max(1, self.batch // 2)
        self._graph, self._taken, self._given = None, None, []
        torch.cuda.empty_cache()

    def _capture(self, like: list[Tensor]) -> None:
        self._given = [part.new_zeros(self.batch, *part.shape[1:]) for part in like]
        side = torch.cuda.Stream(self.canvas)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.canvas))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._run()
        torch.cuda.current_stream(self.canvas).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._taken = self._run()
        self._graph = graph

    def _run(self) -> Tensor:
        # Autocast's cache of converted weights would live outside of the graph.
        with torch.autocast(
            "cuda", torch.bfloat16, enabled=has_bfloat16(self.canvas), cache_enabled=False
        ):
            made: Tensor = self._pictures(*self._given)
        return made
