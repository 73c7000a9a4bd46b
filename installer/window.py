# SPDX-License-Identifier: GPL-3.0-or-later
"""The real Blender application, from Debian, in a chroot: for the tests of its window.

The chroot's mounts live in a private mount namespace and end with the process that needed them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import environment, system_libraries
from .errors import UserError, told
from .exclusive import only_one
from .places import engine_folder, home, interpreter
from .progress import say

RELEASE = "trixie"
PACKAGES = "blender libgl1-mesa-dri libegl1 libegl-mesa0 libgl1 libglx-mesa0 python3-numpy python3-requests"
PRIVATE = ("unshare", "--mount", "--propagation", "private")
"""Runs a command with mounts of its own, that end with it."""
_BOOTSTRAP = f"""
mount --bind "$1" "$2"  # debootstrap takes no path with a space in it
debootstrap --variant=minbase --include=ca-certificates {RELEASE} "$2" "$3"
"""
_ENTER = """
root="$1"; shift
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$(dirname "$root$1")"; touch "$root$1"; fi
  mount --bind "$1" "$root$1"; shift
done
shift
exec chroot "$root" "$@"
"""


def folder() -> Path:
    """The chroot."""
    return home() / "chroot" / RELEASE


def _record() -> Path:
    return folder().with_name(f"{RELEASE}.json")


def refuse_impossible() -> None:
    """An error where this machine cannot make or enter a chroot."""
    if not system_libraries.can_install():
        raise UserError(
            "The window tests need root, and debootstrap from Debian's apt.",
            "Run them as root on Debian, or leave --window out.",
        )
    if subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode:
        raise UserError(
            "The window tests mount folders into a chroot, and may not do so here.",
            "Run them where root may mount, or leave --window out.",
        )


def ensure() -> None:
    """Make the chroot with Blender in it where it is not. Needs root, and Debian's apt."""
    refuse_impossible()
    lacking = [name for name in ("debootstrap", "Xvfb") if not shutil.which(name)]
    if lacking:
        system_libraries.apt_install([name.lower() for name in lacking])
    with told(home()), only_one(home()):
        if not environment.read_record(_record()):
            _make()


def _make() -> None:
    say(f"Setting up Debian {RELEASE} with Blender in {folder()} (about 3 minutes)")
    shutil.rmtree(folder(), ignore_errors=True)
    folder().mkdir(parents=True)
    log = folder().with_name(f"{RELEASE}.log")
    with tempfile.TemporaryDirectory(prefix="gmtalker-") as plain:
        _logged([*PRIVATE, "sh", "-ec", _BOOTSTRAP, "sh", str(folder()), plain, mirror()], log)
    install = (
        "export DEBIAN_FRONTEND=noninteractive; apt-get update && apt-get install -y "
        f"--no-install-recommends {PACKAGES} && apt-get clean && ln -sf /proc/self/mounts /etc/mtab"
    )
    _logged(["chroot", str(folder()), "sh", "-c", install], log)
    version = subprocess.run(
        enter(["blender", "-b", "--version"]), capture_output=True, text=True, check=True
    )
    environment.write_json(_record(), {"blender": version.stdout.split()[1]})


def _logged(command: Sequence[str], log: Path) -> None:
    with log.open("ab") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise UserError(
            f"Making {folder()} ended with {done.returncode}.",
            f"Its messages are in {log}.",
        )


def mirror(sources: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that the machine's own apt uses."""
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    addresses = [a for file in files if file.is_file() for a in _addresses(file)]
    for address in addresses:
        if re.search(r"/debian/?$", address):
            return address
    raise UserError("apt's sources name no Debian mirror.", "Add one to /etc/apt/sources.list.")


def _addresses(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        old = re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)", line)
        new = re.match(r"URIs:\s*(\S+)", line)
        if old or new:
            yield (old or new)[1]  # type: ignore[index]


def enter(command: Sequence[str], binds: Sequence[Path] = ()) -> list[str]:
    """The command line that runs ``command`` in the chroot, with ``binds`` at their own paths."""
    return [*PRIVATE, "sh", "-ec", _ENTER, "sh", str(folder()), *map(str, binds), "--", *command]


def engine_binds() -> list[Path]:
    """What the engine needs inside the chroot: its home, and the Python it was made with."""
    code = "import json, sys; print(json.dumps({'prefix': sys.base_prefix, 'of': sys.version_info[:2]}))"
    said = environment.run_json(interpreter(engine_folder()), code)
    if Path(said["prefix"]) != Path("/usr"):
        return [home(), Path(said["prefix"])]
    name = "python" + ".".join(map(str, said["of"]))
    return [home(), Path("/usr/bin") / name, Path("/usr/lib") / name]


def surroundings(user: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A plain environment for Blender in the chroot, its settings in ``user``."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "BLENDER_USER_RESOURCES": str(user),
        "GMTALKER_HOME": str(home()),
        **(more or {}),
    }
