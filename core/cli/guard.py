# SPDX-License-Identifier: GPL-3.0-or-later
"""From exceptions to exit codes, for the commands and the worker alike.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Callable
from types import FrameType

from ..errors import Cancelled, ExitCode, UserError

_FULL = "DefaultCPUAllocator", "out of memory", "ALLOC_FAILED"
"""What torch says of full memory of the processor, of a GPU (CUDA, MPS), and of what its libraries need."""
SETUP_HINT = "Run 'python3 -m installer setup'."


def as_user_error(error: BaseException) -> UserError | None:
    """The same as an error for users, or None if it is a bug."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return UserError("Cancelled.", "", ExitCode.CANCELLED)
    if is_out_of_memory(error):
        return UserError("The memory does not suffice for this.",
                         "Close other programs, or ask for less: a shorter piece, a smaller size.",
                         ExitCode.DEVICE)  # fmt: skip
    # A module of ours that is not there is a bug; anybody else's is an engine not set up.
    missing = (isinstance(error, ModuleNotFoundError) and error.name) or ""
    if missing and missing.split(".")[0] != __package__.split(".")[0]:
        return UserError(f"The engine lacks the Python module '{missing}'.", SETUP_HINT,
                         ExitCode.MISSING)  # fmt: skip
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether numpy, torch on the CPU, or torch on a device ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    # By name: torch may not be installed, and need not be imported to find out.
    if not isinstance(error, RuntimeError):
        return False
    return type(error).__name__ == "OutOfMemoryError" or any(word in str(error) for word in _FULL)


def guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command; report a user's error in one line; let a bug keep its traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold letters that the terminal's encoding lacks, or bytes that are none.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return run(args)
    except BaseException as error:
        known = as_user_error(error)
        if known is None:
            raise
        print(known, file=sys.stderr)
        return known.code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
