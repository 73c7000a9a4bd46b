# SPDX-License-Identifier: GPL-3.0-or-later
"""Find an interpreter of a given version on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

Version = tuple[int, int]


def running() -> Version:
    """The version of the Python that runs this."""
    return sys.version_info[0], sys.version_info[1]


def dotted(version: Version) -> str:
    """``3.11``."""
    return ".".join(map(str, version))


def find(version: Version) -> Path | None:
    """An interpreter of ``version`` that starts, this one first; None where there is none."""
    if running() == version:
        return Path(_base())
    return next((real for path in _candidates(version) if (real := _real(path, version))), None)


def _base() -> str:
    """The interpreter outside any virtual environment."""
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return base


def _candidates(version: Version) -> Iterator[Path]:
    name = f"python{dotted(version)}"
    for folder in os.get_exec_path():
        found = shutil.which(name, path=folder)
        if found:
            yield Path(found)
        if Path(folder).name == "shims":
            yield from _pyenv(Path(folder).parent, version)
    for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"):
        if root:
            yield from _pyenv(Path(root), version)
    if sys.platform == "win32":
        launched = _output(["py", f"-{dotted(version)}", "-c", "import sys; print(sys.executable)"])
        if launched:
            yield Path(launched)


def _pyenv(root: Path, version: Version) -> Iterator[Path]:
    for folder in sorted(root.glob(f"versions/{dotted(version)}.*"), reverse=True):
        yield folder / "bin" / "python3"


def _real(path: Path, version: Version) -> Path | None:
    """The interpreter behind ``path`` (it may be a shim), when it starts and is of ``version``."""
    code = "import sys, venv, ssl; print(*sys.version_info[:2]); print(sys._base_executable)"
    said = _output([str(path), "-c", code]).splitlines()
    return Path(said[1]) if said[:1] == [f"{version[0]} {version[1]}"] else None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
