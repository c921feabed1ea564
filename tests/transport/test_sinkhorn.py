"""Entropic transport: solved to its tolerance, or said not to be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from traits import samples

import divkit as dk
from divkit.data.measure import pair
from divkit.transport import EntropicOT, Power, Relative, Sinkhorn
from divkit.transport.entropic import Solver
from divkit.transport.newton import Newton
from divkit.transport.problem import Cloud, EntropicProblem


def marginals(x: torch.Tensor, y: torch.Tensor, e: dk.Estimate, p: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the plan that the returned potentials mean, recomputed densely."""
    state = e.solution.state
    plan = torch.exp((state["f"][:, None] + state["g"][None] - torch.cdist(x, y) ** p) / state["epsilon"]) / (len(x) * len(y))
    return plan.sum(1), plan.sum(0)


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 5.0, Relative(0.01)])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_the_marginals_are_right_to_the_stated_tolerance(epsilon: float | Relative, p: float) -> None:
    x, y = samples(80, 60)
    e = EntropicOT(epsilon, p, tol=1e-5).estimate(x, y)
    rows, columns = marginals(x, y, e, p)
    assert float((rows - 1 / 80).abs().sum()) <= 1.01e-5
    assert float((columns - 1 / 60).abs().sum()) <= 1.01e-5
    assert e.solution.lower <= e.value + 1e-12


def test_small_epsilon_tends_to_the_exact_cost() -> None:
    x, y = samples(50, 50, 2)
    exact = dk.estimate("w2", x, y).value
    values = [EntropicOT(epsilon, tol=1e-3).estimate(x, y).value for epsilon in (0.3, 0.03, 0.003)]
    assert sorted(values, reverse=True) == values
    assert exact < values[-1] < exact + 0.003 * np.log(50)  # the bias is at most ε log n


@pytest.mark.parametrize("sweeps", [1, 3])
def test_too_few_sweeps_are_not_convergence(sweeps: int) -> None:
    x, y = samples()
    with pytest.warns(dk.ConvergenceWarning, match="step limit"):
        e = Sinkhorn(epsilon=1e-3, sweeps=sweeps).estimate(x, y)
    assert not e.converged
    assert e.solution.error > e.settings["tol"]


def test_tiny_epsilon_is_solved_or_said_not_to_be() -> None:
    x, y = samples(30, 30)
    with pytest.warns(dk.ConvergenceWarning):
        e = Sinkhorn(epsilon=1e-8, sweeps=20).estimate(x, y)
    assert np.isfinite(e.value)
    assert not e.converged


def test_population_values_of_gaussians() -> None:
    p, q = MultivariateNormal(torch.zeros(2), torch.eye(2)), MultivariateNormal(torch.tensor([1.0, 0.0]), 2 * torch.eye(2))
    torch.manual_seed(0)
    x, y = p.sample((1500,)), q.sample((1500,))
    for name in ("sinkhorn", "entropic-ot"):
        e = dk.get(name, epsilon=1.0).estimate(x, y)
        assert abs(e.value - dk.exact(name, p, q, epsilon=1.0)) < 4 * e.stderr


def test_large_clouds_start_from_a_coarse_solution() -> None:
    """More points than the coarse start holds: the value is that of a plain float64 solver."""
    x, y = samples(1200, 1100, 2)
    e = EntropicOT(0.5, tol=1e-4).estimate(x, y)
    cost = (torch.cdist(x, y) ** 2).numpy()
    theirs = ot.solve(cost, reg=0.5, reg_type="KL", max_iter=2000, tol=1e-9).value
    assert e.value == pytest.approx(theirs, rel=1e-5)
    assert e.solution.steps < 60


def test_a_warm_start_saves_sweeps_on_new_points() -> None:
    generator = torch.Generator().manual_seed(0)
    criterion = dk.Criterion("entropic-ot", epsilon=0.05)
    criterion(torch.randn(200, 2, generator=generator), torch.randn(200, 2, generator=generator) + 1)
    cold = criterion.solution.steps
    points = criterion.solution.state["x"], criterion.solution.state["y"]
    criterion(points[0] + 1e-3, points[1])
    assert criterion.solution.steps < cold / 2
    criterion(points[0] + 1e-3, points[1])
    assert criterion.solution.steps == 1


def test_offset_clouds_in_float32() -> None:
    """GeomLoss is 35 % off for clouds shifted by 1 000."""
    x, y = (1000 + s.float() for s in samples(200, 200))  # rounded as clouds there are
    near = dk.get("sinkhorn", epsilon=0.1).estimate(x - 1000, y - 1000).value
    far = dk.get("sinkhorn", epsilon=0.1).estimate(x, y).value
    assert far == pytest.approx(near, rel=1e-4)


@pytest.mark.parametrize("d", [2, 10])
@pytest.mark.parametrize("name", ["entropic-ot", "sinkhorn"])
def test_an_epsilon_of_a_thousandth_of_the_mean_cost_is_solved(name: str, d: int) -> None:
    """Plain sweeps take hundreds; the work is counted in passes over all pairs."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(400, d, generator=g), 0.9 * torch.rand(400, d, generator=g) + 0.15
    e = dk.get(name, epsilon=Relative(1e-3), tol=1e-4).estimate(x, y)
    assert e.converged
    assert e.solution.error <= 1e-4
    assert e.solution.steps < 150


def test_newton_agrees_with_sweeps() -> None:
    x, y = samples(80, 70, 2)
    clouds = (Cloud(s, torch.full((len(s),), -math.log(len(s)), dtype=torch.float64)) for s in (x, y))
    problem = EntropicProblem(Power(2.0), *clouds, epsilon=5e-3 * float(torch.cdist(x, y).square().mean()))
    fast, slow = (Solver(1e-6, 1000, newton=newton).pair(problem) for newton in (Newton(), Newton(dense=0)))
    assert max(fast.error, slow.error) <= 1e-6
    values = [problem.dual(p.image, p.g) for p in (fast, slow)]
    assert values[0] == pytest.approx(values[1], rel=1e-8)
    assert fast.sweeps < slow.sweeps


@pytest.mark.parametrize("tol", [1e-1, 1e-4])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_the_bracket_holds_the_sample_problems_value(p: float, tol: float) -> None:
    x, y = samples(60, 50)
    truth = ot.solve((torch.cdist(x, y) ** p).numpy(), reg=0.1, reg_type="KL", max_iter=50_000, tol=1e-12).value
    solution = EntropicOT(0.1, p, tol=tol).estimate(x, y).solution
    assert solution.lower <= truth * (1 + 1e-9)
    assert solution.upper >= truth * (1 - 1e-9)
    assert solution.upper - solution.lower < 10 * tol


def test_masses_of_one_and_two_are_said() -> None:
    """POT returns a number; here both are normalised, and that is noted, unless mass may be lost."""
    x, y = samples(20, 30)
    e = dk.estimate("sinkhorn", x, y, weights_y=torch.full((30,), 2 / 30))
    assert e.value == pytest.approx(dk.estimate("sinkhorn", x, y).value, rel=1e-6)
    assert "were normalised to one" in e.notes["mass"]


def test_identical_points_and_wide_scales() -> None:
    assert dk.estimate("sinkhorn", torch.ones(20, 2), torch.ones(30, 2)).value == pytest.approx(0.0, abs=1e-15)
    x, y = samples()
    value = dk.estimate("sinkhorn", x, y).value
    for scale in (1e-30, 1e30):
        assert dk.estimate("sinkhorn", scale * x, scale * y).value / scale**2 == pytest.approx(value, rel=1e-8)


def test_translation() -> None:
    x, _ = samples(100, 5, 2)
    assert dk.estimate("sinkhorn", x, x + torch.tensor([3.0, 4.0])).value == pytest.approx(25.0, rel=1e-6)
    assert dk.exact("sinkhorn", Normal(0.0, 1.0), Normal(2.0, 1.0), epsilon=0.3) == pytest.approx(4.0, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "small", True])
def test_epsilon_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="epsilon must be a positive finite number"):
        Sinkhorn(epsilon=value)
    with pytest.raises(ValueError, match="fraction of Relative must be a positive finite number"):
        Relative(value)
    with pytest.raises(ValueError, match="tol must be a positive finite number"):
        EntropicOT(tol=value)


def test_sweeps_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="sweeps must be a whole number of at least 1; got 0"):
        Sinkhorn(sweeps=0)


@pytest.mark.parametrize("reach", [None, 1.0])
def test_images_of_the_last_sweep_serve_its_own_points_only(reach: float | None) -> None:
    x, y = samples(40, 50, 2)
    divergence = Sinkhorn(0.1, tol=1e-6, reach=reach)
    solution = divergence.solve(*pair(x, y))
    wrong = {key: value + 1.0 if key.startswith("image") else value for key, value in solution.state.items()}
    spoilt = replace(solution, state=wrong)
    moved = x + 0.01
    assert divergence.loss(moved, y, solution) == divergence.loss(moved, y, spoilt)
    assert divergence.loss(x, y, solution) != divergence.loss(x, y, spoilt)

    def found(at: dk.results.Solution) -> tuple[torch.Tensor, torch.Tensor]:
        point = x.clone().requires_grad_()
        value = divergence.loss(point, y, at)
        return value.detach(), torch.autograd.grad(value, point)[0]

    state = {key: value + 1e-13 if key == "x" else value for key, value in solution.state.items()}  # other points, by a hair
    known, fresh = found(solution), found(replace(solution, state=state))
    assert torch.allclose(known[0], fresh[0], rtol=1e-9)
    assert torch.allclose(known[1], fresh[1], rtol=1e-5, atol=1e-9)
