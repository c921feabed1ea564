"""Sums of distances by sorting: against all pairs, with ties, with gradients."""

from __future__ import annotations

import pytest
import torch
from traits import samples, weights

from divkit.lines.sums import absolute_sums, absolute_totals, square_sums


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lattice", [False, True])
def test_sums_are_those_of_all_pairs(weighted: bool, lattice: bool) -> None:
    x, y = ((s.round() if lattice else s).T.contiguous().requires_grad_() for s in samples(20, 31, 3))
    w, v = (weights(20), weights(31, 2)) if weighted else (torch.ones(20).double(), torch.ones(31).double())
    w, v = w.requires_grad_(weighted), v.requires_grad_(weighted)
    across, own_x, own_y = ((a[:, :, None] - b[:, None]).abs() for a, b in ((x, y), (x, x), (y, y)))
    expected = (across @ v, across.mT @ w, own_x @ w, own_y @ v)
    for ours, theirs in zip(absolute_sums(x, y, w, v), expected):
        assert torch.allclose(ours, theirs, rtol=1e-12)
    expected_totals = (expected[0] @ w, expected[2] @ w, expected[3] @ v)
    totals = absolute_totals(x, y, w, v)
    moving = [t for t in (x, y, w, v) if t.requires_grad]
    for ours, theirs in zip(totals, expected_totals):
        assert torch.allclose(ours, theirs, rtol=1e-12)
    slopes, expected_slopes = (torch.autograd.grad(sum(t.sum() for t in some), moving) for some in (totals, expected_totals))
    for ours, theirs in zip(slopes, expected_slopes):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_squares_by_moments() -> None:
    x, y = (s.T for s in samples(20, 31, 3))
    w, v = weights(20), weights(31, 2)
    expected = torch.einsum("i,j,lij->l", w, v, (x[:, :, None] - y[:, None]).square())
    assert torch.allclose(square_sums(x, y, w, v), expected, rtol=1e-12)
