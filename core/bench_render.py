# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of ``core bench`` that is about photoreal frames."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
import torch

from .arkit import EMOTIONS, EXPRESSION_NAMES
from .avatars import Avatar, save_avatar
from .evaluation.cost import CORES, Cost, run
from .evaluation.table import Row, Target, at_least, at_most
from .models.head import HeadConfig, HeadNetwork
from .precision import has_bfloat16
from .render import studio, torch_threads
from .tracks import FaceTracks

FRAMES: Final = 100
"""Rendered for the rate, after one that only loads."""
_H200: Final = 4.8e12
"""Bytes a second of an H200's memory, by its data sheet."""
_COPIED: Final = 1 << 30


@dataclass(frozen=True)
class Machine:
    """What the frames are made on."""

    device: torch.device
    bfloat16: bool
    cores: int
    """Processor cores that may be used; 0: all."""
    share: float = 1.0
    """Of an H200's memory bandwidth."""

    @staticmethod
    def here(cores: int | None) -> Machine:
        """The one that it runs on, with so many cores; None: two, or all with a GPU."""
        if torch.cuda.is_available():
            device = torch.device("cuda")
            named = "H200" in torch.cuda.get_device_name(device)
            share = 1.0 if named else min(1.0, bandwidth(device) / _H200)
            return Machine(device, has_bfloat16(device), cores or 0, share)
        device = torch.device("cpu")
        return Machine(device, has_bfloat16(device), CORES if cores is None else cores)

    def __str__(self) -> str:
        """For the head of the table."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "no GPU"
        return f"{name}, {'with' if self.bfloat16 else 'without'} bfloat16"

    def rate(self, size: int) -> Target | None:
        """Frames a second from tracks to PNG."""
        if self.device.type == "cpu" and self.cores == CORES and size == 256:
            return at_least(20 if self.bfloat16 else 10)
        return at_least(150 * self.share) if self.device.type == "cuda" and size == 512 else None

    def network_rate(self, size: int) -> Target | None:
        """Frames a second of the network alone."""
        return at_least(500 * self.share) if self.device.type == "cuda" and size == 512 else None

    def memory(self) -> Target | None:
        """Gigabytes at the peak."""
        return at_most(2) if self.device.type == "cpu" else None


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a GPU's memory reads and writes."""
    source = torch.empty(_COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize(device)
    return 10 * 2 * _COPIED / (time.perf_counter() - began)


def render_rows(avatar: Avatar, folder: Path, size: int, machine: Machine) -> list[Row]:
    """How fast frames of one size are made."""
    subject = avatar if avatar.config.resolution == size else untrained(avatar, folder, size)
    heading = f"'core render', {size} x {size}, {'all' if not machine.cores else machine.cores} processor cores"
    tracks, out = folder / "tracks.npz", folder / f"frames {size}"
    moving_tracks(FRAMES + 1).save(tracks)
    command = [sys.executable, "-m", __package__, "render", os.fspath(tracks), "--avatar", os.fspath(subject.folder),
               "--size", str(size), "--overwrite", "-o", os.fspath(out), "--frames"]  # fmt: skip
    first = min(run([*command, "1"], machine.cores) for _ in range(2))
    whole = run([*command, f"1-{FRAMES + 1}"], machine.cores)
    rate, engine = network_rate(subject, machine.cores)
    processor = 1000 * (whole.processor - first.processor) / FRAMES
    return [
        Row(heading, "tracks to PNG on disk, frames/s", rate_of(first, whole), machine.rate(size),
            {"processor ms a frame": processor}, subject.card.source if subject is not avatar else ""),
        Row(heading, "network alone, frames/s", rate, machine.network_rate(size), note=engine),
        Row(heading, "start-up, s", first.wall, beside={"processor": first.processor}),
        Row(heading, "peak memory, GB", whole.memory / 1e9, machine.memory()),
    ]  # fmt: skip


def rate_of(first: Cost, whole: Cost) -> float:
    """Frames a second beyond the first; nan where other work made the start the longer run."""
    took = whole.wall - first.wall
    return FRAMES / took if took > 0 else math.nan


def untrained(avatar: Avatar, folder: Path, size: int) -> Avatar:
    """The avatar with a network of another size that has learned nothing."""
    torch.manual_seed(0)
    card = replace(avatar.card, name=f"untrained {size}", source="an untrained network of this size")
    network = HeadNetwork(HeadConfig(resolution=size, atlas=True, sharpening=0.03))
    return save_avatar(folder / card.name, card, avatar.camera, network, avatar.proxy)


def moving_tracks(count: int) -> FaceTracks:
    """A face in which everything moves, so that no frame is another's."""
    phase = np.arange(count)[:, None] / 25

    def wave(columns: int, size: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (size * np.sin(2 * np.pi * phase * (1 + 0.1 * np.arange(columns)))).astype(np.float32)

    return FaceTracks(
        fps=Fraction(25), expression=np.abs(wave(len(EXPRESSION_NAMES), 0.3)), blink=np.abs(wave(2, 0.5)),
        gaze=wave(4, 0.1).reshape(-1, 2, 2), head_rotation=wave(3, 0.1), head_translation=wave(3, 0.003),
        emotion=np.tile(np.eye(1, len(EMOTIONS), dtype=np.float32), (count, 1)),
    )  # fmt: skip


def network_rate(avatar: Avatar, cores: int) -> tuple[float, str]:
    """Frames a second of the network, its input at hand, and the name of the engine that runs it."""
    with held_to(cores):
        made = studio(avatar)
        engine, count = made.engine, made.engine.batch
        tracks = moving_tracks(count)
        seen = made.renderer.render(
            tracks.arkit_weights(), tracks.gaze, tracks.head_rotation, tracks.head_translation
        )
        emotion, look = torch.from_numpy(tracks.emotion), torch.zeros(count, dtype=torch.int64)
        variety = torch.zeros(count, made.network.config.noise)

        def frames(times: int) -> None:
            jobs = [lanes.submit(engine.pictures, seen, emotion, look, variety) for _ in range(times)]
            for job in jobs:
                job.result()

        with torch_threads(engine.threads), ThreadPoolExecutor(engine.lanes) as lanes:
            frames(2 * engine.lanes)
            began = time.perf_counter()
            frames(FRAMES)
            return count * FRAMES / (time.perf_counter() - began), engine.name


@contextmanager
def held_to(cores: int) -> Iterator[None]:
    """Threads that begin in the block run on so many cores, 0 for all; where the system can."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
