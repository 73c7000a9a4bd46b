# SPDX-License-Identifier: GPL-3.0-or-later
"""Face points of the films and phone times of the voices, found in the face tracker's environment.

What they need pins other versions than the engine, so ``track`` and ``align`` run as processes of
the tracker's interpreter; what a killed run has found already is not looked for again.
"""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import Final

from ...errors import ExitCode, UserError
from ...tracking.tracker import tracker_python

log = logging.getLogger(__name__)

STEPS: Final = {"track": "tracked", "align": "aligned", "recognise": "recognised"}
"""module of each step and the folder of the cache that it fills"""
_ROOT: Final = Path(__file__).resolve().parents[3]
_COMPLETE: Final = "complete"
_REQUIREMENTS: Final = "core/training/requirements-align.txt"


def find_labels(data: Path, cache: Path) -> None:
    """Fill ``CACHE/tracked``, ``aligned`` and ``recognised``, unless they are complete.

    Raises:
        UserError: there is no face tracker, or no aligner beside it (code 4).

    """
    missing = [step for step, folder in STEPS.items() if not (cache / folder / _COMPLETE).exists()]
    if not missing:
        return
    python = tracker_python()
    if {"align", "recognise"} & set(missing) and _run([str(python), "-c", "import pocketsphinx"], quiet=True):
        raise UserError(
            "Phone times need 'pocketsphinx', which is not in the face tracker's environment.",
            f"Install it with 'python3 -m pip --python {python} install --require-hashes -r {_REQUIREMENTS}'.",
            ExitCode.MISSING,
        )
    for step in missing:
        log.info("%s: begun, in %s", step, python)
        command = [str(python), "-m", f"{__package__}.{step}"]
        code = _run([*command, "--data", str(data.resolve()), "--cache", str(cache.resolve())])
        if code:
            raise RuntimeError(f"{step} ended with {code}")
        (cache / STEPS[step] / _COMPLETE).touch()


def _run(command: list[str], quiet: bool = False) -> int:
    """Run to the end in an environment without this Python's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(command, cwd=_ROOT, env=kept, check=False, stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL if quiet else None).returncode  # fmt: skip
