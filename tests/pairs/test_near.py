"""Near pairs alone: the same sums as all pairs have, from far fewer of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit import pairs
from divkit.pairs import Sparsity, sparsity
from divkit.pairs.near import Near, find_near, tiles
from divkit.transport import Power

EPSILON, COST = 0.001, Power(2.0)
FINE = Sparsity(smallest=1, width=8, looks=4)  # near pairs are looked for among few, in small blocks


def setting(n: int = 1000, m: int = 900) -> tuple[Tensor, ...]:
    """Sorted clouds with solved potentials; neither size is a multiple of the blocks'."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(n, 2, generator=generator), torch.rand(m, 2, generator=generator) + 0.1
    x, y = x[pairs.neighbours(x)], y[pairs.neighbours(y)]
    a, b = (torch.rand(k, generator=generator).double() for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    f, g = torch.zeros(n).double(), torch.zeros(m).double()
    for _ in range(50):
        f, g = pairs.alternate(COST, x, y, a, b, f, g, EPSILON)
    return x, y, a, b, f, g


def test_only_pairs_that_count_are_near() -> None:
    x, y, _, _, f, g = setting()
    assert find_near(COST, x, y, f, g, EPSILON, 27) is None  # there are few
    with sparsity(FINE):
        near = find_near(COST, x, y, f, g, EPSILON, 27)
        assert find_near(COST, x, y, f, g, 1000 * EPSILON, 27) is None  # nearly all count
        assert find_near(Power(1.0), x, y, f, g, EPSILON, 27) is None
    assert near is not None
    exponent = (f[:, None] + g - torch.cdist(x.double(), y.double()).square()) / EPSILON
    counted = 0
    for rows, columns in tiles(len(x), len(y), near):
        assert isinstance(rows, Tensor)
        far = torch.ones(len(x), dtype=torch.bool)
        far[rows] = False
        assert not bool((exponent[far, columns].exp() > 2.0**-26.9).any())
        counted += len(rows) * (columns.stop - columns.start)
    assert counted < FINE.share * exponent.numel()


def test_sweeps_are_the_same() -> None:
    x, y, a, b, f, g = setting()

    def sweeps() -> list[Tensor]:
        rows, columns, values = pairs.entries(COST, x, y, f, g, EPSILON, least=1e-4, most=10**6) or (f, f, f)
        table = torch.zeros(len(x), len(y)).double().index_put((rows, columns), values)
        return [*pairs.alternate(COST, x, y, a, b, f, g, EPSILON), pairs.reflect(COST, x, a, f, EPSILON), table]

    dense = sweeps()
    with sparsity(FINE):
        near = sweeps()
    for ours, theirs in zip(near, dense):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * EPSILON)


def test_a_guess_that_is_far_off_costs_time_not_accuracy() -> None:
    x, y, a, b, f, g = setting()
    guess = g + 30 * EPSILON * (torch.arange(len(g)) % 3 - 1)
    with sparsity(FINE):
        image, new = pairs.alternate(COST, x, y, a, b, f, guess, EPSILON)
    cost = torch.cdist(x.double(), y.double()).square()
    expected = -EPSILON * ((f[:, None] - cost) / EPSILON + a.log()[:, None]).logsumexp(0)
    assert torch.allclose(new, expected, atol=1e-4 * EPSILON)
    assert torch.allclose(image, -EPSILON * ((expected - cost) / EPSILON + b.log()).logsumexp(1), atol=1e-4 * EPSILON)


@pytest.mark.parametrize("name", ["sinkhorn", "entropic-ot"])
@pytest.mark.parametrize("reach", [None, 0.5])
def test_the_divergence_is_the_same_in_the_order_of_the_rows(
    name: str, reach: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(400, 2, generator=generator), 0.8 * torch.rand(300, 2, generator=generator) + 0.1
    divergence = dk.get(name, epsilon=EPSILON, reach=reach, tol=1e-5)

    def results() -> tuple[Any, Tensor]:
        points = x.clone().requires_grad_()
        divergence.loss(points, y).backward()
        assert points.grad is not None
        return divergence.estimate(x, y), points.grad

    (dense, slope), strips = results(), []
    rows = Near.rows
    monkeypatch.setattr(Near, "rows", lambda *a, **k: strips.append(1) or rows(*a, **k))
    with sparsity(FINE):
        near, near_slope = results()
        warm = divergence.solve(dk.Measure(x), dk.Measure(y + 1e-4), near.solution)
    assert reach is not None or len(strips) > 2 * FINE.looks * near.solution.steps  # most sweeps looked, and went on
    assert near.converged
    assert near.value == pytest.approx(dense.value, rel=1e-5)
    assert near.stderr == pytest.approx(dense.stderr, rel=1e-4)
    for one, other in ((near.influence[0], dense.influence[0]), (near.solution.state["f"], dense.solution.state["f"])):
        assert torch.allclose(one - one.mean(), other - other.mean(), atol=1e-3 * EPSILON)  # one constant is free
    assert float((near_slope - slope).norm() / slope.norm()) < 2e-3
    assert warm.converged
    assert warm.steps < near.solution.steps
