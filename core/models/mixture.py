# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussian mixtures with given weights, over a latent space: density, divergence, smooth noise.

Shapes: ``...`` are any leading dimensions, K components, Z latent dimensions. All covariances are
diagonal and given as log variances.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log N(z; mean, exp(log_var)) summed over the last dimension: (..., Z) -> (...)."""
    square = (z - mean) ** 2 * torch.exp(-log_var)
    return -0.5 * (square + log_var + math.log(2 * math.pi)).sum(-1)


def mixture_log_prob(z: Tensor, weights: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log of sum_k weights_k N(z; mean_k, exp(log_var_k)).

    Args:
        z: (..., Z)
        weights: (..., K) not negative, of sum 1; a weight of 0 switches its component off.
        mean: (..., K, Z)
        log_var: (..., K, Z)

    """
    log_weights = torch.log(weights.clamp_min(1e-12))
    return torch.logsumexp(log_weights + gaussian_log_prob(z[..., None, :], mean, log_var), -1)


def mixture_moments(weights: Tensor, mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the mixture, and the mean deviation within its components: both (..., Z).

    The spread between components is left out: a draw for half happy, half sad lies half way, with
    the liveliness of both, and does not jump from one to the other.
    """
    w = weights[..., None]
    return (w * mean).sum(-2), torch.sqrt((w * torch.exp(log_var)).sum(-2))


def kl_to_mixture(
    q_mean: Tensor, q_log_var: Tensor, noise: Tensor, weights: Tensor, mean: Tensor, log_var: Tensor
) -> Tensor:
    """Monte Carlo estimate of KL(q || mixture), which has no closed form: (...).

    Args:
        q_mean: (..., Z) of the posterior
        q_log_var: (..., Z) of the posterior
        noise: (M, ..., Z) standard normal draws
        weights: (..., K)
        mean: (..., K, Z)
        log_var: (..., K, Z)

    """
    z = q_mean + torch.exp(0.5 * q_log_var) * noise
    return (
        gaussian_log_prob(z, q_mean, q_log_var) - mixture_log_prob(z, weights, mean, log_var)
    ).mean(0)


def kl_gaussians(q_mean: Tensor, q_log_var: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Closed form of KL(q || N(mean, exp(log_var))), the case of one component: (...)."""
    ratio = torch.exp(q_log_var - log_var)
    square = (q_mean - mean) ** 2 * torch.exp(-log_var)
    return 0.5 * (ratio + square - 1 + log_var - q_log_var).sum(-1)


class SmoothNoise:
    """Standard normal noise that drifts instead of jittering, step by step without end.

    White noise under a Gaussian window, scaled back to variance 1, so each instant is a fair draw.

    Args:
        dims: independent columns
        seed: same seed, same noise
        width: standard deviation of the window, steps

    """

    def __init__(self, dims: int, seed: int, width: float) -> None:
        self._random, self._width = np.random.default_rng(seed), width
        self._reach = math.ceil(4 * width)
        impulse = np.zeros(2 * self._reach + 1)
        impulse[self._reach] = 1
        self._gain = np.sqrt((gaussian_filter1d(impulse, width) ** 2).sum())
        self._white = np.empty((0, dims))
        self._first = 0

    def steps(self, first: int, last: int) -> Tensor:
        """(last - first, dims) of the steps first..last-1; none before ``first`` can be had again."""
        missing = last + 2 * self._reach - self._first - len(self._white)
        drawn = self._random.standard_normal((max(missing, 0), self._white.shape[1]))
        self._white = np.concatenate([self._white, drawn])[first - self._first :]
        self._first = first
        window = self._white[: last - first + 2 * self._reach]
        smooth = gaussian_filter1d(window, self._width, axis=0)[self._reach :][: last - first]
        return torch.from_numpy((smooth / self._gain).astype(np.float32))
