"""Weighted sums of a kernel over all pairs: rows and columns in one sweep, with gradients by a second one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from divkit.lines.sums import absolute_sums, square_sums
from divkit.pairs.forms import PairFunction
from divkit.pairs.moments import Moments
from divkit.pairs.tiles import accumulator, blocks, first_derivative, padded

__all__ = ["Forms", "Sums", "all_sums", "quadratic_forms", "self_sums", "sums"]


class Sums(NamedTuple):
    """Sums over all pairs that one sweep yields, in float64."""

    rows: Tensor  # (n, c) Σⱼ k(xᵢ, yⱼ) vⱼ
    columns: Tensor  # (m, c) Σᵢ k(xᵢ, yⱼ) wᵢ
    squares: Tensor  # () Σᵢⱼ wᵢ² vⱼ² k(xᵢ, yⱼ)², of the first payload columns


def sums(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Sums:
    """Find row sums with payload v (m, c) and column sums with payload w (n, c); differentiable in all four."""
    return Sums(*_PairSums.apply(k, x, y, w, v))  # type: ignore[no-untyped-call]


def self_sums(k: PairFunction, x: Tensor, w: Tensor) -> Sums:
    """Find row sums over j ≠ i with payload w (n, c); `columns` repeats them. Each pair of blocks is computed once."""
    rows, squares = _SelfSums.apply(k, x, w)  # type: ignore[no-untyped-call]
    return Sums(rows, rows, squares)


def all_sums(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Sums, Sums, Sums]:
    """Find `sums` of both and `self_sums` of each; by sorting where k = −|x − y| in one dimension."""
    if k.monomial != (-1.0, 1.0) or x.shape[1] > 1:
        return sums(k, x, y, w, v), self_sums(k, x, w), self_sums(k, y, v)
    columns_w, columns_v = w.unbind(1), v.unbind(1)
    parts = [
        absolute_sums(x.T, y.T, columns_w[min(c, len(columns_w) - 1)], columns_v[min(c, len(columns_v) - 1)])
        for c in range(max(len(columns_w), len(columns_v)))
    ]
    rows, columns, own_x, own_y = (-torch.cat(part).T for part in zip(*parts))
    ww, vv = w[:, 0].detach().square(), v[:, 0].detach().square()
    a, b = x.detach().T, y.detach().T
    squares = [square_sums(a, b, ww, vv)[0], square_sums(a, a, ww, ww)[0], square_sums(b, b, vv, vv)[0]]
    return Sums(rows, columns, squares[0]), Sums(own_x, own_x, squares[1]), Sums(own_y, own_y, squares[2])


class Forms(NamedTuple):
    """Quadratic forms over the pairs i ≠ j for each of K kernels, each less a constant of its own, in float64."""

    values: Tensor  # (K, B) Σ_{i≠j} s_ib (k(xᵢ, xⱼ) − c) s_jb
    rows: Tensor  # (K, N) Σ_{j≠i} (k(xᵢ, xⱼ) − c)
    squares: Tensor  # (K,) Σ_{i≠j} (k(xᵢ, xⱼ) − c)²
    constants: Tensor  # (K,) c, near the mean: sums of what is left lose no digits to it


def quadratic_forms(kernels: Sequence[PairFunction], x: Tensor, s: Tensor) -> Forms:
    """Find the quadratic forms sᵀKs in each column of s (N, B), of kernels of one form.

    Distances are computed once for all kernels, each pair of blocks once, and one matrix product a tile serves all columns.
    Memory beyond `s` is a block of rows for each kernel.
    """
    count, tiles, width = len(kernels), _halves(len(x)), s.shape[1]
    values, squares = x.new_zeros(count, width, dtype=torch.float64), x.new_zeros(count, dtype=torch.float64)
    rows = x.new_zeros(count, len(x), dtype=torch.float64)
    first = kernels[0].form.tile(x[tiles[0]], x[tiles[0]], same=True)
    constants = [float(k.value(first.clone()).double().mean()) for k in kernels]
    for a, i in enumerate(tiles):
        block = x.new_zeros(count, i.stop - i.start, width)
        for j in tiles[a:]:
            distances = kernels[0].form.tile(x[i], x[j], same=i == j)
            for r, k in enumerate(kernels):
                tile = k.value(distances if r == count - 1 else distances.clone()).sub_(constants[r])
                if i == j:
                    tile.fill_diagonal_(0.0)
                else:
                    rows[r, j] += tile.sum(0)  # by cascade: products of few rows lose a digit more
                rows[r, i] += tile.sum(1)
                block[r].addmm_(tile, s[j], alpha=1 if i == j else 2)
                squares[r] += (1 if i == j else 2) * tile.square_().sum().double()
        for r in range(count):
            values[r] += block[r].mul_(s[i]).sum(0, dtype=torch.float64)
    return Forms(values, rows, squares, torch.tensor(constants, dtype=torch.float64, device=x.device))


def _halves(n: int) -> list[slice]:
    """Cut range(n) into blocks of half the usual rows: less of the diagonal ones is computed twice."""
    halves = [-(-(block.stop - block.start) // 2) for block in blocks(n)]
    return [
        slice(cut, min(cut + half, block.stop))
        for block, half in zip(blocks(n), halves)
        for cut in range(block.start, block.stop, half)
    ]


def _sweep(k: PairFunction, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the rows, columns and squares of `Sums`."""
    w, v = w.to(x.dtype), v.to(x.dtype)
    wide_w, wide_v = padded(w), padded(v)
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
    return rows[:, : v.shape[1]], columns[:, : w.shape[1]], squares


def _self_sweep(k: PairFunction, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Find the rows and squares of `Sums` within one sample, without its diagonal."""
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


def _gradients(k: PairFunction, x: Tensor, y: Tensor, p: Tensor, q: Tensor, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Find the gradients in x and y of Σᵢⱼ Cᵢⱼ k(xᵢ, yⱼ), C = p qᵀ with p (n, r), q (m, r); with `same`, over i ≠ j only."""
    gx, gy = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(y, dtype=torch.float64)
    for r in range(p.shape[1]):
        left, right = Moments(x, p[:, r]), Moments(y, q[:, r])
        for i in blocks(len(x)):
            for j in blocks(len(y)):
                tile = k.tile(x[i], y[j], same=same and i == j)
                left.add(i, right, j, tile)
                right.add(j, left, i, tile.transposed())
        gx += left.gradient(k)
        gy += right.gradient(k)
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
