# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: exit codes, and one line for whoever has to mend something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from installer import blender, demo, engine, environment, pythons, system_libraries, tests, window
from installer.__main__ import main
from installer.environment import Environment
from installer.errors import UserError
from installer.places import ROOT, home
from installer.progress import Progress, left


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
