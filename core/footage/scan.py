# SPDX-License-Identifier: GPL-3.0-or-later
"""What every picture of some films shows; the part that runs in the tracker's environment.

::

    python -m core.footage.scan PLAN.json

``PLAN.json`` is ``[[VIDEO, SCAN.npz], ...]``. It tells on stdout how far it is, as JSON lines
``{"done": 3, "total": 75}``, and what is wrong with a film as ``{"error": [message, hint]}``.

Besides the face points of `core.tracking.film`, a scan says what may make a picture unfit: how many
faces there are (BlazeFace: Bazarevsky et al. 2019), whether a hand is before the mouth (Zhang et al.
2020, "MediaPipe Hands"), how light the face is, how much the picture differs from the one before, and whether
the light steps across the bridge of the nose, as where glasses sit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..tracking import mesh
from ..tracking.child import Tell, telling
from ..tracking.film import NOWHERE, Film, pixels, save
from ..tracking.pictures import HLG, PQ, Image, opened

Floats = npt.NDArray[np.float32]

_EVERY: Final = 0.16
"""Seconds between two looks for other faces and for hands."""
_AS_LARGE: Final = 0.4
"""A face of less than this share of the largest one's width is of the background."""
_LOOK: Final = 640
"""Pixels of the longer side in which hands are looked for."""
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_OVAL: Final = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
                152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
"""The mesh's outline of a face."""
_BRIDGE: Final = np.linspace(-0.3, 0.15, 91)[:, None, None], np.linspace(-0.08, 0.08, 17)[:, None]
"""Where the bridge of the nose is looked at, downwards and to the sides from between the inner eye corners; in
distances between the outer ones."""
_FINE, _WIDE = 5, 25
"""Steps of that over which light is averaged: a step of skin is softer than the second."""


class Watcher:
    """Looks at pictures for other faces and for hands, now and then, and remembers between."""

    def __init__(self) -> None:
        import mediapipe as mp

        self._faces = mp.solutions.face_detection.FaceDetection(model_selection=1, min_detection_confidence=0.6)
        self._hands = mp.solutions.hands.Hands(static_image_mode=True, max_num_hands=2, model_complexity=0)
        self._last = -np.inf
        self.faces = 0
        self.hand = False

    def look(self, image: Image, at: float, points: Floats) -> None:
        """See a picture of ``at`` seconds, with its (478, 3) face points or nan."""
        if 0 <= at - self._last < _EVERY:
            return
        self._last = at
        found = self._faces.process(image).detections or []
        wide = [d.location_data.relative_bounding_box.width for d in found]
        self.faces = sum(w >= _AS_LARGE * max(wide) for w in wide)
        self.hand = bool(np.isfinite(points).all()) and self._covered(image, points)

    def _covered(self, image: Image, points: Floats) -> bool:
        """Whether a hand is before the mouth."""
        step = max(1, max(image.shape[:2]) // _LOOK)
        hands = self._hands.process(np.ascontiguousarray(image[::step, ::step])).multi_hand_landmarks
        lips = points[list(mesh.LIPS), :2]
        low, high = lips.min(0), lips.max(0)
        for hand in hands or []:
            joints = np.array([(p.x * image.shape[1], p.y * image.shape[0]) for p in hand.landmark])
            if (joints.min(0) < high).all() and (joints.max(0) > low).all():
                return True
        return False


def scan(path: str, tell: Callable[[int, int], None]) -> Film:
    """Everything that is to be known of a film's T pictures.

    Returns:
        ``points``, ``times``, ``rate``, ``size`` as `core.tracking.film.track_film` has them, and
        ``faces`` (T,) how many; ``hand`` (T,) whether one is before the mouth; ``light`` (T,) mean luma
        of the face, 0..255, and ``bridge`` (T,) the contrast across the bridge of the nose, both nan without
        one; ``change`` (T,) mean difference of small grey pictures to
        the one before, 0..255; ``woven``, ``bright`` () whether it had fields, or high dynamic range.

    """
    import mediapipe as mp

    rows: dict[str, list[Any]] = {n: [] for n in ("points", "times", "faces", "hand", "light", "bridge", "change")}
    face_mesh = mp.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=1, refine_landmarks=True,
        min_detection_confidence=0.5, min_tracking_confidence=0.5,
    )  # fmt: skip
    watcher, before, size = Watcher(), None, (0, 0)
    with face_mesh, opened(path) as reel:
        for image, at in reel:
            size = (image.shape[1], image.shape[0])
            found = face_mesh.process(image).multi_face_landmarks
            points = pixels(found[0].landmark, size) if found else NOWHERE
            watcher.look(image, at, points)
            small = _small(image)
            change = 0.0 if before is None else float(np.abs(small - before).mean())
            before = small
            for name, value in (("points", points), ("times", at), ("faces", watcher.faces),
                                ("hand", watcher.hand), ("light", _light(image, points)),
                                ("bridge", bridge(image, points)), ("change", change)):  # fmt: skip
                rows[name].append(value)
            tell(len(rows["times"]), max(reel.total, len(rows["times"]) + 1))
        rate, woven, bright = reel.rate, reel.interlaced, reel.curve in (PQ, HLG)
    if not rows["times"]:
        raise UserError(f"'{path}' has no picture that can be read.",
                        "Give a film (mp4, mov, mkv, avi, webm) that shows a face.")  # fmt: skip
    return {
        "points": np.asarray(rows["points"], np.float32),
        "times": np.asarray(rows["times"], np.float64),
        "rate": np.array([rate.numerator, rate.denominator], np.int64),
        "size": np.array(size, np.int64),
        "faces": np.asarray(rows["faces"], np.int32),
        "hand": np.asarray(rows["hand"], np.bool_),
        "light": np.asarray(rows["light"], np.float32),
        "bridge": np.asarray(rows["bridge"], np.float32),
        "change": np.asarray(rows["change"], np.float32),
        "woven": np.array(woven),
        "bright": np.array(bright),
    }


def _small(image: Image) -> Floats:
    """(24, 24) means of the luma."""
    rows = np.linspace(0, image.shape[0], 25).astype(int)
    columns = np.linspace(0, image.shape[1], 25).astype(int)
    step = max(1, min(image.shape[:2]) // 240)
    luma = image[::step, ::step] @ _LUMA
    sums = np.add.reduceat(np.add.reduceat(luma, rows[:-1] // step, 0), columns[:-1] // step, 1)
    counts = np.add.reduceat(np.add.reduceat(np.ones_like(luma), rows[:-1] // step, 0), columns[:-1] // step, 1)
    return np.asarray(sums / counts, np.float32)


def _light(image: Image, points: Floats) -> float:
    """Mean luma within the inner half of the face's box; nan without a face."""
    if not np.isfinite(points).all():
        return float("nan")
    oval = points[list(_OVAL), :2]
    low, high = oval.min(0), oval.max(0)
    (x0, y0), (x1, y1) = (low + (high - low) / 4).astype(int), (high - (high - low) / 4).astype(int)
    inside = image[max(0, y0) : max(1, y1), max(0, x0) : max(1, x1)]
    return float((inside @ _LUMA).mean()) if inside.size else float("nan")


def bridge(image: Image, points: Floats) -> float:
    """Range of what is sharp in the light down the bridge of the nose, over its mean; nan without a face."""
    if not np.isfinite(points).all():
        return float("nan")
    outer, between = points[[33, 263], :2], points[[133, 362], :2].mean(0)
    right = outer[1] - outer[0]
    down, across = (part * way for part, way in zip(_BRIDGE, (right[::-1] * (-1, 1), right)))
    column, row = np.moveaxis(np.rint(between + down + across).astype(int), -1, 0)
    column, row = column.clip(0, image.shape[1] - 1), row.clip(0, image.shape[0] - 1)
    light = (image[row, column] @ _LUMA).mean(1)
    sharp = _averaged(light, _FINE) - _averaged(light, _WIDE)
    return float(np.ptp(sharp[_WIDE // 2 : -(_WIDE // 2)]) / max(light.mean(), 1))


def _averaged(values: Floats, count: int) -> Floats:
    """(N,) means of so many, an odd number, around each."""
    return np.convolve(np.pad(values, count // 2, mode="edge"), np.ones(count, np.float32) / count, mode="valid")


def main(argv: list[str] | None = None) -> int:
    """Scan the films of a plan."""
    parser = argparse.ArgumentParser(prog="core.footage.scan", description=__doc__)
    parser.add_argument("plan", type=Path)
    plan = json.loads(parser.parse_args(argv).plan.read_text(encoding="utf-8"))

    def work(tell: Tell) -> None:
        for index, (video, place) in enumerate(plan):

            def within(done: int, total: int, index: int = index) -> None:
                # Films count alike: how long the others are is not known yet.
                tell(done=1000 * index + 1000 * done // total, total=1000 * len(plan))

            save(scan(video, within), place)
        tell(done=1000 * len(plan), total=1000 * len(plan))

    return telling(work)


if __name__ == "__main__":
    raise SystemExit(main())
