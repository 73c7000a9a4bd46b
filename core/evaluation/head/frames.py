# SPDX-License-Identifier: GPL-3.0-or-later
"""An avatar's frames, and the true ones to hold against them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from ...avatars import Avatar
from ...errors import UserError
from ...render import Rows as TrackRows
from ...render import studio, torch_threads
from ...training.head_cache import FEATURES
from ...training.head_data import POSE, Array, RenderSet, looks_of

Pictures = NDArray[np.uint8]
"""(N, H, W, 3) sRGB."""
Rows = dict[str, Array]
"""Parameters of N frames, as a render set has them."""


class Maker:
    """Makes an avatar's frames as ``core render`` does, on the same engine, to the same 8 bits."""

    def __init__(self, avatar: Avatar, seed: int = 0) -> None:
        self.size = avatar.config.resolution
        self._studio = studio(avatar)
        self._looks = avatar.config.looks
        self._seed = seed
        self.renderer = self._studio.renderer

    def make(self, rows: Rows) -> Pictures:
        """The frames of these rows."""
        engine = self._studio.engine
        look = looks_of(rows, self._looks)
        weights, gaze, rotation, translation = (rows[name] for name in POSE)
        given = TrackRows(weights, gaze, rotation, translation, rows["emotion"], look, rows.get("shoulders"))
        numbers = list(range(1, len(given.weights) + 1))
        batches = [numbers[i : i + engine.batch] for i in range(0, len(numbers), engine.batch)]
        with torch_threads(engine.threads), ThreadPoolExecutor(engine.lanes) as lanes:
            made = lanes.map(lambda batch: self._studio.pictures(given, batch, self._seed), batches)
            return np.concatenate(list(made))[..., :3]

    def mouth(self, rows: Rows) -> torch.Tensor:
        """(N, 1, H, W) 0 or 1: the mouth's region.

        The disc of 36 mm about the middle between the mouth's corners, as the posed proxy has them:
        lips, what is within, and the skin that goes with them.
        """
        names, reach = FEATURES[0]
        model, camera = self.renderer.model, self.renderer.camera
        corners = [model.landmark(name) for name in names]
        vertices = model.deform(*(rows[n] for n in POSE))[:, corners].mean(1)
        column, line, inverse = camera.project(torch.from_numpy(vertices), self.size).unbind(1)
        radius = reach * inverse * camera.focal(self.size)
        steps = torch.arange(self.size) + 0.5
        across = (steps - column[:, None]).square()[:, None, None, :]
        down = (steps - line[:, None]).square()[:, None, :, None]
        return (across + down <= radius.square()[:, None, None, None]).float()


def as_tensor(frames: Pictures) -> torch.Tensor:
    """(N, 3, H, W) 0..1."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def held_out(data: RenderSet, most: int | None) -> list[int]:
    """Numbers of all held-out frames, or of about ``most`` of them: runs, spread evenly over all.

    Raises:
        UserError: there are none.

    """
    held = data.split()[1]
    if not held:
        raise UserError(f"'{data.folder}' has no held-out frames.", "Render more of it.")
    if most is None or most >= len(held):
        return held
    length = -(-most // _RUNS)
    starts = np.linspace(0, len(held) - length, -(-most // length)).round().astype(int)
    return [held[int(i)] for i in np.unique(starts[:, None] + np.arange(length))]


class Nearest:
    """The training frame whose tracks are most like a frame's: what a look-up would give.

    Rows are compared by where the posed proxy's points fall on the picture, so that everything
    counts as much as it moves there: least mean square of the distances in pixels. The emotion
    comes on top, half a pixel a weight, which decides between equal faces.
    """

    def __init__(self, maker: Maker, data: RenderSet, training: list[int]) -> None:
        if not training:
            raise UserError(f"'{data.folder}' has no frames to train on.", "Render more of it.")
        self._maker, self._data, self._training = maker, data, training
        self._known = self._places(data.rows(training))

    def numbers(self, held: list[int]) -> list[int]:
        """Of the training frames nearest to these."""
        asked = self._places(self._data.rows(held))
        far = np.square(self._known).sum(1)[None] - 2 * asked @ self._known.T
        return [self._training[int(i)] for i in far.argmin(1)]

    def _places(self, rows: Rows) -> Array:
        """(N, F) features."""
        renderer = self._maker.renderer
        parts = []
        for first in range(0, len(rows["arkit"]), _BLOCK):
            block = slice(first, first + _BLOCK)
            points = renderer.model.deform(*(rows[n][block] for n in POSE))[:, ::_EVERY]
            seen = renderer.camera.project(torch.from_numpy(points), renderer.size)[..., :2]
            parts.append(seen.flatten(1).numpy() / np.sqrt(points.shape[1]))
        return np.concatenate([np.concatenate(parts), 0.5 * rows["emotion"]], 1)


_RUNS = 8
"""Runs of held-out frames that a part of them is made of: few films show little, single frames no flicker."""
_BLOCK = 64
"""Frames that are posed at once."""
_EVERY = 4
"""Of the proxy's vertices one in so many is compared."""
