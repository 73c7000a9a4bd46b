# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the coarticulation model's constants to the tracked speaker of GRID.

    python -m core.training.data.fit_teacher --cache CACHE

Targets are held near the phonetic starting values, because one speaker's habits (R, W, TH and UW
nearly shut) are not everybody's. Clips with sorted index % 5 == 4 are left out and judge the fit.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...lips import LipMap
from .grid import TrackedClip, tracked_clips
from .lips import KIND_NAMES
from .teacher import Teacher, raw_tracks

log = logging.getLogger(__name__)

_SCALE = {"gap": 0.04, "jaw": 0.06, "width": 0.02}
"""spread of each track, so that their errors weigh alike"""
_PRIOR = 0.02
"""weight of staying at the starting value, against the mean squared error"""


def _design(clip: TrackedClip) -> tuple[Tensor, Tensor, Tensor]:
    """Distances before and after each phone (T, P), and each phone's kind (P,)."""
    start, end = (np.array([getattr(p, n) for p in clip.phones]) for n in ("start", "end"))
    quarter = 0.25 * (end - start)
    before = np.maximum((start + quarter)[None] - clip.times[:, None], 0)
    after = np.maximum(clip.times[:, None] - (end - quarter)[None], 0)
    kinds = [KIND_NAMES.index(p.kind) for p in clip.phones]
    return torch.tensor(before), torch.tensor(after), torch.tensor(kinds)


def fit(clips: list[TrackedClip], start: Teacher, steps: int = 300) -> Teacher:
    """Targets, strengths, lead and lag of opening, jaw and width that explain the clips best."""
    designs = [_design(c) for c in clips]
    awake = [torch.tensor(c.speaking) for c in clips]
    out = Teacher(dict(start.target), dict(start.strength), dict(start.lead), dict(start.lag))
    for name, scale in _SCALE.items():
        truth = [torch.tensor(getattr(c, name)) for c in clips]
        first = torch.tensor(start.target[name])
        target = first.clone().requires_grad_()
        strength = torch.tensor(np.log(start.strength[name])).requires_grad_()
        reach = torch.tensor(np.log([start.lead[name], start.lag[name]])).requires_grad_()
        # Targets are small numbers: a step that suits the logarithms would throw them about.
        optimizer = torch.optim.Adam(
            [{"params": [target], "lr": 0.1 * scale}, {"params": [strength, reach], "lr": 0.03}]
        )
        for _ in range(steps):
            error = torch.zeros((), dtype=torch.float64)
            for (before, after, kinds), wanted, weight in zip(designs, truth, awake):
                lead, lag = reach.exp()
                share = torch.softmax(strength[kinds] - before / lead - after / lag, 1)
                error = error + (weight * (share @ target[kinds] - wanted) ** 2).mean()
            error = error / len(clips) / scale**2
            held = ((target - first) / scale).square().mean() + 0.5 * strength.square().mean()
            optimizer.zero_grad()
            torch.autograd.backward([error + _PRIOR * held])
            optimizer.step()
        out.target[name] = target.detach().numpy()
        out.strength[name] = strength.detach().exp().numpy()
        out.lead[name], out.lag[name] = (round(float(v), 4) for v in reach.detach().exp())
    return out


def correlations(clips: list[TrackedClip], teacher: Teacher) -> dict[str, float]:
    """Median over clips of the correlation of each track with the tracked one, while speaking."""
    found: dict[str, list[float]] = {n: [] for n in _SCALE}
    for clip in clips:
        heard = clip.speaking > 0.5
        for name, value in raw_tracks(teacher, clip.times, clip.phones).items():
            if name in found:
                found[name].append(float(np.corrcoef(value[heard], getattr(clip, name)[heard])[0, 1]))
    return {n: float(np.median(v)) for n, v in found.items()}


def soften(fitted: Teacher, start: Teacher, share: float = 0.5) -> Teacher:
    """Between the fit and the starting values: half this speaker, half anybody."""
    def mean(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return share * a + (1 - share) * b

    return Teacher(
        {n: mean(v, start.target[n]) for n, v in fitted.target.items()},
        {n: np.exp(mean(np.log(v), np.log(start.strength[n]))) for n, v in fitted.strength.items()},
        fitted.lead, fitted.lag,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Fit and write ``teacher.json``."""
    parser = argparse.ArgumentParser(prog="core.training.data.fit_teacher", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder that holds tracked/")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    clips = tracked_clips(args.cache, "s1", LipMap.from_head())
    known, held_out = ([c for c in clips if c.held_out is h] for h in (False, True))
    start = Teacher.starting()
    fitted = fit(known, start)
    for name, teacher in (("start", start), ("fit", fitted), ("softened", soften(fitted, start))):
        log.info("%s: %s", name, correlations(held_out, teacher))
    soften(fitted, start).save()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
