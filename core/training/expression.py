# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the expression generator.

    core train expression --data shared/data --out core/weights

Needs the face tracker (``python3 -m installer setup --tracker``), ``requirements-align.txt`` in its
Python and ``requirements-voices.txt`` in the engine's. Same data, seed and machine: same weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from ..files import written_beside
from ..lips import LipMap
from ..models.checkpoint import save_checkpoint
from ..models.expression import ExpressionModel
from ..models.expression_network import ExpressionConfig, ExpressionNetwork
from .data import fit_teacher
from .data.labels import find_labels
from .data.prepare import CORPORA, Clip, prepare, read
from .data.split import TEST_SPEAKERS, is_test
from .data.teacher import FITTED
from .expression_batches import Windows
from .expression_losses import ExpressionLoss

__all__ = ["TEST_SPEAKERS", "load_clips", "main", "train", "write_split"]

log = logging.getLogger(__name__)

_WINDOW_SECONDS = 2.4
_EVERY = 50
"""steps between lines in the log"""


def load_clips(cache: Path) -> list[Clip]:
    """Every prepared clip."""
    return [clip for corpus in CORPORA for clip in read(cache / "prepared" / f"{corpus}.npz")]


def train(
    clips: list[Clip], lips: LipMap, config: ExpressionConfig, *, steps: int, seed: int,
    size: int = 24, rate: float = 2e-3, seconds: float = _WINDOW_SECONDS, augment: bool = True,
    start: ExpressionModel | None = None,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> ExpressionModel:  # fmt: skip
    """Train on clips and return the model with averaged weights.

    Args:
        clips: to train on
        lips: of the head
        config: of the network
        steps: gradient steps
        seed: of everything random
        size: windows per step
        rate: highest learning rate
        seconds: length of a window
        augment: change the voices
        start: go on from this model, of the same config
        progress: told the step and the terms of the loss

    """
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network = ExpressionNetwork(config)
    if start is not None:
        network.load_state_dict(start.network.state_dict())
    network.train()
    loss = ExpressionLoss(lips, config.lip_width)
    windows = Windows(clips, lips, seconds, augment)
    parameters = [*network.parameters(), *loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    average = {n: p.detach().clone() for n, p in network.state_dict().items()}
    for step in range(steps):
        done = step / steps
        warm = min((step + 1) / 50, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        total, terms = loss(network, windows.batch(size, rng), generator, min(3 * done, 1.0))
        optimizer.zero_grad()
        torch.autograd.backward([total])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        keep = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].mul_(keep).add_(value, alpha=1 - keep)
        if progress:
            progress(step, {"total": float(total.detach()), **terms})
    network.load_state_dict(average)
    return ExpressionModel(network)


def default_cache() -> Path:
    """``<GMTALKER_HOME>/training``."""
    import platformdirs

    home = os.environ.get("GMTALKER_HOME") or platformdirs.user_data_dir("gmtalker")
    return Path(home) / "training"


def write_split(path: Path, clips: list[Clip]) -> None:
    """Which clips were trained on and which are for testing, by speaker."""
    split: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for clip in clips:
        split["test" if is_test(clip) else "train"].setdefault(clip.speaker, []).append(clip.name)
    with written_beside(path) as beside:
        beside.write_text(json.dumps(split, indent=0, sort_keys=True) + "\n", "utf-8")


def _report(steps: int) -> Callable[[int, dict[str, float]], None]:
    began = time.monotonic()

    def report(step: int, terms: dict[str, float]) -> None:
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            left = (time.monotonic() - began) / (step + 1) * (steps - step - 1)
            said = " ".join(f"{n} {v:.3f}" for n, v in terms.items())
            log.info("step %d of %d, %d s left: %s", step + 1, steps, left, said)

    return report


def main(argv: list[str] | None = None) -> int:
    """``core train expression``."""
    parser = argparse.ArgumentParser(prog="core train expression", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with grid_s1, emodb, speech")
    parser.add_argument("--out", type=Path, required=True, help="folder for expression.safetensors")
    parser.add_argument("--cache", type=Path, default=None, help="folder for prepared data")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, default=None, help="checkpoint to go on from")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all")
    args = parser.parse_args(argv)
    cache = args.cache or default_cache()
    if not (args.data / "grid_s1").is_dir():
        raise UserError(f"There is no 'grid_s1' in '{args.data}'.", "Give the data folder.")
    if args.threads:
        torch.set_num_threads(args.threads)
    find_labels(args.data, cache)
    if not FITTED.exists():
        fit_teacher.main(["--data", str(args.data), "--cache", str(cache)])
    prepare(args.data, cache, seed=0)
    clips = load_clips(cache)
    start = ExpressionModel.load(args.start) if args.start else None
    model = train([c for c in clips if not is_test(c)], LipMap.from_head(),
                  start.config if start else ExpressionConfig(), steps=args.steps, seed=args.seed,
                  rate=args.rate, start=start, progress=_report(args.steps))  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(args.out / "expression.safetensors", model.network.state_dict(), model.config,
                    steps=args.steps, seed=args.seed)  # fmt: skip
    write_split(args.out / "expression-split.json", clips)
    return 0
