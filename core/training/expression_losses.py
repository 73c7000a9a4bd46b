# SPDX-License-Identifier: GPL-3.0-or-later
"""What the expression generator is trained to do, term by term."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arkit import EXPRESSION_NAMES
from ..lips import LipMap
from ..models.expression_network import LATENT_STRIDE, ExpressionNetwork
from ..models.mixture import kl_to_mixture
from .data.lips import KIND_NAMES
from .expression_batches import Batch

_GAP_UNIT, _WIDTH_UNIT, _COEFFICIENT_UNIT = 0.03, 0.025, 0.06
"""usual spread of lip opening, lip width and coefficients: a term of 1 is an error of that size"""
_RARE = ("mouthPucker", "mouthFunnel", "mouthRoll", "mouthPress", "mouthStretch", "mouthShrugUpper", "tongue")
_RARE_WEIGHT = 2.5
"""shapes that few sounds need would else be left at nothing"""
_SHUT = 0.006
"""lips nearer than this look closed"""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term."""

    coefficients: float = 4.0
    gap: float = 0.8
    width: float = 0.8
    velocity: float = 0.4
    amplitude: float = 0.3
    closure: float = 0.5
    activity: float = 0.3
    phones: float = 0.15
    kl: float = 0.004
    drawn: float = 0.4
    """lips of a random draw: the latent is for expression, not for them"""


class ExpressionLoss(nn.Module):
    """Weighted sum of the terms; holds the phone classifier that helps the lip head learn."""

    gap: Tensor
    width: Tensor
    channel: Tensor

    def __init__(self, lips: LipMap, lip_width: int, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.weights = weights or LossWeights()
        self.register_buffer("gap", torch.tensor(lips.gap, dtype=torch.float32))
        self.register_buffer("width", torch.tensor(lips.width, dtype=torch.float32))
        channel = [_RARE_WEIGHT if n.startswith(_RARE) else 1.0 for n in EXPRESSION_NAMES]
        self.register_buffer("channel", torch.tensor(channel))
        self.phones = nn.Linear(lip_width, len(KIND_NAMES))

    def forward(
        self, network: ExpressionNetwork, batch: Batch, generator: torch.Generator, kl_share: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, and its terms.

        The decoder answers for two latents: one drawn from the posterior (so that the latent learns
        what varies) and the mixture's mean (so that temperature 0 is the best single guess).
        """
        heard = network.encoder(batch.features)
        mixture = network.mapper(heard.expression)
        q_mean, q_log_var = network.posterior(batch.face, heard.lip)
        noise = torch.randn(4, *q_mean.shape, generator=generator)
        latent = q_mean + torch.exp(0.5 * q_log_var) * noise[0]
        steps = batch.weights[:, ::LATENT_STRIDE]
        terms = self._face(network.decoder(latent, heard.lip), batch.face, batch.closed)
        still = torch.zeros_like(q_mean)
        guess = network.decoder(network.draw(mixture, batch.weights, still), heard.lip)
        for name, value in self._face(guess, batch.face, batch.closed).items():
            terms[name] = 0.5 * terms[name] + value
        drawn = network.decoder(network.draw(mixture, batch.weights, noise[1]), heard.lip)
        of_draw = self._face(drawn, batch.face, batch.closed)
        terms["drawn"] = sum((of_draw[n] for n in ("gap", "width", "closure")), still.sum())
        terms["activity"] = functional.binary_cross_entropy_with_logits(heard.activity, batch.awake)
        said = self.phones(functional.gelu(heard.lip))
        terms["phones"] = functional.cross_entropy(said.flatten(0, 1), batch.kind.flatten())
        divergence = kl_to_mixture(q_mean, q_log_var, noise, steps, *mixture).mean()
        terms["kl"] = divergence * kl_share
        total = torch.stack([getattr(self.weights, n) * v for n, v in terms.items()]).sum()
        return total, {n: float(v.detach()) for n, v in terms.items()}

    def _face(self, found: Tensor, wanted: Tensor, closed: Tensor) -> dict[str, Tensor]:
        """Terms of a predicted face (B, T, 42) against the true one."""
        # Clipped at inference: what lies beyond 0..1 on the right side is no error.
        found = torch.where((wanted <= 0) & (found < 0), 0.1 * found, found)
        error = (found - wanted) / _COEFFICIENT_UNIT
        gap, true_gap = found @ self.gap, wanted @ self.gap
        width, true_width = found @ self.width, wanted @ self.width
        spread = (gap.std(1) - true_gap.std(1)).abs() / _GAP_UNIT
        moved = torch.diff(gap - true_gap, dim=1) / _GAP_UNIT
        faster = torch.diff(error, dim=1).abs().mean()
        return {
            "coefficients": (self.channel * functional.smooth_l1_loss(
                error, torch.zeros_like(error), reduction="none")).mean(),
            "gap": (gap - true_gap).abs().mean() / _GAP_UNIT,
            "width": (width - true_width).abs().mean() / _WIDTH_UNIT,
            "velocity": 3 * moved.abs().mean() + faster,
            "amplitude": spread.mean(),
            "closure": (closed * functional.relu(gap - _SHUT)).sum() / (closed.sum() + 1) / _GAP_UNIT,
        }
