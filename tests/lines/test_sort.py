"""Sorting on any number of threads, values of given ranks, quantiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from traits import samples, weights

import divkit as dk
from divkit.lines.sort import ascending, quantiles, ranked


def test_lines_are_sorted_alike_by_one_thread_and_by_two() -> None:
    lines = [torch.randn(k, 90, generator=torch.Generator().manual_seed(k)) for k in (1, 7)]
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(ascending(*lines, parallel_from=0))
    finally:
        torch.set_num_threads(threads)
    for (order, values), (again, same), line in zip(*results, lines):
        assert torch.equal(values, line.sort(1).values)
        assert torch.equal(order, again)
        assert torch.equal(values, same)


def test_values_of_given_ranks() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert ranked(values, 1, 25, 50) == values.sort().values[[0, 24, 49]].tolist()


@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_equal_numpys(weighted: bool) -> None:
    x, _ = samples(40, 5, 3)
    w = weights(40) if weighted else None
    levels = np.array([0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
    expected = np.quantile(x.numpy(), levels, axis=0, method="inverted_cdf", weights=None if w is None else w.numpy())
    points = x.requires_grad_()
    result = quantiles(dk.Measure(points, w), torch.from_numpy(levels))
    assert np.array_equal(result.numpy(force=True), expected)
    (slope,) = torch.autograd.grad(result.sum(), points)
    assert float(slope.sum()) == result.numel()
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantiles(dk.Measure(x), torch.tensor([1.5]))
