# SPDX-License-Identifier: GPL-3.0-or-later
"""What the head network is trained towards: colour, detail at every scale, and where to look.

A perceptual loss on a downloaded network (VGG, LPIPS) would bring its weights and its licence. What
it adds to an L1 loss is that edges and texture count at every scale; here the bands of a Laplacian
pyramid and local structure (SSIM) say so directly. Of what no frame foretells (grain, single hairs)
all of these ask for the mean, which is a blur: how strong the finest bands are in each small square
says that something is there, wherever it is.

What each is good for: ``core train head --renders SET --out DIR --steps 300 [--without TERM]`` on 570 frames
of `ada`, judged on the 40 held out, before there were atlases. So short a training tells which term learns faster, not
where it ends.

=====================  ========  ======  ==============  =========
loss                   PSNR, dB  SSIM    mouth PSNR, dB  sharpness
=====================  ========  ======  ==============  =========
whole                  31.5      .941    30.6            .55
an eighth of grain     31.3      .942    30.6            .52
- and no structure     30.9      .939    30.6            .54
- and no bands         30.3      .936    29.5            .60
without grain          31.1      .941    30.4            .52
=====================  ========  ======  ==============  =========

400 batches more with the whole grain, after 2000 with an eighth, raised her sharpness from .65 to .72 at an
equal PSNR (38.2 dB).

Two terms were tried as the parts of `core.training.head` were, and are not here, for they did not pay (whole, on that
machine: 28.32 dB, sharpness .92, flicker 1.05). A patch discriminator of four layers (logistic loss, on what is finer
than 5 pixels, weight .002 from batch 100 on) gave 28.21 dB, .94 and 1.08, and pictures that fell apart at a weight of
.03. Consistency in time (batches of two pairs, each of one film and .4 s apart, weight 2 on the L1 of the difference of a
pair's errors) gave 28.13 dB and a flicker of .91, where such batches without it gave 28.01 and 1.06: less flicker than is
asked for, at the price of likeness.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SQUARE = 8
"""Pixels: side of the squares in which the strength of a band is taken."""


@dataclass(frozen=True)
class LossWeights:
    """Shares of the loss."""

    bands: tuple[float, ...] = (2.0, 1.5, 1.0, 0.5)
    """L1 of the Laplacian pyramid's bands, finest first."""
    structure: float = 0.15
    """Of 1 - SSIM."""
    grain: tuple[float, ...] = (8.0, 4.0)
    """L1 of the strengths of the bands, finest first: the mean of their magnitude in a square."""
    features: float = 6.0
    """How much more mouth and eyes weigh at their middle than the rest of the picture."""
    looks: float = 0.01
    """Mean square of the looks' codes, which keeps them near each other."""
    alpha: float = 0.3
    """L1 of the alpha, where the network makes one."""

    def without(self, term: str) -> LossWeights:
        """The loss less one term, to tell what it is good for."""
        share = getattr(self, term)
        nothing: dict[str, Any] = {term: (0.0,) * len(share) if isinstance(share, tuple) else 0.0}
        return replace(self, **nothing)


TERMS = tuple(field.name for field in fields(LossWeights))
"""What can be left out."""


def head_loss(rgb: Tensor, truth: Tensor, attention: Tensor, weights: LossWeights) -> Tensor:
    """The scalar to minimise.

    Args:
        rgb: (B, 3, H, W) made, float32.
        truth: (B, 3, H, W) wanted, sRGB 0..1.
        attention: (B, 1, H, W), 0 far from mouth and eyes .. 1 at their middle.
        weights: shares.

    """
    weight = 1.0 + weights.features * attention
    weight = weight / weight.mean()
    error = rgb - truth
    loss = (error.abs() * weight).mean() + grain(rgb, truth, weights.grain)
    # The pyramid is linear, so the bands of the error are the errors of the bands.
    for share in weights.bands:
        error, band = split(error)
        loss = loss + share * (band.abs() * weight).mean()
        weight = F.avg_pool2d(weight, 2)
    return loss + weights.structure * (1.0 - structure(rgb, truth)).mean()


def split(picture: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) -> half its size, and the band of the Laplacian pyramid that this leaves out."""
    coarse = F.avg_pool2d(picture, 2)
    return coarse, picture - F.interpolate(coarse, scale_factor=2.0, mode="nearest")


def grain(rgb: Tensor, truth: Tensor, shares: tuple[float, ...]) -> Tensor:
    """How far the strengths of the finest bands are apart, a share for each, finest first."""
    apart = rgb.new_zeros(())
    for share in shares:
        (rgb, made), (truth, true) = split(rgb), split(truth)
        strength = F.avg_pool2d(made.abs(), SQUARE) - F.avg_pool2d(true.abs(), SQUARE)
        apart = apart + share * strength.abs().mean()
    return apart


def structure(a: Tensor, b: Tensor) -> Tensor:
    """SSIM on 7x7 squares of the luma, (B, H-6, W-6); Wang et al. 2004, equation 13."""
    luma = a.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    a, b = (a * luma).sum(1, keepdim=True), (b * luma).sum(1, keepdim=True)
    moments = F.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b], 1), 7, stride=1)
    mean_a, mean_b, aa, bb, ab = moments.unbind(1)
    product = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    above = (2 * product + 0.01**2) * (2 * (ab - product) + 0.03**2)
    below = (squares + 0.01**2) * (aa + bb - squares + 0.03**2)
    ratio: Tensor = above / below
    return ratio
