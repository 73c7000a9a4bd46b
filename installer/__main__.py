# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m installer setup | python | demo | sheets | test | can``.

This file alone must start under Pythons that are too old for the rest, to say so: down to 3.6.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # started from elsewhere, as ``python3 /path/to/installer``
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "installer"

MINIMUM = (3, 9)
SERIES = ("4.5", "5.0", "5.2")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python3 -m installer", description="Set up GMTalker.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    network = argparse.ArgumentParser(add_help=False)
    network.add_argument("--wheels", type=Path, metavar="DIR", help="look for wheels here first")
    network.add_argument("--offline", action="store_true", help="touch no network")
    network.add_argument("--engine", choices=("cpu", "cuda", "mps"), help="what the engine runs on")

    setup = commands.add_parser("setup", parents=[network], help="set the engine up")
    setup.add_argument("--tracker", action="store_true", help="and what 'core track' needs")
    commands.add_parser("python", help="print the engine's interpreter")
    demo = commands.add_parser("demo", parents=[network], help="a voice in, a film out")
    demo.add_argument("voice", type=Path, nargs="?", help="a sound or film file; else the sample")
    demo.add_argument("--blender", choices=SERIES, help="the Blender to do it in")
    sheets = commands.add_parser("sheets", parents=[network], help="pictures of mouths and emotions")
    sheets.add_argument("--blender", choices=SERIES, help="the Blender to render them in")
    what = argparse.ArgumentParser(add_help=False)
    group = what.add_mutually_exclusive_group()
    group.add_argument("--blender", choices=SERIES, help="only the tests inside this Blender")
    group.add_argument("--window", action="store_true", help="only those of the real window")
    commands.add_parser("test", parents=[network, what], help="run the whole test suite")
    commands.add_parser("can", parents=[what], help="whether this machine can run those tests")
    return top


def run(arguments: argparse.Namespace) -> int:
    """Do one command."""
    from . import demo, engine, sheets, tests, tracker
    from .environment import Network

    if arguments.command == "python":
        sys.stdout.write(f"{engine.installed_python()}\n")
        return 0
    if arguments.command == "can":
        return tests.can(arguments.blender, arguments.window)
    network = Network(arguments.wheels, arguments.offline)
    if arguments.command == "setup":
        python = engine.ensure(arguments.engine, network)
        if arguments.tracker:
            tracker.ensure(network)
        sys.stdout.write(f"{python}\n")
        return 0
    if arguments.command == "demo":
        return demo.run(arguments.voice, arguments.engine, arguments.blender, network)
    if arguments.command == "sheets":
        return sheets.run(arguments.engine, arguments.blender, network)
    if arguments.window:
        return tests.run_window(arguments.engine, network)
    return tests.run(arguments.engine, arguments.blender, network)


def main(words: "Sequence[str] | None" = None) -> int:
    """Run, and turn what the user can mend into one line and an exit code."""
    if sys.version_info < MINIMUM:
        sys.stderr.write(
            "The installer needs Python 3.9 or newer; Blender's module 3.11 or 3.13.\n"
        )
        return 4
    from .errors import CANCELLED, UserError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path that the console cannot spell
    try:
        return run(parser().parse_args(words))
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.code
    except KeyboardInterrupt:
        sys.stderr.write("Cancelled; run it again to go on.\n")
        return CANCELLED


if __name__ == "__main__":
    code = main()
    if code:
        sys.stdout.flush()
        os._exit(code)  # waits for no download that a Ctrl-C or an error has left to itself
