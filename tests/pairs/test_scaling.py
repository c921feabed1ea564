"""Sweeps of matrix scaling: against the dense formula, with any guess, in strips of any width."""

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


def test_rows_that_the_clamp_cut_are_done_again() -> None:
    """Some guesses a thousand units of ε off, others right: both marginals are those of the dense formula."""
    x, y, a, b, f, cost = setting(2.0)
    g = -EPSILON * ((f[:, None] - cost) / EPSILON + a.log()[:, None]).logsumexp(0)
    guess = g + 1000 * EPSILON * (torch.arange(21) % 5 - 2)
    found = pairs.alternate(Power(2.0), x, y, a, b, f, guess, EPSILON)
    assert torch.allclose(found[1], g, rtol=1e-10)
    assert torch.allclose(found[0], -EPSILON * ((g - cost) / EPSILON + b.log()).logsumexp(1), rtol=1e-10)
