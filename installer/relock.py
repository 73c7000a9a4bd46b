# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the lock files anew: ``python3 -m installer.relock``, with uv on the PATH. A developer's tool.

uv resolves against the package index for every platform at once. Torch's own entry is then split:
vendors' builds (``+cpu`` on Linux, ``+cu130`` on Windows) are on no general index, so their hashes
come from ``torch.sha256``, in the format of ``sha256sum``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .places import REQUIREMENTS

_ENTRY = re.compile(r"^\S.*(?:\n[ \t]+\S.*)*\n", re.MULTILINE)


def compile_lock(source: str, *options: str, python: str = "3.11") -> str:
    """Resolve one ``.in`` file into pinned, hashed entries for all platforms and Pythons."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock.txt"
        command = ["uv", "pip", "compile", "--universal", "--generate-hashes", "--no-header"]
        command += ["--no-annotate", "--quiet", "--python-version", python, *options]
        subprocess.run([*command, "-o", str(out), source], cwd=REQUIREMENTS, check=True)
        return out.read_text(encoding="utf-8")


def with_vendor_torch(lock: str, build: str, platform: str) -> str:
    """On ``platform``, take the vendor's ``build`` of torch instead of the index's."""
    table = [line.split() for line in _sums().splitlines() if f"+{build}-" in line]
    version = table[0][1].split("-")[1]
    vendor = f"torch=={version} ; sys_platform == '{platform}'"
    vendor += "".join(f" \\\n    --hash=sha256:{digest}" for digest, _ in sorted(table)) + "\n"

    def split(entry: re.Match[str]) -> str:
        text = entry[0]
        if not text.startswith("torch=="):
            return text
        first, rest = text.split(" \\\n", 1)
        return vendor + f"{first} ; sys_platform != '{platform}' \\\n{rest}"

    return _ENTRY.sub(split, lock)


def _sums() -> str:
    return (REQUIREMENTS / "torch.sha256").read_text(encoding="utf-8")


def without(lock: str, other: str) -> str:
    """The entries that ``other`` does not pin already."""
    pinned = {entry.split("==")[0] for entry in _ENTRY.findall(other)}
    return "".join(e for e in _ENTRY.findall(lock) if e.split("==")[0] not in pinned)


def main() -> int:
    """Write every lock."""
    quiet = ("--excludes", "no-telemetry.txt")
    plain_cpu = compile_lock("engine.in", *quiet, "--excludes", "no-cuda.txt")
    locks = {
        "cpu": with_vendor_torch(plain_cpu, "cpu", "linux"),
        "cuda": with_vendor_torch(compile_lock("engine.in", *quiet), "cu130", "win32"),
        "bootstrap": compile_lock("bootstrap.in"),
        "tracker": compile_lock("tracker.in", "--excludes", "no-tracker.txt"),
    }
    with tempfile.TemporaryDirectory() as folder:
        engine = Path(folder) / "engine.txt"
        engine.write_text(plain_cpu, encoding="utf-8")
        locks["dev"] = without(compile_lock("dev.in", "--constraint", str(engine)), plain_cpu)
    for series in ("4.5", "5.0", "5.2"):
        python = "3.13" if series == "5.2" else "3.11"
        locks[f"blender-{series}"] = compile_lock(f"blender-{series}.in", python=python)
    for name, text in locks.items():
        (REQUIREMENTS / f"{name}.txt").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
