# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the expression generator on voices that it was not trained on.

    core evaluate speech --data shared/data --cache CACHE

One table, the target beside each figure that has one. Who is unseen is read from the split that training
wrote beside the weights. Lengths are in distances between the outer eye corners; opening and width
of the lips are those of the built-in head, as ``core measure`` gives them of what ``core animate``
makes. The definitions stand with the parts: ``film``, ``noise``, ``closures``, ``silence``,
``emotion``, ``smoothness``, ``decoupling`` and ``speed``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from ...cli.terminal import reporting
from ...errors import UserError
from ...files import WEIGHTS, check_writable, write_bytes
from ...models.expression import ExpressionModel
from ...mouth import RATE
from ...training.expression import default_cache
from ..table import Row, text, to_json
from . import closures, decoupling, emotion, film, noise, silence, smoothness, speed
from .voices import Bench, Player, Split

PARTS = ("film", "noise", "closures", "silence", "emotion", "smoothness", "decoupling", "seeds", "speed", "network")


def network(bench: Bench) -> list[Row]:
    """Size and look-ahead."""
    model = bench.player.model
    return [
        Row("network", "look-ahead of the lips, s", model.config.lip_look_ahead),
        Row("network", "look-ahead of the expression, s", model.config.context / RATE),
        Row("network", "million parameters", sum(p.numel() for p in model.network.parameters()) / 1e6),
    ]


def evaluate(
    bench: Bench, parts: Sequence[str], *, ablation: Player | None = None,
    emodb_models: Path | None = None,
) -> list[Row]:  # fmt: skip
    """Rows of the parts, in their order."""
    makers: dict[str, Callable[[], list[Row]]] = {
        "film": lambda: film.rows(bench),
        "noise": lambda: noise.rows(bench),
        "closures": lambda: closures.rows(bench, emodb_models),
        "silence": lambda: silence.rows(bench),
        "emotion": lambda: emotion.rows(bench),
        "smoothness": lambda: smoothness.rows(bench, ablation),
        "decoupling": lambda: decoupling.rows(bench),
        "seeds": lambda: emotion.draws(bench),
        "speed": lambda: speed.rows(bench),
        "network": lambda: network(bench),
    }
    return [row for part in PARTS if part in parts for row in makers[part]()]


def main(argv: list[str] | None = None) -> int:
    """``core evaluate speech``."""
    parser = argparse.ArgumentParser(prog="core evaluate speech", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with grid_s1, grid_other")
    parser.add_argument("--cache", type=Path, default=None, help="folder of the prepared data")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART",
                        help=f"one part, or more if given again: {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "expression.safetensors",
                        metavar="FILE", help="another expression.safetensors")  # fmt: skip
    parser.add_argument("--split", type=Path, metavar="FILE",
                        help="who is unseen; expression-split.json beside the weights")  # fmt: skip
    parser.add_argument("--ablation", type=Path, metavar="FILE",
                        help="weights with a one-hot emotion and a single Gaussian, to compare with")  # fmt: skip
    parser.add_argument("--emodb-models", type=Path, metavar="DIR",
                        help="folder of trainings that left actors out, for whom the split does not")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    args = parser.parse_args(argv)
    cache = args.cache or default_cache()
    if not (cache / "prepared").is_dir():
        raise UserError(f"'{cache}' holds no prepared data.", "Run 'core train expression' first.")
    if args.json:
        check_writable(args.json)
    split = Split.load(args.split or args.weights.with_name("expression-split.json"))
    player = Player(ExpressionModel.load(args.weights))
    ablation = Player(ExpressionModel.load(args.ablation)) if args.ablation else None
    with reporting() as progress:
        bench = Bench(player, split, args.data, cache, progress)
        table = evaluate(bench, args.only or PARTS, ablation=ablation, emodb_models=args.emodb_models)
    print(text(table))
    if args.json:
        write_bytes(args.json, to_json(table).encode())
    return 0
