# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's speeds on this machine, measured now, each beside what it should be.

- Commands are run as commands, on two processor cores unless told otherwise (on all of them where a GPU does
  the work); what the start takes (the same command on next to nothing) is left out of rates. Processor time
  (user and system, all cores) stands beside wall time: other work on the machine lengthens it less.
- ``core animate``: start-up is the least of three runs on 0.1 s of voice; the real-time factor is the least wall
  time of three runs on 60 s, less the start-up, over 60 s.
- ``core render``: frames a second from tracks to PNG on disk. At a size that the avatar has not, an
  untrained network of that size stands in: speed does not depend on the weights.
- Targets of a GPU are an H200's, on another one scaled by the memory bandwidth measured by copying.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .audio import SAMPLE_RATE
from .errors import ExitCode
from .evaluation.cost import CORES, Cost, run
from .evaluation.table import Row, at_most, text
from .pipeline import animate
from .progress import Progress, silent
from .protocol import AnimateParams
from .version import installed, version

Samples = npt.NDArray[np.float32]

SHORT: Final = 0.1
MINUTE: Final = 60
HOUR: Final = 3600
"""Seconds of voice."""


def bench(avatar: str, cores: int | None = None, *, hour: bool = True) -> int:
    """Print the table, part by part.

    Args:
        avatar: name or folder of the one to render.
        cores: processor cores to use; None is two, or all where there is a GPU.
        hour: also animate 60 minutes of voice.

    Raises:
        UserError: there is no such avatar.

    """
    import torch

    from .avatars import find
    from .bench_render import Machine, render_rows

    subject, machine = find(avatar), Machine.here(cores)
    torch.set_num_threads(machine.cores or torch.get_num_threads())
    print(f"gmtalker {version()}, torch {installed('torch')}, Python {platform.python_version()}, "
          f"{os.cpu_count()} processor cores, {machine}")  # fmt: skip

    def show(rows: list[Row]) -> None:
        print("\n" + text(rows), flush=True)

    with tempfile.TemporaryDirectory(prefix="gmtalker-") as folder:
        show(worker_rows(Path(folder)))
        show(voice_rows(synthetic_voice, hour=hour))
        for size in (256, 512):
            show(render_rows(subject, Path(folder), size, machine))
    return ExitCode.DONE


def worker_rows(folder: Path) -> list[Row]:
    """What Blender waits for."""
    voice = folder / "voice.wav"
    write_wav(voice, synthetic_voice(MINUTE))
    params = AnimateParams(voice=str(voice), output="")
    animate(params)
    began = time.perf_counter()
    animate(params)
    heading = "worker"
    return [
        Row(heading, "ready after, s", worker_start()),
        Row(heading, f"{MINUTE} s of voice with the networks loaded, s", time.perf_counter() - began),
    ]


def voice_rows(
    voice: Callable[[float], Samples], *, hour: bool = True, progress: Progress = silent
) -> list[Row]:
    """How long ``core animate`` takes.

    Args:
        voice: gives so many seconds of speech.
        hour: also 60 minutes of it.
        progress: told the stage ``speed``.

    """
    costs = {}
    plan = [(SHORT, 3), (MINUTE, 3), *([(HOUR, 1)] if hour else [])]
    with tempfile.TemporaryDirectory() as folder:
        for number, (seconds, times) in enumerate(plan, 1):
            file = Path(folder) / "voice.wav"
            write_wav(file, voice(seconds))
            command = [sys.executable, "-m", __package__, "animate", os.fspath(file), "--overwrite",
                       "-o", os.fspath(Path(folder) / "tracks.npz")]  # fmt: skip
            costs[seconds] = min(run(command) for _ in range(times))
            progress("speed", number, len(plan))
    return _voice_rows(costs)


def _voice_rows(costs: dict[float, Cost]) -> list[Row]:
    start, minute = costs[SHORT], costs[MINUTE]
    heading = f"speed of 'core animate' on {min(CORES, os.cpu_count() or 1)} processor cores"
    rows = [
        Row(heading, "start-up, s", start.wall, beside={"processor": start.processor}),
        Row(heading, "60 s of voice: real-time factor", (minute.wall - start.wall) / MINUTE, at_most(0.02),
            {"processor": (minute.processor - start.processor) / MINUTE}),
    ]  # fmt: skip
    if hour := costs.get(HOUR):
        rows += [
            Row(heading, "60 minutes of voice, s", hour.wall, at_most(120), {"processor": hour.processor}),
            Row(heading, "60 minutes of voice, peak memory, GB", hour.memory / 1e9, at_most(2)),
        ]
    return rows


def worker_start() -> float:
    """Seconds from starting a worker to its ``ready``."""
    root = Path(__file__).resolve().parents[1]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", __package__, "worker"], cwd=root, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdin.close()
    return seconds


def synthetic_voice(seconds: float, seed: int = 0) -> Samples:
    """(N,) at 16 kHz: syllables of a buzz through two resonances, with pauses; no words."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    at = np.arange(count) / SAMPLE_RATE
    pitch = 120 * 2 ** (0.25 * np.sin(2 * np.pi * 0.37 * at))
    phase = np.cumsum(pitch) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 24))
    syllables = np.clip(np.sin(2 * np.pi * 4.2 * at), 0, None) ** 0.5
    phrases = np.convolve(rng.random(int(seconds) + 2) > 0.25, [1.0], "same")
    envelope = syllables * np.interp(at, np.arange(len(phrases)), phrases)
    voice = buzz * envelope + 0.02 * rng.standard_normal(count) * envelope
    return np.asarray(0.3 * voice / np.abs(voice).max(), np.float32)


def write_wav(path: Path, samples: Samples) -> None:
    """Write mono 16-bit samples at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
