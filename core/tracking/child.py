# SPDX-License-Identifier: GPL-3.0-or-later
"""How what runs in the tracker's environment tells its caller of progress and of errors: JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ExitCode, UserError

Tell = Callable[..., None]
"""``done`` and ``total``"""


def telling(work: Callable[[Tell], None]) -> int:
    """Do the work, given what tells of its progress; returns the exit code."""
    try:
        work(_tell)
    except UserError as error:
        _tell(error=[error.message, error.hint])
        return ExitCode.BAD_INPUT
    return ExitCode.DONE


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
