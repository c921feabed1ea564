"""The semi-dual: a certified lower bound for any cost, near the exact one."""

from __future__ import annotations

import pytest
import torch
from traits import samples

import divkit as dk
from divkit.transport import Cost, CustomCost, Power, SemiDual, Transport

CITY = CustomCost(lambda x, y: (x - y).abs().sum(-1))
CAPPED = CustomCost(lambda x, y: (x - y).square().sum(-1).clamp(max=1.0))  # no metric, not convex


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
@pytest.mark.parametrize("cost", [Power(1.0), Power(2.0), CITY, CAPPED])
def test_it_bounds_the_exact_cost_from_below_and_comes_near(cost: Cost) -> None:
    x, y = samples(80, 70, 2)
    exact = Transport(cost).estimate(x, y)
    e = SemiDual(cost, steps=600).estimate(x, y)
    assert e.solution.lower <= exact.value * (1 + 1e-9) <= e.solution.upper * (1 + 2e-9)
    assert e.value == pytest.approx(e.solution.lower, rel=1e-9)
    assert e.value > 0.9 * exact.value
    costs = cost.evaluate(x, y)
    slack = costs - e.solution.state["u"][:, None] - e.solution.state["v"]
    assert float(slack.min()) > -1e-12 * float(costs.max())


def test_a_budget_of_one_step_still_brackets() -> None:
    x, y = samples(60, 50, 2)
    with pytest.warns(dk.ConvergenceWarning):
        e = SemiDual(Power(2.0), steps=1).estimate(x, y)
    assert not e.converged
    exact = dk.estimate("w2", x, y).value
    assert e.solution.lower <= exact * (1 + 1e-9) <= e.solution.upper * (1 + 2e-9)


def test_rows_without_weight_change_nothing() -> None:
    x, y = samples(60, 50, 2)
    far = torch.cat([y, torch.full((1, 2), 5.0, dtype=y.dtype)])
    weights = torch.ones(51)
    weights[-1] = 0
    quick = SemiDual(Power(2.0), steps=400, tol=1.0)
    exact = dk.estimate("w2", x, y).value
    e = quick.estimate(x, dk.Measure(far, weights))
    assert 0.5 * exact < e.value <= exact * (1 + 1e-9)


def test_the_gradient_is_that_of_the_potentials_expression() -> None:
    x, y = samples(20, 25, 2)
    divergence = SemiDual(Power(2.0), steps=100, tol=1.0)
    solution = divergence.solve(dk.Measure(x), dk.Measure(y))
    x, y = x.requires_grad_(), y.requires_grad_()

    def value(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return divergence.loss(p, q, solution)

    assert torch.autograd.gradcheck(value, (x, y))


def test_the_same_call_gives_the_same_number() -> None:
    x, y = samples(40, 30, 2)
    quick = SemiDual(Power(2.0), steps=400, tol=1.0)
    assert quick.estimate(x, y).value == quick.estimate(x, y).value


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(TypeError, match=r"cost must be a Cost, such as Power\(2\) or CustomCost\(function\); got 2"):
        SemiDual(2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1; got 0"):
        SemiDual(CITY, steps=0)
    with pytest.raises(ValueError, match="rate must be a positive finite number"):
        SemiDual(CITY, rate=-1.0)
    with pytest.raises(ValueError, match="tol must be a positive finite number"):
        SemiDual(CITY, tol=0.0)


def test_it_settles_by_itself() -> None:
    x, y = samples(50, 50, 2)
    e = SemiDual(Power(2.0)).estimate(x, y)
    assert e.converged
    assert e.solution.steps < 3000
    assert e.value > 0.95 * dk.estimate("w2", x, y).value
