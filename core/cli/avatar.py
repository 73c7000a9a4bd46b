# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a photoreal avatar of a person from footage, with the person's consent."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExitCode, UserError
from .numbers import positive, seed
from .terminal import reporting

if TYPE_CHECKING:
    from ..footage.dataset import Prepared

_STATEMENT = (
    "Give --consent FILE, a text in which the person shown agrees, by name and date, to an avatar being made "
    "and to what it may be used for; the avatar keeps it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    made = kinds.add_parser("from-video", help="from films of one person", description=__doc__)
    made.add_argument("films", nargs="+", type=Path, metavar="FILE", help="films of one person, face on")
    made.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="the avatar's folder")
    made.add_argument("--consent", type=Path, metavar="FILE", help="the statement of the person shown (a text)")
    made.add_argument("--name", help="of the avatar (its folder's)")
    made.add_argument("--size", type=int, choices=(256, 512), default=256, help="pixels (256)")
    made.add_argument("--steps", type=positive, help="batches to train (the network's usual number)")
    made.add_argument("--minutes", type=minutes, metavar="N", help="of training at most")
    made.add_argument("--frames", type=positive, default=1500, help="to train on, at most (1500)")
    made.add_argument("--seed", type=seed, default=0)
    made.add_argument("--licence", default="LicenseRef-Consent", help="of the avatar, as SPDX says it")
    made.add_argument("--credits", default="", help="whom the footage's licence asks to name")
    made.add_argument("--work", type=Path, metavar="DIR", help="where its making is kept (DIR.work)")
    made.add_argument("--overwrite", action="store_true", help="train again from the start")


def run(args: argparse.Namespace) -> int:
    """Make it; print what came of the films, and where the avatar is."""
    consent = statement(args.consent)
    from ..footage.avatar import make_avatar
    from ..footage.dataset import Request
    from ..training.head import HeadTraining

    films = tuple(sorted(dict.fromkeys(args.films), key=lambda film: (film.name, str(film))))
    request = Request(films, args.name or args.output.absolute().name, args.size, args.frames, consent,
                      args.licence, args.credits)  # fmt: skip
    plan = HeadTraining(seed=args.seed, **({"steps": args.steps} if args.steps else {}))
    work = args.work or args.output.absolute().with_name(f"{args.output.absolute().name}.work")
    with reporting() as progress:
        made = make_avatar(request, args.output, work, plan, minutes=args.minutes,
                           overwrite=args.overwrite, progress=progress,
                           told=lambda prepared: tell(films, prepared))  # fmt: skip
    best = max(made.curve, key=lambda point: point[2])
    note = " (was there already)" if made.skipped else ""
    print(f"{args.output}: {best[0]} of {plan.steps} batches, held-out frames at {made.psnr:.1f} dB{note}")
    return 0


def statement(path: Path | None) -> str:
    """The consent statement.

    Raises:
        UserError: there is none (code 2), or it cannot be read (code 3).

    """
    if path is None:
        raise UserError("An avatar of a person needs the person's consent.", _STATEMENT, ExitCode.USAGE)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the consent statement '{path}' ({error}).", _STATEMENT) from error
    if not text:
        raise UserError(f"The consent statement '{path}' is empty.", _STATEMENT, ExitCode.USAGE)
    return text


def tell(films: tuple[Path, ...], prepared: Prepared) -> None:
    """Name what of the films was not used, and what was done about the rest."""
    for film, found in zip(films, prepared.findings):
        if found.left_out or found.remarks:
            print(f"{film}: {found}", file=sys.stderr)
    training, held = prepared.data.split()
    print(f"{len(training)} frames to train on, {len(held)} held out", file=sys.stderr)


def minutes(text: str) -> float:
    """Minutes, above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected minutes above 0, got '{text}'")
    return value
