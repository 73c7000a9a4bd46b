# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what the face does, as seen on the built-in head, to a .csv table."""

from __future__ import annotations

import argparse

from .terminal import reporting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tracks", metavar="TRACKS.npz")
    parser.add_argument("-o", "--output", required=True, metavar="MEASURES.csv")


def run(args: argparse.Namespace) -> int:
    """Measure; print where the table is."""
    from ..files import check_writable
    from ..measure import measure, write_measures
    from ..tracks import FaceTracks

    check_writable(args.output, args.tracks)
    tracks = FaceTracks.load(args.tracks)
    with reporting() as progress:
        table = measure(tracks, progress=progress)
    write_measures(table, args.output)
    print(f"{args.output}: {len(tracks)} frames")
    return 0
