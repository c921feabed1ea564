"""Monotone couplings: marginals, cost and potentials of each line."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from traits import samples, weights

import divkit as dk
from divkit.lines.coupling import Coupling, Monotone, couple


@pytest.mark.parametrize(("n", "m"), [(20, 30), (30, 20), (25, 25), (1, 7)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lattice", [False, True])
def test_couplings_are_batched_over_lines(n: int, m: int, weighted: bool, lattice: bool) -> None:
    x, y = (s.T.round() if lattice else s.T for s in samples(n, m, 4))
    p = dk.Measure(x.T, weights(n) if weighted else None)
    q = dk.Measure(y.T, weights(m, 2) if weighted else None)
    coupling = couple(x, y, p, q)
    arcs, (u, v, _) = coupling.arcs(), coupling.solved(torch.abs)
    costs = (x.gather(1, arcs.rows) - y.gather(1, arcs.columns)).abs()
    totals = (arcs.mass * costs).sum(1)
    for k in range(4):
        alone = scipy.stats.wasserstein_distance(x[k].numpy(), y[k].numpy(), p.weights.numpy(), q.weights.numpy())
        assert float(totals[k]) == pytest.approx(alone, rel=1e-12)
        assert float(u[k] @ p.weights + v[k] @ q.weights) == pytest.approx(alone, rel=1e-12)
        assert float((u[k, :, None] + v[k] - (x[k, :, None] - y[k]).abs()).max()) < 1e-12
        mass = arcs.mass[0 if len(arcs.mass) == 1 else k]
        assert torch.allclose(torch.zeros(n).double().index_add(0, arcs.rows[k], mass), p.weights, atol=1e-15)
        assert torch.allclose(torch.zeros(m).double().index_add(0, arcs.columns[k], mass), q.weights, atol=1e-15)


def test_the_former_name_is_the_same_class() -> None:
    assert Coupling is Monotone
