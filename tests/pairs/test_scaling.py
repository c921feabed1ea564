"""Sweeps of matrix scaling: against the dense formula, with any guess, within a support, in strips of any width."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from divkit import pairs
from divkit.transport import Power

EPSILON = 0.3


def setting(p: float) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(k, 2, generator=g, dtype=torch.float64) for k in (33, 21))
    a, b = (torch.rand(k, generator=g, dtype=torch.float64) for k in (33, 21))
    f = torch.randn(33, generator=g, dtype=torch.float64)
    return x, y, a / a.sum(), b / b.sum(), f, torch.cdist(x, y) ** p


@pytest.mark.parametrize("damping", [1.0, 0.7])
@pytest.mark.parametrize("guess", [0.0, -500.0, 500.0])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_both_halves_of_a_sweep(p: float, guess: float, damping: float) -> None:
    x, y, a, b, f, cost = setting(p)
    g = -damping * EPSILON * ((f[:, None] - cost) / EPSILON + a.log()[:, None]).logsumexp(0)
    image = -damping * EPSILON * ((g - cost) / EPSILON + b.log()).logsumexp(1)
    with pairs.block_size(5):
        found = pairs.alternate(Power(p), x, y, a, b, f, torch.full_like(g, guess), EPSILON, damping)
    assert torch.allclose(found[1], g, rtol=1e-10)
    assert torch.allclose(found[0], image, rtol=1e-10)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("size", [5, 1024])
def test_a_self_sweep(p: float, size: int) -> None:
    x, _, a, _, f, _ = setting(p)
    cost = (x[:, None] - x[None]).norm(dim=2) ** p
    with pairs.block_size(size):
        found = pairs.reflect(Power(p), x, a, f, EPSILON)
    assert torch.allclose(found, -EPSILON * ((f - cost) / EPSILON + a.log()).logsumexp(1), rtol=1e-10)


def test_entries_and_their_limit() -> None:
    x, y, _, _, f, cost = setting(2.0)
    g = torch.zeros(21, dtype=torch.float64)
    table = torch.exp((f[:, None] + g - cost) / EPSILON)
    rows, columns, values = pairs.entries(Power(2.0), x, y, f, g, EPSILON, least=0.1, most=1000)
    assert torch.allclose(values, table[rows, columns])
    assert len(values) == int((table > 0.1).sum())
    assert pairs.entries(Power(2.0), x, y, f, g, EPSILON, least=0.1, most=len(values) - 1) is None


def test_a_support_leaves_out_what_does_not_count() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(300, 2, generator=g, dtype=torch.float64)
    a, p, epsilon = torch.full((300,), 1 / 300, dtype=torch.float64), torch.zeros(300, dtype=torch.float64), 1e-3
    with pairs.block_size(64):
        x = x[pairs.compact(x, 300)]
        for _ in range(20):
            p = (p + pairs.reflect(Power(2.0), x, a, p, epsilon)) / 2
        near = pairs.support(Power(2.0), x, x, p, p, epsilon, least=1e-6)
        lower = pairs.support(Power(2.0), x, x, p, p, epsilon, least=1e-6, half=True)
        assert near.share < 0.3
        assert lower.share < 0.7 * near.share
        whole = pairs.alternate(Power(2.0), x, x, a, a, p, p, epsilon)
        for mine, theirs in zip(pairs.alternate(Power(2.0), x, x, a, a, p, p, epsilon, 1.0, near), whole):
            assert float((mine - theirs).abs().max()) < 2e-6 * epsilon
        own = pairs.reflect(Power(2.0), x, a, p, epsilon, 1.0, lower) - pairs.reflect(Power(2.0), x, a, p, epsilon)
        assert float(own.abs().max()) < 2e-6 * epsilon


def test_compact_orders_are_permutations_into_clusters() -> None:
    x = torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    with pairs.block_size(64):
        order = pairs.compact(x, 500)
    assert torch.equal(order.sort().values, torch.arange(500))
    steps = (x[order][1:] - x[order][:-1]).norm(dim=1).mean()
    assert float(steps) < 0.5 * float((x[1:] - x[:-1]).norm(dim=1).mean())
