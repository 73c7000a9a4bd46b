# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of made pictures against true ones.

Pictures are (N, 3, H, W) sRGB in 0..1, N frames. With x the truth and y what was made of one frame,
p its pixels in their three channels:

- PSNR = -10 log10 mean_p (x_p - y_p)^2 dB; in a region, the mean over its pixels.
- SSIM: Wang, Bovik, Sheikh, Simoncelli 2004, equation 13, in a Gaussian window of 11 x 11 pixels and
  sigma 1.5 (their section III B), K1 = 0.01, K2 = 0.03, data range 1; the mean over the channels
  and over the places where the window lies within the picture.
- Laplacian energy E(x) = mean_p (L * x)_p^2, L the Laplacian of the four neighbours. Sharpness is
  E(y) / E(x), both summed over the frames first.
- Temporal difference energy D(x) = sum over p in S of (x[t+1] - x[t])_p^2, where nothing moves:
  S = {p : |G * (l[t+1] - l[t])|_p < 2 / 255}, l the truth's luma, G a Gaussian of sigma 2 pixels, which
  leaves little of a camera's noise and most of an edge that moves. Flicker is D(y) / D(x), both summed
  over the pairs of frames first.

Means over frames are means of a frame's figure.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.head import laplacian

WINDOW: Final = 11
SIGMA: Final = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LUMA: Final = (0.299, 0.587, 0.114)
_STILL: Final = 2 / 255
_STILL_SIGMA: Final = 2.0


def psnr(made: Tensor, truth: Tensor, region: Tensor | None = None) -> Tensor:
    """(N,) dB; ``region`` (N, 1, H, W) says how much a pixel counts."""
    error = (made - truth).square().mean(1, keepdim=True)
    weight = torch.ones_like(error) if region is None else region
    mean = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return -10 * torch.log10(mean.clamp(min=1e-10))


def ssim(made: Tensor, truth: Tensor) -> Tensor:
    """(N,) structural similarity."""
    stack = torch.cat([made, truth, made * made, truth * truth, made * truth], 1)
    mean_a, mean_b, aa, bb, ab = blurred(stack, SIGMA, WINDOW // 2).chunk(5, 1)
    product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    above = (2 * product + _C1) * (2 * (ab - product) + _C2)
    below = (squares + _C1) * (aa + bb - squares + _C2)
    return (above / below).mean((1, 2, 3))


def laplacian_energy(rgb: Tensor) -> Tensor:
    """(N,) mean square of the 4-neighbour Laplacian."""
    return laplacian(rgb)[..., 1:-1, 1:-1].square().mean((1, 2, 3))


def still(before: Tensor, after: Tensor) -> Tensor:
    """(N, 1, H, W) bool: where nothing moves from one true frame to the next."""
    luma = before.new_tensor(_LUMA).view(1, 3, 1, 1)
    change = ((after - before) * luma).sum(1, keepdim=True)
    reach = round(3 * _STILL_SIGMA)
    padded = F.pad(change, (reach,) * 4, mode="replicate")
    return blurred(padded, _STILL_SIGMA, reach).abs() < _STILL


def difference_energy(before: Tensor, after: Tensor, where: Tensor) -> Tensor:
    """(N,) summed squares of what changes from ``before`` to ``after``, where ``where`` says."""
    return ((after - before).square() * where).sum((1, 2, 3))


def blurred(x: Tensor, sigma: float, reach: int) -> Tensor:
    """(N, C, H, W) under a Gaussian of ``2 reach + 1`` pixels -> (N, C, H - 2 reach, W - 2 reach)."""
    steps = torch.arange(-reach, reach + 1, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma).square())
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    flat = x.flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, kernel), kernel.transpose(2, 3))
    return flat.view(*x.shape[:2], *flat.shape[2:])
