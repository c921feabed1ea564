"""Arcs by reduced cost, against the whole matrix."""

from __future__ import annotations

import pytest
import torch
from traits import samples

from divkit.pairs import block_size, cheapest, minimum, violations
from divkit.transport import Power


@pytest.mark.parametrize("rows", [7, 64, 1024])
@pytest.mark.parametrize(("n", "m"), [(90, 130), (33, 20)])
def test_the_cheapest_arcs_are_among_the_cheapest(rows: int, n: int, m: int) -> None:
    x, y = samples(n, m, 3)
    cost = torch.cdist(x, y).square()
    v = torch.randn(m, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = (cost - v).amin(1)
    reduced, k = cost - u[:, None] - v, 5
    with block_size(rows):
        i, j = cheapest(Power(2.0), x, y, u, v, k)
    chosen = torch.zeros(n, m, dtype=torch.bool)
    chosen[i, j] = True
    assert int(chosen.sum()) == len(i)
    if min(n, m, rows) >= 64:  # enough groups to choose from
        assert int(chosen.sum(1).min()) >= k
        assert int(chosen.sum(0).min()) >= k
    # the least of all is always there, and of the k least the groups lose few
    for dim in (0, 1):
        assert bool(chosen.gather(dim, reduced.argmin(dim, keepdim=True)).all())
        among = chosen.gather(dim, reduced.topk(k, dim, largest=False).indices)
        assert float(among.double().mean()) > (0.75 if min(n, m, rows) >= 64 else 0.3)


@pytest.mark.parametrize("rows", [16, 1024])
def test_violations_are_the_worst_of_each_row(rows: int) -> None:
    x, y = samples(70, 50, 2)
    cost = torch.cdist(x, y).square()
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(k, dtype=torch.float64, generator=generator) for k in (70, 50))
    with block_size(rows):
        found = violations(Power(2.0), x, y, u, v, 0.1, 3)
    reduced = cost - u[:, None] - v
    assert torch.allclose(found.minimum, (cost - v).amin(1))
    assert torch.allclose(found.minimum, minimum(Power(2.0), x, y, v)[0])
    expected = set()
    for i in range(70):
        expected |= {(i, int(j)) for j in reduced[i].argsort()[:3] if reduced[i, j] < -0.1}
    assert set(zip(found.rows.tolist(), found.columns.tolist())) == expected
    none = violations(Power(2.0), x, y, found.minimum, v, 1e-9, 3)
    assert len(none.rows) == len(none.columns) == 0
