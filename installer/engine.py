# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's environment: torch and the rest, for one kind of device."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from . import environment
from .environment import Environment, Network
from .errors import DEVICE, UserError
from .places import ENGINE_PYTHONS, REQUIREMENTS, engine_folder, engine_record, interpreter

LOCKS = {"cpu": "cpu.txt", "cuda": "cuda.txt", "mps": "cpu.txt"}
"""One lock each; on macOS the index's one build serves both the processor and MPS."""

_CHECK = """
import json, sys
import cv2, imageio_ffmpeg, librosa, numpy, platformdirs, pydub, safetensors, scipy, soundfile, soxr, torch
print(json.dumps({"engine": %r, "python": sys.version.split()[0],
                  "torch": torch.__version__, "cuda": torch.version.cuda}))
"""


def default_kind() -> str:
    """MPS on a Mac with Apple silicon, else the processor; CUDA only when asked for."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mps" if apple else "cpu"


def wanted(kind: str, python: Path, developer: bool = False) -> Environment:
    """The environment for one kind of engine, with the test run's tools for a ``developer``."""
    locks = [REQUIREMENTS / LOCKS[kind]]
    if developer:
        locks.append(REQUIREMENTS / "dev.txt")
    return Environment(
        title=f"the {kind} engine",
        folder=engine_folder(),
        record=engine_record(),
        locks=tuple(locks),
        python=python,
        check=_CHECK % kind,
    )


def ensure(kind: str | None, network: Network, developer: bool = False) -> Path:
    """Set the engine up where it is not, and return its Python.

    Without a ``kind`` an engine that is there is kept, whatever it was made for.
    """
    there = environment.read_record(engine_record()).get("engine")
    kind = kind or (there if there in LOCKS else default_kind())
    _refuse_impossible(kind)
    env = wanted(kind, find_python(kind), developer)
    environment.ensure(env, network)
    record = environment.read_record(engine_record())
    if kind != "cuda" and record.get("cuda"):
        engine_record().unlink()
        raise RuntimeError(f"torch {record['torch']} is a CUDA build in a {kind} engine")
    return env.interpreter


def find_python(kind: str) -> Path:
    """The interpreter to make the engine with: this one, or another that the locks serve."""
    served = ENGINE_PYTHONS
    if kind == "cuda" and sys.platform == "win32":
        served = served[1:]  # torch.sha256 knows no CUDA build for Windows and Python 3.11
    return environment.find_python("engine", served)


def _refuse_impossible(kind: str) -> None:
    if kind == "mps" and default_kind() != "mps":
        raise UserError(
            "An MPS engine needs a Mac with Apple silicon.", "Use --engine cpu or cuda.", DEVICE
        )
    if kind == "cuda" and sys.platform == "darwin":
        raise UserError("There is no CUDA on macOS.", "Use --engine mps or cpu.", DEVICE)


def installed_python() -> Path:
    """The interpreter of a whole engine; an error with the command to run where there is none."""
    path = interpreter(engine_folder())
    if not environment.read_record(engine_record()) or not path.exists():
        raise UserError(
            f"No engine in {engine_folder().parent}.",
            f"Set it up with: {Path(sys.executable).name} -m installer setup",
        )
    return path
