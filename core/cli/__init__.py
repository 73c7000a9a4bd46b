# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands: one module each, with ``add_arguments(parser)`` and ``run(args)``.

- No ``bpy`` module use. torch and its like are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Sequence
from typing import NoReturn

from ..errors import ExitCode
from ..version import version
from .guard import guarded

COMMANDS = {
    "animate": "a voice to face tracks",
    "track": "footage of a face to face tracks",
    "measure": "face tracks to a table of what the face does",
    "export": "face tracks to another program's file",
    "render": "face tracks to photoreal frames",
    "avatar": "make an avatar of a person from footage",
    "train": "train one of the networks",
    "evaluate": "measure one of the networks",
    "bench": "the speeds of this machine",
    "worker": "serve the add-on over JSON lines",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with one line."""
        line = " ".join(message.split())
        self.exit(ExitCode.USAGE, f"{self.prog}: {line} (see '{self.prog} --help')\n")


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="core", description="GMTalker's engine: voice to face, face to frames.")
    parser.add_argument("--version", action="version", version=f"gmtalker {version()}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f".{name}", __package__)
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    return guarded(args.run, args)
