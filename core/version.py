# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's version, read from the one place that holds it.

- No ``bpy`` module use; standard library only.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

MANIFEST = Path(__file__).resolve().parents[1] / "blender_manifest.toml"


@cache
def version() -> str:
    """The version in the extension's manifest."""
    with MANIFEST.open("rb") as file:
        return str(tomllib.load(file)["version"])


def installed(package: str) -> str | None:
    """The version of an installed package, found without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
