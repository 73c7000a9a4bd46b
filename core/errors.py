# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception for users, and the exit codes that go with it.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What every command of the project returns to the shell."""

    DONE = 0
    USAGE = 2
    BAD_INPUT = 3
    MISSING = 4
    """The engine or a model is not installed."""
    DEVICE = 5
    """No memory, or no such device."""
    CANCELLED = 130


class UserError(Exception):
    """Something the user can mend. Everything else is a bug and keeps its traceback.

    Args:
        message: what was expected and what was got, in the user's words and units.
        hint: what to do about it.
        code: the exit code that a command ends with.

    """

    def __init__(self, message: str, hint: str, code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.code = ExitCode(code)

    def __str__(self) -> str:
        """One line, fit for stderr and for a panel."""
        return " ".join(f"{self.message} {self.hint}".split())


class Cancelled(Exception):  # noqa: N818 - it is no error
    """Raised out of a progress callback when the user has asked to stop."""
