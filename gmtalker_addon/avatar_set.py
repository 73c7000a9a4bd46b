# SPDX-License-Identifier: GPL-3.0-or-later
"""A render set on disk: its plan, and its frames, made one by one and once only.

The format is told in ``core/training/head_data.py``. A set that was begun goes on with the plan that
it was begun with; several processes may fill one set. `set.json` also says by what (`renderer`) and
in which time (`render_seconds`, the median) a frame was made, for a neural stand-in to be weighed
against.
"""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.files import read_npz
from ..core.training.head_poses import PoseDesign, design_poses

log = logging.getLogger(__name__)

Params = dict[str, NDArray[np.float32]]
FORMAT = {"format": "gmtalker-render-set", "version": 1}
HELD_OUT = 15
"""Every so many frames one is held out; not 16, for emotions come in turns of eight."""


def begun(out: Path) -> bool:
    """Whether the folder holds a plan."""
    return (out / "params.npz").is_file() or (out / "set.json").is_file()


def read_plan(out: Path) -> tuple[Params, dict[str, Any]]:
    """Rows of parameters, and what `set.json` says.

    Raises:
        UserError: the folder holds no whole plan.

    """
    try:
        return read_npz(out / "params.npz"), json.loads((out / "set.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{out}' holds no whole plan of a render set ({error}).",
                        "Name another folder, or empty this one.") from error  # fmt: skip


def new_plan(count: int) -> tuple[Params, dict[str, Any]]:
    """A designed plan of `count` frames; nothing is written."""
    return design_poses(PoseDesign(count=count)), {
        **FORMAT, "held_out": list(range(HELD_OUT, count + 1, HELD_OUT))
    }  # fmt: skip


def write_plan(out: Path, params: Params, info: dict[str, Any]) -> None:
    """`params.npz`, then `set.json`: without the latter there is no set.

    Raises:
        UserError: the folder cannot be written.

    """
    try:
        (out / "frames").mkdir(parents=True, exist_ok=True)
        write_arrays(out / "params.npz", params)
        write_info(out, info)
    except OSError as error:
        raise UserError(f"Cannot write to '{out}' ({error.strerror or error}).",
                        "Choose a folder that you can write to, with room on the disk.") from error  # fmt: skip


def write_info(out: Path, info: dict[str, Any]) -> None:
    """`set.json`"""
    _write(out / "set.json", (json.dumps(info, indent=1, ensure_ascii=False) + "\n").encode())


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An ``.npz``, written beside and renamed."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    _write(path, content.getvalue())


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)


def note_pace(out: Path, info: dict[str, Any], seconds: list[float]) -> None:
    """Writes down by what and how fast frames were made just now, if any were."""
    scene = bpy.context.scene
    engine, said = scene.render.engine, ""
    if engine == "CYCLES":
        engine, said = "Cycles", f", {scene.cycles.samples} samples a pixel"
    if seconds:
        median = round(float(np.median(seconds)), 3)
        write_info(out, info | {"renderer": engine + said, "render_seconds": median})


def frame_path(out: Path, number: int) -> Path:
    """Where a frame is, counted from 1."""
    return out / "frames" / f"{number:06d}.png"


def render_frames(
    out: Path, numbers: Iterable[int], show: Callable[[int], None],
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:  # fmt: skip
    """Render the frames that are not there yet, and return the seconds that each took.

    Args:
        out: the set's folder.
        numbers: of the frames, counted from 1.
        show: poses the character for a row, counted from 0.
        progress: called with (done, total).

    """
    todo = [n for n in numbers if not frame_path(out, n).is_file()]
    seconds = []
    for done, number in enumerate(todo):
        target = frame_path(out, number)
        if target.is_file():
            continue  # Another process was faster.
        began = time.monotonic()
        show(number - 1)
        part = target.with_name(f".{number:06d}.{os.getpid()}.part.png")
        try:
            render_still(part)
            _write(target, bare(part.read_bytes()))
        except (OSError, RuntimeError) as error:
            raise UserError(f"Cannot render frame {number} ({str(error).strip()}).",
                            "Check the engine, and that the disk has room.") from error  # fmt: skip
        finally:
            part.unlink(missing_ok=True)
        seconds.append(time.monotonic() - began)
        log.info("frame %d: %.2f s", number, seconds[-1])
        if progress:
            progress(done + 1, len(todo))
    return seconds


def bare(png: bytes) -> bytes:
    """A PNG without its notes: times and places, which differ from run to run."""
    kept, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"):
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def render_still(path: Path) -> None:
    """What the scene's camera sees now, as the scene's settings say."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
