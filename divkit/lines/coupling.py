"""Monotone couplings of lines of numbers: optimal transport for any convex cost of x − y, and its potentials.

Sort both samples. The monotone coupling fills the weights of the sorted y with those of the sorted x, in order. Its arcs are
the steps of a staircase: each step ends where the cumulative weight of a point of x ends, or that of a point of y. So every
sorted point has one partner, on whose arc its mass ends: `of_x` and `of_y` hold the partners' places. Where n points and n
points have equal weights, the i-th least is coupled with the i-th least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.data.measure import Measure
from divkit.lines.sort import ascending

__all__ = ["Arcs", "Coupling", "Monotone", "Solved", "couple"]

CostOfDifference = Callable[[Tensor], Tensor]


class Arcs(NamedTuple):
    """Pairs of a coupling of one line or of several, by their row numbers."""

    rows: Tensor  # (L, K)
    columns: Tensor  # (L, K)
    mass: Tensor  # (1 or L, K) float64, zero where two arcs are one


class Solved(NamedTuple):
    """Potentials and cost of optimal transport on L lines, in float64."""

    u: Tensor  # (L, n) potentials, in the order of the rows
    v: Tensor  # (L, m)
    total: Tensor  # (L,) the cost of the plan


class Monotone(NamedTuple):
    """The monotone couplings of L lines: for each sorted point, the partner on whose arc its mass ends."""

    x: Tensor  # (L, n) ascending
    y: Tensor  # (L, m)
    order_x: Tensor  # (L, n) the row each came from
    order_y: Tensor  # (L, m)
    of_x: Tensor  # (1 or L, n) sorted place in y
    of_y: Tensor  # (1 or L, m) sorted place in x
    mass: Tensor  # (1 or L, n + m) of the arcs (i, of_x i), then of the arcs (of_y j, j); (1, n) where alike
    alike: bool  # as many equal weights on both sides: the arcs are (i, i)

    def solved(self, cost: CostOfDifference) -> Solved:
        """Find optimal potentials, for a convex cost of x − y, and what the coupling costs.

        Where the staircase steps in x, the change of cost at the partner is added to u; v is what the cost leaves on the
        arc where a point of y ends. The Monge property makes them feasible.
        """
        x, y = self.x.double(), self.y.double()
        partners = self._at(y, self.of_x)
        of_x = cost(x - partners)
        of_y = of_x if self.alike else cost(self._at(x, self.of_y) - y)
        u = torch.zeros_like(x)
        torch.cumsum(cost(x[:, 1:] - partners[:, :-1]).sub_(of_x[:, :-1]), 1, out=u[:, 1:])
        v = of_y - self._at(u, self.of_y)
        total = of_x.mean(1) if self.alike else (self.mass * torch.cat([of_x, of_y], 1)).sum(1)
        u, v = (torch.empty_like(side).scatter_(1, order, side) for side, order in ((u, self.order_x), (v, self.order_y)))
        return Solved(u, v, total)

    def arcs(self) -> Arcs:
        """Return all pairs that carry mass, n + m of them; where both sides are alike n, in the order of the rows."""
        if self.alike:
            return Arcs(
                self.of_x.expand_as(self.order_x),
                torch.empty_like(self.order_y).scatter_(1, self.order_x, self.order_y),
                self.mass,
            )
        rows = torch.cat([self.order_x, self._at(self.order_x, self.of_y)], 1)
        columns = torch.cat([self._at(self.order_y, self.of_x), self.order_y], 1)
        return Arcs(rows, columns, self.mass)

    def _at(self, values: Tensor, place: Tensor) -> Tensor:  # (L, k), (1 or L, r) -> (L, r)
        """Return the values at these places."""
        if self.alike:
            return values
        return values[:, place[0]] if len(place) == 1 else values.gather(1, place)


Coupling = Monotone  # its former name, which `transport.coupling.Coupling`, an entropic one, bears too


def couple(x: Tensor, y: Tensor, p: Measure, q: Measure) -> Monotone:
    """Couple the lines of x (L, n) and y (L, m), points weighted as the rows of p and q: O((n + m) log(n + m)) each."""
    (order_x, sorted_x), (order_y, sorted_y) = ascending(x.detach(), y.detach())
    n, m = p.n, q.n
    if p.uniform and q.uniform and n == m:
        own = torch.arange(n, device=x.device)[None]
        mass = p.weights[None].detach()
        return Monotone(sorted_x, sorted_y, order_x, order_y, own, own, mass, True)
    if p.uniform and q.uniform:  # whole numbers, the same for all lines
        end_x, end_y = (torch.arange(1, k + 1, device=x.device)[None] for k in (n, m))
        of_x, of_y = (end_x * m + n - 1) // n - 1, (end_y * n + m - 1) // m - 1
        end_x, end_y, unit = end_x * m, end_y * n, 1.0 / (n * m)
    else:
        end_x, end_y = (w.detach().double()[order].cumsum(1) for w, order in ((p.weights, order_x), (q.weights, order_y)))
        end_x, end_y, unit = end_x / end_x[:, -1:], end_y / end_y[:, -1:], 1.0
        of_x = torch.searchsorted(end_y, end_x).clamp_(max=m - 1)
        of_y = torch.searchsorted(end_x, end_y).clamp_(max=n - 1)
    mass_x = end_x - torch.maximum(_before(end_x), _before(end_y).gather(1, of_x))
    mass_y = end_y - torch.maximum(_before(end_y), _before(end_x).gather(1, of_y))
    mass_y = torch.where(end_x.gather(1, of_y) == end_y, 0, mass_y)  # both end here: the arc is counted already
    mass = torch.cat([mass_x, mass_y], 1).double() * unit
    return Monotone(sorted_x, sorted_y, order_x, order_y, of_x, of_y, mass, False)


def _before(ends: Tensor) -> Tensor:
    """Return where each step begins: at the end of the one before."""
    return torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], 1)
