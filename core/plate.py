# SPDX-License-Identifier: GPL-3.0-or-later
"""The film behind the face: frames at the tracks' rate, and the square in each that the face fills.

Both come from the render set that an avatar of a person was trained on; see
`core.training.head_data`. "Plate" is what compositors call the footage behind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, ClassVar

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .training.head_data import load_set


@dataclass(frozen=True)
class Plate:
    """One film of a render set."""

    film: Path
    fps: Fraction
    """Frames a second wanted of it, whatever its own are."""
    times: NDArray[np.float32]
    """(N,) seconds, of the set's frames from this film."""
    crops: NDArray[np.float32]
    """(N, 4) x, y, width, height in pixels."""
    look: ClassVar[int] = 1
    """Of an avatar made from this set: that of its first film."""

    @staticmethod
    def of(folder: Path, fps: Fraction) -> Plate:
        """The first film of a render set of footage.

        Raises:
            UserError: the set is no footage, or its film is gone.

        """
        data = load_set(folder)
        if not data.footage:
            raise UserError(f"'{folder}' is no set of footage: it has no film to put frames into.",
                            "Name the set that 'core avatar from-video' made.")  # fmt: skip
        film = Path(data.info.films[0])
        if not film.is_file():
            raise UserError(f"The film '{film}' of '{folder}' is not there.",
                            "Put it back, or make the set again.")  # fmt: skip
        mine = data.params["film"] == 0
        return Plate(film, fps, data.params["time"][mine], data.params["crop"][mine])

    def crop(self, number: int) -> NDArray[np.float32]:
        """(4,) for a frame of the tracks, counted from 1: that of the set's nearest frame in time."""
        wanted = float((number - 1) / self.fps)
        crop: NDArray[np.float32] = self.crops[np.abs(self.times - wanted).argmin()]
        return crop

    def frames(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) upright sRGB, one for each of these ascending numbers, counted from 1.

        Raises:
            UserError: the film ends before, or cannot be read.

        """
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-v", "error",
            "-protocol_whitelist", "file,pipe", "-i", str(self.film), "-map", "0:v:0",
            "-vf", f"fps={self.fps.numerator}/{self.fps.denominator}:start_time=0",
            "-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "pipe:1",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            at = 0
            try:
                for number in numbers:
                    frame = None
                    for _ in range(number - at):
                        frame = _read(process.stdout)
                    if frame is None:
                        raise self._short(number)
                    at = number
                    yield frame
            finally:
                process.kill()

    def _short(self, number: int) -> UserError:
        return UserError(
            f"'{self.film}' has no frame {number} at {float(self.fps):g} frames/s, or it cannot be "
            "read.", "Render fewer frames with --frames, or use a longer film.",
        )  # fmt: skip


def _read(pipe: IO[bytes]) -> NDArray[np.uint8] | None:
    """The next picture of a row of PPM files; None at their end."""
    if pipe.readline() != b"P6\n":
        return None
    width, height = (int(word) for word in pipe.readline().split())
    pipe.readline()
    content = pipe.read(3 * width * height)
    if len(content) < 3 * width * height:
        return None
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)
