# SPDX-License-Identifier: GPL-3.0-or-later
"""``core track`` with a stand-in for the tracker's process, which needs no mediapipe."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.cli import main
from core.tracks import FaceTracks

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a #! line")

STAND_IN = """#!{python}
import json, os, shutil, sys, time
folder, video, points = os.path.dirname(__file__), sys.argv[-2], sys.argv[-1]
what = open(video).read().strip()
def tell(**said):
    print(json.dumps(said), flush=True)
if what == "no film":
    tell(error=["'%s' is no film that can be read." % video, "Give a film."])
    sys.exit(3)
if what == "crash":
    sys.stderr.write("the lens is dirty")
    sys.exit(9)
while what == "endless":
    open(os.path.join(folder, "pid"), "w").write(str(os.getpid()))
    tell(done=1, total=100)
    time.sleep(0.05)
tell(done=50, total=50)
shutil.copy(os.path.join(folder, what + ".npz"), points)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose tracker is the stand-in: a film's text tells what it is to do."""
    base = tmp_path / "höme of two"
    python = base / "tracker/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (base / "tracker.json").write_text("{}", encoding="utf-8")
    still = np.random.default_rng(0).uniform(100, 300, (1, 478, 3)).astype(np.float32)
    points = np.repeat(still, 50, axis=0)
    points[20:23] = np.nan
    seen = {"times": np.arange(50) / 25, "rate": np.array([25, 1]), "size": np.array([640, 480])}
    np.savez(python.parent / "face.npz", points=points, **seen)
    np.savez(python.parent / "nobody.npz", points=np.full_like(points, np.nan), **seen)
    monkeypatch.setenv("GMTALKER_HOME", str(base))
    return base


def film(folder: Path, what: str) -> Path:
    path = folder / f"{what}.mp4"
    path.write_text(what, encoding="utf-8")
    return path


def test_a_film_becomes_tracks_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tracks.npz"
    words = ["track", str(film(tmp_path, "face")), "-o", str(out)]
    assert main(words) == 0
    assert "50 frames at 25 fps (3 without a face)" in capsys.readouterr().out
    tracks = FaceTracks.load(out)
    assert (~tracks.extra["tracked"]).sum() == 3
    assert tracks.emotion[:, 0].min() == 1
    before = out.read_bytes()
    assert main(words) == 0
    assert "was there already" in capsys.readouterr().out
    assert main([*words, "--overwrite"]) == 0
    assert out.read_bytes() == before


def test_another_rate(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tracks.npz"
    assert main(["track", str(film(tmp_path, "face")), "-o", str(out), "--fps", "30000/1001"]) == 0
    assert str(FaceTracks.load(out).fps) == "30000/1001"


@pytest.mark.parametrize(
    ("what", "said"), [("nobody", "No face was found"), ("no film", "is no film that can be read")]
)
def test_what_is_no_film_of_a_face(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, said: str
) -> None:
    out = tmp_path / "tracks.npz"
    assert main(["track", str(film(tmp_path, what)), "-o", str(out)]) == 3
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_no_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "tracks.npz")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_no_tracker_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GMTALKER_HOME", str(tmp_path / "bare"))
    assert main(["track", str(film(tmp_path, "face")), "-o", str(tmp_path / "tracks.npz")]) == 4
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "python3 -m installer setup --tracker" in told


def test_a_crash_of_the_tracker_keeps_its_words(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 9:\nthe lens is dirty"):
        main(["track", str(film(tmp_path, "crash")), "-o", str(tmp_path / "tracks.npz")])


def test_a_cancel_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    out, scratch = tmp_path / "tracks.npz", tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "core", "track", str(film(tmp_path, "endless")), "-o", str(out)]
    surroundings = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        command, cwd=ROOT, env=surroundings, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("faces: 1/100")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
        assert process.stderr.read().splitlines()[-1] == "Cancelled."
    assert not out.exists()
    assert list(scratch.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((home / "tracker/bin/pid").read_text()), 0)
