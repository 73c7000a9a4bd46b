# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole test suite: style, types, the engine, the installer, inside Blender, in its window."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from . import blender, engine, window
from .environment import Network
from .errors import MISSING, UserError
from .places import ROOT, home
from .progress import say

LIMIT = 25 * 60
"""Seconds after which a step counts as hanging."""
_IN_BLENDER = (
    "import os, pytest, sys; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"
)
"""Blender's module may crash or hang when its interpreter ends, long after the last test."""


@dataclass
class Tally:
    """What came of the steps so far."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def close(self) -> int:
        """Name what failed and what was not run, then sum up in one line; the exit code."""
        for title, names in (("Not run", self.skipped), ("Failed", self.failed)):
            for name in sorted(set(names)):
                say(f"{title}: {name}")
        say(f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return 1 if self.failed or not self.passed else 0


def run(kind: str | None, series: str | None, network: Network) -> int:
    """The suite with the Blender of the Python at hand, or the part inside another Blender."""
    chosen = blender.choose(series)
    python = engine.ensure(kind, network, developer=True)
    bpy_python = blender.ensure(chosen, network)
    tally = Tally()
    if series is None:
        _tool(tally, "ruff", [str(python), "-m", "ruff", "check", "--no-cache", "."])
        cache = str(home() / "cache" / "mypy")
        _tool(tally, "mypy", [str(python), "-m", "mypy", "--cache-dir", cache])
        outside = ["tests", "--ignore=tests/addon", "--ignore=tests/window"]
        _pytest(tally, "engine and installer", [str(python), "-m", "pytest"], outside, _plain())
    with tempfile.TemporaryDirectory(prefix="gmtalker ") as user:
        surroundings = {**blender.surroundings(Path(user)), "GMTALKER_HOME": str(home())}
        command = [str(bpy_python), "-c", _IN_BLENDER]
        _pytest(tally, f"inside Blender {chosen}", command, ["tests/addon"], surroundings)
    return tally.close()


def run_window(kind: str | None, network: Network) -> int:
    """The tests of the real application's window and command line, in a chroot."""
    python = engine.ensure(kind, network, developer=True)
    bpy_python = blender.ensure(blender.choose(None), network)
    window.ensure()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="gmtalker-") as folder:
        package = blender.build_extension(bpy_python, Path(folder))
        surroundings = {**_plain(), "GMTALKER_EXTENSION": str(package)}
        command = [str(python), "-m", "pytest"]
        _pytest(tally, "in Blender's window", command, ["tests/window"], surroundings)
    return tally.close()


def can(series: str | None, real_window: bool) -> int:
    """0 where the machine can run those tests; else one line that names them, and 4."""
    title = "the window tests" if real_window else f"the tests inside Blender {series or ''}".strip()
    try:
        if real_window:
            window.refuse_impossible()
        else:
            blender.find_python(blender.choose(series))
    except UserError as error:
        say(f"Not run: {title}. {error}")
        return MISSING
    return 0


def _plain() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, "GMTALKER_HOME": str(home()), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def _tool(tally: Tally, title: str, command: Sequence[str]) -> None:
    say(f"== {title}")
    if _run(command, _plain()) == 0:
        tally.passed += 1
    else:
        tally.failed.append(title)


def _pytest(
    tally: Tally,
    title: str,
    command: Sequence[str],
    tests: Sequence[str],
    surroundings: Mapping[str, str],
) -> None:
    say(f"== pytest, {title}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        code = _run([*command, *options, *tests], surroundings)
        try:
            count(tally, report)
        except (OSError, ElementTree.ParseError):
            tally.failed.append(f"{title}: pytest ended with {code} before its report")
            return
    if code not in (0, 1):
        tally.failed.append(f"{title}: pytest ended with {code}")


def count(tally: Tally, report: Path) -> None:
    """Add what a JUnit report tells; skipped tests with their reason."""
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            tally.failed.append(name)
        elif skipped is not None:
            tally.skipped.append(f"{name} ({skipped.get('message')})")
        else:
            tally.passed += 1


def _run(command: Sequence[str], surroundings: Mapping[str, str]) -> int:
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        say(f"Still running after {LIMIT // 60} minutes; stopped.")
        return 124
    return done.returncode
