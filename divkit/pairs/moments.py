"""The gradient of a weighted total Σᵢⱼ pᵢ vⱼ k(xᵢ, yⱼ) in the points of one sample, collected tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction, Tile
from divkit.pairs.tiles import round_up

__all__ = ["Moments"]


class Moments:
    """Sums over the other sample of slope · [v y, v], of which `Form.gradient` makes the gradient in xᵢ.

    `payload` is what this sample gives to the other one, its rows [p x, p]; `sums` is what it got. Both are transposed,
    (d + 1, n): products with few rows are twice as fast as those with few columns.
    """

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        self.d = x.shape[1]
        self.x, self.weights = x, weights.double()
        self.payload = self._payload(x, weights)
        self.sums = torch.zeros_like(self.payload, dtype=torch.float64)

    def _payload(self, x: Tensor, weights: Tensor) -> Tensor:  # (n, d), (n,) -> (≥ d + 1, n)
        """Return [p x, p] for weights p, transposed, with rows of zeros below."""
        payload = x.new_zeros(round_up(self.d + 1, 4), len(x))  # products of other numbers of rows take longer
        payload[self.d] = weights
        torch.mul(x.T, payload[self.d], out=payload[: self.d])
        return payload

    def add(self, i: slice, other: Moments, j: slice, tile: Tile) -> Tensor:
        """Add what the rows j of the other sample give to rows i of this one, and return it (≥ d + 1, p)."""
        wider = tile.slope.dtype != other.payload.dtype  # a float64 tile: the float32 payload would spoil its digits
        payload = other._payload(other.x[j].double(), other.weights[j]) if wider else other.payload[:, j]
        product = payload @ tile.slope.T
        self.sums[:, i].add_(product, alpha=tile.factor)
        if tile.steep is not None:
            rows, columns, pull = tile.steep
            self.sums[: self.d, i].index_add_(1, rows, (-other.weights[j][columns, None] * pull).T)
        return product

    def gradient(self, k: PairFunction) -> Tensor:  # -> (n, d), float64
        """Return the gradient of the weighted total in these points."""
        return self.weights[:, None] * k.form.gradient(self.x.double(), self.sums[: self.d + 1].T)
