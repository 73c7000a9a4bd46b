# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job end to end: a voice in; a keyframed .blend, a talking head's film and a sheet out."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import blender, download, engine, environment
from .environment import Network
from .errors import BAD_INPUT, DEVICE, USAGE, UserError, told
from .exclusive import only_one
from .places import ROOT, blender_folder, engine_record, home
from .progress import left, say

SAMPLE = ROOT / "demo" / "voice.wav"
OUT = ROOT / "out" / "demo"
ELSEWHERE = f"copy {ROOT} to a folder of your own"
SEED = 7
KEPT = ("demo.blend", "demo.mp4", "tracks.npz", "sheet.png")
"""What the report gives hashes of."""


def run(voice: Path | None, kind: str | None, series: str | None, network: Network) -> int:
    """Set up, do the job on ``voice`` (or the sample), and put the result into ``out/demo``."""
    voice = checked(SAMPLE if voice is None else voice.expanduser().absolute())
    times: dict[str, float] = {}
    chosen = blender.choose(series)
    with told(OUT, ELSEWHERE), only_one(OUT.parent):
        began = time.monotonic()
        python = engine.ensure(kind, network)
        bpy_python = blender.ensure(chosen, network)
        times["set-up"] = time.monotonic() - began
        work, old = OUT.with_name("demo.part"), OUT.with_name("demo.old")
        remove(work)
        work.mkdir(parents=True)
        try:
            began = time.monotonic()
            job = make(work, voice, bpy_python, times)
            step(times, "sheet", [str(python), "-m", "demo.sheet", str(work)], plain())
            times["job"] = time.monotonic() - began
            environment.write_json(work / "report.json", report(work, voice, chosen, job, times))
            for scratch in ("job.json", "heads", "build", "user"):
                remove(work / scratch)
            remove(old)
            if OUT.exists():
                os.replace(OUT, old)
            os.replace(work, OUT)
            remove(old)
        finally:
            remove(work)
    say(f"Set-up {left(times['set-up'])}, job {left(times['job'])}. The result is in:")
    sys.stdout.write(f"{OUT}\n")
    return 0


def checked(voice: Path) -> Path:
    """The voice, when it is a file that can be read."""
    if not voice.is_file():
        raise UserError(f"There is no file {voice}.", "Give a sound or film file.", BAD_INPUT)
    if not os.access(voice, os.R_OK):
        raise UserError(
            f"{voice} cannot be read.", "Give yourself permission to read it.", BAD_INPUT
        )
    return voice


def make(work: Path, voice: Path, python: Path, times: dict[str, float]) -> dict[str, Any]:
    """Build and install the extension, drive its operators, and return what the scene script told."""
    began = time.monotonic()
    package = blender.build_extension(python, work / "build")
    times["build"] = time.monotonic() - began
    copy = work / f"voice{voice.suffix.lower()}"
    shutil.copyfile(voice, copy)
    surroundings = {**blender.surroundings(work / "user"), "GMTALKER_HOME": str(home())}
    script = [str(python), str(ROOT / "demo" / "scene.py")]
    asked = [str(work), copy.name, str(package), str(SEED), voice.name]
    step(times, "scene", [*script, *asked], surroundings)
    job: dict[str, Any] = json.loads((work / "job.json").read_text(encoding="utf-8"))
    del job["font"]
    times.update(job.pop("times"))
    return job


def report(
    work: Path, voice: Path, series: str, job: Mapping[str, Any], times: Mapping[str, float]
) -> dict[str, Any]:
    """What was made, from what, by what, and how long it took (seconds)."""
    installed = environment.read_record(engine_record())
    bpy = environment.read_record(blender_folder(series).with_name(f"{series}.json"))
    keys = ("engine", "python", "torch", "cuda")
    return {
        "voice": {"name": voice.name, "sha256": download.sha256(voice)},
        "seed": SEED,
        **job,
        "versions": {
            "gmtalker": job["version"],
            "blender": bpy["blender"],
            "blender python": bpy["python"],
            **{key: installed[key] for key in keys},
            "packages": installed["packages"],
        },
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "models": {
            path.relative_to(ROOT).as_posix(): download.sha256(path)
            for path in sorted((ROOT / "core").rglob("*.safetensors"))
        },
        "sha256": {name: download.sha256(work / name) for name in KEPT},
        "seconds": {name: round(value, 2) for name, value in times.items()},
    }


def step(
    times: dict[str, float], name: str, command: Sequence[str], surroundings: Mapping[str, str]
) -> None:
    """Run one program of the job; its chatter on stdout goes into a log, its words on stderr on."""
    began = time.monotonic()
    with told(home()), (home() / "demo.log").open("ab") as log:
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings, stdin=subprocess.DEVNULL, stdout=log, check=False
        )
    times[name] = time.monotonic() - began
    if done.returncode in range(USAGE, DEVICE + 1):
        raise SystemExit(done.returncode)  # it has said itself what is the matter
    if done.returncode:
        raise RuntimeError(f"the {name} step ended with {done.returncode}")


def plain() -> dict[str, str]:
    """Surroundings in which no Python of the user's has a say."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def remove(path: Path) -> None:
    """Remove a file or folder that may not be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
