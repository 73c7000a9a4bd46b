# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a voice (sound or film file) into face tracks."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

from ..emotion_curve import parse_weights
from ..protocol import MOST_STRENGTH, AnimateParams
from .numbers import frame_rate, number, seed
from .terminal import reporting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("voice", metavar="VOICE", help="wav, flac, mp3, ogg, m4a, mp4, mov, mkv")
    parser.add_argument("-o", "--output", required=True, metavar="TRACKS.npz")
    emotion = parser.add_mutually_exclusive_group()
    emotion.add_argument("--emotion", default="", metavar="NAME=WEIGHT,...",
                         help="constant weights 0..1; what is left of 1 is neutral")  # fmt: skip
    emotion.add_argument("--emotion-file", metavar="FILE", help="weights over time, .json or .csv")
    parser.add_argument("--intensity", type=number(0, 1), default=1.0, metavar="X",
                        help="scales all emotions but neutral, 0..1 (1)")  # fmt: skip
    parser.add_argument("--fps", type=frame_rate, default=Fraction(25), metavar="N/D",
                        help="frame rate (25)")  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same face (0)")
    parser.add_argument("--start", type=number(0), default=0.0, metavar="S",
                        help="seconds of the file to skip")  # fmt: skip
    parser.add_argument("--length", type=number(1e-9), metavar="S", help="seconds to take")
    parser.add_argument("--lip-strength", type=number(0, MOST_STRENGTH), default=1.0, metavar="X",
                        help=f"scales mouth motion, 0..{MOST_STRENGTH} (1)")  # fmt: skip
    parser.add_argument("--jaw-strength", type=number(0, MOST_STRENGTH), default=1.0, metavar="X",
                        help=f"scales the jaw's part in it, 0..{MOST_STRENGTH}; closed lips stay closed (1)")  # fmt: skip
    parser.add_argument("--smoothing", type=number(0, 1), default=0.0, metavar="S",
                        help="smooths the face over S seconds, 0..1; closed lips stay closed (0)")  # fmt: skip
    parser.add_argument("--look-ahead", type=number(0, 500), default=0.0, metavar="MS",
                        help="lets the mouth lead the sound by MS milliseconds, 0..500 (0)")  # fmt: skip
    parser.add_argument("--head-strength", type=number(0, MOST_STRENGTH), default=1.0, metavar="X",
                        help=f"scales head motion, 0..{MOST_STRENGTH} (1)")  # fmt: skip
    parser.add_argument("--text", metavar="FILE",
                        help="what is said: plain text, .srt or .vtt; sharpens the lips where it agrees")  # fmt: skip
    parser.add_argument("--language", default="en-us", metavar="TAG",
                        help="of the text, as de, fr, es, cmn (en-us)")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="DIR", help="networks of your own training")
    parser.add_argument("--overwrite", action="store_true", help="do it again if it is there")


def run(args: argparse.Namespace) -> int:
    """Animate; print where the tracks are."""
    params = AnimateParams(
        voice=args.voice,
        output=args.output,
        fps=(args.fps.numerator, args.fps.denominator),
        start=args.start,
        length=args.length,
        emotion=parse_weights(args.emotion),
        emotion_file=args.emotion_file,
        intensity=args.intensity,
        seed=args.seed,
        lip_strength=args.lip_strength,
        jaw_strength=args.jaw_strength,
        smoothing=args.smoothing,
        look_ahead_ms=args.look_ahead,
        head_strength=args.head_strength,
        text=args.text,
        language=args.language,
    )
    from ..pipeline import animate_to_file

    with reporting() as progress:
        done = animate_to_file(params, progress, weights=args.weights, overwrite=args.overwrite)
    for warning in done.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    note = " (was there already)" if done.skipped else ""
    print(f"{done.tracks}: {done.frames} frames at {args.fps} fps{note}")
    return 0
