# SPDX-License-Identifier: GPL-3.0-or-later
"""Face tracks to photoreal frames of an avatar.

Lanes, as many as the engine wants, each take a few frames through conditioning and network; other
threads pack and write the PNGs. All of this is work outside of Python's lock, so the machine's cores
are busy whatever a stage costs. At most a few frames are in memory, however long the tracks.

On the CPU frames are made one by one, on a GPU in batches of one size, so that a frame's bytes do not
depend on which others are made with it. When a GPU's memory runs out the batch halves, down to one
frame; only then it is an error.

At 256 pixels, milliseconds of one core a frame: conditioning 19, network 23 (bfloat16) or 61
(float32, see `core.engines.exported`), PNG and file 3; with everything between, 46 or 94.

Beside them, ``frames.json`` tells of each what it was made from and the SHA-256 of its file; a frame
that is there, whole, and made from the same is left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .arkit import EMOTIONS
from .avatars import Avatar, find
from .cli.guard import is_out_of_memory
from .composite import paste
from .conditioning import HeadRenderer
from .engines import Engine, choose
from .errors import ExitCode, UserError
from .files import write_bytes
from .models.head import HeadNetwork
from .plate import Plate
from .png import pack
from .progress import Progress, silent
from .protocol import RenderParams
from .tracks import FaceTracks

log = logging.getLogger(__name__)

SIZES = (256, 512)
LEDGER = "frames.json"
PICTURE = 3
"""Goes up with every change of code that gives other pictures from the same avatar."""
AHEAD = 2
"""Batches that wait for each thread."""
WRITERS = 8
"""Threads that write, at most; on the CPU as many as lanes."""
SAVE_EVERY = 100
"""Frames between two writings of the ledger."""

Floats = NDArray[np.float32]
Behind = tuple[NDArray[np.uint8], Floats] | None
"""A film's frame and the crop in it that the face fills."""


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
    look: NDArray[np.int64]
    """(T,) 0 the usual one, 1 that of the first film, ..."""
    shoulders: Floats | None = None
    """(T, 2, 3), see `HeadRenderer.render`; None: they go with the head as they do in the
    avatar's footage"""

    @staticmethod
    def of(tracks: FaceTracks, plate: Plate | None = None) -> Rows:
        """All frames of the tracks; with the head, gaze, shoulders and look of the film that they go into."""
        look, shoulders = 0, None
        if plate is not None:
            tracks, look, shoulders = plate.seated(tracks), plate.look, plate.shoulders(len(tracks))
        emotion = np.zeros((len(tracks), len(EMOTIONS)), np.float32)
        for column, name in enumerate(tracks.emotion_names):
            if name in EMOTIONS:
                emotion[:, EMOTIONS.index(name)] = tracks.emotion[:, column]
        return Rows(tracks.arkit_weights(), tracks.gaze, tracks.head_rotation,
                    tracks.head_translation, emotion, np.full(len(tracks), look, np.int64), shoulders)  # fmt: skip

    def digest(self, row: int) -> str:
        """Of everything that a row says."""
        parts = (self.weights, self.gaze, self.rotation, self.translation, self.emotion, self.look)
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
    if params.alpha and params.into:
        raise UserError("Frames pasted into a film have no alpha.", "Leave out --alpha or --into.",
                        ExitCode.USAGE)  # fmt: skip
    if params.film and not params.into:
        raise UserError(f"No set is given that the film '{params.film}' is in.", "Name the set with --into SET.",
                        ExitCode.USAGE)  # fmt: skip
    if params.size not in SIZES:
        raise UserError(f"Expected a size of 256 or 512, got {params.size}.", "Choose one of them.")
    tracks = FaceTracks.load(params.tracks)
    first, last = _range(params.frames, len(tracks))
    avatar = find(params.avatar)
    if params.alpha and not avatar.config.alpha:
        raise UserError(f"The avatar '{avatar.card.name}' makes no alpha.",
                        "Avatars made from footage do; leave out --alpha.")  # fmt: skip
    folder = Path(params.output)
    _make(folder)
    plate = Plate.of(Path(params.into), avatar, tracks.fps, params.film) if params.into else None
    rows = Rows.of(tracks, plate)
    setting = f"{PICTURE} {avatar.key} {params.size} {params.seed} {params.alpha}"
    if plate is not None:
        setting += f" {plate.digest()}"
    ledger = Ledger(folder, setting)
    asked = range(first, last + 1)
    keys = {number: rows.digest(number - 1) for number in asked}
    todo = [n for n in asked if params.overwrite or not ledger.has(n, keys[n])]
    kept = len(asked) - len(todo)
    done = kept
    progress("render", done, len(asked))
    try:
        for number, content in _frames(avatar, rows, todo, plate, params):
            ledger.add(number, keys[number], content)
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


@dataclass(frozen=True)
class Studio:
    """An avatar ready to be rendered."""

    engine: Engine
    renderer: HeadRenderer
    network: HeadNetwork

    def pictures(self, rows: Rows, numbers: list[int], seed: int) -> NDArray[np.uint8]:
        """(B, H, W, channels) of these frames; where memory runs out, of half as many at a time."""
        made: list[NDArray[np.uint8]] = []
        while numbers:
            # Batches may have been planned before the memory ran out for another.
            count = self.engine.batch
            try:
                made.append(self._pictures(rows, np.array(numbers[:count]) - 1, seed))
                numbers = numbers[count:]
                continue
            except BaseException as error:
                if count == 1 or not is_out_of_memory(error):
                    raise
            # Outside of the handler, for the traceback holds on to what filled the memory.
            self.engine.shrink()
            log.warning("memory ran out with %d frames at once: going on with half", count)
        return np.concatenate(made)

    @torch.inference_mode()
    def _pictures(self, rows: Rows, which: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        # A GPU chooses its kernels by the batch: filled up, a frame is the same whatever is made with it.
        count = len(which)
        which = np.pad(which, (0, self.engine.batch - count), mode="edge")
        translation = rows.translation[which]
        shoulders = self.network.carried(torch.from_numpy(translation)).numpy()
        if rows.shoulders is not None:
            shoulders = rows.shoulders[which]
        seen = self.renderer.render(
            rows.weights[which], rows.gaze[which], rows.rotation[which], translation, shoulders
        )
        variety = torch.randn(1, self.network.config.noise, generator=torch.Generator().manual_seed(seed))
        variety = variety.expand(len(which), -1)
        emotion, look = torch.from_numpy(rows.emotion[which]), torch.from_numpy(rows.look[which])
        return self.engine.pictures(seen, emotion, look, variety)[:count]


_kept: dict[tuple[str, str], Studio] = {}
"""The last one: a worker that is asked for one frame after another exports its network once."""


def studio(avatar: Avatar, device: str = "auto") -> Studio:
    """The avatar on the fastest engine for a device.

    Raises:
        UserError: there is no such device, or the avatar's network does not fit.

    """
    name = avatar.key, device
    if name not in _kept:
        _kept.clear()
        network = avatar.network()
        engine = choose(network, device)
        size = avatar.config.resolution
        renderer = HeadRenderer(avatar.proxy, avatar.camera, size, engine.canvas, atlas=network.config.atlas)
        _kept[name] = Studio(engine, renderer, network)
        log.info("%s, %d lanes", engine.name, engine.lanes)
    return _kept[name]


def _frames(
    avatar: Avatar, rows: Rows, todo: list[int], plate: Plate | None, params: RenderParams
) -> Iterator[tuple[int, str]]:
    """Makes frames and yields (number, SHA-256 of the file) as they are on disk."""
    if not todo:
        return
    made = studio(avatar, params.device)
    engine = made.engine
    folder = Path(params.output)
    behind: Iterator[Behind] = repeat(None)
    if plate is not None:
        behind = zip(plate.frames(todo), map(plate.crop, todo))
    batches = [todo[i : i + engine.batch] for i in range(0, len(todo), engine.batch)]
    writers = min(WRITERS, max(engine.lanes, os.cpu_count() or 1))
    asked: deque[tuple[list[int], Future[NDArray[np.uint8]]]] = deque()
    written: deque[tuple[int, Future[str]]] = deque()
    with (
        torch_threads(engine.threads),
        _pool(engine.lanes, "picturing") as lanes,
        _pool(writers, "writing") as writing,
    ):
        for batch in [*batches, []]:
            if batch:
                asked.append((batch, lanes.submit(made.pictures, rows, batch, params.seed)))
            while asked and (len(asked) > AHEAD * engine.lanes or not batch):
                numbers, pictures = asked.popleft()
                for number, pixels in zip(numbers, pictures.result(), strict=True):
                    pixels = pixels if params.alpha else pixels[..., :3]
                    path = folder / frame_name(number)
                    job = writing.submit(_write, pixels, next(behind), path, params.size)
                    written.append((number, job))
                while len(written) > AHEAD * max(writers, engine.batch):
                    yield _finished(written)
        while written:
            yield _finished(written)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads within each of torch's operators, for threads that begin in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _pool(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads whose waiting work is dropped when the block ends, however it ends."""
    pool = ThreadPoolExecutor(count, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(written: deque[tuple[int, Future[str]]]) -> tuple[int, str]:
    number, future = written.popleft()
    return number, future.result()


def _write(pixels: NDArray[np.uint8], behind: Behind, path: Path, size: int) -> str:
    """Packs (H, W, channels) as PNG, writes the file, and returns its SHA-256."""
    if behind is not None:
        pixels = paste(behind[0], pixels, behind[1].tolist())
    elif len(pixels) != size:
        picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(picture)
    content = pack(pixels)
    write_bytes(path, content)
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
