# SPDX-License-Identifier: GPL-3.0-or-later
"""Track the GRID films: 478 face points a frame, written to the training cache.

Runs in an environment of its own (``core/training/requirements-track.txt``), because mediapipe
0.10.21, the last that carries its models, pins other versions than the engine::

    python -m core.training.data.track --data shared/data --cache CACHE
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

POINTS = 478


def track_film(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Face points of every picture of a film.

    Returns:
        ``points`` (T, 478, 3) pixels, x right, y down, z away from the camera; nan where the face
        was lost. ``times`` (T,) seconds, from the stream's own time stamps.

    """
    import av
    import mediapipe as mp

    points, times = [], []
    mesh = mp.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=1, refine_landmarks=True,
        min_detection_confidence=0.5, min_tracking_confidence=0.5,
    )  # fmt: skip
    with mesh, av.open(os.fspath(path)) as film:
        for picture in film.decode(video=0):
            image = picture.to_ndarray(format="rgb24")
            found = mesh.process(image).multi_face_landmarks
            if found:
                p = np.array([(q.x, q.y, q.z) for q in found[0].landmark], np.float32)
                points.append(p * (image.shape[1], image.shape[0], image.shape[1]))
            else:
                points.append(np.full((POINTS, 3), np.nan, np.float32))
            times.append(float(picture.pts * picture.time_base))
    return {"points": np.asarray(points, np.float32), "times": np.asarray(times, np.float64)}


def main(argv: list[str] | None = None) -> int:
    """Track every film of ``grid_s1`` and ``grid_other`` that is not in the cache yet."""
    parser = argparse.ArgumentParser(prog="core.training.data.track", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid_s1")
    parser.add_argument("--cache", type=Path, required=True, help="where the points are written")
    args = parser.parse_args(argv)
    films = sorted((args.data / "grid_s1/video").glob("*.mpg"))
    films += sorted((args.data / "grid_other").glob("*.mpg"))
    for number, film in enumerate(films, 1):
        speaker = "s1" if film.parent.name == "video" else "other"
        target = args.cache / "tracked" / speaker / f"{film.stem}.npz"
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(".part.npz")
        np.savez_compressed(beside, **track_film(film))
        beside.replace(target)
        log.info("tracked %s (%d of %d)", film.name, number, len(films))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
