# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bfloat16 pays: on processors that multiply it in hardware."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether this device's convolutions are faster in bfloat16 than in float32.

    On processors without the instructions bfloat16 is emulated and several times slower.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return False


def autocast(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Bfloat16 autocast where it pays and is wanted, otherwise nothing."""
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=wanted and has_bfloat16(device)
    )
