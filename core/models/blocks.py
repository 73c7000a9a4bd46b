# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks over time are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Norm, dilated convolution over time, pointwise mixing; (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, dilation: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.over_time = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        # In memory order before the GELU, whose gradient is ten times slower otherwise.
        y = self.over_time(self.norm(x).transpose(1, 2)).transpose(1, 2).contiguous()
        mixed: Tensor = self.mix(functional.gelu(y))
        if self.training:  # whole channels of a window
            mixed = mixed * self.dropout(torch.ones_like(mixed[:, :1]))
        return x + mixed


class BandAttention(nn.Module):
    """Self-attention within a band, position known only as a distance; (B, S, C) -> (B, S, C).

    Without absolute positions or reach beyond the band, a chunk gives what the whole gives.
    """

    def __init__(self, width: int, heads: int, band: int) -> None:
        super().__init__()
        self.heads, self.band = heads, band
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.by_distance = nn.Parameter(torch.zeros(heads, 2 * band + 1))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend and feed forward, both residual."""
        batch, steps, width = x.shape
        at = torch.arange(steps, device=x.device)
        distance = at[None, :] - at[:, None]
        bias = self.by_distance[:, distance.clamp(-self.band, self.band) + self.band]
        bias = bias.masked_fill(distance.abs() > self.band, -1e9)  # (heads, S, S)
        split = self.query_key_value(self.norm(x)).reshape(batch, steps, 3, self.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, S, C / heads)
        score = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + bias
        y = (torch.softmax(score, -1) @ v).transpose(1, 2).reshape(batch, steps, width)
        x = x + self.out(y)
        further: Tensor = self.feed_forward(x)
        return x + further
