# SPDX-License-Identifier: GPL-3.0-or-later
"""GMEG, the Gaussian-mixture expression generator of GMTalker (arXiv 2312.07669): the network.

An audio encoder with a lip head and an expression head (the decoupling of EmotiveTalk's V-AID); a
transformer that maps the expression head to a Gaussian mixture with one component per emotion,
weighted by the emotion weights of each frame; a decoder from latent and lip features to expression
coefficients. The paper's own sizes are not published; these are ours.

Rates: features 100 Hz (F frames), coefficients 50 Hz (T = ceil(F / 2)), latent 10 Hz
(S = ceil(T / 5)). Attention reaches over a fixed band, so a cut into chunks with enough context
gives the same coefficients as the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..features import FEATURES, FRAME_RATE
from .mixture import mixture_moments

COEFFICIENT_RATE: Final = 50
"""frames per second of coefficients and emotion weights"""
LATENT_STRIDE: Final = 5
"""coefficient frames per latent step"""
STEM_STRIDE: Final = FRAME_RATE // COEFFICIENT_RATE
"""feature frames per coefficient frame"""
_MIDDLE, _SPREAD = 0.55, 0.3
"""of the features over many voices"""


@dataclass(frozen=True)
class ExpressionConfig:
    """Sizes of the network."""

    width: int = 128
    """channels of the audio encoder"""
    lip_width: int = 64
    """channels of the lip features"""
    mapper_width: int = 64
    """channels of the transformer mapper"""
    decoder_width: int = 96
    """channels of the decoder"""
    latent: int = 16
    """dimensions of the expression latent"""
    heads: int = 4
    """attention heads"""
    band: int = 8
    """latent steps that attention reaches to either side, per layer"""
    mapper_layers: int = 2
    """transformer layers over time"""
    shared_dilations: tuple[int, ...] = (1, 2, 4)
    """dilation of each residual block that both heads share"""
    lip_dilations: tuple[int, ...] = (1, 2)
    """dilation of each residual block of the lip head"""
    decoder_dilations: tuple[int, ...] = (1, 1)
    """dilation of each residual block of the decoder"""
    emotions: tuple[str, ...] = EMOTIONS
    """names of the mixture's components"""
    coefficients: tuple[str, ...] = EXPRESSION_NAMES
    """names of the output channels"""

    @property
    def context(self) -> int:
        """Coefficient frames of sound that a frame depends on, to either side."""
        shared = 1 + 2 * sum(self.shared_dilations)
        lips = 2 * sum(self.lip_dilations)
        attention = LATENT_STRIDE * self.band * self.mapper_layers
        latent = LATENT_STRIDE - 1 + attention + LATENT_STRIDE  # pooling, attention, interpolation
        return shared + max(lips, latent) + 2 + 2 * sum(self.decoder_dilations)

    @property
    def lip_look_ahead(self) -> float:
        """Seconds of later sound that shape the lips."""
        frames = 1 + 2 * sum(self.shared_dilations) + 2 * sum(self.lip_dilations)
        return (frames + 2 + 2 * sum(self.decoder_dilations)) / COEFFICIENT_RATE


class Heard(NamedTuple):
    """What the audio encoder makes of a voice."""

    lip: Tensor
    """(B, T, lip_width) what the lips do"""
    expression: Tensor
    """(B, S, mapper_width) tone and rhythm"""
    activity: Tensor
    """(B, T) logit that somebody is speaking"""


class Mixture(NamedTuple):
    """One Gaussian per emotion at each latent step."""

    mean: Tensor
    """(B, S, K, Z)"""
    log_var: Tensor
    """(B, S, K, Z)"""


class ResidualBlock(nn.Module):
    """Norm, dilated convolution over time, pointwise mixing; (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.over_time = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.over_time(self.norm(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.mix(functional.gelu(y))
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


class AudioEncoder(nn.Module):
    """Features (B, F, FEATURES) -> :class:`Heard`."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv1d(FEATURES, width, 5, stride=STEM_STRIDE, padding=2)
        self.shared = nn.Sequential(*(ResidualBlock(width, d) for d in config.shared_dilations))
        self.lip = nn.Sequential(
            *(ResidualBlock(width, d) for d in config.lip_dilations),
            nn.LayerNorm(width), nn.Linear(width, config.lip_width),
        )  # fmt: skip
        self.activity = nn.Linear(config.lip_width, 1)
        self.expression = nn.Conv1d(
            width, config.mapper_width, 2 * LATENT_STRIDE - 1, LATENT_STRIDE, LATENT_STRIDE - 1
        )

    def forward(self, features: Tensor) -> Heard:
        """Encode a voice."""
        centred = (features - _MIDDLE) / _SPREAD
        x = self.shared(functional.gelu(self.stem(centred.transpose(1, 2))).transpose(1, 2))
        lip = self.lip(x)
        expression = self.expression(x.transpose(1, 2)).transpose(1, 2)
        return Heard(lip, expression, self.activity(functional.gelu(lip))[..., 0])


class MixtureMapper(nn.Module):
    """Transformer: expression head -> the Gaussian of each emotion; (B, S, C) -> (B, S, K, Z)."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width, count = config.mapper_width, len(config.emotions)
        self.over_time = nn.Sequential(
            *(BandAttention(width, config.heads, config.band) for _ in range(config.mapper_layers))
        )
        self.emotions = nn.Parameter(torch.randn(count, width) * 0.5)
        self.over_emotions = BandAttention(width, config.heads, count)
        self.gaussians = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * config.latent))

    def forward(self, expression: Tensor) -> Mixture:
        """Map each latent step to one Gaussian per emotion."""
        x = self.over_time(expression)
        tokens = x[:, :, None] + self.emotions  # (B, S, K, C)
        batch, steps, count, width = tokens.shape
        tokens = self.over_emotions(tokens.reshape(batch * steps, count, width))
        mean, log_var = self.gaussians(tokens).reshape(batch, steps, count, -1).chunk(2, -1)
        return Mixture(mean, 4 * torch.tanh(log_var / 4) - 2)


class PosteriorEncoder(nn.Module):
    """Training only: true coefficients (B, T, E) and lip features -> mean, log variance of z."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.into = nn.Linear(len(config.coefficients) + config.lip_width, width)
        self.block = ResidualBlock(width, 1)
        self.pool = nn.Conv1d(
            width, 2 * config.latent, 2 * LATENT_STRIDE - 1, LATENT_STRIDE, LATENT_STRIDE - 1
        )

    def forward(self, coefficients: Tensor, lip: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (B, S, Z) each."""
        x = self.block(functional.gelu(self.into(torch.cat([coefficients, lip], -1))))
        mean, log_var = self.pool(functional.gelu(x).transpose(1, 2)).transpose(1, 2).chunk(2, -1)
        return mean, 4 * torch.tanh(log_var / 4) - 2


class Decoder(nn.Module):
    """Latent (B, S, Z) and lip features (B, T, C) -> coefficients (B, T, E), not yet clipped."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.into = nn.Conv1d(config.lip_width + config.latent, width, 5, padding=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d) for d in config.decoder_dilations))
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.GELU(), nn.Linear(width, len(config.coefficients))
        )

    def forward(self, latent: Tensor, lip: Tensor) -> Tensor:
        """Decode."""
        x = torch.cat([functional.gelu(lip), _to_frames(latent, lip.shape[1])], -1)
        x = self.blocks(self.into(x.transpose(1, 2)).transpose(1, 2))
        coefficients: Tensor = self.out(x)
        return coefficients


def _to_frames(latent: Tensor, frames: int) -> Tensor:
    """Linear interpolation from latent steps to frames: (B, S, Z) -> (B, frames, Z)."""
    after = torch.cat([latent[:, 1:], latent[:, -1:]], 1)
    share = torch.arange(LATENT_STRIDE, device=latent.device, dtype=latent.dtype) / LATENT_STRIDE
    share = share[:, None]
    x = latent[:, :, None] * (1 - share) + after[:, :, None] * share  # (B, S, STRIDE, Z)
    return x.flatten(1, 2)[:, :frames]


class ExpressionNetwork(nn.Module):
    """The whole generator."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config)
        self.mapper = MixtureMapper(config)
        self.posterior = PosteriorEncoder(config)
        self.decoder = Decoder(config)

    def draw(self, mixture: Mixture, weights: Tensor, noise: Tensor) -> Tensor:
        """Latent (B, S, Z): mean of the mixture plus noise times its deviation.

        Args:
            mixture: from the mapper
            weights: (B, T, K) emotion weights of sum 1
            noise: (B, S, Z), standard normal times the temperature

        """
        mean, deviation = mixture_moments(weights[:, ::LATENT_STRIDE], *mixture)
        return mean + deviation * noise

    def forward(self, features: Tensor, weights: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Animate: the path that is exported.

        Args:
            features: (B, F, FEATURES)
            weights: (B, T, K)
            noise: (B, S, Z), standard normal times the temperature

        Returns:
            coefficients (B, T, E) in 0..1, and speech activity (B, T) in 0..1.

        """
        heard = self.encoder(features)
        latent = self.draw(self.mapper(heard.expression), weights, noise)
        return self.decoder(latent, heard.lip).clamp(0, 1), torch.sigmoid(heard.activity)
