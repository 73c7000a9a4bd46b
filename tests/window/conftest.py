# SPDX-License-Identifier: GPL-3.0-or-later
"""The real application in its chroot: on the command line, and in a window on a virtual screen."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from installer import window
from installer.places import ROOT

PACKAGE = os.environ.get("GMTALKER_EXTENSION")
SIZE = (1600, 1500)


@dataclass
class Application:
    """Blender from Debian, with its own settings, and the folder that both sides see."""

    stage: Path
    more: dict[str, str] = field(default_factory=dict)

    def surroundings(self, **more: str) -> dict[str, str]:
        return window.surroundings(self.stage / "user", {**self.more, **more})

    def command(self, *words: str) -> list[str]:
        return window.enter(["blender", *words], [self.stage, *window.engine_binds()])

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Blender without a window, and wait for its end."""
        return subprocess.run(
            self.command("-b", *words),
            env=self.surroundings(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    """Blender with the extension's zip installed and enabled."""
    if PACKAGE is None:
        pytest.skip("needs the real application: run 'python3 -m installer test --window'")
    stage = tmp_path_factory.mktemp("stage with späce")
    (stage / "user").mkdir()
    package = stage / "gmtalker.zip"
    package.write_bytes(Path(PACKAGE).read_bytes())
    (stage / "voice.wav").write_bytes((ROOT / "demo" / "voice.wav").read_bytes())
    app = Application(stage)
    done = app.run("-c", "extension", "install-file", "-r", "user_default", "-e", str(package))
    assert done.returncode == 0, done.stdout + done.stderr
    return app


@dataclass
class Screen:
    """A virtual screen whose picture is a file."""

    name: str
    file: Path

    def picture(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(H, W, 3) what the screen shows now (the X window dump that Xvfb keeps)."""
        data = self.file.read_bytes()
        head = struct.unpack(">25I", data[:100])
        size, width, height, stride, colours = head[0], head[4], head[5], head[12], head[19]
        pixels = np.frombuffer(data, np.uint8, stride * height, size + colours * 12)
        return pixels.reshape(height, stride)[:, : width * 4].reshape(height, width, 4)[..., 2::-1]

    def save(self, path: Path) -> None:
        Image.fromarray(self.picture()).save(path)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24"]
    command += ["-nolisten", "tcp", "-fbdir", str(tmp_path)]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as said:
            name = f":{said.readline().strip()}"
        yield Screen(name, tmp_path / "Xvfb_screen0")
        server.terminate()


@dataclass
class Session:
    """Blender in a window, obeying requests that are written as files."""

    process: subprocess.Popen[bytes]
    folder: Path
    screen: Screen
    asked: int = 0

    def ask(self, what: str, limit: float = 60, **values: Any) -> Any:
        """Have the window do one thing, and return its answer."""
        self.asked += 1
        request = self.folder / f"{self.asked:04d}.request"
        part = request.with_suffix(".part")
        part.write_text(json.dumps({"what": what, **values}), encoding="utf-8")
        part.rename(request)
        answer = request.with_suffix(".answer")
        until = time.monotonic() + limit
        while not answer.exists():
            assert self.process.poll() is None, f"Blender ended with {self.process.returncode}"
            assert time.monotonic() < until, f"no answer to {what} {values} in {limit} s"
            time.sleep(0.05)
        said: Mapping[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        assert "error" not in said, said["error"]
        return said["value"]

    def wait_for(self, what: str, limit: float = 60, **values: Any) -> Any:
        """Ask until the answer is true."""
        until = time.monotonic() + limit
        while not (answer := self.ask(what, **values)):
            assert time.monotonic() < until, f"not within {limit} s: {what} {values}"
            time.sleep(0.2)
        return answer

    def click(self, x: int, y: int) -> None:
        """Click at a place of the screen, counted from its lower left corner, and move away.

        Blender does not redraw the state of a button while the mouse rests on it.
        """
        for event, value in (("MOUSEMOVE", "NOTHING"),) * 2 + (
            ("LEFTMOUSE", "PRESS"),
            ("LEFTMOUSE", "RELEASE"),
        ):
            self.ask("event", type=event, value=value, x=x, y=y)
            time.sleep(0.15)
        for nearer in (300, 350):
            self.ask("event", type="MOUSEMOVE", value="NOTHING", x=x - nearer, y=y)
            time.sleep(0.15)


@pytest.fixture
def session(application: Application, screen: Screen) -> Iterator[Session]:
    """Blender's window with a character in it and the sidebar open at our panel."""
    folder = Path(tempfile.mkdtemp(prefix="session ", dir=application.stage))
    script = folder / "obey.py"
    script.write_bytes((Path(__file__).parent / "obey.py").read_bytes())
    options = ["--enable-event-simulate", "--window-geometry", "0", "0", *map(str, SIZE)]
    command = application.command(
        "--factory-startup", *options, "--python", str(script), "--", str(folder)
    )
    log = (folder / "log.txt").open("wb")
    with subprocess.Popen(
        command, env=application.surroundings(DISPLAY=screen.name), stdout=log, stderr=log
    ) as process:
        try:
            yield Session(process, folder, screen)
        finally:
            process.terminate()
            process.wait(30)
            log.close()
