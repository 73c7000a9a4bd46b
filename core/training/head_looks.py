# SPDX-License-Identifier: GPL-3.0-or-later
"""Which films of a set were made in one sitting, and which look a film has that was never trained on.

Films differ in what neither the face's tracks nor the emotion tell. Between sittings (days or hours apart)
hair, clothes and light are others: each has textures of its own. Within one, small things change from film to
film: that is a look (`HeadConfig.looks`), a code learned for each film that is trained on. A held-out film has
the look of the film that it is most like, and so its sitting.

Films are compared by the colours of their first picture on the mesh (mean absolute difference of the texels
that are seen), where it does not matter how the head is held: skin, light, and the hair on the forehead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist

from ..conditioning import PLANES, HeadRenderer
from ..models.head import HeadConfig, HeadNetwork
from .head_data import SEEN, RenderSet

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_CARD, _SHOULDERS = 384, 8
"""Of a network for footage: texels, as real hair is finer than the usual card's, and channels."""
_TEXELS: Final = 48
"""Of the mesh's texture, height and width, that films are compared by."""
_SEEN: Final = 0.9
"""Share of the films that show a texel by which they are compared."""
_APART: Final = 12 / 255
"""Mean difference between the films of two sittings, at least."""
_MOST: Final = 8
"""Sittings."""


@dataclass(frozen=True)
class Looks:
    """Of a set of F films; of a character's set, F is 0."""

    source: Ints
    """(F,) the film whose look each has: its own, or the most like it of those that are trained on"""
    sitting: Ints
    """(F,) in which each was made, counted from 0"""

    @property
    def sittings(self) -> int:
        """How many, at least 1."""
        return int(self.sitting.max(initial=0)) + 1

    @staticmethod
    def of(data: RenderSet) -> Looks:
        """Look at the first picture of each film."""
        source = np.arange(len(data.info.films))
        sitting = np.zeros(len(source), np.int64)
        training, held = (_first_of_films(data, numbers) for numbers in data.split())
        held = {film: number for film, number in held.items() if film not in training}
        if not training:
            return Looks(source, sitting)
        colours = _colours(data, [*training.values(), *held.values()])
        films, count = np.array([*training]), len(training)
        sitting[films] = _sittings(colours[:count])
        if held:
            apart = cdist(colours[count:], colours[:count], "cityblock")
            source[np.array([*held])] = films[apart.argmin(1)]
        return Looks(source, sitting[source])

    def config(self, data: RenderSet) -> HeadConfig:
        """The usual network for such a set."""
        usual = HeadConfig(resolution=data.info.size, looks=data.looks, sittings=self.sittings, atlas=True)
        if not data.footage:
            return usual
        return replace(usual, alpha=True, card=_CARD, shoulder_channels=_SHOULDERS)

    @torch.no_grad()
    def begin(self, network: HeadNetwork, data: RenderSet) -> None:
        """Tell a network, before it is trained, what is known of the looks and of the shoulders."""
        if network.config.sittings > 1:
            network.sitting[1:] = torch.from_numpy(self.sitting)
        if network.config.shoulder_channels:
            rows = data.rows(data.split()[0])
            network.follow.copy_(torch.from_numpy(following(rows["head_translation"], rows["shoulders"][..., 2])))

    @torch.no_grad()
    def settle(self, network: HeadNetwork) -> None:
        """After the training: films held out have the look of another; the usual one has the least way to all."""
        if not len(self.source):
            return
        network.looks[1:] = network.looks[1 + torch.from_numpy(self.source)]
        own = network.looks[1:]
        usual = int(torch.cdist(own, own).sum(1).argmin())
        network.looks[0] = own[usual]
        if network.config.sittings > 1:
            network.sitting[0] = network.sitting[1 + usual]


def _first_of_films(data: RenderSet, numbers: list[int]) -> dict[int, int]:
    """The first of these frames of each film."""
    if not data.footage or not numbers:
        return {}
    films = data.rows(numbers)["film"].astype(np.int64)
    return {int(film): numbers[int(np.argmax(films == film))] for film in np.unique(films)}


def following(head: Floats, shoulders: Floats) -> Floats:
    """(2,) metres that the shoulders go with a metre of the head, sideways and up: least squares of (N, 3) and (N, 2)."""
    a, b = head[:, :2].astype(np.float64), shoulders.astype(np.float64)
    square = (a * a).sum(0)
    return np.asarray((a * b).sum(0) / np.where(square > 0, square, 1), np.float32)


def _sittings(colours: Floats) -> Ints:
    """(F,) groups of films whose mean difference is small, counted from 0."""
    if len(colours) < 2 or not colours.shape[1]:
        return np.zeros(len(colours), np.int64)
    tree = linkage(colours, "average", "cityblock")
    groups = fcluster(tree, _APART * colours.shape[1], "distance")
    if groups.max() > _MOST:
        groups = fcluster(tree, _MOST, "maxclust")
    return np.asarray(groups - 1, np.int64)


def _colours(data: RenderSet, numbers: list[int]) -> Floats:
    """(N, texels) of frames on the mesh, 0..1; a texel that a frame does not show is as the others have it."""
    renderer = HeadRenderer(data.proxy, data.info.camera, data.info.size)
    skin = PLANES.index("skin")
    out = np.full((len(numbers), _TEXELS**2, 3), np.nan, np.float32)
    for index, number in enumerate(numbers):
        rows, frame = data.rows([number]), data.frames([number])[0].reshape(-1, 3) / np.float32(255)
        seen = renderer.render(*(rows[name] for name in SEEN))
        whole = (seen.planes[0, skin].flatten() > 0.99).numpy()
        place = ((seen.surface[0].reshape(-1, 2).numpy() + 1) / 2 * _TEXELS).astype(np.int64).clip(0, _TEXELS - 1)
        texel = (place[:, 1] * _TEXELS + place[:, 0])[whole]
        count = np.bincount(texel, minlength=_TEXELS**2)
        total = np.stack([np.bincount(texel, channel, _TEXELS**2) for channel in frame[whole].T], 1)
        out[index, count > 0] = total[count > 0] / count[count > 0, None]
    # Cheeks and what is further round are seen of some heads only.
    out = out[:, np.isfinite(out[..., 0]).mean(0) >= _SEEN]
    usual = np.nanmedian(out, axis=0)
    return np.where(np.isnan(out), usual, out).reshape(len(numbers), -1).astype(np.float32)
