# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains a photoreal head on a render set (see `core.training.head_data`) and writes an avatar.

Deterministic for a seed on one machine: the order of frames, the noise and the weights' beginning
come from it, and a resumed run goes on exactly where it was.

What a part of the network is good for: ``core train head --renders SET --out DIR --steps 400 [--without PART]`` on
1000 frames of GRID s1 (footage, 256 pixels), the card's figures of 200 held-out frames. Where parts of the head lie over
each other on the texture, the network fits its frames sooner (loss .113 against .131) and others worse, teeth and
brows of a face that the films never show are speckled, and a still face flickers. Where sittings share their textures,
hair is blurred and foreheads are blotched. ``features`` is the greater weight of mouth and eyes in the loss.

==================  ========  ======  ==============  =========  =======
network             PSNR, dB  SSIM    mouth PSNR, dB  sharpness  flicker
==================  ========  ======  ==============  =========  =======
whole               28.31     .874    32.02           .92        1.05
without atlas       28.16     .871    31.91           .98        1.17
without shoulders   27.75     .865    32.07           .94        .80
without sittings    25.85     .843    31.09           .78        .87
without features    28.29     .874    31.53           .92        1.04
==================  ========  ======  ==============  =========  =======
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..avatars import Avatar, AvatarCard, load, save_avatar
from ..cli.numbers import positive, seed
from ..errors import Cancelled, UserError
from ..evaluation.head import HeadFigures, evaluate, sheet, table
from ..files import digest, write_bytes
from ..models.head import HeadConfig, HeadNetwork
from ..precision import autocast
from ..progress import Progress, silent
from ..raster import Camera
from .head_cache import Batch, HeadCache, shuffled
from .head_data import RenderSet, load_set, write_design
from .head_fill import fill_unseen
from .head_looks import Looks
from .head_loss import TERMS, LossWeights, head_loss
from .head_poses import PoseDesign
from .head_sharpen import sharpen

log = logging.getLogger(__name__)

STATE = "training.safetensors"
OPTIONAL = {"atlas": "atlas", "sittings": "sittings", "shoulders": "shoulder_channels"}
"""What a network can be trained without, and the setting that says so."""
_JUDGED = 200
"""Held-out frames at most that the card's figures are of; `core evaluate head` takes all."""
_SHOWN = 8
"""Of them on the sheet."""


@dataclass(frozen=True)
class HeadTraining:
    """How to train."""

    steps: int = 4000
    """Batches."""
    batch: int = 4
    """Frames a batch."""
    rate: float = 7e-4
    """Adam's step for the convolutions; it falls to nothing along a cosine. At 1e-3 the
    gradients of some runs grew without end."""
    texture_rate: float = 1e-2
    """Likewise for the learned textures, whose texels are seen seldom."""
    warm_up: int = 100
    """Batches over which the rate rises."""
    average: float = 0.998
    """Of the weights' moving average, which is what the avatar keeps (StyleAvatar: 0.99778)."""
    seed: int = 0
    """Same seed, same weights."""
    clip: float = 2.0
    """A gradient is shortened to so many times its usual length: after one wild batch Adam would
    otherwise move every weight by full steps, and the network would begin anew."""
    save_every: int = 100
    """Batches between the states that a resumed run starts from."""
    losses: LossWeights = field(default_factory=LossWeights)
    """What to train towards."""


class HeadTrainer:
    """Network, average, optimiser and how far they are."""

    def __init__(self, config: HeadConfig, plan: HeadTraining, start: HeadNetwork | None) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = HeadNetwork(config) if start is None else start
        network = self.network
        # Towards sharp pictures; what is still missing is told at the end.
        network.config = replace(network.config, sharpening=0.0)
        network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).eval()
        textures = [network.texture, network.card, network.backdrop, network.looks]
        if network.config.shoulder_channels:
            textures.append(network.shoulders)
        chosen = {id(p) for p in textures}
        rest = [p for p in network.parameters() if id(p) not in chosen]
        self.optimiser = torch.optim.Adam(
            [{"params": rest, "rate": plan.rate}, {"params": textures, "rate": plan.texture_rate}],
            lr=plan.rate, betas=(0.9, 0.99), fused=True,
        )  # fmt: skip
        self.step = 0
        self.mean = self.length = torch.inf

    def train_step(self, batch: Batch, weights: LossWeights) -> float:
        """One batch; returns its loss."""
        torch.manual_seed((self.plan.seed << 32) + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * self._pace()
        with autocast(torch.device("cpu")):
            variety = torch.randn(len(batch.emotion), self.network.config.noise)
            made = self.network(batch.conditioning, batch.emotion, batch.look, variety).float()
        loss = head_loss(made[:, :3], batch.truth, batch.attention, weights)
        if batch.mask is not None and self.network.config.alpha:
            loss = loss + weights.alpha * (made[:, 3:] - batch.mask).abs().mean()
        loss = loss + weights.looks * self.network.looks[batch.look].square().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.step += 1
        value = float(loss.detach())
        if self._clip():
            self.optimiser.step()
            self.mean = _follow(self.mean, value)
        else:
            log.warning("batch %d left out: its gradient is no number", self.step)
        self._average()
        return value

    def _clip(self) -> bool:
        """Shortens a wild gradient; False if it is not finite."""
        longest = self.plan.clip * self.length
        length = float(nn.utils.clip_grad_norm_(self.network.parameters(), longest))
        if not math.isfinite(length):
            return False
        if length > 10 * self.length:
            log.warning("batch %d: gradient %.3g, usually %.3g", self.step, length, self.length)
        self.length = _follow(self.length, min(length, longest))
        return True

    def _pace(self) -> float:
        rise = min(1.0, (self.step + 1) / self.plan.warm_up)
        done = torch.tensor(min(1.0, self.step / self.plan.steps))
        return rise * float(0.5 + 0.5 * torch.cos(torch.pi * done))

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average follows faster, or it would remember the random beginning.
        keep = min(self.plan.average, self.step / (self.step + 10))
        for mean, value in zip(
            self.average.parameters(), self.network.parameters(), strict=True
        ):
            mean.lerp_(value, 1 - keep)

    def save(self, path: Path, identity: str) -> None:
        """Writes everything that a resumed run needs, and which training it is of."""
        state = {
            "step": torch.tensor(self.step),
            "usual": torch.tensor([self.mean, self.length], dtype=torch.float64),
        }
        for part, module in (("network", self.network), ("average", self.average)):
            state |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        for index, slot in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in slot.items()}
        tensors = {name: value.contiguous() for name, value in state.items()}
        write_bytes(path, save(tensors, {"training": identity}))

    def resume(self, path: Path, identity: str) -> None:
        """Goes on from a saved state.

        Raises:
            UserError: it is of another training.

        """
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
        if said.get("training") != identity:
            raise UserError(f"'{path}' is the state of another training: of another set, seed, network or version.",
                            "Give another folder, or take the file away to train anew; "
                            "'core avatar from-video' does so with --overwrite.")  # fmt: skip
        state = load_file(path)
        for part, module in (("network", self.network), ("average", self.average)):
            prefix = f"{part}."
            module.load_state_dict(
                {n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)}
            )
        weights = [p for group in self.optimiser.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, index, slot = name.split(".")
                # The fused optimiser walks through memory: strides must be the weight's own. And nothing may stay
                # mapped from the file, for Windows could not write it again.
                value = value.clone() if slot == "step" else torch.empty_like(weights[int(index)]).copy_(value)
                slots.setdefault(int(index), {})[slot] = value
        kept = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**kept, "state": slots})
        self.step = int(state["step"])
        self.mean, self.length = state["usual"].tolist()


def _identity(data: RenderSet, plan: HeadTraining, config: HeadConfig, start: HeadNetwork | None) -> str:
    """Tells trainings apart. One can be made longer, and its set may have gained frames."""
    said = {**asdict(plan), "steps": 0, "config": asdict(config), "camera": asdict(data.info.camera)}
    hashed = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for path in (data.folder / "params.npz", data.proxy):
        hashed.update(digest(path).encode())
    if start is not None:
        hashed.update(save({name: value.contiguous() for name, value in start.state_dict().items()}))
    return hashed.hexdigest()


def _follow(mean: float, value: float) -> float:
    """A moving average that begins with its first value."""
    return value if math.isinf(mean) else 0.98 * mean + 0.02 * value


def train(
    data: RenderSet,
    looks: Looks,
    folder: Path,
    plan: HeadTraining,
    config: HeadConfig,
    start: HeadNetwork | None = None,
    progress: Progress = silent,
    watch: Callable[[HeadTrainer], None] | None = None,
) -> HeadNetwork:
    """Trains on the set's frames that are not held out; states go to ``folder``.

    ``watch`` is called after each of them; it may raise `Cancelled` to end the training there.
    """
    numbers, _ = data.split()
    if len(numbers) < plan.batch:
        raise UserError(f"'{data.folder}' has {len(numbers)} frames to train on, expected at least "
                        f"{plan.batch}.", "Render more of it.")  # fmt: skip
    identity = _identity(data, plan, config, start)
    trainer = HeadTrainer(config, plan, start)
    for network in (trainer.network, trainer.average):
        looks.begin(network, data)
    state = folder / STATE
    if state.is_file():
        trainer.resume(state, identity)
        log.info("goes on from batch %d", trainer.step)
    cache = HeadCache(data, numbers, config, progress)
    each = len(cache) // plan.batch
    began, first = time.monotonic(), trainer.step
    try:
        while trainer.step < plan.steps:
            epoch, place = divmod(trainer.step, each)
            order = shuffled(len(cache), plan.seed, epoch)
            rows = order[place * plan.batch : (place + 1) * plan.batch]
            trainer.train_step(cache.batch(rows), plan.losses)
            progress("training", trainer.step, plan.steps)
            if trainer.step % 50 == 0:
                pace = (time.monotonic() - began) / (trainer.step - first)
                log.info("batch %d: loss %.4f, %.3f s a batch", trainer.step, trainer.mean, pace)
            if trainer.step % plan.save_every == 0:
                trainer.save(state, identity)
                if watch:
                    watch(trainer)
    except (KeyboardInterrupt, Cancelled):
        trainer.save(state, identity)
        raise
    trainer.save(state, identity)
    looks.settle(trainer.average)
    return trainer.average


def main(argv: list[str] | None = None) -> int:
    """``core train head``: plans a render set, or trains on one."""
    args = _parser().parse_args(argv)
    if args.design is not None:
        design = PoseDesign(count=args.design, seed=args.seed)
        write_design(args.out, args.name or args.out.name, 256, design, Camera())
        return 0
    if args.renders is None:
        raise UserError("Expected --renders DIR or --design N.", "See 'core train head --help'.")
    if args.threads:
        torch.set_num_threads(args.threads)
    data = load_set(args.renders)
    args.out.mkdir(parents=True, exist_ok=True)
    work = args.work or args.out
    work.mkdir(parents=True, exist_ok=True)
    start = load(args.start).network() if args.start else None
    looks = Looks.of(data)
    config = start.config if start else looks.config(data)
    losses = LossWeights().without(args.without) if args.without in TERMS else LossWeights()
    if args.without in OPTIONAL:
        config = replace(config, **{OPTIONAL[args.without]: getattr(HeadConfig(), OPTIONAL[args.without])})
    plan = HeadTraining(steps=args.steps, batch=args.batch, rate=args.rate, seed=args.seed, losses=losses)
    network = train(data, looks, work, plan, config, start)
    finish(network, data)
    info = data.info
    card = AvatarCard(args.name or info.name, info.licence, info.source, info.consent, info.credits)
    avatar = save_avatar(args.out, card, info.camera, network, data.proxy)
    describe(avatar, data, plan)
    log.info("wrote %s", args.out)
    return 0


def finish(network: HeadNetwork, data: RenderSet) -> None:
    """What is told after the training, by the frames that it was trained on; in place."""
    fill_unseen(network, data)
    sharpen(network.eval(), data)


def describe(avatar: Avatar, data: RenderSet, plan: HeadTraining) -> HeadFigures | None:
    """Puts the figures and the sheet beside the avatar, if frames were held out, and returns the figures."""
    figures = None
    training, held = data.split()
    lines = [f"# {avatar.card.name}", "", avatar.card.source, avatar.card.consent, avatar.card.credits,
             "", f"StyleUNet and emotion mapping network of {avatar.config.resolution} pixels, trained "
             f"on {len(training)} frames in {plan.steps} batches of {plan.batch}, seed {plan.seed}."]  # fmt: skip
    if held:
        figures, truth, made = evaluate(avatar, data, _JUDGED)
        lines += ["", "Frames held out of the training (sheet.png: truth left, made right):", "",
                  table(figures, footage=data.footage)]  # fmt: skip
        columns = min(4, len(held))
        few = np.linspace(0, len(truth) - 1, min(_SHOWN, len(truth))).round().astype(int)
        write_bytes(avatar.folder / "sheet.png", sheet(truth[few], made[few], columns))
    write_bytes(avatar.folder / "card.md", ("\n".join(lines) + "\n").encode())
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="core train head", description=__doc__)
    parser.add_argument("--renders", type=Path, metavar="SET", help="the render set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the avatar's folder")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where states go (the avatar's folder)")
    parser.add_argument("--start", type=Path, metavar="AVATAR", help="begin from its weights")
    parser.add_argument("--design", type=positive, metavar="N", help="only plan a set of N frames in --out")
    parser.add_argument("--name", help="of the avatar (the set's)")
    parser.add_argument("--steps", type=positive, default=HeadTraining.steps, help="batches")
    parser.add_argument("--batch", type=positive, default=HeadTraining.batch, help="frames a batch")
    parser.add_argument("--rate", type=float, default=HeadTraining.rate, help="of learning")
    parser.add_argument("--without", choices=(*TERMS, *OPTIONAL), metavar="WHAT",
                        help="leave a term of the loss or a part of the network out, for comparison: "
                             f"{', '.join((*TERMS, *OPTIONAL))}")  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--threads", type=positive, help="of the processor")
    return parser
