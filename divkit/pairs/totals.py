"""The weighted total of a kernel over all pairs, with its gradient from the same sweep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from divkit.lines.sums import absolute_totals
from divkit.pairs.forms import PairFunction, Tile
from divkit.pairs.moments import Moments
from divkit.pairs.tiles import blocks, first_derivative

__all__ = ["self_total", "total", "totals"]


def total(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Find Σᵢⱼ wᵢ vⱼ k(xᵢ, yⱼ) of weights (n,), (m,), and in the same sweep the gradient in what requires one."""
    return _Total.apply(k, x, y, w, v)  # type: ignore[no-any-return,no-untyped-call]


def self_total(k: PairFunction, x: Tensor, w: Tensor) -> Tensor:
    """Find Σ_{i≠j} wᵢ wⱼ k(xᵢ, xⱼ) of weights (n,), and its gradient. Each pair of blocks is computed once."""
    return _SelfTotal.apply(k, x, w)  # type: ignore[no-any-return,no-untyped-call]


def totals(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find `total` of both and `self_total` of each; by sorting where k = −|x − y| in one dimension."""
    if k.monomial == (-1.0, 1.0) and x.shape[1] == 1:
        across, own_x, own_y = absolute_totals(x.T, y.T, w, v)
        return -across[0], -own_x[0], -own_y[0]
    return total(k, x, y, w, v), self_total(k, x, w), self_total(k, y, v)


class _Side(Moments):
    """One sample in a sweep for values and gradients, with its row sums of k."""

    def __init__(self, x: Tensor, w: Tensor, *, moves: bool) -> None:
        super().__init__(x, w)
        self.moves = moves  # whether its points require a gradient
        self.rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)

    def collect(self, i: slice, other: _Side, j: slice, tile: Tile, times: int = 1) -> None:
        """Add to rows i what the rows j of the other sample give: to the moments once, to the row sums so many `times`."""
        product = self.add(i, other, j, tile) if self.moves else None
        if times:
            shared = product is not None and tile.value is tile.slope
            sums = product[self.d] if shared else tile.value @ other.payload[self.d, j].to(tile.value.dtype)  # type: ignore[index]
            self.rows[i].add_(sums, alpha=times)


class _Total(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:
        _, moves_x, moves_y, _, weighs_y = ctx.needs_input_grad
        a, b = _Side(x, w, moves=moves_x), _Side(y, v, moves=moves_y)
        for i in blocks(len(x)):
            for j in blocks(len(y)):
                tile = _tile(k, x[i], y[j], with_slope=moves_x or moves_y)
                a.collect(i, b, j, tile)
                b.collect(j, a, i, tile.transposed(), times=int(weighs_y))
        _keep(ctx, k, a, b)
        return torch.dot(a.weights, a.rows)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        gx, gw, gy, gv = _scaled(ctx, g)
        return None, gx, gy, gw, gv


class _SelfTotal(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, w: Tensor) -> Tensor:
        _, moves, weighs = ctx.needs_input_grad
        side = _Side(x, w, moves=moves)
        for a, i in enumerate(blocks(len(x))):
            for j in blocks(len(x))[a:]:
                tile = _tile(k, x[i], x[j], with_slope=moves, same=i == j)
                side.collect(i, side, j, tile, times=1 if i == j or weighs else 2)
                if i != j:
                    side.collect(j, side, i, tile.transposed(), times=int(weighs))
        _keep(ctx, k, side)
        return torch.dot(side.weights, side.rows)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        gx, gw = _scaled(ctx, 2 * g)
        return None, gx, gw


def _tile(k: PairFunction, x: Tensor, y: Tensor, *, with_slope: bool, same: bool = False) -> Tile:
    """Evaluate k, and its slope where it is needed."""
    if with_slope:
        return k.tile(x, y, same=same)
    value = k.evaluate(x, y)
    if same:
        value.fill_diagonal_(0.0)
    return Tile(value, value, 0.0)


def _keep(ctx: Any, k: PairFunction, *sides: _Side) -> None:
    """Save the gradients in points and weights, of each side in turn; None where the points do not move."""
    gradients = [part for side in sides for part in (side.gradient(k) if side.moves else None, side.rows)]
    ctx.save_for_backward(*gradients)
    ctx.dtypes = [dtype for side in sides for dtype in (side.x.dtype, torch.float64)]


def _scaled(ctx: Any, g: Tensor) -> list[Tensor | None]:
    """Multiply the saved gradients by that of the total."""
    return [None if part is None else (g * part).to(dtype) for part, dtype in zip(ctx.saved_tensors, ctx.dtypes)]
