# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure one of the networks; 'core evaluate speech --help' tells more."""

from __future__ import annotations

import argparse
import importlib

PARTS = ("speech", "motion", "head")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the part has its own."""
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="arguments of the part")


def run(args: argparse.Namespace) -> int:
    """Hand over to the part's own command."""
    module = importlib.import_module(f"..evaluation.{args.part}", __package__)
    return int(module.main(args.rest))
