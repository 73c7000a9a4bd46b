# SPDX-License-Identifier: GPL-3.0-or-later
"""A small classifier, trained within the evaluation: it probes features and recognises emotions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float64]

_STEPS = 400
_BATCH = 1024
_RATE = 5e-3


@dataclass(frozen=True)
class Classifier:
    """Standardise, layers with tanh between, softmax."""

    mean: Tensor
    """(F,)"""
    scale: Tensor
    """(F,)"""
    hidden: nn.Sequential
    """nothing for a logistic regression"""
    last: nn.Linear

    @torch.no_grad()
    def features(self, x: npt.ArrayLike) -> Array:
        """(N, F) to (N, H), what the last layer decides from."""
        return np.asarray(self._hidden(torch.as_tensor(np.asarray(x, np.float32))), np.float64)

    @torch.no_grad()
    def classes(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """(N, F) to (N,), the likeliest class."""
        found = self.last(self._hidden(torch.as_tensor(np.asarray(x, np.float32))))
        return np.asarray(found.argmax(1), np.int64)

    def _hidden(self, x: Tensor) -> Tensor:
        out: Tensor = self.hidden((x - self.mean) / self.scale)
        return out


def train(
    x: npt.ArrayLike, wanted: npt.ArrayLike, hidden: tuple[int, ...] = (), *, decay: float = 3.0,
    least_scale: float = 1e-6, seed: int = 0,
) -> Classifier:  # fmt: skip
    """Fit by cross-entropy with Adam and decoupled weight decay; every class weighs the same.

    Args:
        x: (N, F) features
        wanted: (N, K) probability of each class; one-hot rows for plain labels
        hidden: sizes of the layers between; none is a logistic regression
        decay: of the weights, in units of the rate
        least_scale: deviation under which a feature counts as still
        seed: of the first weights and the order

    """
    data = torch.as_tensor(np.asarray(x, np.float32))
    target = torch.as_tensor(np.asarray(wanted, np.float32))
    generator = torch.Generator().manual_seed(seed)
    sizes = (data.shape[1], *hidden)
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.Tanh()]
        last = nn.Linear(sizes[-1], target.shape[1])
    model = Classifier(data.mean(0), data.std(0).clamp_min(least_scale), nn.Sequential(*layers), last)
    rare = target.shape[0] / target.shape[1] / target.sum(0).clamp_min(1e-6)
    parameters = [*model.hidden.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=decay)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        rows = torch.randperm(len(data), generator=generator)[:_BATCH]
        log = torch.log_softmax(last(model._hidden(data[rows])), 1)
        loss = -(target[rows] * rare * log).sum(1).mean()
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        optimizer.step()
    return model


def one_hot(labels: npt.ArrayLike, count: int) -> Array:
    """(N,) to (N, count)."""
    return np.asarray(np.eye(count)[np.asarray(labels)])


def balanced_accuracy(found: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean over the classes that occur of the share of their members found; chance is 1 / classes."""
    seen, truth = np.asarray(found), np.asarray(labels)
    return float(np.mean([(seen[truth == k] == k).mean() for k in np.unique(truth)]))
