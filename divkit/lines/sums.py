"""Sums of |x − y| over all pairs of one-dimensional samples, by one sort each: O((n + m) log(n + m)) per column.

With B(t) = Σ wⱼ and M(t) = Σ wⱼ xⱼ over the xⱼ below t, and W, M their totals,

    Σⱼ wⱼ |t − xⱼ| = t (2 B(t) − W) − (2 M(t) − M).

Both are cumulative sums of the sorted sample, looked up at t. At a tie the limits from both sides are averaged, so that the
gradient, 2 B(t) − W, does not pull coincident points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Absolute", "absolute_sums", "absolute_totals", "square_sums"]


class _Sorted(NamedTuple):
    """Columns in ascending order, with cumulative sums of their weights (B) and of weight times value (M)."""

    values: Tensor  # (L, n) float64
    order: Tensor  # (L, n)
    weights: Tensor  # (L, n) float64, or (1, n) where all are equal
    below: Tensor  # (L, n + 1) or (1, n + 1) B: Σ of the weights before
    moment: Tensor  # (L, n + 1) M: Σ of weight · value before

    @classmethod
    def of(cls, x: Tensor, w: Tensor) -> _Sorted:
        """Sort columns x (L, n) of rows with weights w (n,)."""
        values, order = x.sort(dim=1)
        values, w = values.double(), w.double()
        equal = not w.requires_grad and bool((w == w[0]).all())
        weights = w[None] if equal else w[order]
        return cls(values, order, weights, _cumulated(weights), _cumulated(weights * values))

    def distances(self, points: Tensor) -> Tensor:
        """Sum wⱼ |pointᵢ − xⱼ| over j for points (L, k), differentiable: coincident ones pull nowhere."""
        values, t = self.values.detach(), points.detach()
        first = last = torch.searchsorted(values, t)
        if bool((values.gather(1, first.clamp(max=values.shape[1] - 1)) == t).any()):
            last = torch.searchsorted(values, t, right=True)
        below, moment = (
            cumulated.expand(len(first), -1).gather(1, first)
            if first is last
            else (cumulated.expand(len(first), -1).gather(1, first) + cumulated.expand(len(first), -1).gather(1, last)) / 2
            for cumulated in (self.below, self.moment)
        )
        return self._beyond(points, below, moment)

    def own_distances(self) -> Tensor:
        """Sum the distances of the points among themselves, which needs no search unless some coincide."""
        if bool((self.values.detach().diff(dim=1) == 0).any()):
            return self.distances(self.values)
        below, moment = ((cumulated[:, 1:] + cumulated[:, :-1]) / 2 for cumulated in (self.below, self.moment))
        return self._beyond(self.values, below, moment)

    def _beyond(self, points: Tensor, below: Tensor, moment: Tensor) -> Tensor:
        """Evaluate the formula at the top, from B and M at the points."""
        return points * (2 * below - self.below[:, -1:]) - (2 * moment - self.moment[:, -1:])

    def unsorted(self, values: Tensor) -> Tensor:
        """Put values (L, n) of the sorted points back in the order of the rows."""
        return torch.empty_like(values).scatter(1, self.order, values)


class Absolute(NamedTuple):
    """Row sums of |x − y| within and between two samples, each in the order of the rows."""

    across_x: Tensor  # (L, n) Σⱼ vⱼ |xᵢ − yⱼ|
    across_y: Tensor  # (L, m) Σᵢ wᵢ |xᵢ − yⱼ|
    own_x: Tensor  # (L, n) Σⱼ wⱼ |xᵢ − xⱼ|
    own_y: Tensor  # (L, m)


def absolute_sums(x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Absolute:
    """Find the row sums for columns x (L, n), y (L, m) of rows with weights w (n,), v (m,); differentiable in all four."""
    a, b = _Sorted.of(x, w), _Sorted.of(y, v)
    return Absolute(
        a.unsorted(b.distances(a.values)),
        b.unsorted(a.distances(b.values)),
        a.unsorted(a.own_distances()),
        b.unsorted(b.own_distances()),
    )


def absolute_totals(x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find Σᵢⱼ wᵢ vⱼ |xᵢ − yⱼ| (L,), and its like within x and within y; differentiable in all four."""
    a, b = _Sorted.of(x, w), _Sorted.of(y, v)
    pairs = ((a.weights, b.distances(a.values)), (a.weights, a.own_distances()), (b.weights, b.own_distances()))
    across, own_x, own_y = ((weights * distances).sum(1) for weights, distances in pairs)
    return across, own_x, own_y


def square_sums(x: Tensor, y: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Find Σᵢⱼ pᵢ qⱼ (xᵢ − yⱼ)² (L,), from moments."""
    x, y, p, q = (t.double() for t in (x, y, p, q))
    centre = torch.cat([x, y], 1).mean(1, keepdim=True)
    x, y = x - centre, y - centre
    return x.square() @ p * q.sum() + y.square() @ q * p.sum() - 2 * (x @ p) * (y @ q)


def _cumulated(values: Tensor) -> Tensor:  # (L, n) -> (L, n + 1)
    """Return the sums of all values before each place, and the total."""
    return torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(1)], 1)
