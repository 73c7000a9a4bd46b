# SPDX-License-Identifier: GPL-3.0-or-later
"""How long ``core animate`` takes, as a command of its own on at most two processor cores.

- start-up = least wall time of three runs on 0.1 s of voice: interpreter, networks and all.
- real-time factor = (wall time on 60 s of voice - start-up) / 60 s, the least of three runs.
- 60 minutes: wall time and peak resident memory of the command.

Processor time (user and system, all cores) stands beside each wall time: what else runs on the machine
lengthens this less.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE
from ...bench import write_wav
from ..cost import CORES, run
from ..table import Row, at_most
from .voices import Bench, Samples

_SHORT, _MINUTE, _HOUR = 0.1, 60, 3600


def speech(bench: Bench, seconds: float) -> Samples:
    """So much real speech, from the start again where the data end."""
    voice = np.concatenate([c.samples for c in bench.clips("librispeech")])
    return np.resize(voice, round(seconds * SAMPLE_RATE))


def rows(bench: Bench) -> list[Row]:
    """The speed's part of the table."""
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (seconds, times) in enumerate(((_SHORT, 3), (_MINUTE, 3), (_HOUR, 1)), 1):
            voice = Path(folder) / "voice.wav"
            write_wav(voice, speech(bench, seconds))
            command = [sys.executable, "-m", "core", "animate", os.fspath(voice), "--overwrite",
                       "-o", os.fspath(Path(folder) / "tracks.npz")]  # fmt: skip
            costs[seconds] = min(run(command) for _ in range(times))
            bench.progress("speed", number, 3)
    start, minute, hour = (costs[s] for s in (_SHORT, _MINUTE, _HOUR))
    heading = f"speed of 'core animate' on {min(CORES, os.cpu_count() or 1)} processor cores"
    return [
        Row(heading, "start-up, s", start.wall, beside={"processor": start.processor}),
        Row(heading, "60 s of voice: real-time factor", (minute.wall - start.wall) / _MINUTE, at_most(0.02),
            {"processor": (minute.processor - start.processor) / _MINUTE}),
        Row(heading, "60 minutes of voice, s", hour.wall, at_most(120), {"processor": hour.processor}),
        Row(heading, "60 minutes of voice, peak memory, GB", hour.memory / 1e9, at_most(2)),
    ]  # fmt: skip
