# SPDX-License-Identifier: GPL-3.0-or-later
"""GMEG's audio encoder: the voice in two heads that share nothing.

The lip head hears phones at 50 Hz and passes on the neutral mouth, the sounds and their closures, not
the tone in which something is said; the tone head hears the levels of a few wide bands over half a
second, not the phones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..features import FEATURES, FRAME_RATE, MELS
from .blocks import ResidualBlock

if TYPE_CHECKING:
    from .expression_network import ExpressionConfig

COEFFICIENT_RATE: Final = 50
"""frames per second of coefficients and emotion weights"""
LATENT_STRIDE: Final = 5
"""coefficient frames per latent step"""
STEM_STRIDE: Final = FRAME_RATE // COEFFICIENT_RATE
"""feature frames per coefficient frame"""
_MIDDLE, _SPREAD = 0.55, 0.3
"""of the features over many voices"""
TONE_STEPS = 3
_TONE_WINDOW = 2 * TONE_STEPS * LATENT_STRIDE * STEM_STRIDE - 1
"""feature frames that a step of the expression head hears as one mean (0.59 s): some six phones. Over
0.19 s and every mel band a probe told phones from the head 20 points over chance."""


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


class LipEnsemble(nn.Module):
    """Lip heads, each learnt from a start and an order of its own, that speak as one.

    What each has learnt of the voices it knows is partly chance, and falls out of their mean (Hansen
    & Salamon 1990): it fits voices never heard better than any one of them.
    """

    def __init__(self, config: ExpressionConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(LipHead(config) for _ in range(config.lip_members))

    def forward(self, centred: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As of one :class:`LipHead`."""
        heard = zip(*(member(centred) for member in self.members))
        mouth, activity, kinds, closed = (torch.stack(said) for said in heard)
        return mouth.mean(0), _mean_chance(activity), kinds.mean(0), _mean_chance(closed)


def _mean_chance(logits: Tensor) -> Tensor:
    """Logit of the mean of the probabilities: (N, ...) -> (...). That of a mean logit is whoever's is surest."""
    return torch.logsumexp(functional.logsigmoid(logits), 0) - torch.logsumexp(functional.logsigmoid(-logits), 0)


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
        self.lips = LipEnsemble(config)
        self.tone = ToneHead(config)

    def forward(self, features: Tensor) -> Heard:
        """Encode a voice."""
        centred = (features - _MIDDLE) / _SPREAD
        mouth, activity, kinds, closed = self.lips(centred)
        return Heard(mouth, activity, kinds, closed, self.tone(centred))
