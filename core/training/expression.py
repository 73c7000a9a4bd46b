# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the expression generator: first its lips, then what emotions add to them.

    core train expression --data shared/data --out core/weights

The lips learn from the voices whose mouths are known, in rounds; from the second on the voices without
text join in. What a recogniser is sure to hear in them gives their phones; elsewhere the running average
of the network tells how they would move their lips (Mean Teacher: Tarvainen & Valpola 2017).
A shorter run at a lower rate follows (``--further-steps``). Expression head, mixture and decoder come on
top of those lips, which no longer change: ``--lips`` takes them from a checkpoint and trains the rest alone.

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
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..features import log_mel
from ..files import written_beside
from ..lips import LipMap
from ..models.checkpoint import save_checkpoint
from ..models.expression import ExpressionModel
from ..models.expression_network import ExpressionConfig, ExpressionNetwork
from .data import fit_teacher
from .data.labels import find_labels
from .data.prepare import CORPORA, Clip, prepare, read
from .data.split import is_test
from .data.teacher import FITTED
from .data.untold import certainty, is_untold
from .expression_batches import Batch, Windows
from .expression_losses import FaceLoss, FaceWeights, LipLoss, LipWeights

log = logging.getLogger(__name__)

_LIPS = "encoder.lips"
"""what of the network belongs to the lips"""
_FURTHER_STEPS, _FURTHER_RATE = 3000, 5e-4
"""of lips that are learnt already: at a quarter of the rate they carry over better to voices never heard
(r of the five other speakers' lip opening .775 before, .800 after; twice as many steps gave no more)"""
_EVERY = 50
"""steps between lines in the log"""


def load_clips(cache: Path) -> list[Clip]:
    """Every prepared clip."""
    return [clip for corpus in CORPORA for clip in read(cache / "prepared" / f"{corpus}.npz")]


Report = Callable[[int, dict[str, float]], None]


def train_lips(
    clips: list[Clip], lips: LipMap, config: ExpressionConfig, *, steps: int, seed: int, size: int = 20,
    rate: float = 2e-3, seconds: float = 2.0, rounds: int = 4, augment: bool = True, workers: int = 1,
    start: ExpressionNetwork | None = None, report: Report | None = None,
) -> ExpressionNetwork:  # fmt: skip
    """The lip head; the rest of the network stays as it is, or random.

    Args:
        clips: to train on, also such whose mouths are unknown in parts
        lips: of the head
        config: of the network
        steps: gradient steps
        seed: of everything random
        size: windows per step
        rate: highest learning rate
        seconds: length of a window
        rounds: how often what is unknown of mouths is told anew
        augment: change the voices
        workers: processes that draw windows
        start: whose lips to go on from; None starts afresh
        report: told the step and the terms of the loss

    """
    torch.manual_seed(seed)
    network = ExpressionNetwork(config) if start is None else deepcopy(start)
    average = deepcopy(network).eval()
    loss = LipLoss(lips, LipWeights())
    told, untold = ([c for c in clips if is_untold(c) is u] for u in (False, True))

    def batches() -> Iterator[Batch]:
        for number in range(rounds):
            count = steps * (number + 1) // rounds - steps * number // rounds
            known = told + (label(untold, average) if number or start is not None else [])
            windows = Windows(known, lips, seconds, size=size, steps=count, seed=seed + 1000 * number,
                              augment=augment)  # fmt: skip
            yield from windows.stream(workers)

    _descend(network, average, (_LIPS,), loss, lambda batch, _: loss(network, batch), batches(), steps, rate,
             report)  # fmt: skip
    return average


def train_faces(
    network: ExpressionNetwork, clips: list[Clip], lips: LipMap, *, steps: int, seed: int, size: int = 24,
    rate: float = 2e-3, seconds: float = 2.4, augment: bool = True, workers: int = 2,
    report: Report | None = None,
) -> ExpressionNetwork:  # fmt: skip
    """Expression head, mapper, posterior and decoder over the lips of a network, which stay."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    average = deepcopy(network).eval()
    network.encoder.lips.requires_grad_(False)
    loss = FaceLoss(lips, network.config, FaceWeights())
    windows = Windows(clips, lips, seconds, size=size, steps=steps, seed=seed, augment=augment, faces=True)
    parts = ("encoder.tone", "mapper", "posterior", "decoder")
    _descend(network, average, parts, loss,
             lambda batch, done: loss(network, batch, generator, min(3 * done, 1.0)),
             windows.stream(workers), steps, rate, report)  # fmt: skip
    return average


def _descend(
    network: ExpressionNetwork, average: ExpressionNetwork, parts: Sequence[str], loss: nn.Module,
    step_loss: Callable[[Batch, float], tuple[Tensor, dict[str, float]]], batches: Iterator[Batch],
    steps: int, rate: float, report: Report | None,
) -> None:  # fmt: skip
    """Train parts of a network with AdamW, their running averages in another one."""
    network.eval()
    learning, means = _parameters(network, parts), _parameters(average, parts)
    for name in parts:
        network.get_submodule(name).train()
    parameters = [*learning, *loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    for step, batch in enumerate(batches):
        done = step / steps
        warm = min((step + 1) / max(steps // 25, 1), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        total, terms = step_loss(batch, done)
        optimizer.zero_grad()
        torch.autograd.backward([total])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        keep = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(means, learning, 1 - keep)
        if report:
            report(step, {"total": float(total.detach()), **terms})


def _parameters(network: ExpressionNetwork, parts: Sequence[str]) -> list[Tensor]:
    return [p for name in parts for p in network.get_submodule(name).parameters()]


@torch.inference_mode()
def label(clips: list[Clip], network: ExpressionNetwork) -> list[Clip]:
    """Clips with the mouth and activity that a network hears where they are unknown."""
    labelled = []
    for clip in clips:
        heard = network.encoder(torch.from_numpy(log_mel(clip.samples))[None])
        count, known = len(clip.mouth), certainty(clip.kind).astype(np.float32)
        mouth = network.neutral(heard)[0, :count].numpy()
        awake = torch.sigmoid(heard.activity[0, :count]).numpy()
        labelled.append(replace(clip, mouth=mouth + known[:, None] * (clip.mouth - mouth),
                                awake=awake + known * (clip.awake - awake)))  # fmt: skip
    return labelled


def default_cache() -> Path:
    """``<GMTALKER_HOME>/training``."""
    import platformdirs

    home = os.environ.get("GMTALKER_HOME") or platformdirs.user_data_dir("gmtalker")
    return Path(home) / "training"


def write_split(path: Path, clips: list[Clip], leave_out: Sequence[str] = ()) -> None:
    """Which clips were trained on and which are for testing, by speaker."""
    split: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for clip in clips:
        split["test" if is_test(clip) or clip.speaker in leave_out else "train"].setdefault(clip.speaker, []).append(clip.name)
    with written_beside(path) as beside:
        beside.write_text(json.dumps(split, indent=0, sort_keys=True) + "\n", "utf-8")


def _report(stage: str, steps: int) -> Report:
    began = time.monotonic()

    def report(step: int, terms: dict[str, float]) -> None:
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            left = (time.monotonic() - began) / (step + 1) * (steps - step - 1)
            said = " ".join(f"{n} {v:.3f}" for n, v in terms.items())
            log.info("%s: step %d of %d, %d s left: %s", stage, step + 1, steps, left, said)

    return report


def main(argv: list[str] | None = None) -> int:
    """``core train expression``."""
    parser = argparse.ArgumentParser(prog="core train expression", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with grid_s1, emodb, speech")
    parser.add_argument("--out", type=Path, required=True, help="folder for expression.safetensors")
    parser.add_argument("--cache", type=Path, default=None, help="folder for prepared data")
    parser.add_argument("--lips", type=Path, default=None, help="checkpoint whose lips to take")
    parser.add_argument("--components", choices=("mixture", "single"), default="mixture",
                        help="single: one Gaussian and a one-hot emotion, for comparison")  # fmt: skip
    parser.add_argument("--lip-steps", type=int, default=14000)
    parser.add_argument("--further-steps", type=int, help="at a lower rate: 3000; none of a checkpoint's lips")
    parser.add_argument("--face-steps", type=int, default=1500)
    parser.add_argument("--leave-out", action="append", default=[], metavar="SPEAKER",
                        help="one more speaker not to train on; may be given again")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args(argv)
    cache = args.cache or default_cache()
    if not (args.data / "grid_s1").is_dir():
        raise UserError(f"There is no 'grid_s1' in '{args.data}'.", "Give the data folder.")
    torch.set_num_threads(args.threads)
    find_labels(args.data, cache)
    if not FITTED.exists():
        fit_teacher.main(["--data", str(args.data), "--cache", str(cache)])
    prepare(args.data, cache, seed=0)
    clips = load_clips(cache)
    known = [c for c in clips if not is_test(c) and c.speaker not in args.leave_out]
    lips, config = LipMap.from_head(), ExpressionConfig(components=args.components)
    torch.manual_seed(args.seed)
    network = ExpressionNetwork(config)
    if args.lips:
        kept = ExpressionModel.load(args.lips).network.state_dict()
        network.load_state_dict({n: v for n, v in kept.items() if n.startswith(_LIPS)}, strict=False)
    else:
        network = train_lips(known, lips, config, steps=args.lip_steps, seed=args.seed,
                             report=_report("lips", args.lip_steps))  # fmt: skip
    if args.further_steps is None:
        args.further_steps = 0 if args.lips else _FURTHER_STEPS
    if args.further_steps:
        network = train_lips(known, lips, config, steps=args.further_steps, seed=args.seed + 1,
                             rate=_FURTHER_RATE, rounds=1, start=network,
                             report=_report("further", args.further_steps))  # fmt: skip
    network = train_faces(network, [c for c in known if not is_untold(c)], lips, steps=args.face_steps,
                          seed=args.seed, report=_report("faces", args.face_steps))  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    said = {n: v for n, v in vars(args).items() if isinstance(v, int | str | list)}
    save_checkpoint(args.out / "expression.safetensors", network.state_dict(), config, trained=said)
    write_split(args.out / "expression-split.json", clips, args.leave_out)
    return 0
