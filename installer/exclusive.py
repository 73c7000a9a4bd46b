# SPDX-License-Identifier: GPL-3.0-or-later
"""One set-up at a time: the second waits, and says so."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .progress import say


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold ``folder``'s lock. The system frees it when its holder ends, however that ends.

    A child started with ``close_fds=False`` holds it too: a killed set-up's pip is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = open(folder / ".lock", "a+b")  # noqa: SIM115 - closed below, after the work
    try:
        if not _taken(handle):
            say(f"Another set-up is at work in {folder}; waiting for it to end.")
            while not _taken(handle):
                time.sleep(0.5)
        os.set_inheritable(handle.fileno(), True)
        yield
    finally:
        handle.close()


def _taken(handle: IO[bytes]) -> bool:
    """Try to take the lock; False when another process holds it.

    Some network folders know no locks: there it counts as taken.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES}
    return True
