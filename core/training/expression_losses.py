# SPDX-License-Identifier: GPL-3.0-or-later
"""What the expression generator is trained to do, term by term: first the lips, then the emotions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..lips import LipMap
from ..models.expression_network import LATENT_STRIDE, ExpressionConfig, ExpressionNetwork
from ..models.mixture import kl_to_mixture
from .expression_batches import Batch

_GAP_UNIT, _WIDTH_UNIT, _COEFFICIENT_UNIT = 0.03, 0.025, 0.06
"""usual spread of lip opening, lip width and coefficients: a term of 1 is an error of that size"""
_RARE = ("mouthPucker", "mouthFunnel", "mouthRoll", "mouthPress", "mouthStretch", "mouthShrugUpper", "tongue")
_RARE_WEIGHT = 3.0
"""shapes that few sounds need would else be left at nothing"""
_ROUND = tuple(EXPRESSION_NAMES.index(n) for n in ("mouthPucker", "mouthFunnel"))
_SHUT = 0.006
"""lips nearer than this look closed"""
_MOVES = 0.01
"""windows whose lips move less than this (standard deviation) say nothing of timing"""

Terms = dict[str, Tensor]


class _Reverse(torch.autograd.Function):
    """The identity, whose gradient is turned round (Ganin & Lempitsky 2015, eq. 9)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return -grads[0]


def reverse(x: Tensor) -> Tensor:
    """``x``; whoever learns from it, what made it unlearns."""
    out: Tensor = _Reverse.apply(x)  # type: ignore[no-untyped-call]
    return out


def _classifier(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, classes))


def _where_known(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over the rows whose class is known (not -1); 0 if there are none."""
    known = wanted >= 0
    return functional.cross_entropy(logits[known], wanted[known]) if known.any() else 0 * logits.sum()


def weighted_sum(terms: Terms, weights: object) -> tuple[Tensor, dict[str, float]]:
    """Sum of terms by the weights of their names, and the terms as numbers."""
    total = torch.stack([getattr(weights, n) * v for n, v in terms.items()]).sum()
    return total, {n: float(v.detach()) for n, v in terms.items()}


def one_minus_correlation(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of 1 - Pearson's r over the windows (B, T) in which ``wanted`` moves.

    Scale falls out of it, so speakers who open more or less than others weigh alike.
    """
    a, b = found - found.mean(1, keepdim=True), wanted - wanted.mean(1, keepdim=True)
    power = b.square().mean(1)
    r = (a * b).mean(1) / torch.sqrt(a.square().mean(1) * power + 1e-8)
    moves = (power > _MOVES**2).float()
    return ((1 - r) * moves).sum() / (moves.sum() + 1)


@dataclass(frozen=True)
class LipWeights:
    """Weight of each term for the lips."""

    coefficients: float = 1.0
    gap: float = 1.0
    width: float = 0.8
    velocity: float = 1.2
    timing: float = 1.5
    width_timing: float = 0.9
    amplitude: float = 0.4
    closure: float = 1.5
    activity: float = 0.5
    phones: float = 0.15
    closed: float = 0.5


class LipLoss(nn.Module):
    """For the lip head: the neutral mouth, the sounds, who speaks; not the emotion."""

    gap: Tensor
    width: Tensor
    channel: Tensor

    def __init__(self, lips: LipMap, weights: LipWeights) -> None:
        super().__init__()
        self.weights = weights
        self.register_buffer("gap", torch.tensor(lips.gap, dtype=torch.float32))
        self.register_buffer("width", torch.tensor(lips.width, dtype=torch.float32))
        channel = [_RARE_WEIGHT if n.startswith(_RARE) else 1.0 for n in EXPRESSION_NAMES]
        self.register_buffer("channel", torch.tensor(channel))

    def forward(self, network: ExpressionNetwork, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, and its terms."""
        with torch.autocast("cpu", torch.bfloat16):
            heard = network.encoder(batch.features)
        terms = self._mouth(heard.mouth.float(), batch.mouth, batch.closed)
        terms["activity"] = functional.binary_cross_entropy_with_logits(heard.activity.float(), batch.awake)
        terms["phones"] = functional.cross_entropy(heard.kinds.float().flatten(0, 1), batch.kind.flatten(),
                                                   ignore_index=-1)  # fmt: skip
        unsure = functional.binary_cross_entropy_with_logits(heard.closed.float(), batch.closed, reduction="none")
        known = (batch.kind >= 0).float()
        terms["closed"] = (known * unsure).sum() / (known.sum() + 1)
        return weighted_sum(terms, self.weights)

    def _mouth(self, found: Tensor, wanted: Tensor, closed: Tensor) -> Terms:
        # Clipped at inference: what lies beyond 0..1 on the right side is no error.
        found = torch.where((wanted <= 0) & (found < 0), 0.1 * found, found)
        error = (found - wanted) / _COEFFICIENT_UNIT
        gap, true_gap = found @ self.gap, wanted @ self.gap
        width, true_width = found @ self.width, wanted @ self.width
        speed, true_speed = torch.diff(gap, dim=1), torch.diff(true_gap, dim=1)
        return {
            "coefficients": (self.channel * functional.smooth_l1_loss(
                error, torch.zeros_like(error), reduction="none")).mean(),
            "gap": (gap - true_gap).abs().mean() / _GAP_UNIT,
            "width": (width - true_width).abs().mean() / _WIDTH_UNIT,
            "velocity": (speed - true_speed).abs().mean() / _GAP_UNIT,
            "timing": one_minus_correlation(gap, true_gap) + 0.5 * one_minus_correlation(8 * speed, 8 * true_speed),
            "width_timing": one_minus_correlation(width, true_width),
            "amplitude": (gap.std(1) - true_gap.std(1)).abs().mean() / _GAP_UNIT
            + (width.std(1) - true_width.std(1)).abs().mean() / _WIDTH_UNIT
            + (found[..., _ROUND].std(1) - wanted[..., _ROUND].std(1)).abs().mean() / _COEFFICIENT_UNIT,
            "closure": (closed * functional.relu(gap - _SHUT)).sum() / (closed.sum() + 1) / _GAP_UNIT,
        }  # fmt: skip


@dataclass(frozen=True)
class FaceWeights:
    """Weight of each term for what emotion adds."""

    added: float = 4.0
    speed: float = 0.4
    guess: float = 6.0
    level: float = 2.0
    """means over a window: what is little but lasts, as happy brows are, else drowns in stresses"""
    gap: float = 0.8
    drawn_gap: float = 0.6
    """the latent is for expression, not for the lips"""
    kl: float = 0.03
    feeling: float = 0.4
    phones: float = 1.5


class FaceLoss(nn.Module):
    """For expression head, mapper, posterior and decoder, over lips that are learnt already."""

    gap: Tensor

    def __init__(self, lips: LipMap, config: ExpressionConfig, weights: FaceWeights) -> None:
        super().__init__()
        self.weights = weights
        self.register_buffer("gap", torch.tensor(lips.gap, dtype=torch.float32))
        width = config.tone_width
        self.feeling = _classifier(width, len(EMOTIONS))
        # Tries to tell phones from the expression head, which learns to give them away no more.
        self.phones = _classifier(width, len(config.kinds))

    def forward(
        self, network: ExpressionNetwork, batch: Batch, generator: torch.Generator, kl_share: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, and its terms.

        The decoder answers for three latents: one from the posterior (so that the latent learns what
        varies), the mixture's mean (so that temperature 0 is the best single guess), and a draw,
        which must leave the lips alone.
        """
        heard = network.encoder(batch.features)
        mouth = network.neutral(heard).detach()
        mixture = network.mapper(heard.expression)
        q_mean, q_log_var = network.posterior(batch.added, mouth)
        noise = torch.randn(4, *q_mean.shape, generator=generator)
        steps = batch.weights[:, ::LATENT_STRIDE]
        latent = network.with_emotion(q_mean + torch.exp(0.5 * q_log_var) * noise[0], steps)
        told = network.decoder(latent, mouth)
        guess = network.decoder(network.draw(mixture, batch.weights, torch.zeros_like(q_mean)), mouth)
        drawn = network.decoder(network.draw(mixture, batch.weights, noise[1]), mouth)
        terms = {
            "added": self._error(told, batch.added),
            "guess": self._error(guess, batch.added),
            "speed": (torch.diff(told - batch.added, dim=1).abs().mean()
                      + torch.diff(guess - batch.added, dim=1).abs().mean()) / _COEFFICIENT_UNIT,
            "level": (guess - batch.added).mean(1).abs().mean() / _COEFFICIENT_UNIT,
            "gap": ((guess - batch.added) @ self.gap).abs().mean() / _GAP_UNIT,
            "drawn_gap": ((drawn - guess) @ self.gap).abs().mean() / _GAP_UNIT,
            "kl": kl_share * kl_to_mixture(q_mean, q_log_var, noise, network.component_weights(steps),
                                           *mixture).mean(),
        }  # fmt: skip
        terms["feeling"] = _where_known(self.feeling(heard.expression.mean(1)), batch.feeling)
        said = self.phones(reverse(heard.expression))
        kinds = batch.kind[:, ::LATENT_STRIDE]
        terms["phones"] = functional.cross_entropy(said.flatten(0, 1), kinds.flatten(), ignore_index=-1)
        return weighted_sum(terms, self.weights)

    def _error(self, found: Tensor, wanted: Tensor) -> Tensor:
        return functional.smooth_l1_loss(found / _COEFFICIENT_UNIT, wanted / _COEFFICIENT_UNIT)
