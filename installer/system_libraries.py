# SPDX-License-Identifier: GPL-3.0-or-later
"""The system libraries that Blender's module loads on Linux, and how to get them on Debian."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import UserError
from .progress import say

PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libEGL_mesa.so.0": "libegl-mesa0",
}
"""Each library and the Debian package that brings it."""
DRIVERS = "libgl1-mesa-dri"
"""Mesa's software driver, wanted together with libegl-mesa0; without it a render aborts Blender."""

_TRY = """
import ctypes, json, sys
missing = []
for name in json.loads(sys.argv[1]):
    try:
        ctypes.CDLL(name)
    except OSError:
        missing.append(name)
print(json.dumps(missing))
"""


def missing(python: Path) -> list[str]:
    """The libraries that do not load, tried in a process of their own."""
    if not sys.platform.startswith("linux"):
        return []
    command = [str(python), "-I", "-c", _TRY, json.dumps(list(PACKAGES))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stdout)
    return names


def ensure(python: Path) -> None:
    """Install what is missing as root on Debian; elsewhere say in one line what to install."""
    lacking = missing(python)
    if not lacking:
        return
    packages = [PACKAGES[name] for name in lacking] + [DRIVERS]
    if not can_install():
        raise UserError(
            f"Blender needs system libraries that are not here: {', '.join(lacking)}.",
            f"Install them, on Debian with: apt-get install {' '.join(packages)}",
        )
    apt_install(packages)
    if missing(python):
        raise UserError(
            f"Still missing after apt-get: {', '.join(missing(python))}.",
            "Install the packages that hold them.",
        )


def can_install() -> bool:
    """As root on a machine with apt."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> None:
    """Install Debian packages, without questions. Only as root."""
    say(f"Installing system packages: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(
            f"apt-get could not install {' '.join(packages)}: {lines[-1]}",
            "Install them by hand, and run it again.",
        )
