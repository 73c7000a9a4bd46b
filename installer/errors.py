# SPDX-License-Identifier: GPL-3.0-or-later
"""What the installer tells a user; the twin of the engine's own errors.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ELSEWHERE = "choose another folder with GMTALKER_HOME"
DONE, USAGE, BAD_INPUT, MISSING, DEVICE, CANCELLED = 0, 2, 3, 4, 5, 130


class UserError(Exception):
    """Something the user can mend: one line that says what was got and what to do."""

    def __init__(self, message: str, hint: str, code: int = MISSING) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        """One line, fit for stderr."""
        return " ".join(f"{self.message} {self.hint}".split())


@contextmanager
def told(path: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn a full disk or a missing permission under ``path`` into a line for the user.

    ``elsewhere`` is what the user may do to have the files in another place.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            message = f"The disk is full at {error.filename or path}."
            hint = f"Free some space, or {elsewhere}, and run it again."
            raise UserError(message, hint, DEVICE) from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            message = f"No permission to write {error.filename or path}."
            first = "Close what uses it" if sys.platform == "win32" else "Make it writable"
            hint = f"{first}, or {elsewhere}, and run it again."
            raise UserError(message, hint, BAD_INPUT) from error
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            message = f"{error.filename or path} is in the way: a file where a folder belongs."
            raise UserError(message, f"Move it, or {elsewhere}.", BAD_INPUT) from error
        unmade = error.errno in {errno.ENOENT, errno.EINVAL, errno.ENAMETOOLONG}
        if unmade and Path(error.filename or "") in {path, *path.parents}:
            message = f"{path} cannot be made: {error.strerror}."
            raise UserError(message, f"Mend its name, or {elsewhere}.", BAD_INPUT) from error
        raise
