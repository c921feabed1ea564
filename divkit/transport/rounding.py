"""Rounding of a nearly feasible plan: rows and columns too heavy are scaled down, what is missing is added in order."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.data.measure import Measure

__all__ = ["rounded"]


def rounded(rows: Tensor, columns: Tensor, mass: Tensor, x: Measure, y: Measure) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arcs of a plan near the given one, with the marginals of x and y; at most O(n + m) arcs are added.

    Source: Altschuler, Weed and Rigollet (2017), with the missing mass in staircase order instead of a product.
    """
    a, b = x.weights.detach().double(), y.weights.detach().double()
    mass = mass.clamp(min=0.0)
    mass = mass * _excess(rows, mass, a)
    mass = mass * _excess(columns, mass, b)
    short_a = (a - torch.zeros_like(a).index_add(0, rows, mass)).clamp(min=0.0)
    short_b = (b - torch.zeros_like(b).index_add(0, columns, mass)).clamp(min=0.0)
    i, j = short_a.nonzero()[:, 0], short_b.nonzero()[:, 0]
    if len(i) == 0 or len(j) == 0:
        return rows, columns, mass
    ends = [short[rest].cumsum(0) for short, rest in ((short_a, i), (short_b, j))]
    last = torch.minimum(ends[0][-1], ends[1][-1])
    stops = torch.unique(torch.cat(ends).clamp(max=last))
    left = torch.cat([stops.new_zeros(1), stops[:-1]])
    middle = (left + stops) / 2
    at = [torch.searchsorted(end, middle).clamp(max=len(end) - 1) for end in ends]
    return torch.cat([rows, i[at[0]]]), torch.cat([columns, j[at[1]]]), torch.cat([mass, stops - left])


def _excess(index: Tensor, mass: Tensor, weights: Tensor) -> Tensor:  # -> (K,)
    """Return for each arc the factor, at most one, that brings its row's mass down to the row's weight."""
    sums = torch.zeros_like(weights).index_add(0, index, mass)
    return torch.where(sums > weights, weights / torch.where(sums > 0, sums, 1.0), 1.0)[index]
