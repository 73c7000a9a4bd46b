# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.cli import main
from core.cli.guard import as_user_error
from core.cli.terminal import Reporter, clock_text
from core.errors import Cancelled, ExitCode, UserError
from core.measure import COLUMNS
from core.tracks import FaceTracks

resource = pytest.importorskip("resource", reason="needs POSIX limits and signals")

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "core", *map(str, args)]


def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command(*args), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        **{"env": ENVIRONMENT} | options,
    )  # fmt: skip


def one_line(text: str) -> str:
    lines = text.strip().split("\n")
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_from_a_voice_to_a_table_and_another_program(
    voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ä folder"
    folder.mkdir()
    tracks = folder / "träcks.npz"
    animate = ("animate", voice, "--weights", tiny_weights, "--emotion", "happy=0.8,sad=0.2",
               "--fps", "30000/1001", "--seed", "4", "-o", tracks)  # fmt: skip
    done = run(*animate)
    assert (done.returncode, done.stdout) == (0, f"{tracks}: 60 frames at 30000/1001 fps\n")
    assert "motion: " in done.stderr
    again = run(*animate)
    assert (again.returncode, again.stderr) == (0, "")
    assert "was there already" in again.stdout
    assert "already" not in run(*animate, "--overwrite").stdout
    assert FaceTracks.load(tracks).fps.denominator == 1001

    assert run("measure", tracks, "-o", folder / "m.csv").returncode == 0
    with open(folder / "m.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 60
    assert run("export", tracks, "--format", "arkit-csv", "-o", folder / "f.csv").returncode == 0
    assert (folder / "f.csv").read_text("utf-8").startswith("Timecode,")
    assert sorted(p.name for p in folder.iterdir()) == ["f.csv", "m.csv", "träcks.npz"]


@pytest.mark.parametrize(
    "args",
    [
        (), ("sing",), ("animate",), ("animate", "v.wav"),
        ("animate", "v.wav", "-o", "t.npz", "--fps", "0"),
        ("animate", "v.wav", "-o", "t.npz", "--fps", "fast"),
        ("animate", "v.wav", "-o", "t.npz", "--seed", "-1"),
        ("render", "t.npz", "--avatar", "ada", "-o", "d", "--seed", "18446744073709551616"),
        ("avatar", "from-video", "f.mp4", "-o", "d", "--seed", "4294967296"),
        ("animate", "v.wav", "-o", "t.npz", "--start", "-1"),
        ("animate", "v.wav", "-o", "t.npz", "--length", "0"),
        ("animate", "v.wav", "-o", "t.npz", "--head-strength", "nan"),
        ("animate", "v.wav", "-o", "t.npz", "--emotion", "happy=1", "--emotion-file", "f"),
        ("export", "t.npz", "--format", "fbx", "-o", "f"),
        ("render", "t.npz", "--avatar", "ada", "-o", "d", "--frames", "9-3"),
        ("render", "t.npz", "--avatar", "ada", "-o", "d", "--size", "100"),
        ("train", "ears"), ("evaluate", "ears"), ("train", "motion"), ("bench", "--threads", "x"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors_are_one_line_and_exit_2(
    args: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == ExitCode.USAGE
    said = capfd.readouterr()
    assert said.out == ""
    if args[:2] != ("train", "motion"):
        assert "--help" in one_line(said.err)


def bad_input(folder: Path) -> dict[str, tuple[str, ...]]:
    """Files that are not what they should be, and the command that meets each."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all")
    (folder / "half.npz").write_bytes(b"PK\x03\x04 cut off")
    np.savez(folder / "other.npz", a=np.zeros(3))
    (folder / "curve.csv").write_text("time,joy\n0,1\n")
    animate = ("-o", str(folder / "out.npz"))
    return {
        "missing voice": ("animate", str(folder / "no.wav"), *animate),
        "folder as voice": ("animate", str(folder), *animate),
        "empty voice": ("animate", str(folder / "empty.wav"), *animate),
        "text as voice": ("animate", str(folder / "text.wav"), *animate),
        "unknown emotion": ("animate", "VOICE", "--emotion", "joy=1", *animate),
        "emotion above 1": ("animate", "VOICE", "--emotion", "happy=1.2", *animate),
        "negative emotion": ("animate", "VOICE", "--emotion", "happy=-0.2", *animate),
        "emotion that is no number": ("animate", "VOICE", "--emotion", "happy=nan", *animate),
        "wrong curve": ("animate", "VOICE", "--emotion-file", str(folder / "curve.csv"), *animate),
        "start past the end": ("animate", "VOICE", "--start", "60", *animate),
        "missing folder": ("animate", "VOICE", "-o", str(folder / "no" / "out.npz")),
        "file as folder": ("animate", "VOICE", "-o", str(folder / "empty.wav" / "out.npz")),
        "missing tracks": ("measure", str(folder / "no.npz"), "-o", str(folder / "out.csv")),
        "half tracks": ("measure", str(folder / "half.npz"), "-o", str(folder / "out.csv")),
        "other arrays": ("export", str(folder / "other.npz"), "--format", "arkit-csv",
                         "-o", str(folder / "out.csv")),
        "tracks that are none": ("render", str(folder / "half.npz"), "--avatar", "ada",
                                 "-o", str(folder / "out")),
    }  # fmt: skip


@pytest.mark.parametrize("kind", [
    "missing voice", "folder as voice", "empty voice", "text as voice", "unknown emotion",
    "emotion above 1", "negative emotion", "emotion that is no number", "wrong curve",
    "start past the end", "missing folder", "file as folder", "missing tracks", "half tracks",
    "other arrays", "tracks that are none",
])  # fmt: skip
def test_bad_input_is_one_line_exits_3_and_writes_nothing(
    kind: str, voice: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    args = bad_input(tmp_path)[kind]
    before = sorted(tmp_path.rglob("*"))
    assert main([str(voice) if a == "VOICE" else a for a in args]) == ExitCode.BAD_INPUT
    one_line(capfd.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["voice", "emotion", "text", "link", "measure", "export"])
def test_what_is_read_is_not_written_over(
    kind: str, voice: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "the only copy"
    source.write_bytes(voice.read_bytes())
    output, args = str(source), ["animate", str(source)]
    if kind == "link":
        output = str(tmp_path / "link")
        os.symlink(source, output)
    elif kind in ("emotion", "text"):
        option = {"emotion": "--emotion-file", "text": "--text"}[kind]
        source.write_text("time,happy\n0,1\n")
        args = ["animate", str(voice), option, str(source)]
    elif kind in ("measure", "export"):
        options = ["--format", "arkit-csv"] if kind == "export" else []
        args = [kind, str(source), *options]
    before = source.read_bytes()
    assert main([*args, "-o", output]) == ExitCode.BAD_INPUT
    assert "which is read" in one_line(capfd.readouterr().err)
    assert source.read_bytes() == before


def test_a_pipe_or_a_device_is_neither_replaced_nor_read(
    voice: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for source, output in ((voice, pipe), (pipe, tmp_path / "t.npz")):
        assert main(["animate", str(source), "-o", str(output)]) == ExitCode.BAD_INPUT
        assert "device or pipe" in one_line(capfd.readouterr().err)
    assert pipe.is_fifo()


def test_a_path_that_stdout_cannot_write_is_told_all_the_same(
    voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    for name in ("顔.npz", os.fsdecode(b"f\xe4ce.npz")):
        done = run("animate", voice, "--weights", tiny_weights, "-o", tmp_path / name,
                   env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii"})  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(": 50 frames at 25 fps\n")
        assert len(FaceTracks.load(tmp_path / name)) == 50


def test_missing_networks_exit_4(
    voice: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    args = ["animate", str(voice), "--weights", str(tmp_path), "-o", str(tmp_path / "t.npz")]
    assert main(args) == ExitCode.MISSING
    assert "expression.safetensors" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_engine_exits_4(voice: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from core.cli import main; sys.exit(main(['animate', {str(voice)!r}, '-o', 't.npz']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == ExitCode.MISSING
    assert "torch" in one_line(done.stderr)
    assert "installer setup" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a", "b"), 3), (Cancelled(), 130), (KeyboardInterrupt(), 130),
        (MemoryError(), 5), (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 5),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 5),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"), 5),
        (RuntimeError("CUDA error: out of memory"), 5),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), 5),
        (ModuleNotFoundError("no", name="librosa.filters"), 4),
    ],
    ids=repr,
)  # fmt: skip
def test_exit_codes(error: BaseException, code: int) -> None:
    known = as_user_error(error)
    assert known is not None
    assert known.code == code


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), RuntimeError("x"), ModuleNotFoundError("x", name="core.missing")],
    ids=repr,
)
def test_bugs_keep_their_traceback(error: Exception) -> None:
    assert as_user_error(error) is None


def test_no_room_on_the_disk_leaves_nothing(
    voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    def limit() -> None:
        # Writing past it then fails like a full disk does, instead of ending the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = run(
        "animate", voice, "--weights", tiny_weights, "-o", tmp_path / "t.npz", preexec_fn=limit
    )
    assert done.returncode == ExitCode.BAD_INPUT
    assert "Cannot write" in done.stderr.strip().split("\n")[-1]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder(voice: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert main(["animate", str(voice), "-o", str(closed / "t.npz")]) == ExitCode.BAD_INPUT


def start_long(long_voice: Path, tiny_weights: Path, output: Path) -> subprocess.Popen[str]:
    """An animation that has begun to draw motion and is far from its end."""
    # Tests that a shell runs in the background ignore interrupts, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command("animate", long_voice, "--weights", tiny_weights, "-o", output),
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("motion: "):
            return process
    raise AssertionError(f"ended with {process.wait()}")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_exits_130_and_leaves_nothing(
    name: str, long_voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with start_long(long_voice, tiny_weights, tmp_path / "t.npz") as process:
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=60)[1]
    assert process.returncode == ExitCode.CANCELLED
    assert said.strip().split("\n")[-1] == "Cancelled."
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_half_file_and_a_rerun_makes_it(
    long_voice: Path, voice: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with start_long(long_voice, tiny_weights, tmp_path / "t.npz") as process:
        process.kill()
    assert not (tmp_path / "t.npz").exists()
    assert main(["animate", str(voice), "--weights", str(tiny_weights),
                 "-o", str(tmp_path / "t.npz")]) == 0  # fmt: skip
    assert len(FaceTracks.load(tmp_path / "t.npz")) == 50


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line() -> None:
    now = iter(np.arange(0, 1000, 0.5))
    stream = Terminal()
    reporter = Reporter(stream, lambda: float(next(now)))
    for done in range(11):
        reporter("motion", done, 10)
    reporter.end()
    said = stream.getvalue()
    assert said.count("\n") == 1
    assert said.endswith("motion: 10/10" + said.split("10/10")[-1])
    assert re.search(r"motion: 4/10, 0:0\d left", said)


def test_progress_elsewhere_is_a_line_a_second() -> None:
    now = iter(np.arange(0, 1000, 0.05))
    stream = io.StringIO()
    reporter = Reporter(stream, lambda: float(next(now)))
    for done in range(101):
        reporter("motion", done, 100)
    lines = stream.getvalue().strip().split("\n")
    assert lines[-1] == "motion: 100/100"
    assert 5 < len(lines) < 15
    assert clock_text(3725) == "1:02:05"


def test_the_version_is_the_manifests() -> None:
    done = run("--version")
    manifest = (ROOT / "blender_manifest.toml").read_text("utf-8")
    assert done.returncode == 0
    assert f'version = "{done.stdout.split()[-1]}"' in manifest
