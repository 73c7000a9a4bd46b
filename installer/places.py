# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything lives, and which Python and Blender versions go together."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The root of the extension: the folder that holds ``core`` and ``installer``."""
REQUIREMENTS = ROOT / "installer" / "requirements"
SCRIPTS = ROOT / "installer" / "scripts"
ENGINE_PYTHONS = ((3, 11), (3, 12), (3, 13))
"""The Pythons that the engine's locks hold wheels for, preferred first."""
TRACKER_PYTHONS = ((3, 11), (3, 12))
"""The same for the tracker's lock."""


@dataclass(frozen=True)
class Blender:
    """One Blender that the project is tested in, as its module from the package index."""

    series: str
    python: tuple[int, int]

    @property
    def lock(self) -> Path:
        """Its requirements, locked."""
        return REQUIREMENTS / f"blender-{self.series}.txt"


BLENDERS = {
    blender.series: blender
    for blender in (
        Blender("4.5", (3, 11)),
        Blender("5.0", (3, 11)),
        Blender("5.2", (3, 13)),
    )
}
DEFAULT_BLENDER = {(3, 11): "4.5", (3, 13): "5.2"}
"""The long-term release for the Python at hand."""


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


def engine_folder() -> Path:
    """The engine's environment."""
    return home() / "engine"


def engine_record() -> Path:
    """What was installed; written last, so that it stands for a complete engine."""
    return home() / "engine.json"


def tracker_folder() -> Path:
    """The face tracker's environment."""
    return home() / "tracker"


def tracker_record() -> Path:
    """What was installed there; written last."""
    return home() / "tracker.json"


def blender_folder(series: str) -> Path:
    """The environment of one Blender module, for the demonstration and the tests."""
    return home() / "blender" / series


def downloads() -> Path:
    """Wheels, kept so that a broken set-up goes on and a second one needs no network."""
    return home() / "downloads"


def interpreter(folder: Path) -> Path:
    """The Python of an environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
