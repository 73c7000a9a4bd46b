# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixture is a density, its divergence is right, and its noise drifts."""

import numpy as np
import pytest
import torch

from core.models.mixture import (
    SmoothNoise,
    gaussian_log_prob,
    kl_gaussians,
    kl_to_mixture,
    mixture_log_prob,
    mixture_moments,
)


def random_mixture(components, dims, seed=0):
    g = torch.Generator().manual_seed(seed)
    weights = torch.softmax(torch.randn(components, generator=g), 0)
    return weights, torch.randn(components, dims, generator=g), torch.randn(components, dims, generator=g)


def test_density_integrates_to_one():
    weights, mean, log_var = random_mixture(3, 1)
    z = torch.linspace(-30, 30, 60001)[:, None]
    density = mixture_log_prob(z, weights.expand(len(z), -1), mean, log_var).exp()
    assert torch.trapezoid(density, z[:, 0]).item() == pytest.approx(1, abs=1e-4)


def test_monte_carlo_divergence_meets_the_closed_form_for_one_component():
    g = torch.Generator().manual_seed(1)
    q_mean, q_log_var, mean, log_var = torch.randn(4, 5, 6, generator=g).unbind(0)
    noise = torch.randn(40000, 5, 6, generator=g)
    one = torch.ones(5, 1)
    found = kl_to_mixture(q_mean, q_log_var, noise, one, mean[:, None], log_var[:, None])
    np.testing.assert_allclose(found, kl_gaussians(q_mean, q_log_var, mean, log_var), rtol=0.03)


def test_a_one_hot_weight_leaves_one_component():
    _, mean, log_var = random_mixture(4, 3)
    z = torch.randn(7, 3)
    weights = torch.eye(4)[2].expand(7, -1)
    np.testing.assert_allclose(mixture_log_prob(z, weights, mean, log_var),
                               gaussian_log_prob(z, mean[2], log_var[2]), rtol=1e-5)  # fmt: skip


def test_moments_move_straight_from_part_to_part():
    _, mean, log_var = random_mixture(2, 3)
    share = torch.linspace(0, 1, 5)[:, None]
    centre, deviation = mixture_moments(torch.cat([1 - share, share], 1), mean, log_var)
    np.testing.assert_allclose(centre, mean[0] + share * (mean[1] - mean[0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deviation[0], torch.exp(log_var[0] / 2), rtol=1e-5)


def test_noise_is_standard_normal_smooth_and_repeatable():
    noise = SmoothNoise(4, 3, 8.0).steps(0, 20000)
    assert noise.mean().item() == pytest.approx(0, abs=0.1)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert (noise[1:] - noise[:-1]).std().item() < 0.15
    assert torch.equal(noise, SmoothNoise(4, 3, 8.0).steps(0, 20000))
    assert not torch.equal(noise, SmoothNoise(4, 4, 8.0).steps(0, 20000))
    assert SmoothNoise(2, 0, 8.0).steps(0, 1).shape == (1, 2)
