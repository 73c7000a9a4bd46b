# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the finished network sharpens its pictures, by the frames that it was trained on.

What no input foretells (grain, single hairs, a registration half a pixel off) a network answers with the mean of what may
be, which is softer than any one frame. A share of the picture's own Laplacian brings its strength back, for a
little PSNR: of the 2964 held-out frames of GRID s1 (`core evaluate head`) sharpness .75 -> .89 of the truth's,
32.8 -> 32.7 dB, SSIM .932 -> .930.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from ..models.head import HeadNetwork, laplacian
from ..progress import silent
from .head_cache import HeadCache
from .head_data import RenderSet

_RESTORED: Final = 0.86
"""Share of the frames' Laplacian energy. The last of it would cost the most: it comes out at the wrong places."""
_JUDGED: Final = 64
"""Frames at most that tell, evenly from the set's."""
_MOST: Final = 0.1
"""Of the Laplacian: a network that has hardly learnt yet is blurred, and no filter helps it."""


@torch.inference_mode()
def sharpen(network: HeadNetwork, data: RenderSet) -> None:
    """Sets how far a network that is ready for inference sharpens; in place."""
    network.config = replace(network.config, sharpening=0.0)
    numbers = data.split()[0]
    few = np.unique(np.linspace(0, len(numbers) - 1, _JUDGED).round().astype(int))
    cache = HeadCache(data, [numbers[k] for k in few], network.config, silent)
    straight = torch.zeros(1, network.config.noise)
    wanted = got = mixed = twice = 0.0
    for row in range(len(cache)):
        batch = cache.batch([row])
        rgb = network(batch.conditioning, batch.emotion, batch.look, straight)[:, :3]
        edges = laplacian(rgb)
        more = laplacian(edges)
        wanted += _RESTORED * float(laplacian(batch.truth).square().mean())
        got += float(edges.square().mean())
        mixed += float((edges * more).mean())
        twice += float(more.square().mean())
    network.config = replace(network.config, sharpening=_share(wanted, got, mixed, twice))


def _share(wanted: float, got: float, mixed: float, twice: float) -> float:
    """The share s, 0 or more, at which the energy of L(y - s Ly), which is got - 2 s mixed + s^2 twice, is as wanted."""
    if wanted <= got or twice <= 0:
        return 0.0
    share = (mixed + math.sqrt(mixed**2 + twice * (wanted - got))) / twice
    return round(min(share, _MOST), 4)
