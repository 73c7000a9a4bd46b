# SPDX-License-Identifier: GPL-3.0-or-later
"""``core avatar from-video``: films of a person and the person's consent to an avatar.

The training keeps the weights that make the best held-out frames. Ended by the clock it leaves an
avatar of these, with its sheet; ended by the user, at once, one without; begun again, it goes on where
it was.
"""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file, save

from ..avatars import Avatar, AvatarCard, check_name, load, save_avatar
from ..errors import Cancelled, UserError
from ..evaluation.head.pictures import psnr
from ..files import write_bytes
from ..models.head import HeadConfig, HeadNetwork
from ..precision import autocast
from ..progress import Progress, silent
from ..training.head import STATE, HeadTrainer, HeadTraining, describe, finish, train
from ..training.head_cache import HeadCache
from ..training.head_data import RenderSet
from ..training.head_looks import Looks
from .dataset import Prepared, Request, prepare

log = logging.getLogger(__name__)

BEST: Final = "best.safetensors"
CURVE: Final = "curve.json"
MADE: Final = "made.json"
JUDGED: Final = 24
"""Held-out frames, evenly chosen, that the best weights are told by."""


class _TimeIsUp(Cancelled):
    """The minutes that were given are over."""


@dataclass(frozen=True)
class Made:
    """What came of it."""

    avatar: Avatar
    prepared: Prepared
    curve: tuple[tuple[int, float, float], ...]
    """batches, training loss, PSNR in dB of the judged held-out frames before `finish`"""
    psnr: float
    """dB, of the card's held-out frames as the avatar makes them"""
    skipped: bool
    """it was there already"""


class Keeper:
    """Keeps the weights that make the best held-out frames, and the curves."""

    def __init__(self, data: RenderSet, looks: Looks, config: HeadConfig, folder: Path) -> None:
        self._folder = folder
        self._looks = looks
        held = data.split()[1]
        if not held:
            raise UserError(f"'{data.folder}' has no held-out frames.", "Give more footage.")
        rows = np.linspace(0, len(held) - 1, min(JUDGED, len(held))).round().astype(int)
        self._cache = HeadCache(data, [held[row] for row in rows], config, silent)
        self.curve = read_curve(folder)

    def __call__(self, trainer: HeadTrainer) -> None:
        """Judge the training where it is."""
        self.judge(trainer.average, trainer.step, trainer.mean)

    def judge(self, network: HeadNetwork, step: int, loss: float) -> None:
        """Keep a network if none before was better; a run that goes on forgets what came after."""
        before = [point for point in self.curve if point[0] < step]
        network = copy.deepcopy(network)
        self._looks.settle(network)
        value = self._psnr(network)
        log.info("batch %d: held-out frames at %.2f dB", step, value)
        if all(value >= point[2] for point in before):
            state = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
            write_bytes(self._folder / BEST, save(state))
        self.curve = [*before, (step, loss, value)]
        write_bytes(self._folder / CURVE, (json.dumps(self.curve) + "\n").encode())

    @torch.inference_mode()
    def _psnr(self, network: HeadNetwork) -> float:
        values = []
        for row in range(len(self._cache)):
            batch = self._cache.batch([row])
            with autocast(torch.device("cpu")):
                made = network(batch.conditioning, batch.emotion, batch.look, torch.zeros(1, network.config.noise))
            values.append(float(psnr(made[:, :3].float().clamp(0, 1), batch.truth).mean()))
        return float(np.mean(values))


def make_avatar(
    request: Request,
    out: Path,
    work: Path,
    plan: HeadTraining,
    *,
    minutes: float | None = None,
    overwrite: bool = False,
    config: HeadConfig | None = None,
    progress: Progress = silent,
    told: Callable[[Prepared], None] | None = None,
) -> Made:
    """Make the avatar of a person, or what is left to make of it.

    Args:
        request: films and what the avatar is to say of itself.
        out: the avatar's folder.
        work: folder for what it takes to make it.
        plan: of the training.
        minutes: of training, after which it ends, done or not.
        overwrite: train again from the start.
        config: of the network; None is its usual one at the request's size.
        progress: told the stages ``faces``, ``likeness``, ``fit``, ``frames``, ``heads``, ``shoulders``,
            ``conditioning`` and ``training``.
        told: told what came of the films before the training begins.

    Raises:
        UserError: see `.dataset.prepare`; or a folder cannot be written.
        Cancelled, KeyboardInterrupt: the user ended it; where training had begun, the avatar is there.

    """
    _check(request, out, work)
    prepared = prepare(request, work, progress)
    if told:
        told(prepared)
    data = prepared.data
    folder = data.folder / "training"
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    said = {"steps": plan.steps, "batch": plan.batch, "seed": plan.seed, "set": data.folder.name}
    there = _psnr_of_made(out, folder, said)
    if there is not None:
        return Made(load(out), prepared, tuple(read_curve(folder)), there, True)
    looks = prepared.looks
    usual = looks.config(data)
    sizes = usual if config is None else replace(
        config, alpha=usual.alpha, atlas=usual.atlas, looks=usual.looks, sittings=usual.sittings,
        shoulder_channels=usual.shoulder_channels,
    )  # fmt: skip
    keeper = Keeper(data, looks, sizes, folder)
    try:
        train(data, looks, folder, plan, sizes, None, _ending(progress, minutes), keeper)
    except _TimeIsUp:
        log.warning("the time is up before the training's end; the same command without it goes on")
    except (Cancelled, KeyboardInterrupt):
        if (folder / BEST).is_file():
            _write(request, data, out, sizes)
        raise
    keeper.judge(*_reached(folder, sizes))
    avatar = _write(request, data, out, sizes)
    best = max(keeper.curve, key=lambda point: point[2])
    figures = describe(avatar, data, replace(plan, steps=best[0]))
    assert figures is not None  # the keeper refuses a set without held-out frames
    with Image.open(out / "sheet.png") as frames:
        write_bytes(out / "sheet.png", with_curves(frames.convert("RGB"), keeper.curve))
    if keeper.curve[-1][0] >= plan.steps:
        write_bytes(folder / MADE, json.dumps({**said, "key": avatar.key, "psnr": figures.psnr}).encode())
    return Made(avatar, prepared, tuple(keeper.curve), figures.psnr, False)


def _check(request: Request, out: Path, work: Path) -> None:
    """What would otherwise be found after hours of training."""
    check_name(request.name)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot make '{work}': {error.strerror}.", "Choose another folder.") from error
    if out.exists() and not out.is_dir():
        raise UserError(f"'{out}' is no folder.", "Choose another one for the avatar.")


def _ending(progress: Progress, minutes: float | None) -> Progress:
    """The same progress, which ends the training after some minutes of it."""
    began: float | None = None

    def told(stage: str, done: int, total: int) -> None:
        nonlocal began
        progress(stage, done, total)
        if stage == "training" and minutes is not None:
            now = time.monotonic()
            began = now if began is None else began
            if now - began >= 60 * minutes:
                raise _TimeIsUp

    return told


def _reached(folder: Path, config: HeadConfig) -> tuple[HeadNetwork, int, float]:
    """The averaged network of the training's last state, its batches and its loss."""
    state, network = load_file(folder / STATE), HeadNetwork(config)
    mine = {name.removeprefix("average."): v for name, v in state.items() if name.startswith("average.")}
    network.load_state_dict(mine)
    return network.eval(), int(state["step"]), float(state["usual"][0])


def read_curve(folder: Path) -> list[tuple[int, float, float]]:
    """The curve so far; none where there is no training."""
    if not (folder / STATE).is_file() or not (folder / CURVE).is_file():
        return []
    return [(int(s), float(a), float(b)) for s, a, b in json.loads((folder / CURVE).read_text())]


def _psnr_of_made(out: Path, folder: Path, said: dict[str, object]) -> float | None:
    """Of the avatar, if it is there, whole, and of this training."""
    try:
        made = json.loads((folder / MADE).read_text())
        psnr = float(made["psnr"])
        return psnr if made == {**said, "key": load(out).key, "psnr": psnr} else None
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


def _write(request: Request, data: RenderSet, out: Path, config: HeadConfig) -> Avatar:
    """The avatar of the best weights."""
    network = HeadNetwork(config)
    network.load_state_dict(load_file(data.folder / "training" / BEST))
    finish(network, data)
    card = AvatarCard(request.name, request.licence, data.info.source, request.consent, request.credits)
    return save_avatar(out, card, data.info.camera, network, data.proxy)


def with_curves(frames: Image.Image, curve: list[tuple[int, float, float]]) -> bytes:
    """PNG of a sheet of frames with the training's curves under it."""
    height = 180
    page = Image.new("RGB", (frames.width, frames.height + height), "white")
    page.paste(frames, (0, 0))
    steps, loss, held = (np.array(column) for column in zip(*curve))
    half = frames.width // 2
    for left, title, values in ((0, "training loss", loss), (half, "held-out frames, PSNR (dB)", held)):
        box = (left + 60, frames.height + 30, left + half - 20, frames.height + height - 25)
        _draw(ImageDraw.Draw(page), box, title, steps, values)
    file = BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def _draw(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], title: str,
    steps: np.ndarray[tuple[int], np.dtype[np.float64]], values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:  # fmt: skip
    """One curve over the batches, its ends named."""
    x0, y0, x1, y1 = box
    font = ImageFont.load_default(13)
    known = np.isfinite(values)
    low, high = (float(f(values[known])) for f in (np.min, np.max)) if known.any() else (0.0, 1.0)
    draw.rectangle(box, outline="gray")
    draw.text((x0, y0 - 20), title, "black", font)
    for value, y in ((high, y0), (low, y1)):
        draw.text((x0 - 6, y), f"{value:.3g}", "black", font, anchor="rm")
    draw.text((x1, y1 + 4), f"{int(steps[-1])} batches", "black", font, anchor="ra")
    across = x0 + (x1 - x0) * steps[known] / max(1, steps[-1])
    down = y1 - (y1 - y0) * (values[known] - low) / max(high - low, 1e-9)
    draw.line([(float(x), float(y)) for x, y in zip(across, down)], "black", 2)
