"""Column generation: the same optimum as with all arcs, a bracket at every stop, any cost."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from traits import samples, weights

import divkit as dk
from divkit.transport import CustomCost, Power, Transport, Wasserstein, simplex
from divkit.transport.certified import ColumnGeneration
from divkit.transport.rounding import rounded

F64 = torch.float64
SPARSE = ColumnGeneration(dense=0)  # for problems of any size


def sparse(p: float = 2.0) -> Wasserstein:
    return Wasserstein(p, search=SPARSE)


def ones(n: int) -> Tensor:
    return torch.ones(n, dtype=F64)


def reference(cost: Tensor, w: Tensor, v: Tensor) -> float:
    return float(ot.emd2((w / w.sum()).numpy(), (v / v.sum()).numpy(), cost.numpy(), numItermax=10_000_000))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize(("n", "m", "d"), [(200, 200, 2), (150, 230, 3), (180, 120, 20)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_optimum_of_all_arcs(p: float, n: int, m: int, d: int, weighted: bool) -> None:
    x, y = samples(n, m, d)
    w, v = (weights(n), weights(m, 2)) if weighted else (ones(n), ones(m))
    e = sparse(p).estimate(dk.Measure(x, w), dk.Measure(y, v))
    assert e.value == pytest.approx(reference(torch.cdist(x, y) ** p, w, v), rel=1e-8)
    assert e.solution.lower <= e.solution.upper * (1 + 1e-11)
    assert e.solution.error <= 1e-8
    plan = sparse(p).plan(dk.Measure(x, w), dk.Measure(y, v), e.solution).to_dense()
    assert torch.allclose(plan.sum(1), w / w.sum(), atol=1e-13)
    assert torch.allclose(plan.sum(0), v / v.sum(), atol=1e-13)
    assert len(e.solution.state["mass"]) < n + m


@pytest.mark.parametrize("seed", range(3))
def test_ties_on_a_lattice_and_repeated_rows(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randint(0, 5, (k, 2), generator=generator).to(F64) for k in (300, 170))
    e = sparse().estimate(x, y)
    assert e.value == pytest.approx(reference(torch.cdist(x, y).square(), ones(300), ones(170)), rel=1e-8)
    assert sparse().estimate(x, x[torch.randperm(300, generator=generator)]).value <= 1e-12


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_spent_budget_still_brackets(rounds: int) -> None:
    few = Wasserstein(2.0, rounds=rounds, search=ColumnGeneration(dense=0, nearest=1))
    x, y = samples(250, 250, 2)
    p, q = dk.Measure(x), dk.Measure(y)
    truth = reference(torch.cdist(x, y).square(), ones(250), ones(250))
    solution = few.solve(p, q)
    assert not solution.converged
    assert solution.status is dk.Status.MAX_STEPS
    assert solution.steps == rounds
    assert solution.lower < truth < solution.upper
    with pytest.warns(dk.ConvergenceWarning, match="step limit"):
        assert few.estimate(p, q).value > truth
    solved = sparse().solve(p, q)
    assert solved.lower <= truth * (1 + 1e-12)
    assert solved.upper == pytest.approx(truth, rel=1e-9)


def test_where_the_simplex_fails_a_plan_in_order_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    real = simplex.sparse
    monkeypatch.setattr(simplex, "sparse", lambda *a: real(*a)._replace(code=simplex.Code.MAX_PIVOTS))
    x, y = samples(60, 80, 2)
    solution = sparse().solve(dk.Measure(x), dk.Measure(y))
    truth = reference(torch.cdist(x, y).square(), ones(60), ones(80))
    assert not solution.converged
    assert solution.lower < truth < solution.upper


def test_infeasible_arcs_are_named_by_the_code() -> None:
    """The cost then reads 0.0, so that nothing but the code may be believed."""
    a = torch.full((2,), 0.5, dtype=F64)
    arcs = torch.tensor([0, 1]), torch.tensor([0, 0]), torch.ones(2, dtype=F64)
    assert simplex.sparse(arcs, a, a, (a, a)).code is simplex.Code.INFEASIBLE


def test_a_corrupted_state_widens_the_bracket_and_no_more() -> None:
    x, y = (dk.Measure(s) for s in samples())
    divergence = Wasserstein()
    solution = divergence.solve(x, y)
    truth = solution.upper
    assert divergence.certify(x, y, solution) == pytest.approx((truth, truth), rel=1e-9)
    noise = torch.Generator().manual_seed(0)
    state = dict(solution.state)
    state["v"] = state["v"] + 0.3 * torch.randn(45, dtype=F64, generator=noise)
    lower, upper = divergence.certify(x, y, dk.Solution(state))
    assert lower < truth - 1e-3
    assert upper == pytest.approx(truth)
    state = dict(solution.state)
    state["mass"] = state["mass"] * torch.rand(len(state["mass"]), dtype=F64, generator=noise) * 2
    lower, upper = divergence.certify(x, y, dk.Solution(state))
    assert lower == pytest.approx(truth)
    assert upper > truth + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_rounding_has_the_marginals(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = dk.Measure(torch.zeros(7, 1), weights(7)), dk.Measure(torch.zeros(5, 1), weights(5, 2))
    rows, columns = torch.randint(0, 7, (12,), generator=generator), torch.randint(0, 5, (12,), generator=generator)
    i, j, mass = rounded(rows, columns, torch.rand(12, generator=generator, dtype=F64) / 6, x, y)
    assert float(mass.min()) >= 0
    assert torch.allclose(torch.zeros(7, dtype=F64).index_add(0, i, mass), x.weights, atol=1e-14)
    assert torch.allclose(torch.zeros(5, dtype=F64).index_add(0, j, mass), y.weights, atol=1e-14)


def city(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().sum(-1)


def test_a_users_cost_is_certified_and_differentiable() -> None:
    x, y = samples(120, 90, 3)
    cost = torch.cdist(x, y, p=1)
    transport = Transport(CustomCost(city), search=SPARSE)
    e = transport.estimate(x, y)
    assert e.value == pytest.approx(reference(cost, ones(120), ones(90)), rel=1e-8)
    assert e.solution.error <= 1e-8
    assert Transport(Power(2.0), search=SPARSE).estimate(x, y).value == pytest.approx(sparse().estimate(x, y).value, rel=1e-12)
    moved = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(transport.loss(moved, y), moved)
    direction = torch.randn(x.shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    change = [float(transport.loss(x + h * direction, y)) for h in (1e-6, -1e-6)]
    assert float((slope * direction).sum()) == pytest.approx((change[0] - change[1]) / 2e-6, rel=1e-6)


def test_a_line_is_transported_at_a_users_cost_too() -> None:
    x, y = samples(20, 30, 1)
    concave = CustomCost(lambda a, b: (a - b).abs().sum(-1).sqrt())
    e = Transport(concave).estimate(x, y)
    assert e.value == pytest.approx(reference(torch.cdist(x, y).sqrt(), ones(20), ones(30)), rel=1e-9)


def test_gradient_in_points_and_weights() -> None:
    x, y = samples(80, 100, 2)
    w, v = weights(80), weights(100, 2)

    def value(points: Tensor, mass: Tensor) -> Tensor:
        return sparse().loss(dk.Measure(points, mass), dk.Measure(y, v))

    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    gx, gw = torch.autograd.grad(value(a, b), (a, b))
    generator = torch.Generator().manual_seed(0)
    dx, dw = torch.randn(80, 2, dtype=F64, generator=generator), torch.randn(80, dtype=F64, generator=generator)
    h = 1e-7
    slope = float((gx * dx).sum() + (gw * dw).sum())
    change = float(value(x + h * dx, w + h * dw) - value(x - h * dx, w - h * dw)) / (2 * h)
    assert slope == pytest.approx(change, rel=1e-5)


def test_the_barycentric_map_of_a_translation() -> None:
    x, _ = samples(60, 5, 3)
    shift = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    p, q = dk.Measure(x), dk.Measure(x.flip(0) + shift)
    assert torch.allclose(Wasserstein().barycentric(p, q, Wasserstein().solve(p, q)), x + shift)
    weighted = dk.Measure(x, torch.cat([torch.zeros(1), torch.ones(59)]))
    moved = Wasserstein().barycentric(weighted, q, Wasserstein().solve(weighted, q))
    assert bool(moved[0].isnan().all())
    assert bool(moved[1:].isfinite().all())


def test_rows_of_weight_zero_do_not_count() -> None:
    x, y = samples(90, 70, 2)
    w = weights(90)
    w[::7] = 0
    kept = w > 0
    some = sparse().estimate(dk.Measure(x[kept], w[kept]), y)
    whole = sparse().estimate(dk.Measure(x, w), y)
    assert whole.value == pytest.approx(some.value, rel=1e-12)
    u, v = whole.solution.state["u"], whole.solution.state["v"]
    assert float((u[:, None] + v - torch.cdist(x, y).square()).max()) <= 1e-9


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Wasserstein(rounds=0), ValueError, "rounds must be a whole number of at least 1"),
        (lambda: Transport(CustomCost(city), gap=2.0), ValueError, "gap must lie strictly between 0 and 1"),
        (lambda: Transport(city), TypeError, "cost must be a Cost, such as"),  # type: ignore[arg-type]
        (lambda: CustomCost(3.0), TypeError, "a cost must be a function of points"),  # type: ignore[arg-type]
        (
            lambda: Transport(CustomCost(lambda x, y: (x - y).abs())).estimate(*samples()),
            ValueError,
            r"the cost <lambda> of points",
        ),
        (lambda: Transport(CustomCost(lambda x, y: 0.0)).estimate(*samples()), ValueError, "got float"),  # type: ignore[arg-type,return-value]
        (lambda: Transport(CustomCost(lambda x, y: (x - y).sum(-1).log())).estimate(*samples()), ValueError, "is not finite"),
        (lambda: CustomCost(city).value_and_slope(torch.zeros(1)), TypeError, "goes through `along`"),
        (lambda: CustomCost(city).form.gradient(torch.zeros(1), torch.zeros(1)), TypeError, "goes through `along`"),
    ],
)
def test_misuse_is_refused(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


def test_the_rough_dual_is_near() -> None:
    """Its value is a lower bound within a few hundredths, which is what makes twelve arcs a row enough."""
    from divkit.pairs import minimum
    from divkit.transport.rough import dual

    x, y = samples(400, 400, 10)
    weight = torch.full((400,), 1 / 400, dtype=F64)
    v = dual(Power(2.0), x, y, weight, weight)
    lower = float(minimum(Power(2.0), x, y, v)[0].mean() + v.mean())
    truth = dk.estimate("w2", x, y).value
    assert 0.9 * truth < lower <= truth
    assert np.array_equal(dual(Power(2.0), 0 * x, 0 * y, weight, weight).numpy(), np.zeros(400))
