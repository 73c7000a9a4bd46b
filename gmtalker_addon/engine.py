# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine lives, whether it is whole, and how its processes are started.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
"""The extension's folder, from which ``core`` and ``installer`` are run."""
LOCKS: Final = ROOT / "installer" / "requirements"
TOOLS: Final = "dev.txt"
"""Lock of what the tests need beside the engine."""
SETUP_HINT: Final = "Press 'Set Up Engine'."


def home() -> Path:
    """The user's data folder (platformdirs' ``user_data_dir("gmtalker")``), or GMTALKER_HOME."""
    override = os.environ.get("GMTALKER_HOME")
    if override:
        return Path(override).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "gmtalker" / "gmtalker"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "gmtalker"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "gmtalker"


def find_python(override: str = "") -> Path:
    """The engine's interpreter.

    Args:
        override: an interpreter, or the folder of an environment; empty: the one of the set-up.

    Raises:
        UserError: there is none, or its set-up did not come to its end, or it was set up by another version of
            the extension, with other packages.

    """
    if override:
        path = Path(override).expanduser()
        found = _interpreter(path) if path.is_dir() else path
        if not found.is_file():
            raise UserError(f"There is no engine at '{override}'.",
                            "Mend or clear the engine's path in the add-on's preferences.",
                            ExitCode.MISSING)  # fmt: skip
        return found
    record, found = home() / "engine.json", _interpreter(home() / "engine")
    try:
        locks = json.loads(record.read_text(encoding="utf-8")).get("locks", {})
        old = any(name != TOOLS and made_from != _digest(name) for name, made_from in locks.items())
    except (OSError, ValueError, AttributeError):
        raise UserError("The engine is not set up.", SETUP_HINT, ExitCode.MISSING) from None
    if not found.is_file():
        raise UserError(f"The engine's Python is gone from '{found}'.", SETUP_HINT, ExitCode.MISSING)
    if old:
        raise UserError("The engine is of another version of this extension.", SETUP_HINT, ExitCode.MISSING)
    return found


@lru_cache
def _digest(name: str) -> str:
    """Of a lock of the extension's, as the set-up records it; empty if there is no such lock."""
    lock = LOCKS / name
    content = lock.read_bytes().replace(b"\r\n", b"\n") if lock.is_file() else None
    return "" if content is None else hashlib.sha256(name.encode() + b"\0" + content).hexdigest()


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def worker_command(python: Path) -> list[str]:
    return [str(python), "-m", "core", "worker"]


def setup_command(words: Sequence[str] = ()) -> list[str]:
    """The installer, run by Blender's own Python."""
    return [sys.executable, "-m", "installer", "setup", *words]


def environment() -> dict[str, str]:
    """The surroundings without the settings of Blender's Python, which are not the engine's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def avatars() -> list[str]:
    """The names of the avatars that ship and of the user's own."""
    folders = (ROOT / "core" / "avatars", home() / "avatars")
    found = {p.parent.name for folder in folders for p in folder.glob("*/avatar.toml")}
    return sorted(found)


def is_avatar(name: str) -> bool:
    """A known name, or a folder that holds an avatar."""
    return name in avatars() or (Path(name) / "avatar.toml").is_file()
