# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the learned textures no frame has shown, taken from what lies around it.

A texel that training hardly saw keeps the random numbers that it began with. A voice or an artist then opens
the mouth wider than the frames did, and the teeth are speckled. How often a texel was seen says how far it is to
be believed; the rest comes from its surroundings, near ones first (push and pull: Gortler et al. 1996, 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning import HeadRenderer
from ..models.head import HeadNetwork
from .head_data import SEEN, RenderSet, looks_of

_OFTEN: Final = 0.9
"""Quantile, of the texels that were seen, of how often: as often as that, one is well seen."""
_BELIEVED: Final = 0.4
"""Share of that at which a texel is all its own; the less, the more of its surroundings it is."""


def fill_unseen(network: HeadNetwork, data: RenderSet) -> None:
    """Fill the textures of mesh and card by what the set's training frames show; in place."""
    renderer = HeadRenderer(data.proxy, data.info.camera, data.info.size, atlas=network.config.atlas)
    count, numbers = network.config.sittings, data.split()[0]
    rows = data.rows(numbers)
    looks = torch.from_numpy(looks_of(rows, data.looks))
    sitting = network.sitting[looks] if count > 1 else torch.zeros_like(looks)
    textures = network.texture, network.card
    totals = [torch.zeros(count, *texture.shape[2:]) for texture in textures]
    for index in range(len(numbers)):
        seen = renderer.render(*(rows[name][index : index + 1] for name in SEEN))
        for total, place in zip(totals, (seen.surface, seen.card), strict=True):
            ones = torch.ones(1, 1, *place.shape[1:3])
            total[sitting[index]] += laid_down(ones, place, total.shape[1:])[0, 0]
    with torch.no_grad():
        for texture, total in zip(textures, totals, strict=True):
            texture.copy_(filled(texture, torch.stack([_belief(often) for often in total])[:, None]))


def _belief(count: Tensor) -> Tensor:
    """(H, W) 0..1, of how often each texel was seen."""
    if not (count > 0).any():
        return count
    return (count / (_BELIEVED * count[count > 0].quantile(_OFTEN))).clamp(max=1)


def filled(values: Tensor, belief: Tensor) -> Tensor:
    """(N, C, H, W) values, each as far its own as it is believed, (N, 1, H, W) from 0 to 1."""
    if values.shape[2] % 2 or values.shape[3] % 2:
        # No coarser picture: the mean is all there is around.
        total = belief.sum((2, 3), keepdim=True).clamp(min=1e-12)
        around = (values * belief).sum((2, 3), keepdim=True) / total
        return values + (1 - belief) * (around - values)
    many = 4 * F.avg_pool2d(belief, 2)
    coarse = 4 * F.avg_pool2d(values * belief, 2) / many.clamp(min=1e-12)
    around = F.interpolate(filled(coarse, many.clamp(max=1)), scale_factor=2.0, mode="bilinear", align_corners=False)
    return values + (1 - belief) * (around - values)


def laid_down(values: Tensor, place: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) sums of the (B, C, h, w) values of the pixels that fall on each texel, by (B, h, w, 2) places."""
    texture = torch.zeros(*values.shape[:2], *size, requires_grad=True)
    looked = F.grid_sample(texture, place, align_corners=False)
    # The adjoint of looking up is laying down.
    (laid,) = torch.autograd.grad(looked, texture, values)
    return laid
