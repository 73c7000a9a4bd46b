# SPDX-License-Identifier: GPL-3.0-or-later
"""GMEG, the Gaussian-mixture expression generator of GMTalker (arXiv 2312.07669): the network.

An audio encoder with two heads that share nothing (the decoupling of EmotiveTalk's V-AID, arXiv
2411.16726): the lip head hears phones at 50 Hz, the expression head tone and rhythm at 10 Hz. The
lip head alone makes the neutral mouth. A transformer maps the expression head to a Gaussian mixture
with one component per emotion, weighted by the emotion weights of each frame; a decoder turns a
latent drawn from it and the lip features into what the emotion adds to the face. So no emotion can
move the lips' timing. The paper's own sizes are not published; these are ours.

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
from ..phones import KIND_NAMES
from .mixture import mixture_moments

COEFFICIENT_RATE: Final = 50
"""frames per second of coefficients and emotion weights"""
LATENT_STRIDE: Final = 5
"""coefficient frames per latent step"""
STEM_STRIDE: Final = FRAME_RATE // COEFFICIENT_RATE
"""feature frames per coefficient frame"""
_MIDDLE, _SPREAD = 0.55, 0.3
"""of the features over many voices"""
_TONE_WINDOW = 2 * LATENT_STRIDE * STEM_STRIDE - 1
"""feature frames that a step of the expression head hears as one mean (0.19 s): longer than a phone"""


@dataclass(frozen=True)
class ExpressionConfig:
    """Sizes of the network."""

    width: int = 192
    """channels of the lip encoder"""
    lip_width: int = 64
    """channels of the lip features"""
    lip_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 1)
    """dilation of each residual block of the lip encoder"""
    mouth_width: int = 96
    """channels of the mouth decoder"""
    tone_width: int = 48
    """channels of the expression head"""
    tone_dilations: tuple[int, ...] = (1, 2)
    """dilation of each residual block of the expression head, over latent steps"""
    mapper_width: int = 64
    """channels of the transformer mapper"""
    mapper_layers: int = 1
    """transformer layers over time"""
    heads: int = 4
    """attention heads"""
    band: int = 8
    """latent steps that attention reaches to either side, per layer"""
    latent: int = 16
    """dimensions of the expression latent"""
    decoder_width: int = 96
    """channels of the expression decoder"""
    decoder_dilations: tuple[int, ...] = (1, 1)
    """dilation of each residual block of the expression decoder"""
    components: str = "mixture"
    """``mixture``: one Gaussian per emotion; ``single``: one Gaussian for all and the strongest
    emotion as one-hot input of the decoder, for comparison"""
    emotions: tuple[str, ...] = EMOTIONS
    """names of the mixture's components"""
    coefficients: tuple[str, ...] = EXPRESSION_NAMES
    """names of the output channels"""
    kinds: tuple[str, ...] = KIND_NAMES
    """kinds of speech sound that the lip head tells apart"""

    @property
    def lip_context(self) -> int:
        """Coefficient frames of sound that a frame of the mouth depends on, to either side."""
        stem, mouth = 1, 2 + 2
        return stem + 2 * sum(self.lip_dilations) + mouth

    @property
    def context(self) -> int:
        """Coefficient frames of sound that a frame depends on, to either side."""
        steps = 2 * sum(self.tone_dilations) + self.band * self.mapper_layers
        tone = LATENT_STRIDE * (1 + steps + 1)  # its window, and the interpolation between steps
        decoder = 2 + 2 * sum(self.decoder_dilations)
        return max(tone, 1 + 2 * sum(self.lip_dilations)) + decoder + LATENT_STRIDE

    @property
    def lip_look_ahead(self) -> float:
        """Seconds of later sound that shape the lips."""
        return self.lip_context / COEFFICIENT_RATE

    @property
    def code(self) -> int:
        """Channels of what the decoder is given beside the lip features."""
        return self.latent + (len(self.emotions) if self.components == "single" else 0)


class Heard(NamedTuple):
    """What the audio encoder makes of a voice."""

    lip: Tensor
    """(B, T, lip_width) what the lips do"""
    expression: Tensor
    """(B, S, tone_width) tone and rhythm"""
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


class LipEncoder(nn.Module):
    """Features (B, F, FEATURES) -> lip features (B, T, lip_width)."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv1d(FEATURES, width, 5, stride=STEM_STRIDE, padding=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d, 0.1) for d in config.lip_dilations))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.lip_width))

    def forward(self, centred: Tensor) -> Tensor:
        """Encode centred features."""
        x = functional.gelu(self.stem(centred.transpose(1, 2)).transpose(1, 2).contiguous())
        lip: Tensor = self.out(self.blocks(x))
        return lip


class ToneEncoder(nn.Module):
    """Features (B, F, FEATURES) -> tone and rhythm (B, S, tone_width).

    It hears means over windows longer than a phone, so that little of what is said gets through.
    """

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.tone_width
        self.mean = nn.AvgPool1d(_TONE_WINDOW, LATENT_STRIDE * STEM_STRIDE, _TONE_WINDOW // 2,
                                 count_include_pad=False)  # fmt: skip
        self.into = nn.Linear(FEATURES, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d, 0.1) for d in config.tone_dilations))
        self.norm = nn.LayerNorm(width)

    def forward(self, centred: Tensor) -> Tensor:
        """Encode centred features."""
        x = self.mean(centred.transpose(1, 2)).transpose(1, 2)
        tone: Tensor = self.norm(self.blocks(functional.gelu(self.into(x))))
        return tone


class AudioEncoder(nn.Module):
    """Features (B, F, FEATURES) -> :class:`Heard`."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        self.lip = LipEncoder(config)
        self.tone = ToneEncoder(config)
        self.activity = nn.Linear(config.lip_width, 1)

    def forward(self, features: Tensor) -> Heard:
        """Encode a voice."""
        centred = (features - _MIDDLE) / _SPREAD
        lip = self.lip(centred)
        return Heard(lip, self.tone(centred), self.activity(functional.gelu(lip))[..., 0])


class MouthDecoder(nn.Module):
    """Lip features (B, T, C) -> coefficients of the neutral mouth (B, T, E), not yet clipped."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.mouth_width
        self.into = nn.Conv1d(config.lip_width, width, 5, padding=2)
        self.block = ResidualBlock(width, 1)
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.GELU(), nn.Linear(width, len(config.coefficients))
        )

    def forward(self, lip: Tensor) -> Tensor:
        """Decode."""
        x = self.into(functional.gelu(lip).transpose(1, 2)).transpose(1, 2)
        coefficients: Tensor = self.out(self.block(x))
        return coefficients


class MixtureMapper(nn.Module):
    """Transformer: expression head -> the Gaussian of each emotion; (B, S, C) -> (B, S, K, Z)."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.mapper_width
        count = 1 if config.components == "single" else len(config.emotions)
        self.into = nn.Linear(config.tone_width, width)
        self.over_time = nn.Sequential(
            *(BandAttention(width, config.heads, config.band) for _ in range(config.mapper_layers))
        )
        self.emotions = nn.Parameter(torch.randn(count, width) * 0.5)
        self.over_emotions = BandAttention(width, config.heads, count)
        self.gaussians = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * config.latent))

    def forward(self, expression: Tensor) -> Mixture:
        """Map each latent step to one Gaussian per emotion."""
        x = self.over_time(self.into(expression))
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
    """Code (B, S, config.code) and lip features (B, T, C) -> what emotion adds (B, T, E)."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.into = nn.Conv1d(config.lip_width + config.code, width, 5, padding=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d) for d in config.decoder_dilations))
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.GELU(), nn.Linear(width, len(config.coefficients))
        )

    def forward(self, code: Tensor, lip: Tensor) -> Tensor:
        """Decode."""
        x = torch.cat([functional.gelu(lip), _to_frames(code, lip.shape[1])], -1)
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
        self.phones = nn.Linear(config.lip_width, len(config.kinds))
        self.speech = MouthDecoder(config)
        self.mapper = MixtureMapper(config)
        self.posterior = PosteriorEncoder(config)
        self.decoder = Decoder(config)

    def kinds(self, lip: Tensor) -> Tensor:
        """Which kind of sound is heard: lip features (B, T, C) -> logits (B, T, kinds)."""
        logits: Tensor = self.phones(functional.gelu(lip))
        return logits

    def draw(self, mixture: Mixture, weights: Tensor, noise: Tensor) -> Tensor:
        """Code (B, S, config.code): mean of the mixture plus noise times its deviation.

        Args:
            mixture: from the mapper
            weights: (B, T, K) emotion weights of sum 1
            noise: (B, S, Z), standard normal times the temperature

        """
        steps = weights[:, ::LATENT_STRIDE]
        mean, deviation = mixture_moments(self.component_weights(steps), *mixture)
        return self.with_emotion(mean + deviation * noise, steps)

    def component_weights(self, weights: Tensor) -> Tensor:
        """Weights of the mixture's components: the emotion weights, or 1 for a single one."""
        return torch.ones_like(weights[..., :1]) if self.config.components == "single" else weights

    def with_emotion(self, latent: Tensor, weights: Tensor) -> Tensor:
        """Latent (B, S, Z) to code: ``single`` adds which emotion is strongest (B, S, K)."""
        if self.config.components != "single":
            return latent
        strongest = functional.one_hot(weights.argmax(-1), weights.shape[-1])
        return torch.cat([latent, strongest.to(latent)], -1)

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
        code = self.draw(self.mapper(heard.expression), weights, noise)
        face = self.speech(heard.lip).clamp(0, 1) + self.decoder(code, heard.lip)
        return face.clamp(0, 1), torch.sigmoid(heard.activity)
