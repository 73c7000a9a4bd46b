# SPDX-License-Identifier: GPL-3.0-or-later
"""Render face tracks as photoreal frames of an avatar."""

from __future__ import annotations

import argparse

from ..protocol import RenderParams
from .numbers import natural, seed
from .terminal import reporting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tracks", metavar="TRACKS.npz")
    parser.add_argument("--avatar", required=True, metavar="NAME", help="an avatar, or its folder")
    parser.add_argument("-o", "--output", required=True, metavar="DIR")
    parser.add_argument("--frames", type=frame_range, metavar="A-B", help="counted from 1")
    parser.add_argument("--size", type=int, choices=(256, 512), default=256, help="pixels (256)")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same frames (0)")
    parser.add_argument("--into", default="", metavar="SET",
                        help="paste the face into a film of the set that the avatar was made from "
                             "(AVATAR.work/set-*), on the film's head motion and gaze")  # fmt: skip
    parser.add_argument("--film", default="", metavar="NAME", help="which film of the set (its first)")
    parser.add_argument("--alpha", action="store_true",
                        help="write alpha too, for compositing, if the avatar has it")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto",
                        help="where the network runs (auto: a GPU if there is one)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="render again what is there")


def run(args: argparse.Namespace) -> int:
    """Render; print where the frames are."""
    from ..render import render

    params = RenderParams(
        tracks=args.tracks,
        avatar=args.avatar,
        output=args.output,
        frames=args.frames,
        size=args.size,
        overwrite=args.overwrite,
        seed=args.seed,
        device=args.device,
        into=args.into,
        film=args.film,
        alpha=args.alpha,
    )
    with reporting() as progress:
        result = render(params, progress)
    print(f"{args.output}: {result}")
    return 0


def frame_range(text: str) -> tuple[int, int]:
    """``A-B``, or ``A`` alone, counted from 1, inclusive."""
    first, dash, last = text.partition("-")
    try:
        pair = natural(first), natural(last if dash else first)
    except argparse.ArgumentTypeError:
        pair = 0, 0
    if not 1 <= pair[0] <= pair[1]:
        raise argparse.ArgumentTypeError(f"expected frames as 1-50, got '{text}'")
    return pair
