# SPDX-License-Identifier: GPL-3.0-or-later
"""A conditional normalizing flow of Glow steps: activation normalisation, an invertible linear map
and an affine coupling that sees the condition (Kingma and Dhariwal 2018, arXiv 1807.03039; with a
condition as in MoGlow, Henter et al. 2020, arXiv 1905.06598).

Every transform has ``forward(x, condition)`` and ``inverse(y, condition)``; both return what comes
out, (N, D), and the logarithm of the absolute Jacobian determinant, (N,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LOG_SCALE_LIMIT = 2.0
"""A coupling scales by at most exp of this, so that no draw runs away."""


class ActNorm(nn.Module):
    """Scale and shift of each channel."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(size))
        self.shift = nn.Parameter(torch.zeros(size))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Make ``x`` (N, D) come out with mean 0 and deviation 1 (the paper's section 3.1)."""
        self.log_scale.copy_(-torch.log(x.std(0) + 1e-4))
        self.shift.copy_(-x.mean(0))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise."""
        log_det = self.log_scale.sum().expand(len(x))
        return (x + self.shift) * torch.exp(self.log_scale), log_det

    def inverse(self, y: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Undo."""
        log_det = -self.log_scale.sum().expand(len(y))
        return y * torch.exp(-self.log_scale) - self.shift, log_det


class InvertibleLinear(nn.Module):
    """A learned rotation of the channels (the paper's 1x1 convolution, without its LU form)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(size, size))[0].contiguous())

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the channels."""
        return x @ self.weight.T, torch.linalg.slogdet(self.weight)[1].expand(len(x))

    def inverse(self, y: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Undo."""
        log_det = -torch.linalg.slogdet(self.weight)[1].expand(len(y))
        return torch.linalg.solve(self.weight, y.T).T, log_det


class AffineCoupling(nn.Module):
    """One half scales and shifts the other, as the condition says."""

    def __init__(self, size: int, condition: int, width: int) -> None:
        super().__init__()
        self.first = size // 2
        self.last = size - self.first
        self.net = nn.Sequential(
            nn.Linear(self.first + condition, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 2 * self.last),
        )  # fmt: skip
        # Starting as the identity keeps many steps trainable.
        for parameter in self.net[-1].parameters():
            nn.init.zeros_(parameter)

    def _parameters_of(self, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(torch.cat([kept, condition], 1)).chunk(2, 1)
        return LOG_SCALE_LIMIT * torch.tanh(raw / LOG_SCALE_LIMIT), shift

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift."""
        kept, moved = x[:, : self.first], x[:, self.first :]
        log_scale, shift = self._parameters_of(kept, condition)
        return torch.cat([kept, (moved + shift) * torch.exp(log_scale)], 1), log_scale.sum(1)

    def inverse(self, y: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Undo."""
        kept, moved = y[:, : self.first], y[:, self.first :]
        log_scale, shift = self._parameters_of(kept, condition)
        return torch.cat([kept, moved * torch.exp(-log_scale) - shift], 1), -log_scale.sum(1)


class ConditionalFlow(nn.Module):
    """Glow steps from data to standard normal noise."""

    def __init__(self, size: int, condition: int, width: int, steps: int) -> None:
        super().__init__()
        self.size = size
        self.transforms = nn.ModuleList()
        for _ in range(steps):
            self.transforms += [
                ActNorm(size), InvertibleLinear(size), AffineCoupling(size, condition, width)
            ]  # fmt: skip

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Data (N, D) to noise (N, D) and the log determinant (N,)."""
        log_det = x.new_zeros(len(x))
        for transform in self.transforms:
            x, part = transform(x, condition)
            log_det = log_det + part
        return x, log_det

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (N, D) to data (N, D) and the log determinant (N,)."""
        log_det = z.new_zeros(len(z))
        for transform in reversed(self.transforms):
            assert isinstance(transform, ActNorm | InvertibleLinear | AffineCoupling)
            z, part = transform.inverse(z, condition)
            log_det = log_det + part
        return z, log_det

    def log_likelihood(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N,) exact log density of ``x`` under the condition, in nats."""
        z, log_det = self(x, condition)
        density = -0.5 * (z.square().sum(1) + self.size * math.log(2 * math.pi))
        return torch.as_tensor(density + log_det)

    @torch.no_grad()
    def fit_norms(self, x: Tensor, condition: Tensor) -> None:
        """Start every activation normalisation from a batch."""
        for transform in self.transforms:
            if isinstance(transform, ActNorm):
                transform.fit(x)
            x, _ = transform(x, condition)


class FlowSampler(nn.Module):
    """The inverse of a trained flow with its matrices inverted once: what draws, and is exported."""

    def __init__(self, flow: ConditionalFlow) -> None:
        super().__init__()
        self.couplings = nn.ModuleList()
        self.matrices = nn.ParameterList()
        self.offsets = nn.ParameterList()
        steps = list(flow.transforms)
        for norm, linear, coupling in reversed(list(zip(steps[0::3], steps[1::3], steps[2::3]))):
            assert isinstance(norm, ActNorm)
            assert isinstance(linear, InvertibleLinear)
            # Undoing the rotation and then the norm is one affine map.
            unscale = torch.exp(-norm.log_scale.detach())
            matrix = unscale[:, None] * torch.linalg.inv(linear.weight.detach())
            self.couplings.append(coupling)
            self.matrices.append(nn.Parameter(matrix.T.contiguous(), requires_grad=False))
            self.offsets.append(nn.Parameter(-norm.shift.detach(), requires_grad=False))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Noise (N, D) to data (N, D)."""
        for coupling, matrix, offset in zip(self.couplings, self.matrices, self.offsets):
            assert isinstance(coupling, AffineCoupling)
            z = coupling.inverse(z, condition)[0] @ matrix + offset
        return z
