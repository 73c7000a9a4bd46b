# SPDX-License-Identifier: GPL-3.0-or-later
"""An avatar's pictures against the held-out frames of its render set, driven by those frames' own tracks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...avatars import Avatar
from ...errors import UserError
from ...progress import Progress, silent
from ...training.head_data import RenderSet
from ..table import Row, Target, at_least, at_most, markdown
from .frames import Maker, Nearest, Pictures, as_tensor, held_out
from .pictures import difference_energy, laplacian_energy, psnr, ssim, still

SHOWN = 24
"""Pairs of frames at most that are kept to be looked at."""
_BLOCK = 16
"""Frames that are in memory at once."""

Watcher = Callable[[Pictures, Pictures], None]
"""Told true and made frames, some at a time, in order."""


@dataclass(frozen=True)
class HeadFigures:
    """Over the held-out frames; defined in ``pictures``, ``frames`` and ``mouth``."""

    frames: int
    psnr: float
    """dB"""
    mouth_psnr: float
    """dB"""
    ssim: float
    sharpness: float
    """ratio to the truth's"""
    flicker: float
    """ratio to the truth's; nan without frames that follow each other"""
    still: float
    """share of the picture in which nothing moves; nan likewise"""
    baseline_psnr: float
    """dB, of the training frame with the nearest tracks"""


@dataclass
class _Sums:
    """What frames add up to."""

    psnr: float = 0.0
    mouth: float = 0.0
    ssim: float = 0.0
    baseline: float = 0.0
    sharp: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Laplacian energy of the truth, and made."""
    moving: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Temporal difference energy likewise."""
    still: float = 0.0
    pairs: int = 0

    def add(self, truth: Tensor, made: Tensor, nearest: Tensor, mouth: Tensor) -> None:
        """Frames by themselves."""
        self.psnr += float(psnr(made, truth).sum())
        self.mouth += float(psnr(made, truth, mouth).sum())
        self.ssim += float(ssim(made, truth).sum())
        self.baseline += float(psnr(nearest, truth).sum())
        for index, rgb in enumerate((truth, made)):
            self.sharp[index] += float(laplacian_energy(rgb).sum())

    def add_pairs(self, truth: Tensor, made: Tensor, follows: Tensor) -> None:
        """N frames of which ``follows`` (N - 1,) says whether the next one is the film's next."""
        before, after = truth[:-1][follows], truth[1:][follows]
        where = still(before, after)
        self.pairs += len(before)
        self.still += float(where.float().mean((1, 2, 3)).sum())
        self.moving[0] += float(difference_energy(before, after, where).sum())
        self.moving[1] += float(difference_energy(made[:-1][follows], made[1:][follows], where).sum())


def evaluate(
    avatar: Avatar, data: RenderSet, most: int | None = None, progress: Progress = silent,
    watch: Watcher | None = None,
) -> tuple[HeadFigures, Pictures, Pictures]:  # fmt: skip
    """Figures over ``most`` of the held-out frames (all, when None).

    Returns:
        The figures; true and made frames to show, (N, H, W, 3) each, N <= `SHOWN`, evenly over all.

    Raises:
        UserError: no frame is held out, or the avatar's frames have another size.

    """
    maker = Maker(avatar)
    if maker.size != data.info.size:
        raise UserError(f"The avatar makes frames of {maker.size} pixels, '{data.folder}' holds some of "
                        f"{data.info.size}.", "Give the render set that it was trained on.")  # fmt: skip
    held = held_out(data, most)
    nearest = Nearest(maker, data, data.split()[0])
    chosen = set(np.linspace(0, len(held) - 1, min(SHOWN, len(held))).round().astype(int).tolist())
    shown: tuple[list[Pictures], list[Pictures]] = ([], [])
    sums = _Sums()
    last: tuple[int, Tensor, Tensor] | None = None
    for first in range(0, len(held), _BLOCK):
        progress("frames", first, len(held))
        numbers = held[first : first + _BLOCK]
        rows = data.rows(numbers)
        frames = data.frames(numbers), maker.make(rows)
        if watch:
            watch(*frames)
        for kept, pictures in zip(shown, frames, strict=True):
            kept += [p for i, p in enumerate(pictures, first) if i in chosen]
        truth, made = (as_tensor(f) for f in frames)
        alike = as_tensor(data.frames(nearest.numbers(numbers)))
        sums.add(truth, made, alike, maker.mouth(rows))
        if last is not None:
            numbers = [last[0], *numbers]
            truth, made = torch.cat([last[1], truth]), torch.cat([last[2], made])
        sums.add_pairs(truth, made, follows(data, numbers))
        last = numbers[-1], truth[-1:], made[-1:]
    progress("frames", len(held), len(held))
    return _figures(sums, len(held)), np.stack(shown[0]), np.stack(shown[1])


def follows(data: RenderSet, numbers: list[int]) -> Tensor:
    """(N - 1,) bool: whether the next of these frames is the next of the same film."""
    if not data.footage:
        return torch.zeros(len(numbers) - 1, dtype=torch.bool)
    film, picture = (data.rows(numbers)[name] for name in ("film", "picture"))
    return torch.from_numpy((np.diff(film) == 0) & (np.diff(picture) == 1))


def _figures(sums: _Sums, count: int) -> HeadFigures:
    return HeadFigures(
        frames=count,
        psnr=sums.psnr / count,
        mouth_psnr=sums.mouth / count,
        ssim=sums.ssim / count,
        sharpness=ratio(sums.sharp[1], sums.sharp[0]),
        flicker=ratio(sums.moving[1], sums.moving[0]),
        still=ratio(sums.still, sums.pairs),
        baseline_psnr=sums.baseline / count,
    )


def ratio(above: float, below: float) -> float:
    """The quotient; nan where there is nothing to divide by."""
    return above / below if below else math.nan


def picture_rows(figures: HeadFigures, *, footage: bool) -> list[Row]:
    """The figures with their targets; a person's frames are judged by more than a character's."""
    heading = f"{figures.frames} held-out frames, driven by their own tracks"
    whole = figures.psnr

    def of_a_person(target: Target) -> Target | None:
        return target if footage else None

    rows = [
        Row(heading, "PSNR, dB", whole, at_least(32)),
        Row(heading, "PSNR over the nearest training frame's, dB", whole - figures.baseline_psnr,
            of_a_person(at_least(3)), {"nearest": figures.baseline_psnr}),
        Row(heading, "SSIM", figures.ssim, of_a_person(at_least(0.93))),
        Row(heading, "PSNR of the mouth's region, dB", figures.mouth_psnr, of_a_person(at_least(whole - 2))),
        Row(heading, "sharpness ratio", figures.sharpness, of_a_person(Target(0.85, 1.1))),
    ]  # fmt: skip
    if not math.isnan(figures.still):
        rows.append(Row(heading, "flicker ratio", figures.flicker, of_a_person(at_most(1.1)),
                        note=f"{figures.still:.0%} of the pictures still"))  # fmt: skip
    return rows


def table(figures: HeadFigures, *, footage: bool = False) -> str:
    """The figures as a table in Markdown, for an avatar's card."""
    return markdown(picture_rows(figures, footage=footage))
