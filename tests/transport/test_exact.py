"""Exact transport: values, certificates, one dimension."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import scipy.stats
import torch
from torch.distributions import Normal
from traits import samples, weights

import divkit as dk
from divkit.data.measure import Measure
from divkit.transport import CustomCost, SlicedWasserstein, Transport, Wasserstein


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_bracket_recomputed_from_the_duals(p: float, d: int, weighted: bool) -> None:
    x, y = samples(40, 25, d)
    w, v = (weights(40), weights(25, 2)) if weighted else (torch.ones(40).double(), torch.ones(25).double())
    e = Wasserstein(p).estimate(dk.Measure(x, w), dk.Measure(y, v))
    w, v = w / w.sum(), v / v.sum()
    cost = torch.cdist(x, y) ** p
    state = e.solution.state
    transformed = (cost - state["v"]).amin(1)  # feasible by construction, whatever the solver said
    lower = float(w @ transformed + v @ state["v"])
    plan = torch.zeros(40, 25, dtype=torch.float64).index_put_(
        (state["rows"], state["columns"]), state["mass"], accumulate=True
    )
    assert torch.allclose(plan.sum(1), w, atol=1e-12)
    assert torch.allclose(plan.sum(0), v, atol=1e-12)
    upper = float((plan * cost).sum())
    assert e.value == pytest.approx(ot.emd2(w.numpy(), v.numpy(), cost.numpy()), rel=1e-9)
    assert e.solution.lower == pytest.approx(lower, rel=1e-9)
    assert e.solution.upper == pytest.approx(upper, rel=1e-9)
    assert lower <= upper + 1e-12
    assert e.solution.error <= 1e-9


def test_a_corrupted_dual_widens_the_bracket() -> None:
    x, y = samples()
    e = dk.estimate("w2", x, y)
    cost = torch.cdist(x, y).square()
    spoilt = e.solution.state["v"] + 0.3 * torch.randn(45, dtype=torch.float64)
    lower = float((cost - spoilt).amin(1).mean() + spoilt.mean())
    assert lower < e.solution.lower - 1e-3


def test_one_dimension_equals_scipy() -> None:
    x, y = samples(101, 57, 1)
    w, v = weights(101), weights(57, 2)
    ours = dk.estimate("w1", x, y, weights_x=w, weights_y=v).value
    theirs = scipy.stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy(), w.numpy(), v.numpy())
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_ties_and_discrete_data() -> None:
    x, y = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]).double(), torch.tensor([0.0, 1.0, 2.0, 2.0]).double()
    expected = scipy.stats.wasserstein_distance(x.numpy(), y.numpy())
    e = dk.estimate("w1", x, y)
    assert e.value == pytest.approx(expected, rel=1e-12)
    assert e.solution.lower == pytest.approx(e.solution.upper, rel=1e-12)


def test_influence_values_are_optimal_potentials_of_the_population() -> None:
    """For N(1, 1) and N(0, 1), u(x) = 2x + const: what sorting finds correlates with it almost perfectly."""
    generator = torch.Generator().manual_seed(0)
    x = 1 + torch.randn(5000, generator=generator, dtype=torch.float64)
    y = torch.randn(5000, generator=generator, dtype=torch.float64)
    e = dk.estimate("w2", x, y)
    assert float(torch.corrcoef(torch.stack([e.influence[0], x]))[0, 1]) > 0.99
    assert abs(e.value - dk.exact("w2", Normal(1.0, 1.0), Normal(0.0, 1.0))) < 4 * e.stderr


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 1), (40, 25, 1), (30, 20, 3), (900, 800, 2)])
def test_settled_terms_are_those_of_the_arcs(n: int, m: int, d: int, p: float) -> None:
    x, y = samples(n, m, d)
    given = weights(n)
    given[3] = 0.0
    of_x, of_y, divergence = Measure(x, given), Measure(y), Wasserstein(p)
    solution = divergence.solve(of_x, of_y)
    plain, walked = (found(of_x, of_y, solution) for found in (divergence.settled, divergence.terms))
    assert torch.allclose(plain.x, walked.x, atol=1e-9 * float(plain.x.abs().max()))
    assert torch.equal(plain.y, walked.y)
    assert math.isclose(float(plain.value(of_x, of_y)), float(walked.value(of_x, of_y)), rel_tol=1e-11)


COSTS = {
    "negative": lambda x, y: -(x - y).square().sum(-1),
    "moved below zero": lambda x, y: (x - y).square().sum(-1) - 100,
    "of both signs": lambda x, y: -(x * y).sum(-1),
    "a count": lambda x, y: (x > y).sum(-1),
    "a condition": lambda x, y: (x > y).any(-1),
    "constant": lambda x, y: 0 * (x - y).sum(-1) - 3,
}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize(("n", "m"), [(40, 30), (900, 800)])
def test_costs_of_any_sign_and_kind_are_solved(cost: str, n: int, m: int) -> None:
    x, y = samples(n, m, 2)
    e = Transport(CustomCost(COSTS[cost])).estimate(x, y)
    table = COSTS[cost](x[:, None], y[None]).double()
    least = float(table.min())  # POT itself fails where no cost is positive
    expected = ot.emd2([], [], (table - least).numpy(), numItermax=10_000_000) + least
    assert e.converged
    assert e.solution.steps <= 20  # potentials that are off let all pairs join, round after round
    assert e.value == pytest.approx(expected, rel=1e-7)
    assert e.solution.lower <= e.value + 1e-9 * abs(e.value)


def test_points_that_lie_together_are_solved() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(20, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = ot.emd2([], [], ot.dist(x.numpy(), y.numpy()))
    jitter = 1e-9 * torch.randn(1200, 2, generator=generator, dtype=torch.float64)
    e = dk.estimate("w2", x.repeat_interleave(60, 0) + jitter, y.repeat_interleave(50, 0))
    assert e.converged
    assert e.solution.steps <= 20  # 36 where as few arcs join in each
    assert e.value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("d", [1, 2])
def test_a_sample_and_itself_cost_nothing(p: float, d: int) -> None:
    x, _ = samples(900, 1, d)
    e = Wasserstein(p).estimate(x, x)
    assert (e.value, e.ci(), e.solution.lower) == (0.0, (0.0, 0.0), 0.0)


@pytest.mark.parametrize("name", ["sliced-w2", "sliced-w1", "sliced-energy"])
def test_few_directions_have_no_error(name: str) -> None:
    x, y = samples(50, 40, 4)
    e = dk.estimate(f"{name}:projections=4", x, y)
    assert math.isnan(e.stderr)
    assert all(map(math.isnan, e.ci()))
    assert e.notes["stderr"] == "no standard error from 4 projection(s); a minimum of 5 is required"
    assert dk.estimate(f"{name}:projections=5", x, y).stderr > 0
    assert dk.estimate(f"{name}:projections=1", x[:, :1], y[:, :1]).stderr > 0  # on a line there is one


def test_costs_too_small_for_the_simplex_are_rescaled() -> None:
    """POT is 21 % off for costs of 1e-14 and says that it is optimal."""
    x, y = samples()
    small = dk.estimate("w2", 1e-9 * x, 1e-9 * y).value
    assert small * 1e18 == pytest.approx(dk.estimate("w2", x, y).value, rel=1e-9)


def test_translation_costs_its_squared_length_on_slices_too() -> None:
    x, _ = samples(200, 5, 5)
    shift = torch.tensor([1.0, 2.0, 0.0, 0.0, 2.0]).double()
    e = SlicedWasserstein(projections=500).estimate(x, x + shift)
    assert abs(e.value - 9 / 5) < 4 * e.notes["stderr_of_projections"] + 1e-12
    assert dk.estimate("w2", x, x + shift).value == pytest.approx(9.0, rel=1e-12)


@pytest.mark.parametrize("count", [98, 100])
def test_the_error_of_directions_is_their_spread_whether_groups_are_full_or_not(count: int) -> None:
    x, y = samples(60, 60, 7)
    found = [dk.estimate("sliced-w2", x, y, projections=count, seed=seed) for seed in range(80)]
    said = sum(e.notes["stderr_of_projections"] for e in found) / len(found)
    assert 0.75 < float(torch.tensor([e.value for e in found]).std()) / said < 1.3


def test_sliced_equals_exact_in_one_dimension() -> None:
    x, y = samples(30, 40, 1)
    for p in (1.0, 2.0):
        sliced, exact = SlicedWasserstein(p).estimate(x, y), Wasserstein(p).estimate(x, y)
        assert sliced.value == pytest.approx(exact.value, rel=1e-12)
        assert sliced.stderr == pytest.approx(exact.stderr, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Wasserstein(0.5), "p must be a finite number of at least 1"),
        (lambda: Wasserstein(float("nan")), "p must be a finite number of at least 1"),
        (lambda: Wasserstein(gap=0.0), "gap must lie strictly between 0 and 1"),
        (lambda: SlicedWasserstein(projections=0), "projections must be a whole number of at least 1"),
        (lambda: SlicedWasserstein(p=0.0), "p must be a finite number of at least 1"),
    ],
)
def test_fields_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_overflow_of_the_result_is_refused_in_words() -> None:
    x, y = (1e200 * s for s in samples())
    assert dk.estimate("w1", x, y).value > 1e199
    with pytest.raises(ValueError, match="divide the data by a constant"):
        dk.estimate("w2", x, y)


def test_plan_stays_sparse_and_inputs_small() -> None:
    x, y = samples(300, 200, 2)
    assert len(dk.estimate("w2", x, y).solution.state["mass"]) <= 499
    assert np.isclose(float(dk.estimate("w2", x, y).solution.state["mass"].sum()), 1.0)
