# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the speeds of this machine, here and now, and print them as a table."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--avatar", default="ada", metavar="NAME", help="the avatar to render (ada)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads for torch")


def run(args: argparse.Namespace) -> int:
    """Measure; print the table."""
    from ..bench import bench

    return bench(args.avatar, args.threads)
