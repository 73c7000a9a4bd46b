# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch wheels: several at a time, each checked by its hash, each going on where it broke off."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import time
import urllib.error
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import UserError, told
from .index import Opener, Wheel, reason
from .progress import Progress

ATTEMPTS = 5
PARALLEL = 6
_CHUNK = 1 << 20
_BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    socket.timeout,  # no TimeoutError before Python 3.10
    ssl.SSLError,
)


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            whole.update(chunk)
    return whole.hexdigest()


def fetch_all(wheels: Sequence[Wheel], folder: Path, opener: Opener) -> list[Path]:
    """Bring every wheel into ``folder``; what is there and whole is not fetched again."""
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            sizes = list(pool.map(lambda wheel: size(wheel, opener), wheels))
            progress = Progress("Downloading", sum(sizes) / 1e6, "MB")
            jobs = [pool.submit(fetch, wheel, folder, opener, progress) for wheel in wheels]
            paths = [job.result() for job in jobs]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a Ctrl-C waits for no slow server
    progress.finish()
    return paths


def size(wheel: Wheel, opener: Opener) -> int:
    """How many bytes a wheel has, or 0 where its server does not say."""
    try:
        with opener.open(wheel.url, method="HEAD") as answer:
            return int(getattr(answer, "headers", {}).get("Content-Length") or 0)
    except _BROKEN:
        return 0


def fetch(wheel: Wheel, folder: Path, opener: Opener, progress: Progress) -> Path:
    """Bring one wheel into ``folder``, beside and renamed, and check its hash."""
    target, part = folder / wheel.filename, folder / (wheel.filename + ".part")
    if target.is_file() and sha256(target) in wheel.pinned.hashes:
        progress.add(target.stat().st_size / 1e6)
        return target
    if part.is_file():
        progress.add(part.stat().st_size / 1e6)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _go_on(wheel.url, part, opener, progress)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: all there, or more than there is; the hash tells
                raise _gone(wheel, error) from error
        except _BROKEN as error:
            if attempt == ATTEMPTS:
                raise _gone(wheel, error) from error
            time.sleep(min(2.0**attempt / 4, 4.0))
            continue
        if sha256(part) in wheel.pinned.hashes:
            os.replace(part, target)
            return target
        progress.add(-part.stat().st_size / 1e6)
        part.unlink()
    raise UserError(
        f"{wheel.filename} is not the file that the lock names: its SHA-256 differs.",
        "Check the index or wheel folder that pip is set to use, and run it again.",
    )


def _go_on(url: str, part: Path, opener: Opener, progress: Progress) -> None:
    """Read ``url`` from where ``part`` ends; a server that cannot do so is read from the start."""
    have = part.stat().st_size if part.is_file() else 0
    with opener.open(url, {"Range": f"bytes={have}-"} if have else None) as answer:
        status = getattr(answer, "status", None)
        if have and status != 206:
            progress.add(-have / 1e6)
            part.unlink()
            have = 0
        expected = int(getattr(answer, "headers", {}).get("Content-Length") or 0)
        got = 0
        with part.open("ab") as file:
            for chunk in iter(lambda: answer.read(_CHUNK), b""):
                file.write(chunk)
                got += len(chunk)
                progress.add(len(chunk) / 1e6)
    if got < expected:
        raise ConnectionError(f"the server closed after {got} of {expected} bytes")


def _gone(wheel: Wheel, error: BaseException) -> UserError:
    return UserError(
        f"The download of {wheel.filename} broke off: {reason(error)}.",
        "Run it again to go on where it stopped, or bring the wheels with --wheels DIR --offline.",
    )
