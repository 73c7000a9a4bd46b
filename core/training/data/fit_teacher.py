# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the coarticulation model's constants to the tracked speaker of GRID.

    python -m core.training.data.fit_teacher --data shared/data --cache CACHE

Constants are held near the phonetic starting values, because one speaker's habits are not
everybody's. Clips with sorted index % 5 == 4 are left out and judge the fit.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ...audio import load
from ...lips import LipMap
from ...phones import BILABIAL, KIND_NAMES, SILENCE, Phone
from .grid import TrackedClip, tracked_clips
from .loudness import loudness
from .teacher import (
    FITTED_TRACKS,
    READY_KIND,
    Teacher,
    Track,
    closures,
    distances,
    kinds_of,
    opening,
    teach,
    with_ready,
)

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

_SCALE: Final = {"gap": 0.04, "jaw": 0.06, "width": 0.02}
"""spread of each track, so that their errors weigh alike"""
_EARLIER: Final = 0.12
"""seconds of silence around speech that the fit looks at"""


@dataclass(frozen=True)
class Held:
    """Weights of staying near the starting values, against the mean squared error."""

    target: float = 0.002
    strength: float = 0.002
    reach: float = 0.005
    """log of lead and lag, per kind, against the mean of all kinds"""
    velocity: float = 0.5
    """weight of the error of the velocity"""
    spread: float = 1.0
    """weight of the standard deviation; least squares alone would shrink it"""


@dataclass(frozen=True)
class Design:
    """What is known of C clips of at most T frames and P phones."""

    before: Tensor
    """(C, T, P) seconds before the full pull"""
    after: Tensor
    """(C, T, P)"""
    length: Tensor
    """(C, P) log of the phones' length"""
    kinds: Tensor
    """(C, P); a padded phone pulls nothing"""
    real: Tensor
    """(C, P) 0 where padded, else 1"""
    loud: Tensor
    """(C, T)"""
    free: Tensor
    """(C, T) 0 where bilabials shut the lips"""
    weight: Tensor
    """(C, T) 1 in speech and shortly around it"""
    truth: dict[str, Tensor]
    """(C, T) each"""

    @staticmethod
    def of(clips: list[TrackedClip], loud: list[Array]) -> Design:
        """Gather clips; ``loud`` as long as their films."""
        said = [with_ready(c.phones) for c in clips]
        frames, most = max(len(c.times) for c in clips), max(map(len, said))

        def pad(values: npt.NDArray[Any], *shape: int) -> Tensor:
            return functional.pad(torch.tensor(values), [n for a, b in zip(values.shape[::-1], shape[::-1])
                                                         for n in (0, b - a)])  # fmt: skip

        parts = [distances(c.times, s) for c, s in zip(clips, said)]
        return Design(
            torch.stack([pad(b, frames, most) for b, _, _ in parts]),
            torch.stack([pad(a, frames, most) for _, a, _ in parts]),
            torch.stack([pad(n, most) for _, _, n in parts]),
            torch.stack([pad(kinds_of(s), most) for s in said]),
            torch.stack([pad(np.ones(len(s)), most) for s in said]),
            torch.stack([pad(v, frames) for v in loud]),
            torch.stack([pad(opening(c.times, closures(c.phones)), frames) for c in clips]),
            torch.stack([pad(_around(c.times, c.phones), frames) for c in clips]),
            {n: torch.stack([pad(getattr(c, n), frames) for c in clips]) for n in FITTED_TRACKS},
        )


def _around(times: Array, phones: list[Phone]) -> Array:
    """(T,) 1 from shortly before the first sound to shortly after the last."""
    heard = [p for p in phones if p.kind != "SIL"]
    inside = (times > heard[0].start - _EARLIER) & (times < heard[-1].end + _EARLIER)
    return inside.astype(np.float64)


class _Free(torch.nn.Module):
    """The constants of one track, free to move."""

    def __init__(self, name: str, target: Array, track: Track) -> None:
        super().__init__()
        self.name = name
        self.scale = _SCALE[name]
        self.first = {"target": torch.tensor(np.append(target, 0.0)), "strength": _log(track.strength)}
        # Targets are small numbers: a step that suits the logarithms would throw them about.
        self.target = torch.nn.Parameter(self.first["target"].clone() / self.scale)
        self.strength = torch.nn.Parameter(self.first["strength"].clone())
        self.lead, self.lag = (torch.nn.Parameter(_log(v).mean()) for v in (track.lead, track.lag))
        self.own_lead, self.own_lag = (torch.nn.Parameter(torch.zeros_like(self.strength)) for _ in "ab")
        self.undershoot, self.offset, self.gain = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64))
                                                   for v in (0.5, 0.0, 0.0))  # fmt: skip
        self.loud = torch.nn.Parameter(torch.tensor(track.loud, dtype=torch.float64))

    def forward(self, d: Design) -> Tensor:
        """(C, T) in the scale of the track."""
        lead, lag = (self.lead + self.own_lead).exp(), (self.lag + self.own_lag).exp()
        pull = (self.strength[d.kinds] + self.undershoot * d.length)[:, None]
        pull = pull - d.before / lead[d.kinds][:, None] - d.after / lag[d.kinds][:, None]
        share = torch.softmax(pull.masked_fill(d.real[:, None] == 0, -1e9), -1)
        mean = self.gain.exp() * (share @ self.target[d.kinds][..., None])[..., 0] + self.offset
        if self.name == "width":
            return mean
        found = functional.relu(mean) * d.loud**self.loud
        return found * d.free if self.name == "gap" else found

    def held(self, held: Held) -> Tensor:
        """How far it has gone."""
        moved = self.target[:-1] - self.first["target"][:-1] / self.scale
        pulled = self.strength - self.first["strength"]
        return (held.target * moved.square().sum() + held.strength * pulled.square().sum()
                + held.reach * (self.own_lead.square().sum() + self.own_lag.square().sum())) / 10  # fmt: skip

    def values(self) -> tuple[Array, Track]:
        """Targets and track as found; what pulls before a sentence is the model's own."""
        target, strength, lead, lag = (v.detach().numpy()[:READY_KIND] for v in (
            self.target * self.scale, self.strength.exp(), (self.lead + self.own_lead).exp(),
            (self.lag + self.own_lag).exp()))  # fmt: skip
        undershoot, gain, offset, loud = (float(v.detach()) for v in (
            self.undershoot, self.gain.exp(), self.offset * self.scale, self.loud))  # fmt: skip
        return target, Track(strength, lead, lag, undershoot, gain, offset,
                             0.0 if self.name == "width" else loud)  # fmt: skip


def _log(values: Array) -> Tensor:
    return torch.tensor(np.log(np.append(values, values[0])))


def fit(design: Design, start: Teacher, held: Held | None = None, steps: int = 250) -> Teacher:
    """Constants of opening, jaw and width that explain the clips best."""
    held = held or Held()
    out = Teacher(dict(start.target), dict(start.track))
    for name in FITTED_TRACKS:
        free = _Free(name, start.target[name], start.track[name])
        truth = design.truth[name] / free.scale
        weight = design.weight / design.weight.sum()
        optimizer = torch.optim.Adam(free.parameters(), lr=0.03)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            found = free(design)
            error = (weight * (found - truth) ** 2).sum()
            moved = torch.diff(found - truth, dim=1)
            error = error + held.velocity * (weight[:, 1:] * moved**2).sum()
            ratio = _spread(found, weight) / _spread(truth, weight)
            error = error + held.spread * (ratio - 1) ** 2
            optimizer.zero_grad()
            torch.autograd.backward([error + free.held(held)])
            optimizer.step()
            schedule.step()
        out.target[name], out.track[name] = free.values()
    return out


def _spread(values: Tensor, weight: Tensor) -> Tensor:
    mean = (weight * values).sum()
    return ((weight * (values - mean) ** 2).sum()).sqrt()


def soften(fitted: Teacher, start: Teacher, share: float = 0.7) -> Teacher:
    """Between the fit and the starting values: ``share`` this speaker, the rest anybody."""

    def log_mean(a: Array, b: Array) -> Array:
        return np.asarray(np.exp(share * np.log(a) + (1 - share) * np.log(b)))

    target = {n: share * v + (1 - share) * start.target[n] for n, v in fitted.target.items()}
    tracks = {n: replace(t, strength=log_mean(t.strength, start.track[n].strength))
              for n, t in fitted.track.items()}  # fmt: skip
    return Teacher(target, tracks)


def part_lips(teacher: Teacher, start: Teacher, share: float = 0.6) -> Teacher:
    """Lips that are shut for p, b and m alone: other sounds open them to ``share`` of the starting values.

    The speaker of the fit all but shuts his for /r/, /w/ and /th/, which is his habit and not everybody's.
    """
    track = teacher.track["gap"]
    least = np.where(np.isin(KIND_NAMES, (*BILABIAL, SILENCE)), -np.inf, share * start.target["gap"])
    target = np.maximum(teacher.target["gap"], (least - track.offset) / track.gain)
    return replace(teacher, target=teacher.target | {"gap": target})


def judge(clips: list[TrackedClip], loud: list[Array], teacher: Teacher, lips: LipMap) -> dict[str, float]:
    """Medians over clips: correlation of opening, its velocity and width; ratio of the spreads."""
    rows = []
    for clip, level in zip(clips, loud):
        face = teach(teacher, lips, clip.times, clip.phones, level)
        gap, width = face @ lips.gap, face @ lips.width
        rows.append([
            np.corrcoef(gap, clip.gap)[0, 1], np.corrcoef(np.diff(gap), np.diff(clip.gap))[0, 1],
            np.corrcoef(width, clip.width)[0, 1], gap.std() / clip.gap.std(),
        ])  # fmt: skip
    return dict(zip(("gap", "velocity", "width", "spread"), np.median(rows, 0).round(3).tolist()))


def clips_and_loudness(
    data: Path, cache: Path, speaker: str, lips: LipMap
) -> tuple[list[TrackedClip], list[Array]]:
    """Tracked clips of ``s1`` or ``other`` and how loud each is at its film's times."""
    folder = data / ("grid_s1/video" if speaker == "s1" else "grid_other")
    clips = tracked_clips(cache, speaker, lips)
    return clips, [loudness(load(folder / f"{c.name}.mpg"), c.times) for c in clips]


def main(argv: list[str] | None = None) -> int:
    """Fit and write ``teacher.json``."""
    parser = argparse.ArgumentParser(prog="core.training.data.fit_teacher", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid_s1")
    parser.add_argument("--cache", type=Path, required=True, help="folder that holds tracked/")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    lips = LipMap.from_head()
    clips, loud = clips_and_loudness(args.data, args.cache, "s1", lips)
    known = [(c, v) for c, v in zip(clips, loud) if not c.held_out]
    judged = {"held out": [(c, v) for c, v in zip(clips, loud) if c.held_out],
              "other speakers": list(zip(*clips_and_loudness(args.data, args.cache, "other", lips)))}  # fmt: skip
    start = Teacher.starting()
    fitted = fit(Design.of([c for c, _ in known], [v for _, v in known]), start)
    softened = soften(fitted, start)
    taught = part_lips(softened, start)
    for name, teacher in (("start", start), ("fit", fitted), ("softened", softened), ("parted", taught)):
        for who, rows in judged.items():
            log.info("%s, %s: %s", name, who, judge([c for c, _ in rows], [v for _, v in rows], teacher, lips))
    taught.save()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(main())
