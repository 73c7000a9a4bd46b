# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command takes: seconds and memory, run as a command of its own on at most two processor cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import UserError

CORES: Final = 2
_ROOT: Final = Path(__file__).resolve().parents[2]
_WEIGH: Final = Path(__file__).with_name("weigh.py")


class Cost(NamedTuple):
    """What a run took."""

    wall: float
    """seconds"""
    processor: float
    """seconds of all cores"""
    memory: float
    """bytes, at the peak"""


def run(command: list[str]) -> Cost:
    """Run a command to its end.

    Raises:
        UserError: it fails, or the system does not tell what a process has used.

    """
    if not hasattr(os, "wait4"):
        raise UserError("This system does not tell how much memory a process took.",
                        "Measure speed on Linux or macOS.")
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES)}
    done = subprocess.run([sys.executable, os.fspath(_WEIGH), *command], cwd=_ROOT, env=environment,
                          stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)  # fmt: skip
    *said, last = done.stdout.strip().splitlines()
    used = json.loads(last)
    if code := used.pop("code"):
        raise UserError(f"'{' '.join(command)}' ended with {code} and said '{said[-1] if said else ''}'.",
                        "Mend that first.")  # fmt: skip
    return Cost(**used)
