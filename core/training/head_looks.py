# SPDX-License-Identifier: GPL-3.0-or-later
"""Which look a film has that was never trained on, and which one is the usual.

A look (`HeadConfig.looks`) is what neither the face's tracks nor the emotion tell: hair, collar, light. It
is learned for the films that are trained on. Another film of the set is given the look of the film that
its first picture is most like, by mean absolute difference of what is seen at an eighth of the size: hair
and light, not the mouth.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.head import HeadNetwork
from .head_data import RenderSet

_COARSER = 8


def alike(data: RenderSet) -> NDArray[np.int64]:
    """(looks - 1,) number of the look that each film has: its own, or that of the film most like it."""
    count = data.looks - 1
    training, held = data.split()
    learnt = _first_pictures(data, training)
    out = np.arange(1, count + 1)
    known = np.array(sorted(learnt), np.int64)
    for film, picture in _first_pictures(data, held).items():
        if film not in learnt:
            apart = [np.abs(learnt[int(other)] - picture).mean() for other in known]
            out[film] = 1 + known[int(np.argmin(apart))]
    return out


@torch.no_grad()
def settle(network: HeadNetwork, source: NDArray[np.int64]) -> None:
    """Give each film the look that `alike` found; the usual look is the one with the least way to all."""
    if not len(source):
        return
    network.looks[1:] = network.looks[torch.from_numpy(source)]
    own = network.looks[1:]
    network.looks[0] = own[torch.cdist(own, own).sum(1).argmin()]


def _first_pictures(data: RenderSet, numbers: list[int]) -> dict[int, NDArray[np.float32]]:
    """The first of these frames of each film, small."""
    if not data.footage:
        return {}
    films = data.rows(numbers)["film"].astype(np.int64)
    first = {int(film): numbers[int(np.argmax(films == film))] for film in np.unique(films)}
    return {film: _small(data.frames([number])[0]) for film, number in first.items()}


def _small(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = len(frame) // _COARSER
    blocks = frame[: size * _COARSER, : size * _COARSER].reshape(size, _COARSER, size, _COARSER, 3)
    return np.asarray(blocks.mean((1, 3)), np.float32)
