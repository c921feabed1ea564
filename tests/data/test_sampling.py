"""Some of the rows."""

from __future__ import annotations

import pytest
import torch

from divkit.data.sampling import random_rows, spread_rows


@pytest.mark.parametrize(("n", "most"), [(10, 4), (10, 10), (10, 50), (1, 1)])
def test_random_rows_are_different_rows_and_repeat(n: int, most: int) -> None:
    first, again = (random_rows(n, most, torch.Generator().manual_seed(3), torch.device("cpu")) for _ in range(2))
    assert torch.equal(first, again)
    assert len(first) == len(first.unique()) == min(n, most)
    assert int(first.min()) >= 0 and int(first.max()) < n


@pytest.mark.parametrize("n", [1, 99, 100, 101, 1000])
def test_spread_rows_are_few_and_reach_to_the_end(n: int) -> None:
    points = torch.arange(n)[:, None]
    some = spread_rows(points, 100)[:, 0]
    assert 0 < len(some) <= 100
    assert len(some) < 3 or len(some.diff().unique()) == 1
    assert n - int(some[-1]) <= 1 + n // 100
