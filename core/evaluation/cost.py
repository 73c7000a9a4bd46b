# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command takes: seconds and memory, run as a command of its own on so many processor cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import UserError

CORES: Final = 2
"""Processor cores that the targets are for."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_WEIGH: Final = Path(__file__).with_name("weigh.py")


class Cost(NamedTuple):
    """What a run took."""

    wall: float
    """seconds"""
    processor: float
    """seconds of all cores; nan on a system that does not tell"""
    memory: float
    """bytes, at the peak; likewise"""


def run(command: list[str], cores: int = CORES) -> Cost:
    """Run a command to its end on at most ``cores`` processor cores, 0 for all.

    Raises:
        UserError: it fails.

    """
    threads = {"OMP_NUM_THREADS": str(cores)} if cores else {}
    done = subprocess.run([sys.executable, os.fspath(_WEIGH), str(cores), *command], cwd=_ROOT,
                          env=os.environ | threads, stdout=subprocess.PIPE, text=True,
                          encoding="utf-8", check=True)  # fmt: skip
    *said, last = done.stdout.strip().splitlines()
    used = json.loads(last)
    if code := used.pop("code"):
        raise UserError(f"'{' '.join(command)}' ended with {code} and said '{said[-1] if said else ''}'.",
                        "Mend that first.")  # fmt: skip
    return Cost(**used)
