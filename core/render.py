# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks to photoreal frames of an avatar.

The head model is deformed and rasterised in one thread, the network runs in the calling one, and
PNGs are packed and written in a third; torch and zlib let each other run. At most a few frames are
in memory, however long the tracks.

Frames are made one by one, so that a frame's bytes do not depend on which others are made with it.
Beside them, ``frames.json`` tells of each what it was made from and the SHA-256 of its file; a frame
that is there, whole, and made from the same is left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .arkit import EMOTIONS
from .avatars import Avatar, find
from .conditioning import Conditioning, HeadRenderer
from .errors import UserError
from .files import write_bytes
from .precision import autocast
from .progress import Progress, silent
from .protocol import RenderParams
from .tracks import FaceTracks

log = logging.getLogger(__name__)

SIZES = (256, 512)
LEDGER = "frames.json"
PICTURE = 2
"""Goes up with every change of code that gives other pictures from the same avatar."""
AHEAD = 4
"""Frames that wait between two threads."""
SAVE_EVERY = 100
"""Frames between two writings of the ledger."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RenderResult:
    """What a render has done."""

    folder: str
    first: int
    """Number of the first frame, counted from 1."""
    last: int
    rendered: int
    """Frames made now."""
    kept: int
    """Frames that were there already."""

    def __str__(self) -> str:
        """For the command's output."""
        return f"frames {self.first} to {self.last}, {self.rendered} rendered, {self.kept} kept"


@dataclass(frozen=True)
class Rows:
    """The tracks of the frames asked for, as the network takes them; T rows."""

    weights: Floats
    """(T, 52)"""
    gaze: Floats
    """(T, 2, 2) radians"""
    rotation: Floats
    """(T, 3) radians"""
    translation: Floats
    """(T, 3) metres"""
    emotion: Floats
    """(T, 8) in the order of `EMOTIONS`"""

    @staticmethod
    def of(tracks: FaceTracks) -> Rows:
        """All frames of the tracks."""
        emotion = np.zeros((len(tracks), len(EMOTIONS)), np.float32)
        for column, name in enumerate(tracks.emotion_names):
            if name in EMOTIONS:
                emotion[:, EMOTIONS.index(name)] = tracks.emotion[:, column]
        return Rows(tracks.arkit_weights(), tracks.gaze, tracks.head_rotation,
                    tracks.head_translation, emotion)  # fmt: skip

    def digest(self, row: int) -> str:
        """Of everything that a row says."""
        parts = (self.weights, self.gaze, self.rotation, self.translation, self.emotion)
        return hashlib.sha256(b"".join(part[row].tobytes() for part in parts)).hexdigest()


def frame_name(number: int) -> str:
    """File name of a frame, counted from 1."""
    return f"frame_{number:06d}.png"


def render(params: RenderParams, progress: Progress = silent) -> RenderResult:
    """Renders tracks as PNG frames into a folder.

    Raises:
        UserError: tracks, avatar, frames or size are not as they should be, or the folder cannot be
            written; frames that were finished stay.
        Cancelled: out of ``progress``; likewise.

    """
    if params.size not in SIZES:
        raise UserError(f"Expected a size of 256 or 512, got {params.size}.", "Choose one of them.")
    tracks = FaceTracks.load(params.tracks)
    first, last = _range(params.frames, len(tracks))
    avatar = find(params.avatar)
    folder = Path(params.output)
    _make(folder)
    rows = Rows.of(tracks)
    ledger = Ledger(folder, f"{PICTURE} {avatar.key} {params.size} {params.seed}")
    asked = range(first, last + 1)
    keys = {number: rows.digest(number - 1) for number in asked}
    todo = [n for n in asked if params.overwrite or not ledger.has(n, keys[n])]
    kept = len(asked) - len(todo)
    done = kept
    progress("render", done, len(asked))
    try:
        for number, digest in _frames(avatar, rows, todo, folder, params.size, params.seed):
            ledger.add(number, keys[number], digest)
            done += 1
            if (done - kept) % SAVE_EVERY == 0:
                ledger.save()
            progress("render", done, len(asked))
    finally:
        if todo:
            ledger.save()
    return RenderResult(str(folder), first, last, len(todo), kept)


class Ledger:
    """``frames.json``: what each frame in a folder was made from."""

    def __init__(self, folder: Path, setting: str) -> None:
        self._path = folder / LEDGER
        self._setting = hashlib.sha256(setting.encode()).hexdigest()
        self._frames = self._read()

    def has(self, number: int, key: str) -> bool:
        """Whether the frame is there, whole, and made from ``key``."""
        entry = self._frames.get(frame_name(number))
        if entry is None or entry[:2] != [self._setting, key]:
            return False
        try:
            content = (self._path.parent / frame_name(number)).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(content).hexdigest() == entry[2]

    def add(self, number: int, key: str, digest: str) -> None:
        """A frame was made."""
        self._frames[frame_name(number)] = [self._setting, key, digest]

    def save(self) -> None:
        """Writes the file."""
        text = json.dumps({"version": 1, "frames": self._frames}, sort_keys=True)
        write_bytes(self._path, text.encode())

    def _read(self) -> dict[str, list[str]]:
        # A ledger that cannot be read says nothing of the frames: they are made again.
        try:
            said: Any = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(n): [str(v) for v in e] for n, e in said["frames"].items() if len(e) == 3}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _frames(
    avatar: Avatar, rows: Rows, todo: list[int], folder: Path, size: int, seed: int
) -> Iterator[tuple[int, str]]:
    """Makes frames and yields (number, SHA-256 of the file) as they are on disk."""
    if not todo:
        return
    network = avatar.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    renderer = HeadRenderer(avatar.proxy, avatar.camera, avatar.config.resolution)
    noise = torch.randn(1, avatar.config.noise, generator=torch.Generator().manual_seed(seed))
    written: deque[tuple[int, Future[str]]] = deque()
    with (
        ThreadPoolExecutor(1, "conditioning") as painter,
        ThreadPoolExecutor(1, "writing") as writer,
        torch.inference_mode(),
        autocast(renderer.device),
    ):
        try:
            for number, seen in _ahead(painter, renderer, rows, todo):
                emotion = torch.from_numpy(rows.emotion[number - 1 : number])
                rgb = network.picture(seen, network.style(emotion, noise))[0]
                written.append((number, writer.submit(_write, rgb, folder, number, size)))
                if len(written) > AHEAD:
                    yield _finished(written)
            while written:
                yield _finished(written)
        finally:
            painter.shutdown(wait=True, cancel_futures=True)
            writer.shutdown(wait=True, cancel_futures=True)


def _finished(written: deque[tuple[int, Future[str]]]) -> tuple[int, str]:
    number, future = written.popleft()
    return number, future.result()


def _ahead(
    painter: ThreadPoolExecutor, renderer: HeadRenderer, rows: Rows, todo: Iterable[int]
) -> Iterator[tuple[int, Conditioning]]:
    """Conditioning of each frame, some frames ahead of its use."""
    waiting: deque[tuple[int, Future[Conditioning]]] = deque()
    for number in todo:
        waiting.append((number, painter.submit(_condition, renderer, rows, number - 1)))
        if len(waiting) > AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for number, future in waiting:
        yield number, future.result()


@torch.inference_mode()
def _condition(renderer: HeadRenderer, rows: Rows, row: int) -> Conditioning:
    one = slice(row, row + 1)
    return renderer.render(
        rows.weights[one], rows.gaze[one], rows.rotation[one], rows.translation[one]
    )


def _write(rgb: torch.Tensor, folder: Path, number: int, size: int) -> str:
    """Packs (3, H, W) colours as PNG, writes the file, and returns its SHA-256."""
    pixels = (rgb.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    picture = Image.fromarray(pixels.contiguous().numpy())
    if picture.height != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, "PNG", compress_level=3)
    content = file.getvalue()
    write_bytes(folder / frame_name(number), content)
    return hashlib.sha256(content).hexdigest()


def _range(frames: tuple[int, int] | None, count: int) -> tuple[int, int]:
    if count == 0:
        raise UserError("The tracks have no frames.", "Make them again from a longer voice.")
    first, last = frames or (1, count)
    if not 1 <= first <= last <= count:
        raise UserError(f"Expected frames within 1-{count}, got {first}-{last}.",
                        "The tracks have no others.")  # fmt: skip
    return first, last


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot make the folder '{folder}': {error.strerror}.",
                        "Choose a folder that you can write to.") from error  # fmt: skip
