# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person's shoulders are in the frames of a set: registration of what is seen below the chin.

The face tracker tells nothing of the shoulders, and they do not go with the head: without knowing where
they are, a network would blur collar and sleeves over all the places where it saw them. Each frame is shifted
onto the mean of its sitting (enhanced correlation coefficient, Evangelidis & Psarakis 2008), and the mean is
taken again, sharper each time (congealing, Learned-Miller 2006). A tilt would fit better still, but on so
narrow a strip it is found wrong in some films.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from ..head.model import HeadModel
from ..progress import Progress, silent
from ..training.head_data import POSE, RenderSet
from ..training.head_looks import Looks, following
from .pose import project

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

_ROUNDS: Final = 3
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
    """(N, 2) metres that the shoulders have moved in the N frames that are there, in their order."""
    numbers = list(data.numbers)
    found = np.zeros((len(numbers), 2), np.float32)
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
    """(N, 2) of frames that have the same clothes."""
    size, camera = data.info.size, data.info.camera
    # Metres to the left and up, of a pixel to the right and down.
    pixel = camera.position[2] / camera.focal(size) * np.array([1, -1], np.float32)
    head = data.rows(numbers)["head_translation"][:, :2]
    start = (head * _WITH_HEAD / pixel).astype(np.float32)
    first = _below_chin(data, numbers)
    known = np.array([number in training for number in numbers])
    if not known.any() or first >= size:
        return np.zeros_like(start)
    some = np.flatnonzero(known)[:: -(-int(known.sum()) // _FEW)]
    grey = _grey(data, [numbers[i] for i in some], first)
    masks = data.masks([numbers[i] for i in some])[:, first:].astype(np.float32)
    shift = start[some]
    for _ in range(_ROUNDS):
        mean, mask = (_mean(pictures, shift) for pictures in (grey, masks))
        if (mask > 127).mean() * (1 - first / size) < _LEAST:
            return np.zeros_like(start)
        where = cv2.dilate((mask > 127).astype(np.uint8), np.ones((_OUTLINE, _OUTLINE)))
        shift, _ = _laid(grey, mean, where, shift)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(numbers), _BLOCK)]
    laid = [_laid(_grey(data, numbers[block], first), mean, where, start[block]) for block in blocks]
    shift, sure = (np.concatenate(parts) for parts in zip(*laid, strict=True))
    moved, good = shift * pixel, sure >= _ALIKE
    if not good.all():
        log.info("shoulders of %d of %d frames were not found: they go with the head", (~good).sum(), len(good))
    if not (good & known).any():
        return np.zeros_like(start)
    # Zero is where they are when the head is at rest, not where this sitting's mean is.
    middle, rest = (values[good & known].mean(0) for values in (head, moved))
    follow = following((head - middle)[good & known], (moved - rest)[good & known])
    return np.where(good[:, None], moved - rest + follow * middle, follow * head).astype(np.float32)


def _below_chin(data: RenderSet, numbers: list[int]) -> int:
    """Row of the frame from which on shoulders are looked for."""
    head = HeadModel.load(data.proxy)
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


def _mean(pictures: Floats, shift: Floats) -> Floats:
    """(rows, size) of (N, rows, size) pictures, each shifted back by its (N, 2) pixels."""
    total = np.zeros(pictures.shape[1:], np.float64)
    for picture, by in zip(pictures, shift, strict=True):
        total += cv2.warpAffine(picture, _matrix(by), picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE,
                                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
    return (total / len(pictures)).astype(np.float32)


def _laid(pictures: Floats, mean: Floats, where: npt.NDArray[Any], shift: Floats) -> tuple[Floats, Floats]:
    """(N, 2) better shifts, and (N,) how well each picture lies on the mean then (correlation)."""

    def one(index: int) -> tuple[Floats, float]:
        try:
            alike, matrix = cv2.findTransformECC(mean, pictures[index], _matrix(shift[index]),
                                                 cv2.MOTION_TRANSLATION, _STEPS, where, _SMOOTH)  # fmt: skip
        except cv2.error as error:
            if error.code != cv2.Error.StsNoConv:
                raise
            return shift[index], 0.0  # Nothing of the one is like the other.
        return np.asarray(matrix[:, 2], np.float32), float(alike)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(one, range(len(pictures))))
    return np.stack([by for by, _ in found]), np.array([alike for _, alike in found], np.float32)


def _matrix(shift: Floats) -> Floats:
    """(2, 3) from the mean's pixels to those of a picture shifted by (2,) pixels."""
    return np.column_stack([np.eye(2), shift]).astype(np.float32)
