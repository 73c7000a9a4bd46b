# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts frames and masks out of films; the part that runs in the tracker's environment.

::

    python -m core.footage.cut PLAN.json

``PLAN.json`` is ``{"size": 256, "frames": FOLDER, "masks": FOLDER, "films": [{"path": VIDEO,
"pictures": [[PICTURE, NUMBER, X, Y, WIDTH], ...]}, ...]}``, the pictures rising; NUMBER is the frame's
file. It tells on stdout how far it is, as JSON lines ``{"done": 3, "total": 75}``.

The mask is mediapipe's selfie segmentation (256 x 256, Apache-2.0), drawn to the picture's own edges by
a guided filter (He, Sun, Tang 2013).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..files import written_beside
from ..tracking.child import Tell, telling
from ..tracking.pictures import Image, opened

Floats = npt.NDArray[np.float32]

_RADIUS: Final = 0.012
"""Of the guided filter's window, over the frame's side."""
_EDGE: Final = 1e-3
"""Variance of the luma, 0..1, that counts as an edge."""


class Cutter:
    """Makes frames and masks of one size."""

    def __init__(self, size: int) -> None:
        import mediapipe as mp

        self._size = size
        self._person = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def cut(self, image: Image, x: int, y: int, width: int) -> tuple[Image, Image]:
        """(size, size, 3) sRGB and (size, size) mask of a square of the picture."""
        from PIL import Image as Picture

        square = Picture.fromarray(np.ascontiguousarray(image[y : y + width, x : x + width]))
        size = (self._size, self._size)
        frame = np.asarray(square.resize(size, Picture.Resampling.LANCZOS))
        person = self._person.process(frame).segmentation_mask
        return frame, refined(frame, np.asarray(person, np.float32))


def refined(frame: Image, mask: Floats) -> Image:
    """A coarse (H, W) mask, 0..1, brought to the edges of a (H, W, 3) frame; 0..255."""
    guide = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    radius = max(1, round(_RADIUS * len(frame)))
    mean, there = _box(guide, radius), _box(mask, radius)
    slope = (_box(guide * mask, radius) - mean * there) / (_box(guide**2, radius) - mean**2 + _EDGE)
    fine = _box(slope, radius) * guide + _box(there - slope * mean, radius)
    return np.asarray(np.round(np.clip(fine, 0, 1) * 255), np.uint8)


def _box(values: Floats, radius: int) -> Floats:
    """Means over squares of 2 radius + 1 pixels, the border repeated."""
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis, dtype=np.float64)
        span, length = 2 * radius + 1, total.shape[axis]
        last = np.take(total, range(span, length), axis)
        values = ((last - np.take(total, range(length - span), axis)) / span).astype(np.float32)
    return values


def write_png(image: Image, path: Path) -> None:
    """Writes RGB or grey."""
    from PIL import Image as Picture

    with written_beside(path) as beside:
        Picture.fromarray(image).save(beside, "PNG", compress_level=4)


def main(argv: list[str] | None = None) -> int:
    """Cut what a plan asks for."""
    parser = argparse.ArgumentParser(prog="core.footage.cut", description=__doc__)
    parser.add_argument("plan", type=Path)
    plan: dict[str, Any] = json.loads(parser.parse_args(argv).plan.read_text(encoding="utf-8"))

    return telling(lambda tell: cut_all(plan, tell))


def cut_all(plan: dict[str, Any], tell: Tell) -> None:
    """Cut every picture of a plan out of its film."""
    cutter, done = Cutter(plan["size"]), 0
    total = sum(len(film["pictures"]) for film in plan["films"])
    for film in plan["films"]:
        wanted = {picture: (number, x, y, width) for picture, number, x, y, width in film["pictures"]}
        with opened(film["path"]) as reel:
            for index, (image, _) in enumerate(reel):
                if index in wanted:
                    number, x, y, width = wanted.pop(index)
                    frame, mask = cutter.cut(image, x, y, width)
                    write_png(mask, Path(plan["masks"]) / f"{number:06d}.png")
                    write_png(frame, Path(plan["frames"]) / f"{number:06d}.png")
                    done += 1
                    tell(done=done, total=total)
                if not wanted:
                    break


if __name__ == "__main__":
    raise SystemExit(main())
