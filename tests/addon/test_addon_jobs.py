# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's client, and where its engine is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.protocol import PROTOCOL


@pytest.fixture
def worker(module, engine):
    """``worker(how)``: a started client of the fake engine; ended afterwards."""
    jobs, finder = module("gmtalker_addon.jobs"), module("gmtalker_addon.engine")
    started = []

    def start(how):
        engine(how)
        started.append(jobs.Worker(finder.worker_command(finder.find_python())))
        return started[-1]

    yield start
    for one in started:
        one.close()
        assert not one.alive


@pytest.fixture
def params(module, tmp_path):
    curve = tmp_path / "emotion.json"
    curve.write_text('{"fps": [25, 1], "names": [], "weights": [[0, 0, 0, 0, 0, 0, 0, 0]]}')
    return module("core.protocol").AnimateParams(
        voice="x.wav", output=str(tmp_path / "tracks.npz"), emotion_file=str(curve), length=1.0
    )


def test_a_job_reports_progress_and_its_result(worker, params, module):
    seen = []
    result = worker("well").submit("Animate", "animate", params).wait(seen.append)
    assert result["frames"] == 25
    assert Path(result["tracks"]).is_file()
    assert any(p.stage == "pretending" and p.total == 3 and p.seconds_left for p in seen)


def test_one_process_serves_many_jobs(worker, params):
    one = worker("well")
    pid = one.child.process.pid
    for _ in range(3):
        one.submit("Animate", "animate", params).wait()
    assert one.child.process.pid == pid


def test_a_cancel_is_heard_and_the_worker_lives_on(worker, params, module, until_progress):
    one = worker("slow")
    job = one.submit("Animate", "animate", params)
    until_progress(job)
    job.cancel()
    with pytest.raises(module("core.errors").Cancelled):
        job.wait()
    assert one.alive  # past CANCEL_TIMEOUT it would have been terminated


def test_a_deaf_worker_is_ended_within_two_seconds(worker, params, module, until_progress):
    one = worker("deaf")
    job = one.submit("Animate", "animate", params)
    until_progress(job)
    job.cancel()
    with pytest.raises(module("core.errors").Cancelled):
        job.wait()
    assert not one.alive
    jobs = module("gmtalker_addon.jobs")
    assert jobs.CANCEL_TIMEOUT + jobs.KILL_TIMEOUT < 2


def test_a_cancel_before_the_start_is_a_cancel(worker, params, module):
    job = worker("well").submit("Animate", "animate", params)
    job.cancel()
    with pytest.raises(module("core.errors").Cancelled):
        job.wait()
    assert not Path(params.output).exists()


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("killed", 5, "was killed by signal 9 in the middle of its work"),
        ("broken", 4, "does not start .* No module named 'torch'"),
        ("newer", 4, f"protocol 99, the add-on {PROTOCOL}"),
        ("bad voice", 3, "This is no sound file. Choose another."),
        ("bug", 3, "met a bug: KeyError: 'x'"),
    ],
)
def test_failures_say_what_happened(worker, params, module, how, code, says):
    with pytest.raises(module("core.errors").UserError, match=says) as caught:
        worker(how).submit("Animate", "animate", params).wait()
    assert caught.value.code == code


def test_an_engine_that_cannot_be_started(module, home):
    jobs = module("gmtalker_addon.jobs")
    with pytest.raises(module("core.errors").UserError, match="Cannot start") as caught:
        jobs.Worker([str(home / "none"), "-m", "core", "worker"])
    assert caught.value.code == 4


HOST = """
import importlib.util, os, sys, time, types
root = sys.argv[1]
for name, path in (("ext", root), ("ext.gmtalker_addon", root + "/gmtalker_addon"), ("ext.core", root + "/core")):
    package = types.ModuleType(name); package.__path__ = [path]; sys.modules[name] = package
from ext.gmtalker_addon import engine, jobs
from ext.core.protocol import AnimateParams
worker = jobs.Worker(engine.worker_command(engine.find_python()))
job = worker.submit("Animate", "animate", AnimateParams(voice="x.wav", output=sys.argv[2]))
while not job.progress.total:
    job.poll()
print(worker.child.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_engine_ends_when_blender_is_closed_during_a_job(engine, tmp_path, number):
    """The client runs in a process of its own here, without bpy, and that process is killed."""
    engine("deaf")
    root = Path(__file__).resolve().parents[2]
    host = subprocess.Popen([sys.executable, "-c", HOST, str(root), str(tmp_path / "t.npz")],
                            stdout=subprocess.PIPE, text=True)  # fmt: skip
    pid = int(host.stdout.readline())
    os.kill(pid, 0)
    host.send_signal(number)
    host.wait()
    for _ in range(100):
        if not alive(pid):
            break
        time.sleep(0.05)
    assert not alive(pid)
    assert not (tmp_path / "t.npz").exists()


def alive(pid):
    """Whether it runs; a process that has ended but that nobody waited for counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- where the engine is -----------------------------------------------------------------------


def test_the_home_is_where_platformdirs_says(module, monkeypatch, tmp_path):
    platformdirs = pytest.importorskip("platformdirs")
    finder = module("gmtalker_addon.engine")
    monkeypatch.delenv("GMTALKER_HOME", raising=False)
    for value in (None, str(tmp_path)):
        if value:
            monkeypatch.setenv("XDG_DATA_HOME", value)
        else:
            monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        assert str(finder.home()) == platformdirs.user_data_dir("gmtalker")


def test_the_home_is_the_installers(module, home):
    done = subprocess.run(
        [sys.executable, "-c", "from installer.places import home; print(home())"],
        cwd=module("gmtalker_addon.engine").ROOT, capture_output=True, encoding="utf-8", check=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == str(module("gmtalker_addon.engine").home())


def test_an_engine_that_is_not_whole_is_none(module, engine, home):
    finder, error = module("gmtalker_addon.engine"), module("core.errors").UserError
    python = finder.find_python()
    (home / "engine.json").write_text("{", encoding="utf-8")
    with pytest.raises(error, match=r"not set up\. Press 'Set Up Engine'"):
        finder.find_python()
    (home / "engine.json").write_text("{}", encoding="utf-8")
    assert finder.find_python() == python
    python.unlink()
    with pytest.raises(error, match="Python is gone"):
        finder.find_python()
    with pytest.raises(error, match="no engine at '/none'") as caught:
        finder.find_python("/none")
    assert caught.value.code == 4


def test_an_engine_of_other_packages_is_set_up_again(module, engine, home):
    """Locks are recorded by the installer, which is asked here how."""
    finder, error = module("gmtalker_addon.engine"), module("core.errors").UserError
    code = (
        "from pathlib import Path; from installer.lockfile import digest; "
        "print(*(digest([Path('installer/requirements', n)]) for n in ('cpu.txt', 'dev.txt')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=finder.ROOT, capture_output=True, encoding="utf-8",
                          check=True)  # fmt: skip
    cpu, dev = done.stdout.split()

    def recorded(**locks):
        (home / "engine.json").write_text(json.dumps({"locks": locks}), encoding="utf-8")

    recorded(**{"cpu.txt": cpu, "dev.txt": dev})
    python = finder.find_python()
    recorded(**{"cpu.txt": cpu, "dev.txt": "older"})  # the tests' tools
    assert finder.find_python() == python
    for locks in ({"cpu.txt": "older"}, {"gone.txt": cpu}):
        recorded(**locks)
        with pytest.raises(error, match=r"another version of this extension\. Press 'Set Up Engine'") as caught:
            finder.find_python()
        assert caught.value.code == 4


def test_the_engines_surroundings_are_clean(module, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/somewhere")
    kept = module("gmtalker_addon.engine").environment()
    assert {k: v for k, v in kept.items() if k.startswith("PYTHON")} == {
        "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def test_time_left_is_told_in_words(module):
    jobs = module("gmtalker_addon.jobs")
    assert str(jobs.Progress("frames", 12, 60, 3.4)) == "Frames, 12 of 60, 3 s left"
    assert str(jobs.Progress("frames", 12, 60, 125)) == "Frames, 12 of 60, 2 min 05 s left"
    assert str(jobs.Progress()) == "Starting"
