# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ExitCode, UserError
from core.progress import Pace, Progress
from core.protocol import CANCEL_GRACE, PROTOCOL, AnimateParams, request
from core.tracks import FaceTracks
from core.version import version
from core.worker import Worker, methods

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


class Client:
    """The add-on's side of a worker process."""

    def __init__(self, weights: Path, stderr: Path) -> None:
        self.log = stderr
        self.process = subprocess.Popen(
            [sys.executable, "-m", "core", "worker", "--weights", str(weights)], cwd=ROOT,
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=stderr.open("wb"), text=True, encoding="utf-8",
        )  # fmt: skip
        self.ready = self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text("utf-8")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def send(self, id_: int, method: str, params: Any = None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(request(id_, method, params))
        self.process.stdin.flush()

    def until(self, kind: str, stage: str | None = None) -> dict[str, Any]:
        while True:
            message = self.read()
            if message["event"] == kind and stage in (None, message.get("stage")):
                return message
            assert message["event"] == "progress", message


@pytest.fixture
def client(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    made = Client(tiny_weights, tmp_path_factory.mktemp("log") / "stderr.txt")
    yield made
    made.process.kill()
    made.process.wait()
    assert made.process.stdout is not None
    made.process.stdout.close()


def test_two_jobs_and_a_clean_end(client: Client, voice: Path, tmp_path: Path) -> None:
    assert client.ready["event"] == "ready"
    assert client.ready["protocol"] == PROTOCOL
    assert client.ready["version"] == version()
    assert client.ready["pid"] == client.process.pid
    for id_ in (1, 2):
        output = tmp_path / f"ü {id_}.npz"
        params = AnimateParams(str(voice), str(output), fps=(24000, 1001), emotion={"sad": 1.0})
        client.send(id_, "animate", params)
        answer = client.until("result")
        assert answer["id"] == id_
        assert answer["result"]["tracks"] == str(output)
        assert answer["result"]["frames"] == len(FaceTracks.load(output)) == 48
    # A mistake is answered, and the worker goes on.
    client.send(3, "animate", AnimateParams("missing.wav", str(tmp_path / "x.npz")))
    error = client.until("error")
    assert (error["id"], error["code"]) == (3, ExitCode.BAD_INPUT)
    assert error["hint"]
    client.send(4, "shutdown")
    assert client.process.wait(30) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ü 1.npz", "ü 2.npz"]


def test_a_cancel_stops_the_job_and_the_next_one_runs(
    client: Client, long_voice: Path, voice: Path, tmp_path: Path
) -> None:
    client.send(1, "animate", AnimateParams(str(long_voice), str(tmp_path / "t.npz")))
    told = client.until("progress", "motion")
    assert told["seconds_left"] is None or told["seconds_left"] >= 0
    client.send(2, "animate", AnimateParams(str(voice), str(tmp_path / "u.npz")))
    refused = client.until("error")
    assert (refused["id"], refused["code"]) == (2, ExitCode.BAD_INPUT)
    assert "1" in refused["message"]
    client.send(3, "cancel", {"id": 1})
    answer = client.until("error")
    assert (answer["id"], answer["code"]) == (1, ExitCode.CANCELLED)
    assert list(tmp_path.iterdir()) == []
    # Past the grace the worker would have ended: that it works on says the cancel was heard in time.
    client.send(4, "animate", AnimateParams(str(voice), str(tmp_path / "u.npz")))
    assert client.until("result")["id"] == 4


def test_the_end_of_stdin_ends_a_running_job(
    client: Client, long_voice: Path, tmp_path: Path
) -> None:
    client.send(1, "animate", AnimateParams(str(long_voice), str(tmp_path / "t.npz")))
    client.until("progress", "motion")
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(CANCEL_GRACE + 10) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_terminate_ends_a_running_job(client: Client, long_voice: Path, tmp_path: Path) -> None:
    client.send(1, "animate", AnimateParams(str(long_voice), str(tmp_path / "t.npz")))
    client.until("progress", "motion")
    client.process.terminate()
    assert client.process.wait(30) == ExitCode.CANCELLED
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_half_file(client: Client, long_voice: Path, tmp_path: Path) -> None:
    client.send(1, "animate", AnimateParams(str(long_voice), str(tmp_path / "t.npz")))
    client.until("progress", "motion")
    client.process.send_signal(signal.SIGKILL)
    client.process.wait(30)
    assert list(tmp_path.iterdir()) == []


def test_the_worker_ends_when_its_blender_is_killed(
    tiny_weights: Path, long_voice: Path, tmp_path: Path
) -> None:
    line = request(1, "animate", AnimateParams(str(long_voice), str(tmp_path / "t.npz")))
    blender = (
        "import subprocess, sys, time\n"
        f"worker = subprocess.Popen([sys.executable, '-m', 'core', 'worker', '--weights',"
        f" {str(tiny_weights)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        f"worker.stdin.write({line!r}); worker.stdin.flush()\n"
        "for line in worker.stdout:\n"
        "    if 'motion' in line: break\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", blender], cwd=ROOT, env=ENVIRONMENT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    until = time.monotonic() + 30
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)
    assert list(tmp_path.iterdir()) == []


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def talk(lines: str, jobs: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """A worker in this process: what it says to some lines."""
    events = io.StringIO()
    Worker(io.StringIO(lines), events, jobs, **options).serve()
    return [json.loads(line) for line in events.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        ("nonsense", 3, None), ("[1]", 3, None), ('{"method": "animate"}', 2, None),
        ('{"id": "a", "method": "animate"}', 2, None), ('{"id": 5}', 2, 5),
        ('{"id": 5, "method": "sing"}', 2, 5), ('{"id": 5, "method": "animate", "params": 3}', 2, 5),
        ('{"id": 5, "method": ["animate"]}', 2, 5), ('{"id": 5, "method": {}}', 2, 5),
        ("[" * 100_000, 3, None),
    ],
)  # fmt: skip
def test_a_wrong_line_is_answered(line: str, code: int, id_: int | None) -> None:
    ready, answer = talk(line + "\n\n", methods())
    assert ready["event"] == "ready"
    assert (answer["event"], answer["code"], answer.get("id")) == ("error", code, id_)
    assert answer["message"]


def test_unknown_and_missing_fields_are_answered() -> None:
    for params in ({"voice": "v", "output": "o", "mood": 1}, {"voice": "v"}):
        answer = talk_until_done(request(1, "animate", params), methods())[-1]
        assert (answer["event"], answer["code"]) == ("error", ExitCode.BAD_INPUT)


def test_a_bug_is_answered_with_its_traceback() -> None:
    def job(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise ZeroDivisionError("a bug")

    answer = talk_until_done(request(1, "job"), {"job": job})[-1]
    assert (answer["event"], answer["code"]) == ("error", 1)
    assert "ZeroDivisionError" in answer["traceback"]


def test_a_user_error_and_no_memory_are_answered() -> None:
    def refuse(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise UserError("What.", "Do.", ExitCode.MISSING)

    def burst(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise MemoryError

    answer = talk_until_done(request(1, "job"), {"job": refuse})[-1]
    assert (answer["code"], answer["message"], answer["hint"]) == (4, "What.", "Do.")
    assert talk_until_done(request(1, "job"), {"job": burst})[-1]["code"] == ExitCode.DEVICE


def talk_until_done(line: str, jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """As :func:`talk`, with a stdin that stays open until the job has answered."""
    events = io.StringIO()

    def lines() -> Iterator[str]:
        yield line
        while events.getvalue().count('"error"') + events.getvalue().count('"result"') < 1:
            time.sleep(0.005)

    Worker(lines(), events, jobs).serve()  # type: ignore[arg-type]
    return [json.loads(text) for text in events.getvalue().splitlines()]


def test_a_job_that_does_not_stop_ends_the_process() -> None:
    left: list[int] = []
    begun, release = threading.Event(), threading.Event()

    def stuck(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
        begun.set()
        release.wait(30)
        return {}

    def leave(code: int) -> None:
        left.append(code)
        release.set()

    def lines() -> Iterator[str]:
        yield request(1, "job")
        begun.wait(30)
        yield request(2, "cancel", {"id": 1})
        release.wait(30)

    events = io.StringIO()
    Worker(lines(), events, {"job": stuck}, leave, grace=0.05).serve()  # type: ignore[arg-type]
    assert left == [ExitCode.CANCELLED]
    said = [json.loads(text) for text in events.getvalue().splitlines()]
    assert (said[1]["id"], said[1]["code"]) == (1, ExitCode.CANCELLED)


def test_a_cancel_of_nothing_is_no_error() -> None:
    assert len(talk(request(1, "cancel", {"id": 9}) + request(2, "shutdown"), {})) == 1


def test_a_broken_pipe_ends_the_worker() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    left: list[int] = []
    Worker(io.StringIO(""), Broken(), {}, left.append).serve()
    assert left == [ExitCode.DONE]


def test_stray_prints_and_hungry_children_stay_off_the_protocol(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, core.worker as w\n"
        "def job(params, progress):\n"
        "    print('stray')\n"
        "    sys.stdout.flush()\n"
        "    subprocess.run([sys.executable, '-c', 'import sys; print(sys.stdin.read())'])\n"
        "    return {'fine': True}\n"
        "w.methods = lambda weights: {'job': job}\n"
        "w.serve()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=(tmp_path / "log").open("w")) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request(1, "job"))
        process.stdin.flush()
        said = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.write(request(2, "shutdown"))
        process.stdin.close()
        rest = process.stdout.read()
    assert [m["event"] for m in said] == ["ready", "result"]
    assert rest == ""
    assert "stray" in (tmp_path / "log").read_text()


def test_ready_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "heavy = ('torch', 'librosa', 'scipy', 'PIL')\n"
        "import core.cli, core.worker\n"
        "core.cli.build_parser()\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_pace_tells_the_time_left() -> None:
    now = iter([0.0, 1.0, 3.0, 4.0, 5.0])
    pace = Pace(lambda: next(now))
    assert pace.seconds_left("a", 0, 10) is None
    assert pace.seconds_left("a", 1, 10) == pytest.approx(9)
    assert pace.seconds_left("a", 6, 10) == pytest.approx(2)
    assert pace.seconds_left("b", 0, 10) is None
    assert pace.seconds_left("b", 10, 10) == 0
