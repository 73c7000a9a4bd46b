# SPDX-License-Identifier: GPL-3.0-or-later
"""GMEG, the Gaussian-mixture expression generator of GMTalker (arXiv 2312.07669): the network.

An audio encoder with two heads that share nothing (the decoupling of EmotiveTalk's V-AID, arXiv
2411.16726), each with a bottleneck: the lip head hears phones at 50 Hz and passes on the neutral
mouth alone (its lips shut where a closure is likely), not the tone in which something is said; the
expression head hears the levels of a few wide bands over half a second, not the phones. A transformer
maps the expression head to a Gaussian mixture with one component per emotion, weighted by the emotion
weights of each frame; a decoder turns a latent drawn from it and the neutral mouth into what the
emotion adds to the face. So no emotion can move the lips' timing. The paper's own sizes are not
published; these are ours.

Rates: features 100 Hz (F frames), coefficients 50 Hz (T = ceil(F / 2)), latent 10 Hz
(S = ceil(T / 5)). Attention reaches over a fixed band, so a cut into chunks with enough context
gives the same coefficients as the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arkit import EMOTIONS, EXPRESSION_NAMES
from ..features import FEATURES, FRAME_RATE, MELS
from ..lips import LipMap
from ..phones import KIND_NAMES
from .blocks import BandAttention, ResidualBlock
from .mixture import mixture_moments

COEFFICIENT_RATE: Final = 50
"""frames per second of coefficients and emotion weights"""
LATENT_STRIDE: Final = 5
"""coefficient frames per latent step"""
STEM_STRIDE: Final = FRAME_RATE // COEFFICIENT_RATE
"""feature frames per coefficient frame"""
_MIDDLE, _SPREAD = 0.55, 0.3
"""of the features over many voices"""
_TONE_STEPS = 3
_TONE_WINDOW = 2 * _TONE_STEPS * LATENT_STRIDE * STEM_STRIDE - 1
"""feature frames that a step of the expression head hears as one mean (0.59 s): some six phones. Over
0.19 s and every mel band a probe told phones from the head 20 points over chance."""
_FELT = 0.25
"""weight of all emotions but neutral below which less and less is added to the mouth: the decoder is
not exact enough to leave neutral lips just as they touch"""
_PERHAPS, _SURELY = 0.25, 0.45
"""probability of a closure from which on the lips near each other, and at which they touch. A mouth that is
right on average stands half open where a closure is half likely; people notice a missing one more than one
too many."""
_MOUTH_SCALE = 4.0
"""brings the coefficients of a mouth to the size of a latent"""


@dataclass(frozen=True)
class ExpressionConfig:
    """Sizes of the network."""

    width: int = 192
    """channels of the lip head"""
    lip_width: int = 64
    """channels of the lip features, from which mouth, activity, kinds of sound and closures are read"""
    lip_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 1)
    """dilation of each residual block of the lip head"""
    mouth_width: int = 96
    """channels of the mouth decoder"""
    tone_bands: tuple[int, ...] = (0, 4, 8, 16, 32, 64)
    """edges of the wide bands that the expression head hears, in mel bands"""
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
        stem, mouth = 1, 2 + 2  # the closures reach one frame, the mouth four
        return stem + 2 * sum(self.lip_dilations) + mouth

    @property
    def context(self) -> int:
        """Coefficient frames of sound that a frame depends on, to either side."""
        steps = 2 * sum(self.tone_dilations) + self.band * self.mapper_layers
        tone = LATENT_STRIDE * (_TONE_STEPS + steps + 1)  # its window, and the interpolation between steps
        decoder = 2 + 2 * sum(self.decoder_dilations)
        return max(tone, self.lip_context) + decoder + LATENT_STRIDE

    @property
    def lip_look_ahead(self) -> float:
        """Seconds of later sound that shape the lips."""
        return self.lip_context / COEFFICIENT_RATE

    @property
    def code(self) -> int:
        """Channels of what the decoder is given beside the mouth."""
        return self.latent + (len(self.emotions) if self.components == "single" else 0)


class Heard(NamedTuple):
    """What the audio encoder makes of a voice."""

    mouth: Tensor
    """(B, T, E) coefficients of the neutral mouth, not yet clipped to 0..1"""
    activity: Tensor
    """(B, T) logit that somebody is speaking"""
    kinds: Tensor
    """(B, T, kinds) logits of the kind of sound"""
    closed: Tensor
    """(B, T) logit that p, b or m holds the lips shut"""
    expression: Tensor
    """(B, S, tone_width) tone and rhythm"""


class Mixture(NamedTuple):
    """One Gaussian per emotion at each latent step."""

    mean: Tensor
    """(B, S, K, Z)"""
    log_var: Tensor
    """(B, S, K, Z)"""


class LipHead(nn.Module):
    """Features (B, F, FEATURES) -> mouth, activity, kinds of sound and closures as in :class:`Heard`."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv1d(FEATURES, width, 5, stride=STEM_STRIDE, padding=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d, 0.1) for d in config.lip_dilations))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.lip_width), nn.GELU())
        self.activity = nn.Linear(config.lip_width, 1)
        self.kinds = nn.Linear(config.lip_width, len(config.kinds))
        self.closed = nn.Linear(config.lip_width, 1)
        self.mouth = MouthDecoder(config)

    def forward(self, centred: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hear what the lips do in centred features."""
        x = functional.gelu(self.stem(centred.transpose(1, 2)).transpose(1, 2).contiguous())
        lip = self.out(self.blocks(x))
        return self.mouth(lip), self.activity(lip)[..., 0], self.kinds(lip), self.closed(lip)[..., 0]


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
        x = self.into(lip.transpose(1, 2)).transpose(1, 2)
        coefficients: Tensor = self.out(self.block(x))
        return coefficients


class ToneHead(nn.Module):
    """Features (B, F, FEATURES) -> tone and rhythm (B, S, tone_width).

    It hears the means of wide bands and of the energy over windows longer than phones, so that
    little of what is said gets through.
    """

    bands: Tensor

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width, edges = config.tone_width, config.tone_bands
        bands = torch.zeros(FEATURES, len(edges))
        for number, (low, high) in enumerate(pairwise(edges)):
            bands[low:high, number] = 1 / (high - low)
        bands[MELS:, -1] = 1  # the energy
        self.register_buffer("bands", bands, persistent=False)
        self.mean = nn.AvgPool1d(_TONE_WINDOW, LATENT_STRIDE * STEM_STRIDE, _TONE_WINDOW // 2,
                                 count_include_pad=False)  # fmt: skip
        self.into = nn.Linear(len(edges), width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d, 0.1) for d in config.tone_dilations))
        self.norm = nn.LayerNorm(width)

    def forward(self, centred: Tensor) -> Tensor:
        """Hear the tone of centred features."""
        x = self.mean((centred @ self.bands).transpose(1, 2)).transpose(1, 2)
        tone: Tensor = self.norm(self.blocks(functional.gelu(self.into(x))))
        return tone


class AudioEncoder(nn.Module):
    """Features (B, F, FEATURES) -> :class:`Heard`."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        self.lips = LipHead(config)
        self.tone = ToneHead(config)

    def forward(self, features: Tensor) -> Heard:
        """Encode a voice."""
        centred = (features - _MIDDLE) / _SPREAD
        mouth, activity, kinds, closed = self.lips(centred)
        return Heard(mouth, activity, kinds, closed, self.tone(centred))


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
    """Training only: what emotion truly adds (B, T, E) and the mouth -> mean, log variance of z."""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.into = nn.Linear(2 * len(config.coefficients), width)
        self.block = ResidualBlock(width, 1)
        self.pool = nn.Conv1d(
            width, 2 * config.latent, 2 * LATENT_STRIDE - 1, LATENT_STRIDE, LATENT_STRIDE - 1
        )

    def forward(self, added: Tensor, mouth: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (B, S, Z) each."""
        x = self.block(functional.gelu(self.into(torch.cat([added, mouth], -1) * _MOUTH_SCALE)))
        mean, log_var = self.pool(functional.gelu(x).transpose(1, 2)).transpose(1, 2).chunk(2, -1)
        return mean, 4 * torch.tanh(log_var / 4) - 2


class Decoder(nn.Module):
    """Code (B, S, config.code) and mouth (B, T, E) in 0..1 -> what emotion adds (B, T, E).

    A linear basis of expressions, as a 3DMM has one, and what depends on the mouth beside it: the
    means of the mixture move on a line from one emotion to another, and so does the basis' face.
    """

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.into = nn.Conv1d(len(config.coefficients) + config.code, width, 5, padding=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d) for d in config.decoder_dilations))
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.GELU(), nn.Linear(width, len(config.coefficients))
        )
        self.basis = nn.Linear(config.code, len(config.coefficients))

    def forward(self, code: Tensor, mouth: Tensor) -> Tensor:
        """Decode."""
        code = _to_frames(code, mouth.shape[1])
        x = torch.cat([mouth * _MOUTH_SCALE, code], -1)
        x = self.blocks(self.into(x.transpose(1, 2)).transpose(1, 2))
        coefficients: Tensor = self.basis(code) + self.out(x)
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

    spoken: Tensor
    """(E,) whether speech moves a coefficient"""
    gap: Tensor
    """(E,) effect of each coefficient on the opening of the lips"""
    closing: Tensor
    """(E,) what takes back an opening of 1: mouthClose alone"""

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config)
        self.mapper = MixtureMapper(config)
        self.posterior = PosteriorEncoder(config)
        self.decoder = Decoder(config)
        spoken = [n.startswith(("jaw", "mouth", "tongue")) for n in config.coefficients]
        self.register_buffer("spoken", torch.tensor(spoken), persistent=False)
        self.register_buffer("gap", torch.from_numpy(LipMap.from_head().gap).float(), persistent=False)
        close = torch.tensor([float(n == "mouthClose") for n in config.coefficients])
        self.register_buffer("closing", -close / (close @ self.gap), persistent=False)

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

    def neutral(self, heard: Heard) -> Tensor:
        """The neutral mouth, (B, T, E) in 0..1, its lips nearer the likelier it is that they are shut."""
        mouth = heard.mouth.clamp(0, 1)
        # The mean over neighbours, twice the frame itself: lips do not shut for a sixtieth of a second.
        chance = torch.sigmoid(heard.closed)
        around = functional.pad(chance[:, None], (1, 1), mode="replicate")[:, 0]
        likely = (around[:, :-2] + 2 * chance + around[:, 2:]) / 4
        shut = ((likely - _PERHAPS) / (_SURELY - _PERHAPS)).clamp(0, 1)
        parted = functional.relu(mouth @ self.gap) * shut
        return (mouth + parted[..., None] * self.closing).clamp(0, 1)

    def expressed(self, code: Tensor, mouth: Tensor, weights: Tensor) -> Tensor:
        """The face with what emotion adds, (B, T, E) in 0..1; a neutral mouth is left alone.

        Args:
            code: (B, S, config.code)
            mouth: (B, T, E) in 0..1
            weights: (B, T, K) emotion weights of sum 1, neutral first

        """
        felt = ((1 - weights[..., :1]) / _FELT).clamp(max=1)
        added = self.decoder(code, mouth) * torch.where(self.spoken, felt, 1.0)
        face: Tensor = (mouth + added).clamp(0, 1)
        return face

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
        return self.expressed(code, self.neutral(heard), weights), torch.sigmoid(heard.activity)
