# SPDX-License-Identifier: GPL-3.0-or-later
"""The 478 face points of every picture of a film; the part that runs in the tracker's environment.

mediapipe 0.10.21, the last that carries its models, pins other versions than the engine, so this
module needs no more of the project than numpy, and is a command of its own::

    python -m core.tracking.film VIDEO POINTS.npz

It tells on stdout how far it is, as JSON lines ``{"done": 3, "total": 75}``, and what is wrong with
the film as ``{"error": [message, hint]}``.

The mesh: Kartynnik, Ablavatski, Grishchenko, Grundmann 2019, "Real-time facial surface geometry
from monocular video on mobile GPUs"; lips, lids and irises refined as in Grishchenko et al. 2020,
"Attention mesh".
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..files import written_beside
from ..progress import Progress, silent
from .child import Tell, telling
from .pictures import opened

Film = dict[str, npt.NDArray[Any]]

POINTS: Final = 478
NOWHERE: Final = np.full((POINTS, 3), np.nan, np.float32)
"""The points of a picture without a face."""


def track_film(path: str | os.PathLike[str], progress: Progress = silent) -> Film:
    """Face points of every picture of a film.

    Args:
        path: the film.
        progress: told the stage ``faces``; the total is a guess until the end.

    Returns:
        ``points`` (T, 478, 3) pixels, x right, y down, z away from the camera; nan where no face was
        found. ``times`` (T,) seconds of the file, rising, from the stream's own time stamps.
        ``rate`` (2,) numerator and denominator of the frame rate that the stream states, 0 and 1
        where it states none. ``size`` (2,) width and height of the upright picture, pixels.

    Raises:
        UserError: no such file, no film, or no picture in it.

    """
    import mediapipe as mp

    points: list[npt.NDArray[np.float32]] = []
    times: list[float] = []
    size = (0, 0)
    mesh = mp.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=1, refine_landmarks=True,
        min_detection_confidence=0.5, min_tracking_confidence=0.5,
    )  # fmt: skip
    with mesh, opened(path) as reel:
        for image, at in reel:
            size = (image.shape[1], image.shape[0])
            found = mesh.process(image).multi_face_landmarks
            points.append(pixels(found[0].landmark, size) if found else NOWHERE)
            times.append(at)
            progress("faces", len(times), max(reel.total, len(times) + 1))
        rate = reel.rate
    if not points:
        raise UserError(f"'{path}' has no picture that can be read.",
                        "Give a film (mp4, mov, mkv, avi, webm) that shows a face.")  # fmt: skip
    progress("faces", len(times), len(times))
    return {
        "points": np.asarray(points, np.float32),
        "times": np.asarray(times, np.float64),
        "rate": np.array([rate.numerator, rate.denominator], np.int64),
        "size": np.array(size, np.int64),
    }


def save(film: Film, path: str | os.PathLike[str]) -> None:
    """Write points beside and rename, as ``.npz``."""
    with written_beside(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **film)


def pixels(landmarks: Any, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(478, 3) pixels of the mesh's landmarks, whose depth is in widths of the picture."""
    where = np.array([(p.x, p.y, p.z) for p in landmarks], np.float32)
    return where * np.array([size[0], size[1], size[0]], np.float32)


def main(argv: list[str] | None = None) -> int:
    """Track one film."""
    parser = argparse.ArgumentParser(prog="core.tracking.film", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("points", type=Path)
    args = parser.parse_args(argv)

    def work(tell: Tell) -> None:
        film = track_film(args.video, lambda stage, done, total: tell(done=done, total=total))
        save(film, args.points)

    return telling(work)


if __name__ == "__main__":
    raise SystemExit(main())
