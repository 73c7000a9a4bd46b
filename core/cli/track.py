# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn footage of a face into face tracks."""

from __future__ import annotations

import argparse

from .numbers import frame_rate
from .terminal import reporting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("video", metavar="VIDEO", help="mp4, mov, mkv, avi, webm, mpg")
    parser.add_argument("-o", "--output", required=True, metavar="TRACKS.npz")
    parser.add_argument("--fps", type=frame_rate, metavar="N/D", help="frame rate (the film's own)")
    parser.add_argument("--overwrite", action="store_true", help="do it again if it is there")


def run(args: argparse.Namespace) -> int:
    """Track; print where the tracks are."""
    from ..tracking.tracker import track_to_file

    with reporting() as progress:
        done = track_to_file(args.video, args.output, args.fps, progress, overwrite=args.overwrite)
    notes = [f"{done.lost} without a face"] * bool(done.lost) + ["was there already"] * done.skipped
    note = f" ({', '.join(notes)})" if notes else ""
    print(f"{args.output}: {len(done.tracks)} frames at {done.tracks.fps} fps{note}")
    return 0
