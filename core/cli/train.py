# SPDX-License-Identifier: GPL-3.0-or-later
"""Train one of the networks; 'core train expression --help' tells more."""

from __future__ import annotations

import argparse
import importlib
import logging

PARTS = ("expression", "motion", "head")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the part has its own."""
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="arguments of the part")


def run(args: argparse.Namespace) -> int:
    """Hand over to the part's own command, which says how far it is: training is long work."""
    logging.getLogger().setLevel(logging.INFO)
    module = importlib.import_module(f"..training.{args.part}", __package__)
    return int(module.main(args.rest))
