"""One sample in a sweep that finds gradients: its payload, and what its rows are pulled by."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction, Tile

__all__ = ["Moments"]

FACTOR = 4  # matrix products of other numbers of rows take longer


class Moments:
    """Sums over the other sample of slope · [q y, q], of which the gradient of Σᵢⱼ pᵢ qⱼ k(xᵢ, yⱼ) in xᵢ is made.

    Everything is held transposed, (d + 1, n): products with few rows are twice as fast as those with few columns.
    """

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        self.d = x.shape[1]
        self.x, self.weights = x, weights.double()
        self.payload = self._payload(x, weights)
        self.sums = torch.zeros_like(self.payload, dtype=torch.float64)

    def _payload(self, x: Tensor, weights: Tensor) -> Tensor:  # (n, d), (n,) -> (≥ d + 1, n)
        made = x.new_zeros(self.d + 1 + -(self.d + 1) % FACTOR, len(x))
        made[self.d] = weights
        torch.mul(x.T, made[self.d], out=made[: self.d])
        return made

    def add(self, i: slice, other: Moments, j: slice, tile: Tile) -> Tensor:
        """Add what the rows j of the other sample do to rows i of this; returns the product (≥ d + 1, p)."""
        wider = tile.slope.dtype != other.payload.dtype  # of which a rounded payload would make nothing
        payload = other._payload(other.x[j].double(), other.weights[j]) if wider else other.payload[:, j]
        product = payload @ tile.slope.T
        self.sums[:, i].add_(product, alpha=tile.factor)
        if tile.steep is not None:
            rows, columns, pull = tile.steep
            self.sums[: self.d, i].index_add_(1, rows, (-other.weights[j][columns, None] * pull).T)
        return product

    def gradient(self, k: PairFunction) -> Tensor:  # -> (n, d), float64
        """Gradient of the weighted total in these points."""
        return self.weights[:, None] * k.form.gradient(self.x.double(), self.sums[: self.d + 1].T)
