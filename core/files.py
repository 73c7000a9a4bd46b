# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing files so that a killed run leaves no half one, and telling what a file holds.

- No ``bpy`` module use; numpy only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .errors import UserError

WEIGHTS: Final = Path(__file__).resolve().parent / "weights"
"""Where the checkpoints that ship lie."""


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside ``path`` to write to, and rename it when the block ends well.

    Raises:
        UserError: the place cannot be written.

    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            yield beside
            os.replace(beside, target)
        except OSError as error:
            raise UserError(f"Cannot write '{target}': {error.strerror or error}.",
                            "Choose a folder that you can write to, with room on the disk.") from error  # fmt: skip
    finally:
        with suppress(OSError):  # what could not be made, for its name or its folder, cannot be cleared
            beside.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a small file in one go, beside and renamed.

    Raises:
        UserError: the place cannot be written.

    """
    with written_beside(path) as beside:
        beside.write_bytes(data)


def read_npz(
    path: str | os.PathLike[str], names: Iterable[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file, or those of them that are named.

    Raises:
        OSError: missing, or cannot be opened.
        ValueError: no ``.npz``, damaged, without one of ``names``, or with something that is no array.

    """
    with open(path, "rb") as raw:
        try:
            file = np.load(raw, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("one array alone, no archive of them")
            with file:
                arrays = {name: file[name] for name in (file.files if names is None else names)}
        except Exception as error:
            # zipfile, its unpackers and numpy raise some fifteen kinds at damage, MemoryError for a
            # made-up size among them.
            raise ValueError(str(error) or type(error).__name__) from error
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):  # numpy hands on other members as bytes
            raise ValueError(f"'{name}' is no array")
    return arrays


def read_made(
    path: str | os.PathLike[str], hint: str, names: Iterable[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The same, of a file that can be made again as ``hint`` says.

    Raises:
        UserError: missing, damaged, or without one of ``names``.

    """
    try:
        return read_npz(path, names)
    except FileNotFoundError:
        raise UserError(f"There is no file '{path}'.", hint) from None
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read: {error}.", hint) from error


def check_writable(path: str | os.PathLike[str], *sources: str | os.PathLike[str] | None) -> None:
    """Find out before the work, not after it, that ``path`` cannot or must not be written.

    Args:
        path: where to.
        sources: the files that the work reads; None stands for none.

    Raises:
        UserError: its folder is missing or closed, it is there and no file, or it is one of the sources.

    """
    target = Path(path)
    if os.path.isdir(target):  # False too where the name is too long, which the writing says
        raise UserError(
            f"Expected a file to write, got the folder '{target}'.", "Name a file in it."
        )
    if os.path.exists(target) and not target.is_file():
        raise UserError(f"Expected a file to write, got the device or pipe '{target}'.",
                        "Name a file in a folder.")  # fmt: skip
    for source in sources:
        if source is not None and _is_same(target, source):
            raise UserError(f"Expected another file to write than '{source}', which is read.",
                            "Choose another name.")  # fmt: skip
    if not target.parent.is_dir():
        raise UserError(f"There is no folder '{target.parent}' to write '{target.name}' in.",
                        "Make it, or choose another place.")  # fmt: skip
    if not os.access(target.parent, os.W_OK):
        raise UserError(
            f"Cannot write in '{target.parent}'.", "Choose a folder that you can write to."
        )


def _is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both are there and the same file, by whatever names."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        UserError: missing, unreadable, or what can be read only once.

    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UserError(f"Expected a file, got the device or pipe '{path}'.", "Save it as a file first.")
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"There is no file '{path}'.", "Check the path.") from None
    except OSError as error:
        raise UserError(f"Cannot read '{path}': {error.strerror or error}.",
                        "Check the path and its permissions.") from error  # fmt: skip
