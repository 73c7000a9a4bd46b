# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: exit codes, and one line for whoever has to mend something."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from installer import (
    blender,
    demo,
    engine,
    environment,
    lockfile,
    pythons,
    sheets,
    system_libraries,
    tests,
    window,
)
from installer.__main__ import main
from installer.environment import Environment, Network
from installer.errors import UserError
from installer.places import REQUIREMENTS, ROOT, home
from installer.progress import Progress, left

from .conftest import FakeIndex


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_python_without_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["python"]) == 4
    assert "-m installer setup" in one_line(capsys)


def test_python_with_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    path = home() / "engine" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    path.parent.mkdir(parents=True)
    path.touch()
    (home() / "engine.json").write_text('{"engine": "cpu"}', encoding="utf-8")
    assert main(["python"]) == 0
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize("words", [[], ["fly"], ["setup", "--engine", "abacus"], ["demo", "--x"], ["sheets", "now"]])
def test_wrong_words_are_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize("version", [(3, 8), (2, 7)])
def test_an_old_python_is_told_what_is_needed(
    version: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert main(["python"]) == 4
    assert "3.9" in one_line(capsys)


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_what_says_so_compiles_there(name: str) -> None:
    tree = ast.parse((ROOT / "installer" / name).read_text("utf-8"), feature_version=(3, 6))
    assert not [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]


def test_a_path_that_the_console_cannot_spell_ends_nothing() -> None:
    (home() / "engine" / "bin").mkdir(parents=True)
    (home() / "engine" / "bin" / "python").touch()
    (home() / "engine.json").write_text('{"engine": "cpu"}', encoding="utf-8")
    command = [sys.executable, "-m", "installer", "python"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=ascii_only, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert r"h\xf6me of tests" in done.stdout


def test_pips_certificates_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_CERT", "/no such.pem")
    assert main(["setup"]) == 3
    assert "The certificates /no such.pem" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to a whole console there")
def test_a_ctrl_c_waits_for_no_slow_server(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    [pip] = lockfile.read(REQUIREMENTS / "bootstrap.txt")
    name = f"pip-{pip.version}-py3-none-any.whl"
    index.pages["/pip/"] = "text/html", f'<a href="/{name}">pip</a>'
    index.files[f"/{name}"] = b"pip" * 1000
    index.stalled = threading.Event()
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    command = [sys.executable, "-m", "installer", "setup"]
    # What a shell has put into the background ignores it, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        while ("GET", f"/{name}", None) not in index.asked:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)  # the server waits until it is let go
        finally:
            process.kill()
            index.stalled.set()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("Cancelled")


def test_a_wheel_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "--wheels", "/no such folder", "--offline"]) == 3
    assert "/no such folder" in capsys.readouterr().err.splitlines()[-1]


def test_offline_with_nothing_at_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "--offline"]) == 4
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: Offline, and no wheel")


def test_the_tracker_is_set_up_beside_the_engine_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Environment] = []
    monkeypatch.setattr(engine, "ensure", lambda kind, network: Path("engine/bin/python"))
    monkeypatch.setattr(environment, "ensure", lambda wanted, network: made.append(wanted))
    assert main(["setup"]) == 0
    assert made == []
    assert main(["setup", "--tracker"]) == 0
    assert capsys.readouterr().out == "engine/bin/python\n" * 2
    [env] = made
    assert (env.folder, env.record) == (home() / "tracker", home() / "tracker.json")
    assert [lock.name for lock in env.locks] == ["tracker.txt"]


def test_a_device_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    impossible = "cuda" if sys.platform == "darwin" else "mps"
    assert main(["setup", "--engine", impossible]) == 5
    assert one_line(capsys).startswith("Error: ")


def test_a_voice_that_is_not_there_is_said_before_anything_is_set_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "/no/such voice.wav"]) == 3
    assert "/no/such voice.wav" in one_line(capsys)
    assert not home().exists()


@pytest.mark.parametrize("command", ["demo", "sheets"])
def test_no_place_for_the_results_is_said_before_anything_is_set_up(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    monkeypatch.setattr(demo, "OUT", tmp_path / "out" / "demo")
    monkeypatch.setattr(sheets, "OUT", tmp_path / "out" / "sheets")
    monkeypatch.setattr(blender, "choose", lambda series: "4.5")
    assert main([command]) == 3
    told = one_line(capsys)
    assert "in the way" in told
    assert "GMTALKER_HOME" not in told
    assert not home().exists()


def test_results_that_are_in_use_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out" / "demo"
    home().mkdir()
    monkeypatch.setattr(demo, "OUT", out)
    monkeypatch.setattr(engine, "ensure", lambda kind, network: Path(sys.executable))
    monkeypatch.setattr(blender, "ensure", lambda series, network: Path(sys.executable))
    monkeypatch.setattr(demo, "make", lambda *words: {})
    monkeypatch.setattr(demo, "step", lambda *words: None)
    monkeypatch.setattr(demo, "report", lambda *words: {})
    for _ in range(2):
        assert demo.run(None, None, "4.5", Network()) == 0
        assert os.listdir(out) == ["report.json"]
        (out / "demo.mp4").touch()
    plain = os.replace

    def as_windows_with_an_open_film(source: Path, target: Path) -> None:
        if Path(source) == out:
            raise PermissionError(13, "Access is denied", str(source))
        plain(source, target)

    monkeypatch.setattr(os, "replace", as_windows_with_an_open_film)
    with pytest.raises(UserError, match="No permission"):
        demo.run(None, None, "4.5", Network())
    assert sorted(os.listdir(out)) == ["demo.mp4", "report.json"]
    assert sorted(os.listdir(out.parent)) == [".lock", "demo"]


def test_the_sample_ships() -> None:
    assert demo.checked(demo.SAMPLE).stat().st_size < 500_000


def test_another_python_is_told_which_blenders_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "running", lambda: (3, 12))
    monkeypatch.setattr(pythons, "find", lambda version: None)
    with pytest.raises(UserError, match=r"needs Python 3\.11, 3\.13; this is Python"):
        blender.choose(None)


@pytest.mark.parametrize(("version", "series"), [((3, 11), "4.5"), ((3, 13), "5.2")])
def test_the_blender_of_the_python_at_hand(
    version: tuple[int, int], series: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pythons, "running", lambda: version)
    assert blender.choose(None) == series
    assert blender.choose("5.0") == "5.0"


def test_without_any_blender_it_is_said_what_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "running", lambda: (3, 12))
    monkeypatch.setattr(pythons, "find", lambda version: None)
    assert main(["can"]) == 4
    assert one_line(capsys).startswith("Not run: the tests inside Blender. ")


def test_this_python_is_found_and_no_other_poses_as_it() -> None:
    found = pythons.find(pythons.running())
    assert found is not None
    assert pythons._real(found, pythons.running()) is not None
    assert pythons._real(found, (3, 7)) is None
    assert pythons._real(Path("/no/python"), (3, 11)) is None


def test_missing_system_libraries_are_named_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_libraries, "missing", lambda python: ["libX11.so.6", "libEGL.so.1"])
    monkeypatch.setattr(system_libraries, "can_install", lambda: False)
    with pytest.raises(UserError, match="apt-get install libx11-6 libegl1 libgl1-mesa-dri"):
        system_libraries.ensure(Path(sys.executable))


def test_a_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="a" name="good"/>'
        '<testcase classname="a" name="bad"><failure message="x"/></testcase>'
        '<testcase classname="a" name="broken"><error message="x"/></testcase>'
        '<testcase classname="a" name="left"><skipped message="no GPU"/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    tally = tests.Tally()
    tests.count(tally, report)
    assert (tally.passed, tally.failed, tally.skipped) == (
        1,
        ["a::bad", "a::broken"],
        ["a::left (no GPU)"],
    )


def test_the_sum_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    tally = tests.Tally(passed=3, skipped=["a::left (no GPU)"])
    assert tally.close() == 0
    assert capsys.readouterr().err == "Not run: a::left (no GPU)\n3 passed, 0 failed, 1 skipped\n"
    tally.failed.append("a::bad")
    assert tally.close() == 1
    assert tests.Tally().close() == 1


def test_a_machine_without_root_cannot_do_the_window(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_libraries, "can_install", lambda: False)
    assert main(["can", "--window"]) == 4
    assert one_line(capsys).startswith("Not run: the window tests.")


def test_the_mirror_is_the_machines_own(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# deb http://no/debian x main\n", encoding="utf-8")
    (tmp_path / "sources.list.d" / "a.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian-security\n\n"
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: x\n",
        encoding="utf-8",
    )
    assert window.mirror(tmp_path) == "http://mirror.example/debian"
    (tmp_path / "sources.list").write_text(
        "deb [signed-by=x] http://old/debian/ x main\n", encoding="utf-8"
    )
    assert window.mirror(tmp_path) == "http://old/debian/"


def test_time_left_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert (left(59.4), left(125)) == ("59 s", "2 min 05 s")
    progress = Progress("Doing", 100, "MB")
    progress._began -= 10
    progress.set(50)
    assert capsys.readouterr().err == "Doing: 50 of 100 MB, 10 s left\n"


def test_the_installer_starts_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "installer"), "python"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
