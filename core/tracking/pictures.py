# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a film as they are meant to be seen: upright, whole frames, sRGB.

Fields of interlaced films are woven into whole frames (bwdif); films of high dynamic range are brought
to sRGB (ITU-R BT.2100 for both curves, BT.2087 for the primaries); a film of variable rate keeps the
times of its pictures. `opened` needs PyAV: the tracker's environment has it. `core.plate` reads films through
ffmpeg instead, and shows them alike by what it takes from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import UserError

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_FILMS: Final = "Give a film (mp4, mov, mkv, avi, webm) that shows a face."
PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273: SMPTE ST 2084, ARIB STD-B67."""
WEAVE: Final = "mode=send_frame:deint=interlaced"
"""Of bwdif; whole pictures pass as they are."""
_WHITE: Final = 203.0
"""cd/m2 of diffuse white (ITU-R BT.2408)."""
_KNEE: Final = 0.8
"""Of diffuse white, above which light is compressed."""
_TO_709: Final = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""BT.2020 to BT.709 primaries, linear light (ITU-R BT.2087, annex 2)."""
_THREADS: Final = 1
"""That convert a picture. PyAV's rows lie end to end and swscale writes whole vectors, beyond a row's end into the next
one: with more threads, another may have written that row already."""


class Reel:
    """The pictures of one open film, in time."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self._began = Fraction(container.start_time or 0, 1_000_000)
        self.rate: Fraction = stream.average_rate or Fraction(0)
        """As the stream states it, 0 where it does not."""
        guess = (container.duration or 0) / 1_000_000 * (self.rate or 25)
        self.total: int = stream.frames or round(guess)
        """A guess."""
        self.interlaced = False
        """Whether pictures so far had fields."""
        self.curve = 0
        """Transfer characteristics of the pictures so far (ITU-T H.273)."""

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """(H, W, 3) sRGB pictures with the seconds of the file at which they are seen, rising."""
        last = -np.inf
        for picture, rotation in self._whole():
            at = float(picture.pts * picture.time_base - self._began)
            if at > last:
                last = at
                self.curve = int(picture.color_trc or 0)
                yield self._upright(picture, rotation), at

    def _whole(self) -> Iterator[tuple[Any, float]]:
        """Frames without fields, each with the degrees by which it is to be turned."""
        weave = None
        rotation = 0.0
        for picture in self._decoded():
            rotation = picture.rotation
            if picture.interlaced_frame and weave is None:
                self.interlaced = True
                weave = _weaver(self._stream)
            if weave is None:
                yield picture, rotation
            else:
                weave.vpush(picture)
                yield from ((woven, rotation) for woven in _pulled(weave))
        if weave is not None:
            weave.vpush(None)
            yield from ((woven, rotation) for woven in _pulled(weave))

    def _decoded(self) -> Iterator[Any]:
        """Every picture that can be decoded; a damaged packet costs its own pictures alone."""
        import av

        for packet in self._container.demux(self._stream):
            try:
                yield from (p for p in packet.decode() if p.pts is not None)
            except av.error.InvalidDataError:
                continue

    def _upright(self, picture: Any, rotation: float) -> Image:
        aspect = self._stream.sample_aspect_ratio or 1
        if aspect != 1:
            picture = picture.reformat(width=widened(picture.width, aspect), threads=_THREADS)
        if self.curve in (PQ, HLG):
            image = to_srgb(picture.to_ndarray(format="yuv444p16le", threads=_THREADS), self.curve)
        else:
            image = picture.to_ndarray(format="rgb24", threads=_THREADS)
        return turned(image, rotation)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reel]:
    """Open a film.

    Raises:
        UserError: there is none, or it has no moving picture, or it cannot be read.

    """
    import av

    if not Path(path).is_file():
        raise UserError(f"There is no file '{path}'.", "Check the path.")
    try:
        with av.open(os.fspath(path)) as film:
            stream = _pictures_of(film, path)
            stream.thread_type = "AUTO"
            yield Reel(film, stream)
    except av.error.FFmpegError as error:
        raise UserError(f"'{path}' is no film that can be read ({error.strerror}).", _FILMS) from error  # fmt: skip


def widened(width: int, aspect: Fraction | int) -> int:
    """Columns of square pixels for as many of this aspect, width by height."""
    return round(width * aspect)


def turned(image: Image, rotation: float) -> Image:
    """A stored picture upright; degrees as the film states them, by quarters."""
    return np.ascontiguousarray(np.rot90(image, round(rotation / 90) % 4))


def to_srgb(planes: npt.NDArray[np.uint16], curve: int) -> Image:
    """Pictures of high dynamic range to sRGB; diffuse white stays below white, lights are compressed.

    Args:
        planes: (H, W, 3) Y', Cb, Cr of BT.2020 in the narrow range, 16 bits.
        curve: `PQ` or `HLG`.

    Returns:
        (H, W, 3).

    """
    y, cb, cr = np.moveaxis(np.asarray(planes, np.float32) / 256, 2, 0)
    y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    # BT.2020, table 4: luma coefficients 0.2627, 0.6780, 0.0593.
    red, blue = y + 1.4746 * cr, y + 1.8814 * cb
    green = (y - 0.2627 * red - 0.0593 * blue) / 0.6780
    signal = np.clip(np.stack([red, green, blue], -1), 0, 1)
    light = (_pq(signal) if curve == PQ else _hlg(signal)) @ _TO_709.T
    peak = light.max(-1, keepdims=True)
    over = np.maximum(peak - _KNEE, 0) / (1 - _KNEE)
    # One factor for the three colours keeps the hue of skin.
    light *= np.where(peak > _KNEE, (_KNEE + (1 - _KNEE) * over / (1 + over)) / np.maximum(peak, 1e-6), 1)
    light = np.clip(light, 0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(shown * 255), np.uint8)


def _pq(signal: Floats) -> Floats:
    """Light in units of diffuse white (BT.2100, table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return np.asarray((np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * (10000 / _WHITE), np.float32)


def _hlg(signal: Floats) -> Floats:
    """Light in units of diffuse white, on a screen of 1000 cd/m2 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return np.asarray(scene * luma[..., None] ** 0.2 * (1000 / _WHITE), np.float32)


def _pictures_of(film: Any, path: str | os.PathLike[str]) -> Any:
    """The stream of moving pictures; the cover of a record is none."""
    from av.stream import Disposition

    for stream in film.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise UserError(f"'{path}' has no moving picture.", _FILMS)


def _weaver(stream: Any) -> Any:
    import av

    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream),
        graph.add("bwdif", WEAVE),
        graph.add("buffersink"),
    ).configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
