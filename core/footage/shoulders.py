# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person's shoulders are in the frames of a set: registration of what is seen below the chin.

The face tracker tells nothing of the shoulders, and they do not go with the head: without knowing where
they are, a network would blur collar and sleeves over all the places where it saw them. Each frame is laid
onto the mean of its sitting (enhanced correlation coefficient, Evangelidis & Psarakis 2008), and the mean is
taken again, sharper each time (congealing, Learned-Miller 2006): first shifted, then by the affine motion
that shoulders which lean, turn and come nearer have on a picture.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from ..head.model import HeadModel
from ..progress import Progress, silent
from ..raster import Camera
from ..training.head_data import POSE, RenderSet
from ..training.head_looks import Looks, following
from .pose import project

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_SHIFT: Final = (cv2.MOTION_TRANSLATION,)
_WHOLE: Final = (cv2.MOTION_TRANSLATION, cv2.MOTION_AFFINE)
_ROUNDS: Final = (_SHIFT, _SHIFT, _SHIFT, _WHOLE, _WHOLE)
"""What is looked for while the mean is made."""
_BENT: Final = 0.15
"""By which an affine motion may differ from a shift at most: radians, or a share of the size."""
_FEW: Final = 200
"""Frames of a sitting that its mean is made of."""
_BLOCK: Final = 512
"""Frames that are in memory at once."""
_SMOOTH: Final = 5
"""Pixels, of the Gaussian under which frames are compared."""
_OUTLINE: Final = 9
"""Pixels by which the compared region reaches over the person's outline, which tells most."""
_STEPS: Final = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4
_BELOW: Final = 0.03
"""Of the frame's side: from the chin to where it is looked."""
_LEAST: Final = 0.05
"""Of the frame that must be shoulders, or they are not looked for."""
_ALIKE: Final = 0.7
"""Correlation below which a frame was not laid on, and its shoulders are where the head's place suggests."""
_WITH_HEAD: Final = (0.9, 0.5)
"""Metres that shoulders go with a metre of the head, sideways and up: where to begin."""


def register_shoulders(data: RenderSet, looks: Looks, progress: Progress = silent) -> Floats:
    """(N, 2, 3) how the shoulders have moved in the N frames that are there, in their order.

    See `core.training.head_data`.
    """
    numbers = list(data.numbers)
    found = np.zeros((len(numbers), 2, 3), np.float32)
    films = data.rows(numbers)["film"].astype(np.int64)
    training = set(data.split()[0])
    done = 0
    for sitting in range(looks.sittings):
        mine = np.flatnonzero(looks.sitting[films] == sitting)
        progress("shoulders", done, len(numbers))
        found[mine] = _of_sitting(data, [numbers[i] for i in mine], training)
        done += len(mine)
    progress("shoulders", done, len(numbers))
    return found


def _of_sitting(data: RenderSet, numbers: list[int], training: set[int]) -> Floats:
    """(N, 2, 3) of frames that have the same clothes."""
    still = np.zeros((len(numbers), 2, 3), np.float32)
    proxy = HeadModel.load(data.proxy)
    first = _below_chin(data, numbers, proxy)
    known = np.array([number in training for number in numbers])
    if not known.any() or first >= data.info.size:
        return still
    head = data.rows(numbers)["head_translation"][:, :2].astype(np.float64)
    # Metres from the neck's end, of pixels of the pictures below the chin.
    to = _metres(data.info.camera, data.info.size, first, proxy)
    start = np.tile(np.eye(3), (len(numbers), 1, 1))
    start[:, :2, 2] = head * _WITH_HEAD / np.diag(to)[:2]
    some = np.flatnonzero(known)[:: -(-int(known.sum()) // _FEW)]
    grey = _grey(data, [numbers[i] for i in some], first)
    masks = data.masks([numbers[i] for i in some])[:, first:].astype(np.float32)
    motion = start[some]
    for kinds in _ROUNDS:
        mean, mask = (_mean(pictures, motion) for pictures in (grey, masks))
        if (mask > 127).mean() * mask.shape[0] / mask.shape[1] < _LEAST:
            return still
        where = cv2.dilate((mask > 127).astype(np.uint8), np.ones((_OUTLINE, _OUTLINE)))
        motion, _ = _laid(grey, mean, where, start[some], kinds)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(numbers), _BLOCK)]
    laid = [_laid(_grey(data, numbers[block], first), mean, where, start[block], _WHOLE) for block in blocks]
    motion, sure = (np.concatenate(parts) for parts in zip(*laid, strict=True))
    good = sure >= _ALIKE
    if not good.all():
        log.info("shoulders of %d of %d frames were not found: they go with the head", (~good).sum(), len(good))
    told = good & known
    if not told.any():
        return still
    motion = to @ motion @ np.linalg.inv(to)
    # Zero is where they are when the head is at rest, not where this sitting's mean is.
    motion = motion @ np.linalg.inv(motion[told].mean(0))
    middle = head[told].mean(0)
    follow = following((head - middle)[told].astype(np.float32), motion[told, :2, 2].astype(np.float32))
    motion[:, :2, 2] += follow * middle
    motion[~good] = np.eye(3)
    motion[~good, :2, 2] = follow * head[~good]
    return np.asarray((motion - np.eye(3))[:, :2], np.float32)


def _metres(camera: Camera, size: int, first: int, proxy: HeadModel) -> Array:
    """(3, 3) from column and row, from row ``first`` on, to metres left and up of the neck's end."""
    pixel = camera.position[2] / camera.focal(size) * np.array([1, -1])
    corner = np.array([0.5, 0.5 + first]) - size / 2
    out = np.diag([*pixel, 1.0])
    out[:2, 2] = corner * pixel + camera.position[:2] - proxy.neck_end
    return out


def _below_chin(data: RenderSet, numbers: list[int], head: HeadModel) -> int:
    """Row of the frame from which on shoulders are looked for."""
    rows = data.rows(numbers[:: -(-len(numbers) // _FEW)])
    chin = head.deform(*(rows[name] for name in POSE))[:, head.landmark("chin")]
    lowest = np.percentile(project(data.info.camera, data.info.size, chin.astype(np.float64))[:, 1], 90)
    return int(lowest + _BELOW * data.info.size)


def _grey(data: RenderSet, numbers: list[int], first: int) -> Floats:
    """(N, rows, size) luma of the frames from a row on."""
    out = np.empty((len(numbers), data.info.size - first, data.info.size), np.float32)
    for index, number in enumerate(numbers):
        out[index] = data.grey(number)[first:]
    return out


def _mean(pictures: Floats, motion: Array) -> Floats:
    """(rows, size) of (N, rows, size) pictures, each brought back by its (N, 3, 3) motion."""
    total = np.zeros(pictures.shape[1:], np.float64)
    for picture, by in zip(pictures, motion, strict=True):
        total += cv2.warpAffine(picture, by[:2], picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE,
                                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
    return (total / len(pictures)).astype(np.float32)


def _laid(
    pictures: Floats, mean: Floats, where: npt.NDArray[Any], start: Array, kinds: Sequence[int]
) -> tuple[Array, Array]:
    """(N, 3, 3) from the mean's pixels to the pictures', and (N,) how alike both are then (correlation)."""

    def one(index: int) -> tuple[Array, float]:
        found, best = start[index], 0.0
        for kind in kinds:
            try:
                alike, matrix = cv2.findTransformECC(mean, pictures[index], found[:2].astype(np.float32), kind,
                                                     _STEPS, where, _SMOOTH)  # fmt: skip
            except cv2.error as error:
                if error.code != cv2.Error.StsNoConv:
                    raise
                break  # Nothing of the one is like the other.
            if alike <= best or np.abs(matrix[:, :2] - np.eye(2)).max() > _BENT:
                break
            found, best = np.vstack([matrix, (0, 0, 1)]), float(alike)
        return found, best

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(one, range(len(pictures))))
    return np.stack([by for by, _ in found]), np.array([alike for _, alike in found])
