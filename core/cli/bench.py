# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the speeds of this machine, here and now, and print them as a table with their targets."""

from __future__ import annotations

import argparse

from .numbers import natural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--avatar", default="ada", metavar="NAME", help="the avatar to render (ada)"
    )
    parser.add_argument("--threads", type=natural, metavar="N",
                        help="processor cores for the frames (2; all where there is a GPU)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="leave out the 60 minutes of voice")


def run(args: argparse.Namespace) -> int:
    """Measure; print the table."""
    from ..bench import bench

    return bench(args.avatar, args.threads, hour=not args.quick)
