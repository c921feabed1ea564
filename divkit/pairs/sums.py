"""Weighted sums of a kernel over all pairs: rows and columns in one sweep, gradients analytic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from divkit.pairs.forms import PairFunction
from divkit.pairs.tiles import accumulator, blocks, first_derivative, padded

__all__ = ["Forms", "Sums", "quadratic_forms", "self_sums", "self_total", "sums", "total"]


class Sums(NamedTuple):
    """What one sweep yields, in float64."""

    rows: Tensor  # (n, c) Σⱼ k(xᵢ, yⱼ) vⱼ
    columns: Tensor  # (m, c) Σᵢ k(xᵢ, yⱼ) wᵢ
    squares: Tensor  # () Σᵢⱼ wᵢ² vⱼ² k(xᵢ, yⱼ)², of the first payload columns


def sums(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Sums:
    """Row sums with payload v (m, c) and column sums with payload w (n, c); differentiable in all four."""
    return Sums(*_PairSums.apply(k, x, y, w, v))  # type: ignore[no-untyped-call]


def self_sums(k: PairFunction, x: Tensor, w: Tensor) -> Sums:
    """Row sums over j ≠ i with payload w (n, c); `columns` repeats them. Each pair of blocks is computed once."""
    rows, squares = _SelfSums.apply(k, x, w)  # type: ignore[no-untyped-call]
    return Sums(rows, rows, squares)


def total(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Σᵢⱼ wᵢ vⱼ k(xᵢ, yⱼ) of weights (n,), (m,), its gradient found in the same sweep."""
    return _Total.apply(k, x, y, w, v)  # type: ignore[no-any-return,no-untyped-call]


def self_total(k: PairFunction, x: Tensor, w: Tensor) -> Tensor:
    """Σ_{i≠j} wᵢ wⱼ k(xᵢ, xⱼ) of weights (n,), its gradient found in the same sweep."""
    return _SelfTotal.apply(k, x, w)  # type: ignore[no-any-return,no-untyped-call]


class Forms(NamedTuple):
    """What one sweep over the pairs i ≠ j yields for each of K kernels, each less a constant of its own, in float64."""

    values: Tensor  # (K, B) Σ_{i≠j} s_ib (k(xᵢ, xⱼ) − c) s_jb
    rows: Tensor  # (K, N) Σ_{j≠i} (k(xᵢ, xⱼ) − c)
    squares: Tensor  # (K,) Σ_{i≠j} (k(xᵢ, xⱼ) − c)²
    constants: Tensor  # (K,) c, near the mean: sums of what is left lose no digits to it


def quadratic_forms(kernels: Sequence[PairFunction], x: Tensor, s: Tensor) -> Forms:
    """Quadratic forms of kernels of one form in each column of s (N, B).

    Distances are found once for all kernels, each pair of blocks once, and one matrix product a tile serves all columns; memory
    beyond `s` is a block of rows for each kernel.
    """
    count, tiles, width = len(kernels), _halves(len(x)), s.shape[1]
    values, squares = x.new_zeros(count, width, dtype=torch.float64), x.new_zeros(count, dtype=torch.float64)
    rows = x.new_zeros(count, len(x), dtype=torch.float64)
    first = kernels[0].form.tile(x[tiles[0]], x[tiles[0]])
    constants = [float(k.value(first.clone()).double().mean()) for k in kernels]
    for a, i in enumerate(tiles):
        block = x.new_zeros(count, i.stop - i.start, width)
        for j in tiles[a:]:
            distances = kernels[0].form.tile(x[i], x[j])
            for r, k in enumerate(kernels):
                tile = k.value(distances if r == count - 1 else distances.clone()).sub_(constants[r])
                if i == j:
                    tile.fill_diagonal_(0.0)
                else:
                    rows[r, j] += tile.sum(0, dtype=torch.float64)
                rows[r, i] += tile.sum(1, dtype=torch.float64)
                block[r].addmm_(tile, s[j], alpha=1 if i == j else 2)
                squares[r] += (1 if i == j else 2) * tile.square_().sum(dtype=torch.float64)
        for r in range(count):
            values[r] += block[r].mul_(s[i]).sum(0, dtype=torch.float64)
    return Forms(values, rows, squares, torch.tensor(constants, dtype=torch.float64, device=x.device))


def _halves(n: int) -> list[slice]:
    """Blocks of half the usual rows: less of the diagonal ones is computed twice."""
    halves = [-(-(block.stop - block.start) // 2) for block in blocks(n)]
    return [
        slice(cut, min(cut + half, block.stop))
        for block, half in zip(blocks(n), halves)
        for cut in range(block.start, block.stop, half)
    ]


def _sweep(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    w, v = w.to(x.dtype), v.to(x.dtype)
    wide_w, wide_v, width = padded(w), padded(v), w.shape[1]
    rows, columns = accumulator(len(x), wide_v), accumulator(len(y), wide_w)
    squares = torch.zeros((), dtype=torch.float64, device=x.device)
    ww, vv = w[:, 0].square(), v[:, 0].square()
    for i in blocks(len(x)):
        left = wide_w[i].T.contiguous()
        for j in blocks(len(y)):
            tile = k.evaluate(x[i], y[j])
            rows[i] += tile @ wide_v[j]
            columns[j] += (left @ tile).T
            squares += torch.dot(ww[i].double(), (tile.square_() @ vv[j]).double())
    return rows[:, :width], columns[:, :width], squares


def _self_sweep(k: PairFunction, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    w = w.to(x.dtype)
    wide, width = padded(w), w.shape[1]
    rows = accumulator(len(x), wide)
    squares = torch.zeros((), dtype=torch.float64, device=x.device)
    ww = w[:, 0].square()
    for a, i in enumerate(blocks(len(x))):
        left = wide[i].T.contiguous()
        for j in blocks(len(x))[a:]:
            tile = k.evaluate(x[i], x[j])
            if i == j:
                tile.fill_diagonal_(0.0)
            else:
                rows[j] += (left @ tile).T
            rows[i] += tile @ wide[j]
            squares += (1 if i == j else 2) * torch.dot(ww[i].double(), (tile.square_() @ ww[j]).double())
    return rows[:, :width], squares


def _moments(x: Tensor, q: Tensor) -> Tensor:  # (n, d), (n,) -> (n, ≥ d + 1)
    """Payload [q x, q] whose product with the slopes gives gradients."""
    return padded(torch.cat([q[:, None] * x, q[:, None]], 1))


def _gradients(k: PairFunction, x: Tensor, y: Tensor, p: Tensor, q: Tensor, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Gradients in x and y of Σᵢⱼ Cᵢⱼ k(xᵢ, yⱼ), C = p qᵀ with p (n, r), q (m, r); with `same`, of i ≠ j only."""
    gx, gy, d = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(y, dtype=torch.float64), x.shape[1]
    for r in range(p.shape[1]):
        payloads = _moments(x, p[:, r].to(x.dtype)), _moments(y, q[:, r].to(y.dtype))
        rows, columns = accumulator(len(x), payloads[1]), accumulator(len(y), payloads[0])
        for i in blocks(len(x)):
            left = payloads[0][i].T.contiguous()
            for j in blocks(len(y)):
                _, slope, factor = k.evaluate_with_slope(x[i], y[j], same=same and i == j)
                rows[i].add_(slope @ payloads[1][j].to(slope.dtype), alpha=factor)
                columns[j].add_((left.to(slope.dtype) @ slope).T, alpha=factor)
        gx += p[:, r : r + 1] * k.form.gradient(x.double(), rows[:, : d + 1].double())
        gy += q[:, r : r + 1] * k.form.gradient(y.double(), columns[:, : d + 1].double())
    return gx.to(x.dtype), gy.to(y.dtype)


class _PairSums(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.k = k
        ctx.save_for_backward(x, y, w, v)
        rows, columns, squares = _sweep(k, x, y, w, v)
        ctx.mark_non_differentiable(squares)
        return rows, columns, squares

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g_rows: Tensor, g_columns: Tensor, _: Tensor) -> Any:
        x, y, w, v = ctx.saved_tensors
        gx = gy = gw = gv = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            p, q = torch.cat([g_rows, w.double()], 1), torch.cat([v.double(), g_columns], 1)
            gx, gy = _gradients(ctx.k, x, y, p, q)
        if ctx.needs_input_grad[3] or ctx.needs_input_grad[4]:
            rows, columns, _ = _sweep(ctx.k, x, y, g_rows, g_columns)
            gw, gv = rows.to(w.dtype), columns.to(v.dtype)
        return None, gx, gy, gw, gv


class _SelfSums(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        ctx.k = k
        ctx.save_for_backward(x, w)
        rows, squares = _self_sweep(k, x, w)
        ctx.mark_non_differentiable(squares)
        return rows, squares

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g_rows: Tensor, _: Tensor) -> Any:
        x, w = ctx.saved_tensors
        gx = sum(_gradients(ctx.k, x, x, g_rows, w.double(), same=True)) if ctx.needs_input_grad[1] else None
        gw = _self_sweep(ctx.k, x, g_rows)[0].to(w.dtype) if ctx.needs_input_grad[2] else None
        return None, gx, gw


class _Total(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:
        side_x, side_y = _Side(x, w), _Side(y, v)
        for i in blocks(len(x)):
            for j in blocks(len(y)):
                _add_tile(k, side_x.block(i), side_y.block(j))
        ctx.save_for_backward(side_x.gradient(k), side_y.gradient(k), side_x.values, side_y.values)
        ctx.dtypes = x.dtype, w.dtype, v.dtype
        return torch.dot(w.double(), side_x.values)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        (gx, gy, gw, gv), (points, w, v) = ctx.saved_tensors, ctx.dtypes
        return None, (g * gx).to(points), (g * gy).to(points), (g * gw).to(w), (g * gv).to(v)


class _SelfTotal(Function):
    @staticmethod
    def forward(ctx: Any, k: PairFunction, x: Tensor, w: Tensor) -> Tensor:
        side = _Side(x, w)
        for a, i in enumerate(blocks(len(x))):
            _add_diagonal_tile(k, side.block(i))
            for j in blocks(len(x))[a + 1 :]:
                _add_tile(k, side.block(i), side.block(j))
        ctx.save_for_backward(2 * side.gradient(k), 2 * side.values)
        ctx.dtypes = x.dtype, w.dtype
        return torch.dot(w.double(), side.values)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        (gx, gw), (points, w) = ctx.saved_tensors, ctx.dtypes
        return None, (g * gx).to(points), (g * gw).to(w)


class _Side:
    """One sample in a fused sweep: its payload [w x, w], and what accumulates for each of its rows."""

    def __init__(self, x: Tensor, w: Tensor) -> None:
        self.x, self.w, self.d = x, w, x.shape[1]
        self.weights = w.to(x.dtype)
        self.payload = _moments(x, self.weights)
        self.moments = accumulator(len(x), self.payload)
        self.values = torch.zeros(len(x), dtype=torch.float64, device=x.device)

    def block(self, rows: slice) -> _Side:
        """A view of some rows: adding to it adds to the whole."""
        part = _Side.__new__(_Side)
        part.x, part.payload, part.d, part.weights = self.x[rows], self.payload[rows], self.d, self.weights[rows]
        part.moments, part.values = self.moments[rows], self.values[rows]
        return part

    def add(self, value: Tensor, slope: Tensor, product: Tensor, factor: float) -> None:
        """Add value (p,) and slope product (p, ≥ d + 1) of one tile; value and slope share a product where they are one."""
        self.values.add_(product[:, self.d] if value is slope else value)  # in place: these are views
        self.moments.add_(product, alpha=factor)

    def gradient(self, k: PairFunction) -> Tensor:
        """Gradient of the weighted total in these points."""
        return self.w.double()[:, None] * k.form.gradient(self.x.double(), self.moments[:, : self.d + 1].double())


def _add_tile(k: PairFunction, a: _Side, b: _Side) -> None:
    value, slope, factor = k.evaluate_with_slope(a.x, b.x)
    left, right = a.payload.T.contiguous().to(slope.dtype), b.payload.to(slope.dtype)
    by_rows, by_columns = slope @ right, (left @ slope).T
    one = value is slope
    a.add(slope if one else value @ b.weights.to(value.dtype), slope, by_rows, factor)
    b.add(slope if one else a.weights.to(value.dtype) @ value, slope, by_columns, factor)


def _add_diagonal_tile(k: PairFunction, a: _Side) -> None:
    value, slope, factor = k.evaluate_with_slope(a.x, a.x, same=True)
    right = a.payload.to(slope.dtype)
    a.add(slope if value is slope else value @ a.weights.to(value.dtype), slope, slope @ right, factor)
