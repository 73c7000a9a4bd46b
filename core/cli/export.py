# SPDX-License-Identifier: GPL-3.0-or-later
"""Write face tracks as another program's file."""

from __future__ import annotations

import argparse

from ..export import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tracks", metavar="TRACKS.npz")
    parser.add_argument("--format", required=True, choices=sorted(FORMATS),
                        help="; ".join(f"{k}: {v.summary}" for k, v in sorted(FORMATS.items())))  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Export; print where the file is."""
    from ..export import export
    from ..files import check_writable
    from ..tracks import FaceTracks

    check_writable(args.output, args.tracks)
    tracks = FaceTracks.load(args.tracks)
    export(tracks, args.format, args.output)
    print(f"{args.output}: {len(tracks)} frames")
    return 0
