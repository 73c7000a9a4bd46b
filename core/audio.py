# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sound file, or the sound of any film, as mono float samples at 16 kHz.

The packaged ffmpeg (imageio-ffmpeg's) decodes in one pass through a pipe and pydub holds each
block, so hours of sound need memory for the result only, and neither a system ffmpeg nor ffprobe.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from .errors import ExitCode, UserError

with warnings.catch_warnings():
    # pydub looks for a system ffmpeg when it is imported, and says so; it is never asked to run.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

log = logging.getLogger(__name__)

SAMPLE_RATE: Final = 16000
"""Hz of everything that leaves this module."""

_BLOCK_SECONDS: Final = 60
_WAV_HEADER: Final = 44
_LONGEST: Final = 1e9
"""Seconds of a trim that ffmpeg can count; no file is as long."""
_MIXED: Final = "|".join(["mono", "stereo", *(f"{n}C" for n in range(3, 65))])
"""Layouts that are mixed here: of channels that the file does not place, any number."""
_CANCELLING: Final = 0.1
"""Two channels whose mean is weaker than this share of the louder one are in antiphase."""
_FORMATS: Final = "Give a wav, flac, mp3, ogg, opus or m4a file, or a film (mp4, mov, mkv) with sound."


def load(
    path: str | os.PathLike[str], start: float = 0.0, length: float | None = None
) -> npt.NDArray[np.float32]:
    """Read a voice.

    Args:
        path: a sound file or a film.
        start: seconds to skip.
        length: seconds to read; None reads to the end.

    Returns:
        (N,) samples in -1..1, mono, 16 kHz. Time 0 is the file's own time 0: a film whose sound
        begins late has silence first.

    Raises:
        UserError: no such file, not readable, no sound in it, or nothing left after the trim; no
            ffmpeg (code 4).

    """
    blocks = deque(_blocks(_checked(path), *_checked_trim(start, length)))
    count = sum(len(b) for b in blocks)
    if not count:
        cut = f" after {start:g} s" if start else ""
        raise UserError(f"There is no sound in '{path}'{cut}.", "Check the file and the trim.")
    samples = np.empty(count, np.float32)
    at = 0
    while blocks:  # each block is freed as it is converted: one copy of a long voice, not two
        block = blocks.popleft()
        np.multiply(block, np.float32(1 / 32768), out=samples[at : at + len(block)])
        at += len(block)
    return samples


def _checked(path: str | os.PathLike[str]) -> Path:
    source = Path(path)
    if not source.exists():
        raise UserError(f"There is no file '{source}'.", "Check the path.")
    if source.is_dir():
        raise UserError(f"'{source}' is a folder, expected a sound file.", _FORMATS)
    try:
        with open(source, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(f"Cannot read '{source}': {error.strerror or error}.",
                        "Check the file's permissions.") from error  # fmt: skip
    if empty:
        raise UserError(f"'{source}' is empty.", _FORMATS)
    return source.resolve()


def _checked_trim(start: float, length: float | None) -> tuple[float, float | None]:
    if not (math.isfinite(start) and start >= 0):
        raise UserError(f"Expected a start of 0 s or more, got {start}.", "Check the trim.")
    if length is not None and not (math.isfinite(length) and length > 0):
        raise UserError(f"Expected a length of more than 0 s, got {length}.", "Check the trim.")
    return min(start, _LONGEST), None if length is None else min(length, _LONGEST)


def _command(source: Path, start: float, length: float | None) -> list[str]:
    # As output options the trims are exact to the sample. The resampler starts at time stamp 0, and
    # fills gaps, so that sound and picture of a film stay together. It brings surround sound, whose
    # channels have places, to stereo; recorders' tracks have none, and guessed ones could be left out.
    trim = ["-ss", f"{start:.6f}"] + ([] if length is None else ["-t", f"{length:.6f}"])
    filters = f"aresample={SAMPLE_RATE}:async=1:first_pts=0,aformat=channel_layouts={_MIXED}"
    return [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-v", "error",
        "-protocol_whitelist", "file,pipe", "-guess_layout_max", "2", "-i", os.fspath(source), "-map", "0:a:0",
        "-af", filters, *trim, "-c:a", "pcm_s16le", "-fflags", "+bitexact", "-flags:a", "+bitexact",
        "-f", "wav", "pipe:1",
    ]  # fmt: skip


def _blocks(source: Path, start: float, length: float | None) -> Iterator[npt.NDArray[np.int16]]:
    """16-bit mono blocks of the file's sound, as ffmpeg decodes it."""
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                _command(source, start, length),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:  # imageio-ffmpeg's, where it has none
            raise UserError(f"ffmpeg, which reads sound, cannot be started: {error}.",
                            "Run 'python3 -m installer setup' again.", ExitCode.MISSING) from error  # fmt: skip
        assert process.stdout is not None
        found = False
        try:
            for block in _read_wav(process.stdout):
                found = True
                yield block
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
            process.stdout.close()
            process.wait()
        complaints.seek(0)
        said = complaints.read(4000).decode("utf-8", "replace").strip()
    if status and not found:
        log.debug("ffmpeg: %s", said)
        if "matches no streams" in said:
            raise UserError(f"'{source}' has no sound.", _FORMATS)
        raise UserError(f"'{source}' is no sound file that can be read.", _FORMATS)
    if said:
        log.warning("'%s' is damaged; what could be read is used (%s)", source, said.split("\n")[0])


def _read_wav(stream: IO[bytes]) -> Iterator[npt.NDArray[np.int16]]:
    """Mono blocks of a 16-bit wav stream whose header has no extras."""
    header = stream.read(_WAV_HEADER)
    if len(header) < _WAV_HEADER:
        return
    channels = int.from_bytes(header[22:24], "little")
    frame = 2 * channels
    while raw := stream.read(_BLOCK_SECONDS * SAMPLE_RATE * frame):
        raw = raw[: len(raw) // frame * frame]
        if raw:
            yield _mono(AudioSegment(data=raw, sample_width=2, frame_rate=SAMPLE_RATE,
                                     channels=channels))  # fmt: skip


def _mono(block: AudioSegment) -> npt.NDArray[np.int16]:
    """The mean of all channels, or the loudest one where they would cancel each other."""
    channels = block.split_to_mono()
    loudest = max(channels, key=lambda channel: channel.rms)
    samples = np.frombuffer(block.raw_data, np.int16).reshape(-1, len(channels))
    mixed = np.asarray(samples.sum(1, dtype=np.int32) // len(channels), np.int16)
    heard = float(np.sqrt(np.mean(np.square(mixed, dtype=np.float64))))
    # One that speaks among many silent ones is weak in their mean too, and cancels nothing.
    if heard * len(channels) / 2 < _CANCELLING * loudest.rms:
        return np.frombuffer(loudest.raw_data, np.int16)
    return mixed
