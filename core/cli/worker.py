# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve the add-on: requests as JSON lines on stdin, events on stdout, logs on stderr."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--weights", type=Path, metavar="DIR", help="networks of your own training")


def run(args: argparse.Namespace) -> int:
    """Serve until stdin closes."""
    from ..worker import serve

    return serve(weights=args.weights)
