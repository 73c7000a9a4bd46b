# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole set-up, from small wheels: made, made again, broken off, offline, two at once."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer import engine, environment, exclusive, pythons
from installer.environment import Environment, Network
from installer.errors import UserError, told
from installer.index import Finder
from installer.lockfile import Pinned
from installer.places import ROOT, downloads, home, interpreter

from .conftest import bundled_pip, make_wheel, sha

CHECK = "import json, sing, song; print(json.dumps({'sing': sing.version, 'song': song.version}))"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, and locks that name them in place of the project's."""
    folder = tmp_path / "wheels é"
    locks = tmp_path / "locks"
    locks.mkdir()
    made = [make_wheel(folder, "sing"), make_wheel(folder, "song", "2.0+cpu")]
    shutil.copy(bundled_pip(), folder)
    [pip] = folder.glob("pip-*.whl")
    write_lock(locks / "engine.txt", *made)
    write_lock(locks / "bootstrap.txt", pip)
    with (locks / "engine.txt").open("a", encoding="utf-8") as lock:
        lock.write(f"never==1.0 ; sys_platform == 'amiga' --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", locks)
    return folder


def write_lock(path: Path, *wheels: Path) -> None:
    entries = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        entries.append(f"{name}=={version} \\\n    --hash=sha256:{sha(wheel)}\n")
    path.write_text("".join(entries), encoding="utf-8")


def wanted(*names: str) -> Environment:
    locks = tuple(environment.REQUIREMENTS / name for name in ("engine.txt", *names))
    python = Path(getattr(sys, "_base_executable", sys.executable))
    return Environment(
        "the engine", home() / "engine", home() / "engine.json", locks, python, CHECK
    )


def test_offline_from_a_folder_and_then_at_once(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    env = wanted()
    environment.ensure(env, Network(wheels, offline=True))
    record = environment.read_record(env.record)
    assert (record["sing"], record["song"]) == ("1.0", "2.0+cpu")
    assert record["packages"] == {"sing": "1.0", "song": "2.0+cpu"}
    assert "Installing: done" in capfd.readouterr().err
    shutil.rmtree(wheels)
    environment.ensure(env, Network(offline=True))
    assert capfd.readouterr().err == ""


def test_the_downloads_serve_a_second_environment(wheels: Path) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    shutil.rmtree(wheels)
    shutil.rmtree(home() / "engine")
    environment.ensure(wanted(), Network(offline=True))
    assert environment.run_json(interpreter(home() / "engine"), CHECK)["sing"] == "1.0"


def test_more_locks_are_added_to_a_whole_environment(wheels: Path) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    witness = home() / "engine" / "witness"
    witness.touch()
    write_lock(environment.REQUIREMENTS / "dev.txt", make_wheel(wheels, "dance"))
    environment.ensure(wanted("dev.txt"), Network(wheels, offline=True))
    record = environment.read_record(home() / "engine.json")
    assert record["packages"] == {"sing": "1.0", "song": "2.0+cpu", "dance": "1.0"}
    assert witness.exists()
    assert environment.missing_locks(wanted()) == []


def test_a_new_lock_makes_the_environment_anew(wheels: Path) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    (home() / "engine" / "witness").touch()
    newer = make_wheel(wheels, "sing", "1.1")
    write_lock(
        environment.REQUIREMENTS / "engine.txt", newer, wheels / "song-2.0+cpu-py3-none-any.whl"
    )
    environment.ensure(wanted(), Network(wheels, offline=True))
    assert environment.read_record(home() / "engine.json")["sing"] == "1.1"
    assert not (home() / "engine" / "witness").exists()
    assert not list(downloads().glob("sing-1.0*"))


def test_an_update_that_cannot_be_downloaded_leaves_what_is_there(wheels: Path) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    before = environment.read_record(home() / "engine.json")
    never = make_wheel(wheels, "never", "2.0")
    write_lock(environment.REQUIREMENTS / "dev.txt", never)
    never.unlink()
    with pytest.raises(UserError, match=r"no wheel at hand for never==2\.0"):
        environment.ensure(wanted("dev.txt"), Network(wheels, offline=True))
    assert environment.read_record(home() / "engine.json") == before
    assert environment.missing_locks(wanted()) == []


def test_another_device_cannot_be_downloaded_and_the_engine_stays() -> None:
    home().mkdir(parents=True)
    record = {"engine": "cpu", "locks": {"cpu.txt": "1"}}
    (home() / "engine.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UserError, match="Offline"):
        engine.ensure("mps" if sys.platform == "darwin" else "cuda", Network(offline=True))
    assert environment.read_record(home() / "engine.json") == record


def test_nothing_of_another_device_is_kept(wheels: Path) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    (home() / "engine" / "witness").touch()
    shutil.copy(environment.REQUIREMENTS / "engine.txt", environment.REQUIREMENTS / "other.txt")
    env = replace(wanted(), locks=(environment.REQUIREMENTS / "other.txt",))
    environment.ensure(env, Network(wheels, offline=True))
    assert not (home() / "engine" / "witness").exists()
    assert list(environment.read_record(env.record)["locks"]) == ["other.txt"]


def test_a_moved_home_serves_as_before(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.ensure(wanted(), Network(wheels, offline=True))
    moved = home().with_name("elsewhere")
    os.replace(home(), moved)
    monkeypatch.setenv("GMTALKER_HOME", str(moved))
    environment.ensure(wanted(), Network(offline=True))
    assert "of tests" not in (moved / "engine.json").read_text("utf-8")
    assert environment.run_json(interpreter(moved / "engine"), CHECK)["sing"] == "1.0"


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for the launcher that stays there")
def test_an_engine_whose_python_is_gone_is_made_anew(wheels: Path) -> None:
    env = wanted()
    environment.ensure(env, Network(wheels, offline=True))
    env.interpreter.unlink()
    env.interpreter.write_text("#!/bin/sh\nexit 103\n", encoding="utf-8")
    env.interpreter.chmod(0o755)
    environment.ensure(env, Network(offline=True))
    assert environment.run_json(env.interpreter, CHECK)["sing"] == "1.0"


def test_an_engine_in_use_on_windows_stays_whole(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = wanted()
    environment.ensure(env, Network(wheels, offline=True))
    before = environment.read_record(env.record)
    write_lock(environment.REQUIREMENTS / "engine.txt", make_wheel(wheels, "sing", "1.1"))
    plain = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(source) == env.folder:
            raise PermissionError(13, "Access is denied", str(source))
        plain(source, target)

    with monkeypatch.context() as windows:
        windows.setattr(os, "replace", refuse)
        with pytest.raises(UserError, match="No permission"):
            environment.ensure(env, Network(wheels, offline=True))
    assert environment.read_record(env.record) == before
    assert environment.run_json(env.interpreter, CHECK)["sing"] == "1.0"


def test_an_environment_without_a_record_is_made_anew(wheels: Path) -> None:
    env = wanted()
    env.folder.mkdir(parents=True)
    (env.folder / "half").touch()
    environment.ensure(env, Network(wheels, offline=True))
    assert not (env.folder / "half").exists()
    assert environment.read_record(env.record)["sing"] == "1.0"


def test_a_failing_check_leaves_no_record(wheels: Path) -> None:
    env = wanted()
    broken = Environment(
        env.title, env.folder, env.record, env.locks, env.python, "import nothing_here"
    )
    with pytest.raises(RuntimeError, match="nothing_here"):
        environment.ensure(broken, Network(wheels, offline=True))
    assert not env.record.exists()


def test_offline_without_wheels_names_what_is_missing(wheels: Path) -> None:
    with pytest.raises(UserError, match="Offline, and no wheel at hand for pip==") as told:
        environment.ensure(wanted(), Network(offline=True))
    assert told.value.code == 4
    assert "--wheels" in str(told.value)


def test_an_answer_that_is_none_of_the_webs_is_said_in_one_line(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def garbled(self: Finder, pinned: Pinned, extra_index: str | None = None) -> None:
        raise http.client.BadStatusLine("SOCKS")

    monkeypatch.setattr(Finder, "find", garbled)
    with pytest.raises(UserError, match=r"No wheel found for pip==.* \(SOCKS\)"):
        environment.ensure(wanted(), Network(wheels))


def test_a_machine_that_no_wheel_fits_is_named(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (wheels / "sing-1.0-py3-none-any.whl").rename(wheels / "sing-1.0-py3-none-amiga.whl")
    with pytest.raises(UserError, match=r"No wheel found for sing==1\.0 that fits .*Apple silicon"):
        environment.ensure(wanted(), Network(wheels))


@pytest.mark.parametrize(
    ("output", "told", "code"),
    [
        ("Error: [Errno 28] No space left on device: 'x'", "disk got full", 5),
        ("ERROR: [Errno 2] ... HINT: ... Windows Long Path support enabled", "too long", 3),
        ("OSError: [WinError 126] Error loading 'c10.dll'", "c10.dll.* Redistributable", 4),
    ],
)
def test_what_the_user_can_mend_is_said_in_one_line(output: str, told: str, code: int) -> None:
    with pytest.raises(UserError, match=told) as raised:
        environment._explain(wanted(), output)
    assert raised.value.code == code
    assert "\n" not in str(raised.value)


def test_a_missing_wheel_folder_is_bad_input() -> None:
    with pytest.raises(UserError, match="does not exist") as told:
        Network(Path("/no such folder")).sources()
    assert told.value.code == 3


def test_a_wheel_with_another_hash_is_refused(wheels: Path) -> None:
    with (wheels / "sing-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"sing-1\.0.*SHA-256 differs"):
        environment.ensure(wanted(), Network(wheels, offline=True))
    assert not (home() / "engine.json").exists()


def test_too_small_a_disk_is_said_before_installing(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"needs 0 MB, and .* has 0 MB") as told:
        environment.ensure(wanted(), Network(wheels, offline=True))
    assert told.value.code == 5


def test_no_permission_is_said_in_one_line(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **options: bool) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="No permission to write") as told:
        environment.ensure(wanted(), Network(wheels, offline=True))
    assert told.value.code == 3


def test_a_home_that_no_disk_takes_is_said_in_one_line(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMTALKER_HOME", str(home() / ("x" * 300)))
    with pytest.raises(UserError, match=r"cannot be made: .*GMTALKER_HOME") as told:
        environment.ensure(wanted(), Network(wheels, offline=True))
    assert told.value.code == 3


def test_a_file_that_a_mistake_has_lost_is_no_fault_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), told(tmp_path / "never made"):
        (tmp_path / "never made" / "lost").read_bytes()


def test_a_file_in_the_way_is_said_in_one_line(wheels: Path) -> None:
    home().write_text("not a folder", encoding="utf-8")
    with pytest.raises(UserError, match="is in the way"):
        environment.ensure(wanted(), Network(wheels, offline=True))


def test_the_second_of_two_waits(wheels: Path, capfd: pytest.CaptureFixture[str]) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from installer.exclusive import only_one\n"
        "with only_one(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(1.5); Path(sys.argv[2]).touch()\n"
    )
    ended = home().parent / "ended"
    command = [sys.executable, "-c", holder, str(home()), str(ended)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        environment.ensure(wanted(), Network(wheels, offline=True))
        assert ended.exists()
    assert "waiting for it to end" in capfd.readouterr().err


def test_a_killed_holder_frees_the_lock(wheels: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from installer.exclusive import only_one\n"
        "with only_one(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", holder, str(home())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    environment.ensure(wanted(), Network(wheels, offline=True))
    assert (home() / "engine.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="another call locks there")
def test_a_network_folder_without_locks_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(handle: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none_here)
    monkeypatch.setattr(exclusive, "say", pytest.fail)
    with exclusive.only_one(home()):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="locks are a process's own on Windows")
def test_what_a_killed_set_up_has_started_is_waited_for(wheels: Path) -> None:
    child = "import time; from pathlib import Path; time.sleep(1.5); Path({!r}).touch()"
    ended = home().parent / "ended"
    holder = (
        "import subprocess, sys, time; from pathlib import Path\n"
        "from installer.exclusive import only_one\n"
        "with only_one(Path(sys.argv[1])):\n"
        "    subprocess.Popen([sys.executable, '-c', sys.argv[2]], close_fds=False)\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", holder, str(home()), child.format(str(ended))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
        environment.ensure(wanted(), Network(wheels, offline=True))
    assert ended.exists()


def test_a_cuda_build_in_a_cpu_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    home().mkdir(parents=True)

    def pretend(env: Environment, network: Network) -> None:
        env.record.write_text(json.dumps({"torch": "2.13.0", "cuda": "13.0"}), encoding="utf-8")

    monkeypatch.setattr(environment, "ensure", pretend)
    with pytest.raises(RuntimeError, match="CUDA build in a cpu engine"):
        engine.ensure("cpu", Network())
    assert not (home() / "engine.json").exists()


def test_no_python_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[[pythons.Version], None] = lambda version: None  # noqa: E731
    monkeypatch.setattr(pythons, "find", nothing)
    with pytest.raises(UserError, match=r"needs Python 3\.11, 3\.12, 3\.13") as told:
        engine.find_python("cpu")
    assert told.value.code == 4
