# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's speeds on this machine, measured now."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .audio import SAMPLE_RATE
from .errors import ExitCode, UserError
from .pipeline import animate, load_models
from .protocol import AnimateParams, RenderParams
from .tracks import FaceTracks
from .version import installed, version

VOICE_SECONDS: Final = 60.0
FRAMES: Final = 25
"""frames rendered for the figure, after one that only loads"""


def bench(avatar: str, threads: int | None = None) -> int:
    """Print the table."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    print(f"gmtalker {version()}, torch {installed('torch')}, Python {platform.python_version()}, "
          f"{os.cpu_count()} processors, {torch.get_num_threads()} threads")  # fmt: skip
    _row("what", "measured", "")
    _row("worker ready", worker_start(), "s")
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder, "voice.wav")
        write_wav(voice, synthetic_voice(VOICE_SECONDS))
        params = AnimateParams(voice=str(voice), output=str(voice.with_suffix(".npz")))
        load_models.cache_clear()
        _row("animate 60 s of voice, networks not loaded", _timed(params)[0], "s")
        seconds, tracks = _timed(params)
        _row("animate 60 s of voice, networks loaded", seconds, "s")
        _row("  seconds of work per second of voice", seconds / VOICE_SECONDS, "")
        tracks.cut(0, FRAMES).save(Path(folder, "tracks.npz"))
        for size in (256, 512):
            _render_row(Path(folder), avatar, size)
    return ExitCode.DONE


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


def synthetic_voice(seconds: float, seed: int = 0) -> npt.NDArray[np.float32]:
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


def write_wav(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write mono 16-bit samples at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def _timed(params: AnimateParams) -> tuple[float, FaceTracks]:
    began = time.perf_counter()
    tracks = animate(params)
    return time.perf_counter() - began, tracks


def _render_row(folder: Path, avatar: str, size: int) -> None:
    from .render import render

    label = f"render {avatar} at {size} x {size}"
    tracks, out = str(folder / "tracks.npz"), str(folder / f"frames{size}")
    try:
        render(RenderParams(tracks, avatar, out, (1, 1), size))
        began = time.perf_counter()
        render(RenderParams(tracks, avatar, out, (2, FRAMES + 1), size))
    except UserError as error:
        print(f"{label}: {error}")
        return
    _row(label, FRAMES / (time.perf_counter() - began), "frames/s")


def _row(what: str, value: float | str, unit: str) -> None:
    shown = value if isinstance(value, str) else f"{value:.3f}"
    print(f"{what:<46} {shown:>10} {unit}".rstrip(), flush=True)
