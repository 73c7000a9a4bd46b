# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the lips of made frames are from the true ones, as a face tracker sees both.

The tracker (``core track``'s) watches the true frames as one film and the made ones as another. With
a_k and b_k the K = 40 points of the lips' two contours in a true frame and in the made one:

- mouth landmark distance = mean_k |a_k - b_k| pixels;
- shape only: the same after each set's mean is taken off, which is the LMD of the field (as in
  TalkingGaussian's code), blind to where the mouth is.

The mean over the frames in which the tracker finds both faces.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...progress import Progress
from ...tracking import mesh
from ...tracking.tracker import film_points
from .frames import Pictures

Points = npt.NDArray[np.float64]
"""(N, 40, 2) pixels; nan where no face was found."""

_LIPS: Final = sorted(mesh.LIPS)


class Distance(NamedTuple):
    """Of the lips, pixels; means over frames."""

    placed: float
    shape: float
    lost: int
    """frames in which one of the faces was not found"""


class Film:
    """Pictures on their way to the tracker: a film without loss but that of YCbCr, on disk."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._file = path.open("wb")
        self._file.write(f"YUV4MPEG2 W{size} H{size} F25:1 Ip A1:1 C444 XCOLORRANGE=FULL\n".encode())

    def add(self, frames: Pictures) -> None:
        """Append (N, H, W, 3)."""
        for frame in frames:
            planes = np.asarray(Image.fromarray(frame).convert("YCbCr")).transpose(2, 0, 1)
            self._file.write(b"FRAME\n" + np.ascontiguousarray(planes).tobytes())

    def lips(self, progress: Progress) -> Points:
        """What the tracker sees of all frames; the film is deleted.

        Raises:
            UserError: there is no tracker (code 4).

        """
        self._file.close()
        seen = film_points(self._path, progress)["points"]
        self._path.unlink()
        return np.asarray(seen[:, _LIPS, :2], np.float64)


def distance(truth: Points, made: Points) -> Distance:
    """Compare what was seen of the same N frames."""
    both = np.isfinite(truth[:, 0, 0]) & np.isfinite(made[:, 0, 0])
    if not both.any():
        return Distance(np.nan, np.nan, len(both))
    a, b = truth[both], made[both]
    shape = _mean_distance(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True))
    return Distance(_mean_distance(a, b), shape, int((~both).sum()))


def _mean_distance(a: Points, b: Points) -> float:
    return float(np.linalg.norm(a - b, axis=2).mean())
