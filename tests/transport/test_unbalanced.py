"""Unbalanced entropic transport: against another library's plan, the Gaussian closed form, and finite differences."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from traits import samples, weights

import divkit as dk
from divkit.transport import EntropicOT, Sinkhorn

X, Y = samples(40, 55, 2)
W, V = weights(40) / 35, weights(55, 2) / 60  # masses that differ


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q) - p + q).sum())


def primal(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, epsilon: float, rho: float) -> float:
    """The objective at POT's plan, by hand: its own `value` is about 0 whatever the data."""
    cost, a, b = (torch.cdist(x, y) ** 2).numpy(), a.numpy(), b.numpy()
    plan = ot.solve(
        cost, a, b, reg=epsilon, reg_type="KL", unbalanced=rho, unbalanced_type="KL", max_iter=100_000, tol=1e-12
    ).plan
    return float((plan * cost).sum()) + epsilon * kl(plan, np.outer(a, b)) + rho * (kl(plan.sum(1), a) + kl(plan.sum(0), b))


@pytest.mark.parametrize(("epsilon", "reach"), [(0.3, 1.0), (0.1, 2.0), (1.0, 0.5)])
def test_value_and_bracket(epsilon: float, reach: float) -> None:
    x, y, rho = dk.Measure(X, W), dk.Measure(Y, V), reach**2
    across = primal(X, Y, W, V, epsilon, rho)
    e = EntropicOT(epsilon=epsilon, reach=reach, tol=1e-7).estimate(x, y)
    assert e.value == pytest.approx(across, rel=1e-9)
    assert e.solution.lower <= across * (1 + 1e-9)
    assert e.solution.upper >= across * (1 - 1e-9)
    assert e.solution.upper - e.solution.lower < 1e-6
    own = primal(X, X, W, W, epsilon, rho) / 2 + primal(Y, Y, V, V, epsilon, rho) / 2
    debiased = Sinkhorn(epsilon=epsilon, reach=reach, tol=1e-7).estimate(x, y)
    assert debiased.value == pytest.approx(across - own + epsilon / 2 * (x.mass - y.mass) ** 2, rel=1e-8)
    assert "transported where that is cheaper" in debiased.notes["mass"]


@pytest.mark.parametrize("make", [EntropicOT, Sinkhorn])
def test_gradients_in_points_of_unequal_masses(make: type[EntropicOT]) -> None:
    divergence, step = make(epsilon=0.3, reach=1.0, tol=1e-11), 1e-5
    points = [X.clone().requires_grad_(), Y.clone().requires_grad_()]
    slopes = torch.autograd.grad(divergence.loss(dk.Measure(points[0], W), dk.Measure(points[1], V)), points)
    for k, sample in enumerate((X, Y)):
        ends = []
        for sign in (1, -1):
            moved = [X, Y]
            moved[k] = sample.clone()
            moved[k][3, 0] += sign * step
            ends.append(float(divergence.loss(dk.Measure(moved[0], W), dk.Measure(moved[1], V))))
        assert float(slopes[k][3, 0]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(("masses", "rho"), [((1.0, 1.0), 1.0), ((1.5, 0.8), 4.0)])
def test_gaussians_of_unequal_mass(masses: tuple[float, float], rho: float) -> None:
    """Quadratic potentials, found by their own recursion: Janati, Muzellec, Peyré and Cuturi (2020) in one dimension."""
    epsilon, sds = 0.5, (1.0, 1.4)
    damping = rho / (rho + epsilon)

    def image(slope: float, level: float, mass: float, sd: float) -> tuple[float, float]:
        k = 1 / (2 * sd**2) + (1 - slope) / epsilon
        return damping * (1 - 1 / (epsilon * k)), damping * (-level - epsilon * math.log(mass / (sd * math.sqrt(2 * k))))

    f = (0.0, 0.0)
    for _ in range(500):
        g = image(*f, masses[0], sds[0])
        f = image(*g, masses[1], sds[1])
    carried = masses[1] * math.exp(-g[1] / rho) / math.sqrt(1 + 2 * g[0] * sds[1] ** 2 / rho)
    value = rho * sum(masses) + epsilon * masses[0] * masses[1] - (2 * rho + epsilon) * carried
    grid = torch.linspace(-9.0, 9.0, 400, dtype=torch.float64)
    x, y = (
        dk.Measure(grid, mass * torch.exp(-(grid**2) / 2 / sd**2) / sd / math.sqrt(2 * math.pi) * float(grid[1] - grid[0]))
        for mass, sd in zip(masses, sds)
    )
    e = EntropicOT(epsilon=epsilon, reach=math.sqrt(rho), tol=1e-9).estimate(x, y)
    assert e.value == pytest.approx(value, rel=1e-6)


def test_limits() -> None:
    """A long reach keeps the marginals; none at all loses both masses at the price ρ each."""
    balanced = EntropicOT(epsilon=0.3, tol=1e-8).estimate(X, Y).value
    assert EntropicOT(epsilon=0.3, reach=1e4, tol=1e-8).estimate(X, Y).value == pytest.approx(balanced, rel=1e-5)
    near = EntropicOT(epsilon=1e-4, reach=1e-2, tol=1e-6).estimate(X + 100, Y)
    assert near.value == pytest.approx(2e-4, rel=0.5)
    assert Sinkhorn(epsilon=0.3, reach=1.0).estimate(X, X).value == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, True])
def test_reach_out_of_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="reach must be a positive finite number"):
        Sinkhorn(reach=bad)
