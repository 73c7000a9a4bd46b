# SPDX-License-Identifier: GPL-3.0-or-later
"""The dependency rule, read off the syntax tree."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIGHT = {"errors", "arkit", "files", "tracks", "protocol", "head", "training.head_poses"}
SIBLINGS = {"core", "gmtalker_addon", "installer"}


def imports(source: str) -> list[tuple[int, str]]:
    """(level, dotted module) of every import, also those inside functions."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += [(node.level, ".".join(p for p in (module, a.name) if p)) for a in node.names]
    return found


def offences(package: str, depth: int, source: str) -> list[str]:
    """What the file may not import. ``depth``: folders between it and the repository's root."""
    bad = []
    for level, name in imports(source):
        top = name.split(".")[0]
        outside = (level == 0 and top in SIBLINGS) or (level > depth and top != package)
        if package == "core":
            wrong = outside or top in {"bpy", "mathutils"}
        elif package == "installer":
            wrong = outside or (level == 0 and top not in sys.stdlib_module_names)
        else:
            parts = name.split(".")
            inside = (".".join(parts[1:end]) for end in (2, 3))
            light = level > depth and parts[0] == "core" and any(n in LIGHT for n in inside)
            own_name = level > depth and name == "__package__"
            wrong = top == "torch" or (outside and not light and not own_name)
        if wrong:
            bad.append("." * level + name)
    return bad


@pytest.mark.parametrize("package", sorted(SIBLINGS))
def test_no_import_crosses_a_boundary(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {}
    for path in files:
        relative = path.relative_to(ROOT)
        if in_blender_or_engine(relative):
            continue
        depth = len(relative.parts) - 1
        bad = offences(package, depth, path.read_text(encoding="utf-8"))
        if bad:
            found[str(relative)] = bad
    assert found == {}


def in_blender_or_engine(relative: Path) -> bool:
    """Scripts that the installer hands to another interpreter; it never imports them itself."""
    return relative.parts[:2] == ("installer", "scripts")


@pytest.mark.parametrize(
    ("package", "planted"),
    [
        ("core", "import bpy"),
        ("core", "def f():\n    from mathutils import Vector"),
        ("core", "from gmtalker_addon import jobs"),
        ("core", "from ..installer import environment"),
        ("installer", "import numpy"),
        ("installer", "from ..core import errors"),
        ("gmtalker_addon", "import torch"),
        ("gmtalker_addon", "from ..core import pipeline"),
        ("gmtalker_addon", "from ..core.models import expression"),
        ("gmtalker_addon", "from ..core.training import head_data"),
        ("gmtalker_addon", "import core.errors"),
    ],
)
def test_a_planted_import_is_seen(package: str, planted: str) -> None:
    assert offences(package, 1, planted)


def test_the_light_modules_need_neither_torch_nor_bpy() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['bpy'] = sys.modules['scipy'] = None\n"
        "import core.errors, core.arkit, core.protocol, core.tracks, core.head.model\n"
        "import core.head.registration, core.training.head_poses"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
