"""All sorts in one room: the monotone coupling of one-dimensional samples, its duals, and directions to project on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from divkit.measure import Measure

__all__ = ["Coupling", "couple", "directions"]


class Coupling(NamedTuple):
    """Monotone couplings of L columns: K = n + m − 1 arcs each, in order, consecutive ones sharing a row or a column."""

    rows: Tensor  # (K, L) indices into x
    columns: Tensor  # (K, L) indices into y
    mass: Tensor  # (K, 1) or (K, L), float64

    def duals(self, costs: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:  # costs: (K, L) -> (n, L), (m, L)
        """Optimal potentials u, v with u + v = cost on every arc, for a convex cost of x − y.

        Along the staircase a step in x adds the change of cost to u, a step in y to v; the Monge property makes them feasible.
        """
        change = costs.diff(dim=0)
        step = self.rows.diff(dim=0) != 0
        u, v = torch.zeros_like(costs), torch.zeros_like(costs)
        u[1:] = (change * step).cumsum(0)
        v[1:] = (change * ~step).cumsum(0)
        out_u, out_v = costs.new_empty(n, costs.shape[1]), costs.new_empty(m, costs.shape[1])
        return out_u.scatter_(0, self.rows, u), out_v.scatter_(0, self.columns, v + costs[:1])


def couple(x: Tensor, y: Tensor, p: Measure, q: Measure) -> Coupling:
    """Couple the columns of x (n, L) and y (m, L), rows weighted as in p and q, in order: O((n + m) log(n + m)) each."""
    order_x, order_y = x.detach().argsort(0), y.detach().argsort(0)
    n, m = len(x), len(y)
    if p.uniform and q.uniform:  # whole numbers, the same for all columns
        ends_x = torch.arange(1, n + 1, device=x.device)[:, None] * m
        ends_y = torch.arange(1, m + 1, device=x.device)[:, None] * n
        unit = 1.0 / (n * m)
    else:
        ends_x, ends_y = (w.detach().double()[order].cumsum(0) for w, order in ((p.weights, order_x), (q.weights, order_y)))
        ends_x, ends_y, unit = ends_x / ends_x[-1:], ends_y / ends_y[-1:], 1.0
    ends, source = torch.cat([ends_x[:-1], ends_y[:-1]]).sort(dim=0, stable=True)
    step = source < n - 1
    zero = source.new_zeros(1, source.shape[1])
    i, j = torch.cat([zero, step.long().cumsum(0)]), torch.cat([zero, (~step).long().cumsum(0)])
    mass = torch.cat([ends, ends_x[-1:]]).diff(dim=0, prepend=torch.zeros_like(ends_x[:1])).double() * unit
    shape = (n + m - 1, x.shape[1])
    return Coupling(order_x.gather(0, i.expand(shape)), order_y.gather(0, j.expand(shape)), mass)


def directions(count: int, d: int, seed: int, like: Tensor) -> Tensor:  # -> (count, d), unit rows
    """Draw directions uniformly on the sphere, orthogonal within each group of d, which lowers the variance."""
    generator, width = torch.Generator(device="cpu").manual_seed(seed), min(d, count)
    groups = [
        torch.linalg.qr(torch.randn(d, width, generator=generator, dtype=torch.float64, device="cpu"))[0].T
        for _ in range(0, count, d)
    ]
    rows = torch.cat(groups)[:count]
    signs = torch.randint(0, 2, (len(rows), 1), generator=generator, device="cpu").double() * 2 - 1
    return (rows * signs).to(dtype=like.dtype, device=like.device)
