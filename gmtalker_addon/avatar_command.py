# SPDX-License-Identifier: GPL-3.0-or-later
"""``-c gmtalker avatar``: the render set of a character, or of the built-in `ada`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import bpy

from ..core.errors import ExitCode, UserError
from . import avatar_character, avatar_scene


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--character", metavar="NAME",
                        help="an object of the opened file; else the path-traced 'ada' in a scene of her own")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="SET",
                        help="folder of the render set; a begun one goes on, for 'core train head --renders SET'")  # fmt: skip
    parser.add_argument("--frames", type=int, default=1200, metavar="N", help="faces in a new set (1200)")
    parser.add_argument("--size", type=int, default=256, help="pixels (256)")
    parser.add_argument("--engine", choices=("cycles", "eevee", "workbench"), help="the scene's by default")
    parser.add_argument("--samples", type=int, help="for each pixel; the scene's by default, 20 for 'ada'")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="first frame to make now")
    parser.add_argument("--last", type=int, metavar="N", help="last frame to make now")
    parser.add_argument("--threads", type=int, metavar="N", help="the scene's by default, 1 for 'ada'")


def run(arguments: argparse.Namespace, obj: bpy.types.Object | None) -> str:
    """Render what is not there yet; returns what was done, in words.

    Raises:
        UserError: a number is out of range, or the character cannot be used.

    """
    _check(arguments)
    if obj is not None:
        made = avatar_character.render_set(
            obj, arguments.out, arguments.size, arguments.frames, arguments.engine,
            arguments.samples, arguments.first, arguments.last, arguments.threads, _Teller(),
        )  # fmt: skip
    else:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        made = avatar_scene.render_set(
            arguments.out, arguments.size, arguments.samples or 20, arguments.first,
            arguments.last, arguments.threads or 1, progress=_Teller(), count=arguments.frames,
        )  # fmt: skip
    return f"{made} frames made in {arguments.out / 'frames'}"


def _check(arguments: argparse.Namespace) -> None:
    if arguments.size % 32 or not 32 <= arguments.size <= 1024:
        raise UserError(f"Expected --size from 32 to 1024, in steps of 32, got {arguments.size}.",
                        "Use 256 or 512.", ExitCode.USAGE)  # fmt: skip
    for name in ("frames", "samples", "first", "last", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"Expected --{name} of at least 1, got {value}.", "", ExitCode.USAGE)
    if arguments.engine and not arguments.character:
        raise UserError("--engine is for a character of the opened file; 'ada' is path-traced.",
                        "Name it with --character.", ExitCode.USAGE)  # fmt: skip


class _Teller:
    """How far it is and how long it will take, on stderr, every few seconds."""

    def __init__(self) -> None:
        self.began = self.said = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 1:  # What came before, and the first frame's setting up, tell nothing of the rest.
            self.began = self.said = now
        elif now - self.said > 5 or done == total:
            self.said, each = now, (now - self.began) / (done - 1)
            left = each * (total - done) / 60
            sys.stderr.write(f"{done} of {total} frames, {each:.1f} s each, {left:.0f} min left\n")
            sys.stderr.flush()
