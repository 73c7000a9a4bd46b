# SPDX-License-Identifier: GPL-3.0-or-later
"""The film behind the face: frames at the tracks' rate, the square in each that the face fills, and how the head sits.

All come from the render set that an avatar of a person was trained on; see
`core.training.head_data`. "Plate" is what compositors call the footage behind.

Crops are in pixels of the pictures as `core.tracking.pictures` gives them, so the film is shown in the
same way here: woven, of square pixels, upright, sRGB.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from .avatars import PROXY, Avatar
from .errors import UserError
from .files import digest
from .tracking.pictures import HLG, PQ, WEAVE, to_srgb, turned, widened
from .tracks import FaceTracks
from .training.head_data import RenderSet, interpolated, load_set

_SEAT = ("gaze", "head_rotation", "head_translation", "shoulders")
_CURVES = {"smpte2084": PQ, "arib-std-b67": HLG}
"""As ffmpeg names them."""


@dataclass(frozen=True)
class Plate:
    """One film of a render set."""

    film: Path
    fps: Fraction
    """Frames a second wanted of it, whatever its own are."""
    look: int
    """Of an avatar made from this set: that of this film."""
    rows: dict[str, NDArray[np.float32]]
    """N rows, of the set's frames from this film; see `core.training.head_data`."""

    @staticmethod
    def of(folder: Path, avatar: Avatar, fps: Fraction, name: str = "") -> Plate:
        """A film of the render set of footage that an avatar was made from.

        Args:
            folder: of the set.
            avatar: whose face goes into it.
            fps: frames a second wanted.
            name: of the film's file, or its path; the set's first film if empty.

        Raises:
            UserError: there is no set, or it is no footage, or the avatar's is another, or it has no such film,
                or the film is gone.

        """
        data = load_set(folder) if (folder / "set.json").is_file() else None
        if data is None or not data.footage:
            raise UserError(f"'{folder}' is no set of footage: it has no film to put frames into.",
                            "Name no film, but the folder 'set-...' that 'core avatar from-video' made beside the "
                            "avatar, in AVATAR.work.")  # fmt: skip
        if digest(data.proxy) != avatar.hashes[PROXY]:
            raise UserError(f"The avatar '{avatar.card.name}' was not made from '{folder}'.",
                            "Name the set in its own AVATAR.work: another head would not fit the film's.")  # fmt: skip
        number = _numbered(data, name)
        film = Path(data.info.films[number])
        if not film.is_file():
            raise UserError(f"The film '{film}' of '{folder}' is not there.",
                            "Put it back, or make the set again.")  # fmt: skip
        mine = data.params["film"] == number
        if not mine.any():
            raise UserError(f"Of '{film.name}' no picture could be used.", "Choose another film of the set.")
        return Plate(film, fps, 1 + number, {name: values[mine] for name, values in data.params.items()})

    def digest(self) -> str:
        """Of all that its frames and the face in them depend on."""
        parts = [f"{digest(self.film)} {self.fps} {self.look}".encode()]
        parts += [self.rows[name].tobytes() for name in ("time", "crop", *_SEAT)]
        return hashlib.sha256(b" ".join(parts)).hexdigest()

    def crop(self, number: int) -> NDArray[np.float32]:
        """(4,) for a frame of the tracks, counted from 1: that of the set's nearest frame in time."""
        wanted = float((number - 1) / self.fps)
        crop: NDArray[np.float32] = self.rows["crop"][np.abs(self.rows["time"] - wanted).argmin()]
        return crop

    def seated(self, tracks: FaceTracks) -> FaceTracks:
        """The tracks with the film's head motion and gaze: the neck and what the eyes look at are its own."""
        count = len(tracks)
        return replace(tracks, gaze=self._at("gaze", count), head_rotation=self._at("head_rotation", count),
                       head_translation=self._at("head_translation", count))  # fmt: skip

    def shoulders(self, count: int) -> NDArray[np.float32]:
        """(count, 2, 3) of the first frames of the tracks, as `core.training.head_data` has them."""
        return self._at("shoulders", count)

    def _at(self, name: str, count: int) -> NDArray[np.float32]:
        """Rows of the first frames of the tracks."""
        return interpolated(np.arange(count) / float(self.fps), self.rows["time"], self.rows[name])

    def frames(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) upright sRGB, one for each of these ascending numbers, counted from 1.

        Raises:
            UserError: the film ends before, or cannot be read.

        """
        stored = _Stored.of(self.film)
        # Widened in its own format and then converted, as PyAV does it: in one step ffmpeg gives lighter pictures.
        command = [
            *_reading(self.film, "error"), "-vf", f"bwdif={WEAVE},"
            f"fps={self.fps.numerator}/{self.fps.denominator}:start_time=0,"
            f"scale={stored.width}:{stored.height}:flags=bilinear,format={stored.form},scale=flags=bilinear",
            "-pix_fmt", "yuv444p16le" if stored.curve else "rgb24", "-f", "rawvideo", "pipe:1",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            at = 0
            try:
                for number in numbers:
                    content = b""
                    for _ in range(number - at):
                        content = process.stdout.read(stored.count)
                    if len(content) < stored.count:
                        raise self._short(number)
                    at = number
                    yield stored.shown(content)
            finally:
                process.kill()

    def _short(self, number: int) -> UserError:
        return UserError(
            f"'{self.film}' has no frame {number} at {float(self.fps):g} frames/s, or it cannot be "
            "read.", "Render fewer frames with --frames, or use a longer film.",
        )  # fmt: skip


def _numbered(data: RenderSet, name: str) -> int:
    """Which of a set's films is meant."""
    films = [Path(film) for film in data.info.films]
    for number, film in enumerate(films):
        if not name or name == film.name or Path(name).absolute() == film:
            return number
    some = ", ".join(film.name for film in films[:5])
    more = f" and {len(films) - 5} more" if len(films) > 5 else ""
    raise UserError(f"'{name}' is no film of '{data.folder}'.", f"Choose one of: {some}{more}.")


@dataclass(frozen=True)
class _Stored:
    """How a film holds its pictures, as far as ffmpeg passes them on."""

    width: int
    """In square pixels."""
    height: int
    form: str
    """Of its pixels."""
    rotation: float
    """Degrees by which they are to be turned."""
    curve: int
    """`PQ` or `HLG`; 0 of a film that is no HDR."""

    @staticmethod
    def of(film: Path) -> _Stored:
        """What its first picture says; ffmpeg's ``showinfo`` writes that into its log.

        Raises:
            UserError: the film has none, or cannot be read.

        """
        command = [*_reading(film, "info"), "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"]
        log = subprocess.run(command, capture_output=True, check=False).stderr.decode(
            errors="replace"
        )
        said = "\n".join(line for line in log.splitlines() if line.startswith("[Parsed_showinfo"))
        first = re.search(r" fmt:(\S+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) ", said)
        if first is None:
            raise UserError(f"'{film}' is no film that can be read.",
                            "Put the film there that the set was made from.")  # fmt: skip
        across, down, width, height = map(int, first.groups()[1:])
        aspect = Fraction(across, down) if across and down else Fraction(1)
        rotation = re.search(r"displaymatrix: rotation of (-?[\d.]+) degrees", said)
        curve = re.search(r" color_trc:(\S+)", said)
        return _Stored(widened(width, aspect), height, first[1], float(rotation[1]) if rotation else 0.0,
                       _CURVES.get(curve[1], 0) if curve else 0)  # fmt: skip

    @property
    def count(self) -> int:
        """Bytes of a picture."""
        return self.width * self.height * (6 if self.curve else 3)

    def shown(self, content: bytes) -> NDArray[np.uint8]:
        """(H, W, 3) upright sRGB."""
        if self.curve:
            planes = np.frombuffer(content, "<u2").reshape(3, self.height, self.width)
            image = to_srgb(np.moveaxis(planes, 0, 2), self.curve)
        else:
            image = np.frombuffer(content, np.uint8).reshape(self.height, self.width, 3)
        return turned(image, self.rotation)


def _reading(film: Path, log: str) -> list[str]:
    """The beginning of a command: a film's pictures as they are stored; a cover is none."""
    return [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-v", log,
        "-protocol_whitelist", "file,pipe", "-noautorotate", "-i", str(film), "-map", "0:V:0",
    ]  # fmt: skip
