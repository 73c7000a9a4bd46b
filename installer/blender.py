# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender as a Python module, in an environment of its own: for the demonstration and the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import environment, pythons, system_libraries
from .environment import Environment, Network
from .errors import UserError
from .places import BLENDERS, DEFAULT_BLENDER, ROOT, blender_folder

_CHECK = """
import json, sys, bpy
print(json.dumps({"blender": bpy.app.version_string, "python": sys.version.split()[0]}), flush=True)
"""
_BUILDER = """
import json, os, bpy
folder = bpy.utils.system_resource("SCRIPTS", path=os.path.join("addons_core", "bl_pkg", "cli"))
print(json.dumps({"builder": os.path.join(folder, "blender_ext.py")}), flush=True)
"""


def choose(series: str | None) -> str:
    """The asked series, or the long-term release for the Python at hand."""
    if series:
        return series
    if pythons.running() in DEFAULT_BLENDER:
        return DEFAULT_BLENDER[pythons.running()]
    for version, default in DEFAULT_BLENDER.items():
        if pythons.find(version):
            return default
    raise _no_python(", ".join(map(pythons.dotted, DEFAULT_BLENDER)))


def _no_python(versions: str) -> UserError:
    return UserError(
        f"Blender's module needs Python {versions}; this is {environment.python_at_hand()}, "
        "and no other was found.",
        "Install one of them, and run it again.",
    )


def find_python(series: str) -> Path:
    """The Python that this Blender's module is made for."""
    version = BLENDERS[series].python
    python = pythons.find(version)
    if python is None:
        raise _no_python(pythons.dotted(version))
    return python


def ensure(series: str, network: Network) -> Path:
    """Set up one Blender where it is not, with the system libraries it loads; return its Python."""
    python = find_python(series)
    system_libraries.ensure(python)
    folder = blender_folder(series)
    env = Environment(
        title=f"Blender {series}",
        folder=folder,
        record=folder.with_name(f"{series}.json"),
        locks=(BLENDERS[series].lock,),
        python=python,
        check=_CHECK,
    )
    environment.ensure(env, network)
    return env.interpreter


def build_extension(python: Path, folder: Path) -> Path:
    """Build the extension's zip with Blender's own builder, and return it."""
    builder = environment.run_json(python, _BUILDER)["builder"]
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(python),
        builder,
        "build",
        "--source-dir",
        str(ROOT),
        "--output-dir",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Blender's builder refused the extension:\n{done.stdout}{done.stderr}")
    [package] = folder.glob("*.zip")
    return package


def surroundings(user: Path) -> dict[str, str]:
    """Environment variables that keep a Blender run away from the user's own settings."""
    user.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BLENDER_"))}
    return {
        **kept,
        "BLENDER_USER_RESOURCES": str(user),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "GMTALKER_INSTALLER_PYTHON": sys.executable,
    }
