"""Costs as types: any of them in exact and entropic solvers, p as a short form, what users hold at every door."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from traits import samples, weights

import divkit as dk
from divkit.transport import Cost, CustomCost, EntropicOT, Power, Relative, Sinkhorn, Transport, Wasserstein, costs

CITY = CustomCost(lambda x, y: (x - y).abs().sum(-1))
CAPPED = CustomCost(lambda x, y: (x - y).square().sum(-1).clamp(max=1.5))
SIGNED = CustomCost(lambda x, y: -(x * y).sum(-1))


def brute(table: Tensor, a: Tensor, b: Tensor, epsilon: float) -> float:
    """Entropic transport by 20 000 plain sweeps over the whole table, in the log domain."""
    g = torch.zeros_like(b)
    for _ in range(20_000):
        f = -epsilon * torch.logsumexp((g - table) / epsilon + b.log(), 1)
        new = -epsilon * torch.logsumexp((f[:, None] - table) / epsilon + a.log()[:, None], 0)
        if float((new - g).abs().max()) < 1e-13:
            break
        g = new
    return float(a @ f + b @ g)


def brute_itself(table: Tensor, a: Tensor, epsilon: float) -> float:
    """The same within one sample, whose potential is one: averaged, since alternating sweeps may crawl."""
    p = torch.zeros_like(a)
    for _ in range(1000):
        p = p / 3 - 2 / 3 * epsilon * torch.logsumexp((p - table) / epsilon + a.log(), 1)
    return 2 * float(a @ p)


@pytest.mark.parametrize("cost", [CITY, CAPPED, SIGNED])
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_a_users_cost_in_entropic_transport_is_that_of_plain_sweeps(cost: CustomCost, epsilon: float) -> None:
    x, y = samples(40, 30, 2)
    a, b = weights(40), weights(30, 2)
    a, b = a / a.sum(), b / b.sum()
    p, q = dk.Measure(x, a), dk.Measure(y, b)
    across = EntropicOT(epsilon, cost=cost, tol=1e-8).estimate(p, q)
    table = {(s, t): cost.function(s[:, None], t[None]) for s in (x, y) for t in (x, y)}
    expected = brute(table[x, y], a, b, epsilon)
    assert across.converged
    assert across.value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert across.solution.lower - 1e-9 <= expected <= across.solution.upper + 1e-9
    e = Sinkhorn(epsilon, cost=cost, tol=1e-8).estimate(p, q)
    assert e.converged
    own = brute_itself(table[x, x], a, epsilon) + brute_itself(table[y, y], b, epsilon)
    assert e.value == pytest.approx(expected - own / 2, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("reach", [None, 0.8])
@pytest.mark.parametrize("make", [EntropicOT, Sinkhorn])
def test_gradients_at_a_users_cost_are_finite_differences(
    make: Callable[..., EntropicOT | Sinkhorn], reach: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "GATHERED", 7 * 30 * 3)  # seven rows at a time
    divergence, step = make(0.4, cost=CAPPED, tol=1e-11, reach=reach), 1e-5
    points = list(samples(25, 30, 3))
    leaves = [s.clone().requires_grad_() for s in points]
    slopes = torch.autograd.grad(divergence.loss(*leaves), leaves)
    generator = torch.Generator().manual_seed(0)
    along = [torch.randn(s.shape, dtype=torch.float64, generator=generator) for s in points]
    ends = [float(divergence.loss(*(s + h * d for s, d in zip(points, along)))) for h in (step, -step)]
    expected = (ends[0] - ends[1]) / (2 * step)
    assert float(sum((s * d).sum() for s, d in zip(slopes, along))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [EntropicOT, Sinkhorn])
@pytest.mark.parametrize("reach", [None, 1.0])
def test_a_power_written_as_a_function_is_that_power(make: type[EntropicOT], reach: float | None) -> None:
    x, y = samples(60, 50, 2)
    square = CustomCost(lambda s, t: (s - t).square().sum(-1))
    ours, theirs = make(0.3, reach=reach, tol=1e-8), make(0.3, cost=square, reach=reach, tol=1e-8)
    leaf = x.clone().requires_grad_()
    slopes = [torch.autograd.grad(d.loss(leaf, y), leaf)[0] for d in (ours, theirs)]
    assert torch.allclose(*slopes, atol=1e-9)
    assert theirs.estimate(x, y).value == pytest.approx(ours.estimate(x, y).value, rel=1e-9)
    relative = make(Relative(0.1), cost=square).estimate(x, y)
    assert relative.notes["epsilon"] == pytest.approx(make(Relative(0.1)).estimate(x, y).notes["epsilon"], rel=1e-9)


def test_p_is_short_for_a_power() -> None:
    x, y = samples(40, 30, 2)
    short, long = dk.get("sinkhorn", p=1), dk.get("sinkhorn", cost=Power(1))
    assert short.problem == long.problem
    assert short.estimate(x, y).value == long.estimate(x, y).value
    assert list(Sinkhorn().settings) == ["epsilon", "p", "tol", "sweeps", "reach"]
    assert Sinkhorn(cost=Power(1.5)).settings["cost"] == "Power(p=1.5)"
    assert Transport(Power(1.5)).estimate(x, y).value == Wasserstein(1.5).estimate(x, y).value
    assert set(Wasserstein().settings) == {"p", "gap", "rounds"}


def test_a_warm_start_serves_a_users_cost() -> None:
    x, y = samples(40, 30, 2)
    criterion = dk.Criterion(Sinkhorn(0.3, cost=CITY))
    criterion(x, y)
    cold = criterion.solution.steps
    value = criterion(x + 1e-3, y)
    assert criterion.solution.steps < cold
    assert float(value) == pytest.approx(Sinkhorn(0.3, cost=CITY, tol=1e-8).estimate(x + 1e-3, y).value, rel=1e-3)


def test_costs_that_cannot_be_taken_are_refused() -> None:
    x, y = samples(20, 30, 2)
    with pytest.raises(TypeError, match=r"cost must be a Cost, such as Power\(2\)"):
        Sinkhorn(cost=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cost must be a Cost"):
        dk.get("sinkhorn", cost=2)
    with pytest.raises(ValueError, match="p=1 is short for"):
        Sinkhorn(p=1.0, cost=Power(2.0))
    with pytest.raises(ValueError, match="the mean cost is -100"):
        EntropicOT(cost=CustomCost(lambda s, t: 0 * (s - t).sum(-1) - 100)).estimate(x, y)
    one_way = CustomCost(lambda s, t: (s - t).clamp(min=0).sum(-1))
    assert EntropicOT(0.3, cost=one_way).estimate(x, y).converged
    with pytest.raises(ValueError, match=r"needs c\(x, y\) = c\(y, x\)"):
        Sinkhorn(0.3, cost=one_way).estimate(x, y)


def test_the_earlier_name_is_the_same_class() -> None:
    assert dk.transport.Custom is CustomCost
    assert issubclass(Power, Cost)
    assert issubclass(CustomCost, Cost)


def test_plans_and_certificates_take_what_users_hold() -> None:
    x, y = samples(20, 30, 2)
    w2 = Wasserstein()
    e = w2.estimate(x, y)
    p, q = dk.Measure(x), dk.Measure(y)
    for first, second in ((x, y), (x.numpy(), y.numpy()), (x.tolist(), y.tolist())):
        assert w2.certify(first, second, e.solution) == w2.certify(p, q, e.solution)
        assert torch.equal(w2.plan(first, second, e.solution).to_dense(), w2.plan(p, q, e.solution).to_dense())
        assert torch.equal(w2.barycentric(first, second, e.solution), w2.barycentric(p, q, e.solution))
    assert np.isclose(float(w2.plan(x, y, e.solution).to_dense().sum()), 1.0)
