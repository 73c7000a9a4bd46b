# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock files: ``name==version ; marker`` lines, each followed by its hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(;\s*(?P<marker>.+))?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pinned:
    """One package at one version, and the SHA-256 of every file that may stand for it."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


def normalized(name: str) -> str:
    """A package's name as the index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> list[Pinned]:
    """Every entry of a lock file, in order."""
    entries = []
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(_HASH.sub("", line).strip())
        hashes = frozenset(_HASH.findall(line))
        if found is None or not hashes:
            raise ValueError(f"{path.name}, entry {number}: no pinned version or no hash: {line!r}")
        entries.append(
            Pinned(normalized(found["name"]), found["version"], found["marker"] or "", hashes)
        )
    return entries


def digest(paths: Sequence[Path]) -> str:
    """One hash over several lock files; what an environment was made from."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return whole.hexdigest()
