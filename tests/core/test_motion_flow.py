# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.models.flow import (
    ActNorm,
    AffineCoupling,
    ConditionalFlow,
    FlowSampler,
    InvertibleLinear,
)

SIZE, CONDITION = 7, 5


def scrambled(module: nn.Module) -> nn.Module:
    """Far from the identity that training starts at."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.double()


def transforms() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    made = {
        "norm": ActNorm(SIZE),
        "linear": InvertibleLinear(SIZE),
        "coupling": AffineCoupling(SIZE, CONDITION, 16),
        "flow": ConditionalFlow(SIZE, CONDITION, 16, 4),
    }
    return {name: scrambled(module) for name, module in made.items()}


def inputs(count: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(count, SIZE).double(), torch.randn(count, CONDITION).double()


@pytest.mark.parametrize("name", ["norm", "linear", "coupling", "flow"])
def test_the_inverse_undoes_and_the_determinants_cancel(name: str) -> None:
    transform, (x, condition) = transforms()[name], inputs()
    y, there = transform(x, condition)
    back, return_ = transform.inverse(y, condition)
    assert not torch.allclose(y, x)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(there + return_, torch.zeros(len(x)).double())


@pytest.mark.parametrize("name", ["norm", "linear", "coupling", "flow"])
def test_the_determinant_is_that_of_the_jacobian(name: str) -> None:
    transform, (x, condition) = transforms()[name], inputs(3)
    for i in range(len(x)):
        one = condition[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda v, one=one: transform(v[None], one)[0][0], x[i]
        )
        expected = torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(transform(x[i : i + 1], one)[1][0], expected)


def test_the_density_integrates_to_one() -> None:
    flow = scrambled(ConditionalFlow(2, 1, 8, 2))
    line = torch.linspace(-30, 30, 601).double()
    grid = torch.cartesian_prod(line, line)
    condition = torch.zeros(len(grid), 1).double()
    with torch.no_grad():
        mass = flow.log_likelihood(grid, condition).exp().sum() * (line[1] - line[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=0.02)


def test_an_untrained_flow_is_a_normal_density_of_rotated_data() -> None:
    torch.manual_seed(0)
    flow = ConditionalFlow(SIZE, CONDITION, 16, 3).double()
    x, condition = inputs()
    expected = -0.5 * (x.square().sum(1) + SIZE * math.log(2 * math.pi))
    torch.testing.assert_close(flow.log_likelihood(x, condition), expected)


def test_the_condition_matters_and_the_norms_start_from_data() -> None:
    flow, (x, condition) = transforms()["flow"], inputs(200)
    assert isinstance(flow, ConditionalFlow)
    assert not torch.allclose(flow(x, condition)[0], flow(x, condition + 1)[0])
    flow.fit_norms(5 * x + 3, condition)
    first = flow.transforms[0](5 * x + 3, condition)[0]
    torch.testing.assert_close(first.mean(0), torch.zeros(SIZE).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(first.std(0), torch.ones(SIZE).double(), atol=1e-3, rtol=0)


def test_the_sampler_is_the_inverse() -> None:
    flow, (z, condition) = transforms()["flow"], inputs()
    assert isinstance(flow, ConditionalFlow)
    torch.testing.assert_close(FlowSampler(flow)(z, condition), flow.inverse(z, condition)[0])
