# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the head is in the frames of a set, told by the pictures themselves.

Points of a tracker are steady to some tenths of a pixel. A texture that is learned from frames laid on each
other so is their blur, and no training brings back what is lost. So each frame's pose is moved until the mean
of its sitting, rendered there, lies on the frame: Gauss-Newton on the difference of grey levels (Lucas &
Kanade 1981, with the pose for a warp and the mean of both gradients as in Malis 2004), gain and offset of the
light going along. The mean is taken again from the better poses, sharper each time.

What counts is the middle of the face, of it what the expression of the frame leaves where it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..conditioning import DEPTH, MOVE, PLANES, Conditioning, HeadRenderer
from ..progress import Progress
from ..render import torch_threads
from ..training.head_data import SEEN, RenderSet
from ..training.head_fill import laid_down
from ..training.head_looks import Looks
from .pose import HeadPose, jacobian, unproject

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_ROUNDS: Final = 3
_STEPS: Final = 2
"""Of Gauss-Newton for each frame, once the means are known."""
_FEW: Final = 160
"""Frames of a sitting that its mean is made of."""
_BLOCK: Final = 100
"""Frames between two tellings of progress."""
_TEXELS: Final = 512
"""Height and width of a mean."""
_KNOWN: Final = 0.05
"""Pixels that must have fallen on a texel."""
_SMOOTH: Final = 0.7
"""Pixels, of the Gaussian under which the two are compared."""
_NOISE, _POINTS = 0.03, 300
"""Grey levels (0..1) by which the two differ for other reasons, and how many pixels' worth of that is
independent: light and skin are alike over some pixels."""
_OUTLIER: Final = 0.08
"""Grey levels beyond which a pixel counts less (Huber)."""
_STILL: Final = 0.0015
"""Metres by which the expression may have moved a point that counts half."""
_TURN, _ACROSS, _AWAY = 0.006, 0.0015, 0.004
"""Radians and metres by which the tracker's pose is off: standard deviations, for one step."""
_WIDE, _ABOVE, _UNDER = 1.2, 0.02, 0.006
"""What counts: between the outer eye corners, so many times as wide; metres over the brows, and over the
corners of the mouth."""
_ENOUGH: Final = 100
"""Pixels that must count, or a frame keeps its pose."""


@dataclass(frozen=True)
class Poses:
    """Of N frames."""

    rotation: Floats
    """(N, 3) axis-angle"""
    translation: Floats
    """(N, 3) metres"""


class Registrar:
    """Registers the frames of one set."""

    def __init__(self, data: RenderSet) -> None:
        self._data = data
        self._renderer = HeadRenderer(data.proxy, data.info.camera, data.info.size)
        head = self._renderer.model
        rest = {name: head.vertices[head.landmark(name)] for name in
                ("eye_outer_left", "lip_corner_left", "brow_inner_left")}  # fmt: skip
        self._wide = _WIDE * float(abs(rest["eye_outer_left"][0]))
        self._low = float(rest["lip_corner_left"][1]) + _UNDER
        self._high = float(rest["brow_inner_left"][1]) + _ABOVE

    def mean(self, numbers: Sequence[int], poses: Poses) -> Tensor:
        """(1, 2, texels, texels): sums of grey levels and of how often seen, of these frames on the mesh."""
        total = torch.zeros(1, 2, _TEXELS, _TEXELS)
        for row, number in enumerate(numbers):
            seen = self._seen(number, poses, row)
            whole = (seen.planes[:, PLANES.index("skin")] > 0.99).float()
            grey = torch.from_numpy(self._data.grey(number))[None] * whole
            total += laid_down(torch.stack([grey, whole], 1), seen.surface, total.shape[2:])
        return total

    def step(self, number: int, mean: Tensor, poses: Poses, row: int) -> tuple[Floats, Floats]:
        """A better rotation and translation of one frame, the row of ``poses``."""
        seen = self._seen(number, poses, row)
        with torch.no_grad():
            grey, known = F.grid_sample(mean, seen.surface, align_corners=False)[0].numpy()
        # Of sums, so that texels between those that frames fell on do not count.
        known = np.where(known > _KNOWN, known, np.nan)
        pose = HeadPose(Rotation.from_rotvec(poses.rotation[row]).as_matrix()[None].astype(np.float64),
                        poses.translation[row][None].astype(np.float64))  # fmt: skip
        found = self._moved(seen, grey / known, self._data.grey(number), pose)
        if found is None:
            return poses.rotation[row], poses.translation[row]
        turned = Rotation.from_rotvec(found[:3]) * Rotation.from_matrix(pose.rotation[0])
        return turned.as_rotvec().astype(np.float32), (pose.translation[0] + found[3:]).astype(np.float32)

    def _moved(self, seen: Conditioning, made: Floats, true: Floats, pose: HeadPose) -> Array | None:
        """(6,) radians about the pivot and metres that bring what is made onto what is true."""
        camera, size = self._renderer.camera, self._renderer.size
        planes = seen.planes[0].numpy()
        usable = (planes[PLANES.index("skin")] > 0.99) & np.isfinite(made)
        made = np.where(usable, made, true)
        made, true = gaussian_filter(made, _SMOOTH), gaussian_filter(true, _SMOOTH)
        row, column = np.nonzero(binary_erosion(usable, iterations=3))
        depth = planes[PLANES.index("depth"), row, column].astype(np.float64) * DEPTH
        there = unproject(camera, size, np.stack([column, row], -1) + 0.5, depth)
        arm = there - pose.translation[0]
        own = arm @ pose.rotation[0]
        near = (np.abs(own[:, 0]) < self._wide) & (own[:, 1] > self._low) & (own[:, 1] < self._high)
        if near.sum() < _ENOUGH:
            return None
        row, column, there, arm = row[near], column[near], there[near], arm[near]
        gradients = [np.stack(np.gradient(picture)[::-1], -1)[row, column] for picture in (made, true)]
        slope = (gradients[0] + gradients[1]) / 2
        across = np.einsum("pa,pai->pi", slope, jacobian(camera, size, there))
        # Turning by w moves a point by w x arm; what the mean shows there goes along.
        rows = np.column_stack([np.cross(arm, across), across, made[row, column], np.ones(len(row))])
        error = made[row, column] - true[row, column]
        first = PLANES.index("move_x")
        moved = np.linalg.norm(planes[first : first + 3, row, column], axis=0) * MOVE
        weight = 1 / (1 + (moved / _STILL) ** 2)
        weight *= np.minimum(1, _OUTLIER / np.maximum(np.abs(error - np.median(error)), 1e-9))
        weight *= _POINTS / (weight.sum() * _NOISE**2)
        prior = 1 / np.array([_TURN, _TURN, _TURN, _ACROSS, _ACROSS, _AWAY, 0.2, 0.1]) ** 2
        square = (rows * weight[:, None]).T @ rows + np.diag(prior)
        return np.asarray(np.linalg.solve(square, rows.T @ (weight * error))[:6])

    def _seen(self, number: int, poses: Poses, row: int) -> Conditioning:
        rows = self._data.rows([number]) | {
            "head_rotation": poses.rotation[row : row + 1], "head_translation": poses.translation[row : row + 1],
        }  # fmt: skip
        return self._renderer.render(*(rows[name] for name in SEEN))


def register_heads(data: RenderSet, looks: Looks, progress: Progress) -> Poses:
    """Better poses of all frames that are there, in their order."""
    numbers, training = list(data.numbers), set(data.split()[0])
    rows = data.rows(numbers)
    poses = Poses(rows["head_rotation"].copy(), rows["head_translation"].copy())
    sittings = looks.sitting[rows["film"].astype(np.int64)]
    registrar, done = Registrar(data), 0
    with torch_threads(1), ThreadPoolExecutor(os.cpu_count()) as threads:
        for sitting in range(looks.sittings):
            mine = np.flatnonzero(sittings == sitting)
            known = [int(i) for i in mine if numbers[i] in training]
            if not known:
                continue  # Nothing is trained on, so there is nothing to blur.
            some = known[:: -(-len(known) // _FEW)]
            for _ in range(_ROUNDS):
                there = Poses(poses.rotation[some], poses.translation[some])
                mean = registrar.mean([numbers[i] for i in some], there)
                _better(registrar, numbers, mean, poses, some, threads)
            for first in range(0, len(mine), _BLOCK):
                progress("heads", done + first, len(numbers))
                for _ in range(_STEPS):
                    _better(registrar, numbers, mean, poses, mine[first : first + _BLOCK].tolist(), threads)
            done += len(mine)
    progress("heads", len(numbers), len(numbers))
    return poses


def _better(
    registrar: Registrar, numbers: list[int], mean: Tensor, poses: Poses, which: list[int],
    threads: ThreadPoolExecutor,
) -> None:  # fmt: skip
    """Take one step with each of these frames, in place."""
    found = list(threads.map(lambda i: registrar.step(numbers[i], mean, poses, i), which))
    for index, (rotation, translation) in zip(which, found, strict=True):
        poses.rotation[index], poses.translation[index] = rotation, translation
