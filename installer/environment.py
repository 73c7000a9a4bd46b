# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a virtual environment from lock files: resolve, download, install, check, and only then record.

The record (a JSON file) is removed before anything of the environment is changed, and written last:
an environment without one is not whole, and the next set-up makes it anew from the wheels that are
already downloaded. Until all is downloaded, the environment that is there stays as it is.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import download, lockfile, pip_settings, pythons
from .errors import BAD_INPUT, DEVICE, ELSEWHERE, UserError, told
from .exclusive import only_one
from .index import Finder, Opener, Wheel, reason
from .lockfile import Pinned
from .places import REQUIREMENTS, SCRIPTS, downloads, home, interpreter
from .progress import Progress, say

TORCH_INDEX = "https://download.pytorch.org/whl"
"""Torch's vendor, asked for its builds where pip's own sources have none of the locked ones."""


@dataclass(frozen=True)
class Network:
    """What a set-up may use beside pip's own configuration."""

    wheels: Path | None = None
    """A folder of wheels, looked in first."""
    offline: bool = False
    """Use only what is on this machine."""

    def sources(self) -> pip_settings.Sources:
        """All places to look in, the nearest first."""
        if self.wheels is not None and not self.wheels.is_dir():
            raise UserError(
                f"The wheel folder {self.wheels} does not exist.",
                "Give --wheels an existing folder.",
                BAD_INPUT,
            )
        configured = pip_settings.read()
        near = [str(p) for p in (downloads(), self.wheels) if p is not None]
        return replace(configured, find_links=(*near, *configured.find_links))


@dataclass(frozen=True)
class Environment:
    """One virtual environment: where, from which locks, checked by which code."""

    title: str
    folder: Path
    record: Path
    locks: tuple[Path, ...]
    python: Path
    """The interpreter that it is made with."""
    check: str
    """Code that the finished environment runs; it prints a JSON object for the record."""

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return interpreter(self.folder)


def read_record(path: Path) -> dict[str, Any]:
    """What an earlier set-up recorded; empty when there is nothing whole."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write beside and rename, so that a killed run leaves no half file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def missing_locks(wanted: Environment) -> list[Path]:
    """The locks that the environment does not hold yet, as recorded."""
    record = read_record(wanted.record)
    held = record.get("locks", {}) if _starts(wanted.interpreter) else {}
    return [lock for lock in wanted.locks if held.get(lock.name) != lockfile.digest([lock])]


def _starts(python: Path) -> bool:
    """Whether it runs: the Python behind it may be gone, and on Windows its launcher stays."""
    command = [str(python), "-I", "-S", "-c", ""]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def ensure(wanted: Environment, network: Network) -> None:
    """Make the environment, or bring it up to its locks; at once where nothing is to be done."""
    if not missing_locks(wanted):
        return
    with told(home()), only_one(home()):
        missing = missing_locks(wanted)
        if missing:
            _make(wanted, missing, network)


def _make(wanted: Environment, missing: Sequence[Path], network: Network) -> None:
    say(f"Setting up {wanted.title} in {wanted.folder}")
    record = read_record(wanted.record) if _starts(wanted.interpreter) else {}
    held = dict(record.get("locks", {}))
    if set(held) != {lock.name for lock in wanted.locks} - {lock.name for lock in missing}:
        held, missing = {}, wanted.locks  # an older lock or another device's: nothing of it is kept
    pip, wheels = _download(wanted.python, missing, network)
    with told(wanted.folder):
        if not held:
            _put_away(wanted.folder)
        wanted.record.unlink(missing_ok=True)
    if not held:
        _fresh(wanted)
    _install(wanted, pip, missing, wheels)
    checked = _checked(wanted)
    locks = {**held, **{lock.name: lockfile.digest([lock]) for lock in missing}}
    packages = {**record.get("packages", {})} if held else {}
    packages.update({wheel.pinned.name: wheel.pinned.version for wheel in wheels})
    write_json(wanted.record, {**checked, "locks": locks, "packages": packages})


def _download(python: Path, locks: Sequence[Path], network: Network) -> tuple[Path, list[Wheel]]:
    """Fetch pip and every wheel that the locks name for this platform."""
    sources = network.sources()
    opener = Opener(sources)
    _prune()
    [pip] = _find(lockfile.read(REQUIREMENTS / "bootstrap.txt"), ["py3-none-any"], network)
    [pip_wheel] = download.fetch_all([pip], downloads(), opener)
    entries = [entry for lock in locks for entry in lockfile.read(lock)]
    asked = json.dumps([[entry.name, entry.marker] for entry in entries])
    said = subprocess.run(
        [str(python), "-I", str(SCRIPTS / "wanted.py"), str(pip_wheel)],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(said.stdout)
    wheels = _find([entries[n] for n in answer["wanted"]], answer["tags"], network)
    download.fetch_all(wheels, downloads(), opener)
    return pip_wheel, wheels


def _prune() -> None:
    """Drop downloads that no lock names: those of older versions, and broken ones."""
    locks = REQUIREMENTS.glob("*.txt")
    known = {
        h
        for lock in locks
        if not lock.name.startswith("no-")
        for p in lockfile.read(lock)
        for h in p.hashes
    }
    for wheel in downloads().glob("*.whl"):
        if download.sha256(wheel) not in known:
            wheel.unlink()


def _find(entries: Sequence[Pinned], tags: Sequence[str], network: Network) -> list[Wheel]:
    finder = Finder(network.sources(), tags, network.offline)
    found, missing, away = [], [], ""
    for entry in entries:
        wheel = None
        try:
            wheel = finder.find(entry)
            if wheel is None and entry.name == "torch" and not network.offline:
                build = entry.version.partition("+")[2] or "cpu"
                wheel = finder.find(entry, f"{TORCH_INDEX}/{build}")
        except (OSError, http.client.HTTPException) as error:
            away = f" ({reason(error)})"
        if wheel is None:
            missing.append(f"{entry.name}=={entry.version}")
            if away:
                break
        else:
            found.append(wheel)
    if missing:
        raise _not_found(missing, away, network)
    return found


def _not_found(missing: Sequence[str], away: str, network: Network) -> UserError:
    names = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    if network.offline:
        hint = f"Bring them: copy {downloads()} from a machine that is set up, and give it as --wheels DIR."
        return UserError(f"Offline, and no wheel at hand for {names}.", hint)
    hint = "Check the network and pip's configuration, or bring the wheels with --wheels DIR."
    if not away:
        names += f" that fits {platform.platform(terse=True)} on {platform.machine()}"
        hint += " GMTalker runs on 64-bit Linux and Windows, and on Apple silicon with macOS 14."
    return UserError(f"No wheel found for {names}{away}.", hint)


def _put_away(folder: Path) -> None:
    """Rename, then remove: Windows renames nothing that a running program uses, so all of it stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
        shutil.rmtree(old, ignore_errors=True)


def _fresh(wanted: Environment) -> None:
    command = [str(wanted.python), "-m", "venv", "--without-pip", str(wanted.folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        _explain(wanted, made.stdout + made.stderr)
        raise UserError(
            f"{wanted.python} makes no virtual environment: {_last_line(made)}.",
            "Install its venv module (Debian: apt-get install python3-venv), and run it again.",
        )


def _install(
    wanted: Environment, pip: Path, locks: Sequence[Path], wheels: Sequence[Wheel]
) -> None:
    """Install from the downloads alone, hashes required, nothing resolved."""
    need = sum(_unpacked(downloads() / wheel.filename) for wheel in wheels)
    free = shutil.disk_usage(wanted.folder).free
    if need > free:
        raise UserError(
            f"{wanted.title} needs {need / 1e6:.0f} MB, and {wanted.folder} has {free / 1e6:.0f} MB.",
            f"Free some space, or {ELSEWHERE}, and run it again.",
            DEVICE,
        )
    command = [str(wanted.interpreter), str(pip / "pip"), "install", "--no-index", "--no-deps"]
    command += ["--require-hashes", "--quiet", "--no-warn-script-location"]
    command += ["--find-links", downloads().as_uri()]
    command += [word for lock in locks for word in ("--requirement", str(lock))]
    progress = Progress("Installing", need / 1e6, "MB")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, env=_quiet_pip(), stdout=errors, stderr=errors, close_fds=False
        )
        watching = threading.Event()
        watcher = threading.Thread(target=_watch, args=(wanted.folder, progress, watching))
        watcher.start()
        try:
            code = process.wait()
        finally:
            process.kill()
            watching.set()
            watcher.join()
        if code:
            errors.seek(0)
            output = errors.read()
            _explain(wanted, output)
            raise RuntimeError(f"pip could not install {wanted.title}:\n{output}")
    progress.finish()


def _watch(folder: Path, progress: Progress, stop: threading.Event) -> None:
    """Tell how far pip is by the bytes that have arrived."""
    before = _bytes(folder)
    while not stop.wait(2):
        progress.set(min((_bytes(folder) - before) / 1e6, progress.total))


def _bytes(folder: Path) -> int:
    """The size of all files, but for compiled ones, which no wheel holds."""
    total = 0
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            with suppress(OSError):  # pip renames while it works
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _quiet_pip() -> dict[str, str]:
    """The surroundings for pip without anyone's settings: all it needs is on its command line."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1", "PYTHONUTF8": "1"}


def _explain(wanted: Environment, output: str) -> None:
    """Raise what the user can mend of what a failed program has said."""
    if "No space left" in output or "not enough space" in output:
        raise UserError(
            f"The disk got full while installing into {wanted.folder}.",
            f"Free some space, or {ELSEWHERE}, and run it again.",
            DEVICE,
        )
    if "Long Path support" in output:
        raise UserError(
            f"Windows finds paths under {wanted.folder} too long.",
            "Enable long paths in Windows, or choose a shorter folder with GMTALKER_HOME.",
            BAD_INPUT,
        )
    if any(sign in output for sign in ("DLL load failed", "WinError 126", "WinError 1114")):
        raise UserError(
            f"{wanted.title} lacks a library of Windows: {output.strip().splitlines()[-1]}",
            "Install Microsoft's Visual C++ Redistributable, and run it again.",
        )


def _checked(wanted: Environment) -> dict[str, Any]:
    try:
        return run_json(wanted.interpreter, wanted.check)
    except RuntimeError as error:
        _explain(wanted, str(error))
        raise


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (
        done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    ).splitlines()
    return lines[-1].rstrip(".")


def run_json(python: Path, code: str) -> dict[str, Any]:
    """What ``code`` prints as JSON under another interpreter; the output itself when it fails."""
    command = [str(python), "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{python} failed:\n{done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def find_python(title: str, served: Sequence[pythons.Version]) -> Path:
    """The interpreter to make an environment with: 3.11, this one, or another that is served."""
    for version in sorted(served, key=lambda v: (v != (3, 11), v != pythons.running())):
        found = pythons.find(version)
        if found:
            return found
    versions = ", ".join(pythons.dotted(v) for v in served)
    raise UserError(
        f"The {title} needs Python {versions}; this is {python_at_hand()}, and no other was found.",
        f"Install Python {pythons.dotted(served[0])}, and run it again.",
    )


def python_at_hand() -> str:
    """The Python that runs the installer, for messages."""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}"
