# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that run a head network, behind one interface: `choose` gives the fastest at hand."""

from __future__ import annotations

import os

import torch

from ..errors import ExitCode, UserError
from ..models.head import HeadNetwork
from .base import Engine
from .cuda import CudaEngine
from .exported import ExportedEngine, available
from .plain import TorchEngine

DEVICES = ("auto", "cpu", "cuda", "mps")
MOST_PIXELS = 8 * 256 * 256
"""Of all lanes together: each holds what the network makes in between, some 100 MB at 256 pixels."""

__all__ = ["DEVICES", "Engine", "choose"]


def choose(network: HeadNetwork, device: str = "auto") -> Engine:
    """The fastest engine for a network on a device.

    Args:
        network: in float32, ready for inference.
        device: one of `DEVICES`; "auto" takes a GPU if there is one.

    Raises:
        UserError: there is no such device (code 5).

    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next((name for name, usable in there.items() if usable), "cpu")
    if device not in DEVICES or not there.get(device, True):
        usable = ", ".join(["auto", "cpu", *(n for n, there_is in there.items() if there_is)])
        raise UserError(f"There is no device '{device}' here.", f"Choose one of: {usable}.",
                        ExitCode.DEVICE)  # fmt: skip
    if device == "cuda":
        return CudaEngine(network)
    cores = _cores()
    if device == "mps":
        return TorchEngine(network, torch.device("mps"), lanes=1, threads=cores)
    lanes = max(1, min(cores, MOST_PIXELS // network.config.resolution**2))
    if available():
        return ExportedEngine(network, lanes, cores // lanes)
    return TorchEngine(network, torch.device("cpu"), lanes, cores // lanes)


def _cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
