# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped network does to the built-in head, as pictures to look at: mouths and emotions."""

from __future__ import annotations

import os
import sys
import time

from . import blender, engine
from .demo import ELSEWHERE, plain, remove, step
from .environment import Network
from .errors import told
from .exclusive import only_one
from .places import ROOT, home
from .progress import left, say

OUT = ROOT / "out" / "sheets"
KEPT = ("mouths.jpg", "emotions.jpg")


def run(kind: str | None, series: str | None, network: Network) -> int:
    """Set up, render, and put the pictures into ``out/sheets``."""
    chosen = blender.choose(series)
    times: dict[str, float] = {}
    with told(OUT, ELSEWHERE), only_one(OUT.parent):
        python = engine.ensure(kind, network)
        bpy_python = blender.ensure(chosen, network)
        began = time.monotonic()
        work = OUT.with_name("sheets.part")
        remove(work)
        work.mkdir(parents=True)
        try:
            package = blender.build_extension(bpy_python, work / "build")
            step(times, "pick", [str(python), "-m", "demo.faces", "pick", str(work)], plain())
            surroundings = {**blender.surroundings(work / "user"), "GMTALKER_HOME": str(home())}
            script = str(ROOT / "demo" / "faces_scene.py")
            step(times, "faces", [str(bpy_python), script, str(work), str(package)], surroundings)
            step(times, "draw", [str(python), "-m", "demo.faces", "draw", str(work)], plain())
            OUT.mkdir(exist_ok=True)
            for name in KEPT:
                os.replace(work / name, OUT / name)
        finally:
            remove(work)
    say(f"It took {left(time.monotonic() - began)}. The pictures are in:")
    sys.stdout.write(f"{OUT}\n")
    return 0
