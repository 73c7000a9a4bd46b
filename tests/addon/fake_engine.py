# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for the engine: speaks the protocol on its pipes, and behaves as GMTALKER_FAKE says."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import zlib
from fractions import Fraction
from pathlib import Path
from struct import pack

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from core import protocol
from core.arkit import EXPRESSION_NAMES
from core.tracks import FaceTracks

HOW = os.environ.get("GMTALKER_FAKE", "well")
requests: queue.Queue[dict] = queue.Queue()
cancelled = threading.Event()


def say(kind: str, id_: int | None = None, **body: object) -> None:
    sys.stdout.write(protocol.event(kind, id_, **body))
    sys.stdout.flush()


def listen() -> None:
    for line in sys.stdin:
        message = protocol.parse_line(line)
        if message["method"] == "cancel" and HOW != "deaf":
            cancelled.set()
        elif message["method"] == "shutdown":
            break
        elif message["method"] != "cancel":
            requests.put(message)
    os._exit(0)  # Blender is gone


def work(id_: int) -> bool:
    """Some progress; False when cancelled."""
    steps = 3 if HOW == "well" else 2000
    for step in range(steps):
        say("progress", id_, stage="pretending", done=step, total=steps, seconds_left=(steps - step) / 20)
        if HOW == "killed" and step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        if cancelled.is_set():
            return False
    return True


def animate(params: dict) -> dict:
    curve = json.loads(Path(params["emotion_file"]).read_text(encoding="utf-8"))
    fps = Fraction(*params["fps"])
    seconds = params["length"] or 2.0
    count = round(seconds * fps)
    random = np.random.default_rng(params["seed"])
    speech = random.uniform(0, 0.5, (count, len(EXPRESSION_NAMES)))
    rows = [curve["weights"][min(i, len(curve["weights"]) - 1)] for i in range(count)]
    FaceTracks(
        fps=fps,
        expression=speech + 0.25,
        speech=speech,
        blink=random.uniform(0, 1, (count, 2)),
        gaze=random.uniform(-0.2, 0.2, (count, 2, 2)),
        head_rotation=random.uniform(-0.2, 0.2, (count, 3)) * params["head_strength"],
        head_translation=np.zeros((count, 3)),
        emotion=np.array(rows),
        start=params["start"],
    ).save(params["output"])
    said = Path(params["text"]).read_text(encoding="utf-8") if params["text"] else ""
    warnings = [f"'{said}' is not {params['language']}."] if said.startswith("wrong") else []
    return {"tracks": params["output"], "frames": count, "warnings": warnings}


def render(params: dict) -> dict:
    count, size = len(FaceTracks.load(params["tracks"])), params["size"]
    folder = Path(params["output"])
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"frame_{i + 1:06d}.png").write_bytes(png(size, i % 256))
    return {"folder": str(folder), "first": 1, "last": count, "rendered": count, "kept": 0}


def png(size: int, level: int) -> bytes:
    """A picture in one grey with a white border of 4 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    inner = size - 8
    edge = (b"\0" + b"\xff" * size * 3) * 4
    line = b"\0" + b"\xff" * 12 + bytes([level]) * inner * 3 + b"\xff" * 12
    rows = edge + line * inner + edge
    head = pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def main() -> None:
    assert sys.argv[1:] == ["-m", "core", "worker"], sys.argv
    assert not [k for k in os.environ if k in {"PYTHONPATH", "PYTHONHOME"}]
    if HOW == "broken":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    say("ready", protocol=99 if HOW == "newer" else protocol.PROTOCOL)
    threading.Thread(target=listen, daemon=True).start()
    while True:
        message = requests.get()
        id_ = message["id"]
        cancelled.clear()
        if HOW == "bad voice":
            say("error", id_, code=3, message="This is no sound file.", hint="Choose another.")
        elif HOW == "disk full":
            say("error", id_, code=3, message="No space left on the disk.", hint="Free some space.")
        elif HOW == "bug":
            say("error", id_, code=1, message="KeyError: 'x'", hint="", traceback="Traceback ...")
        elif not work(id_):
            say("error", id_, code=130, message="Cancelled.", hint="")
        else:
            method = {"animate": animate, "render": render}[message["method"]]
            say("result", id_, result=method(message["params"]))


main()
