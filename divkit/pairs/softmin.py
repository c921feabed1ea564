"""The soft minimum over all pairs: −ε log Σⱼ exp((scoreⱼ − cᵢⱼ)/ε) of costs cᵢⱼ = c(xᵢ, yⱼ).

With a shift fᵢ near the result, the summands of row i are 2^eᵢⱼ of exponents

    eᵢⱼ = (fᵢ + scoreⱼ − cᵢⱼ) / (ε log 2),

and the result is fᵢ − ε log 2 · log₂ Σⱼ 2^eᵢⱼ. Without a shift, or where it was a bad one, the row's greatest exponent is
subtracted. Where c is a squared distance, e is one matrix product:

    fᵢ + scoreⱼ − |xᵢ − yⱼ|² = [2 xᵢ, fᵢ − |xᵢ|²] · [yⱼ, 1] + (scoreⱼ − |yⱼ|²).

The gradient is an average: with the result as the shift, Pᵢⱼ = 2^eᵢⱼ sums to one in each row, and the softmin of row i has the
derivative −Pᵢⱼ in scoreⱼ and Σⱼ Pᵢⱼ ∂cᵢⱼ/∂xᵢ in xᵢ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function

from divkit.pairs.forms import PairFunction
from divkit.pairs.near import add_to, find_near, select, tiles
from divkit.pairs.tiles import accumulator, blocks, first_derivative, padded

__all__ = ["Exponent", "exponents", "powers", "softmin", "trusted", "working_dtype"]

Exponent: TypeAlias = Callable[..., Tensor]  # evaluates a tile of e: (rows, columns), or (rows, columns, memory to use)


def powers(exponent: Tensor) -> Tensor:
    """Overwrite exponents e with 2^e, where |e| is at most 100.

    A weight times 2^−100 is still a normal number in float32: others make sums three times as slow.
    """
    return exponent.clamp_(min=-100.0, max=100.0).exp2_()


def trusted(sums: Tensor, least: float = 2.0**-60) -> Tensor:
    """Return whether sums of `powers` are so near one that the bound on exponents cost them nothing."""
    return (sums > least) & (sums < 2.0**60)


def softmin(
    c: PairFunction,
    x: Tensor,
    y: Tensor,
    score: Tensor,
    epsilon: float,
    guess: Tensor | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Evaluate −ε log Σⱼ exp((scoreⱼ − c(xᵢ, yⱼ))/ε), in float64; differentiable in x, y and score.

    Parameters
    ----------
    c : PairFunction
    x, y : Tensor (n, d), (m, d)
    score : Tensor (m,)
    epsilon : float
        In units of the cost.
    guess : Tensor (n,), optional
        A value near the result: spares finding each row's maximum. A bad one costs time, not accuracy.
    known : Tensor (n,), optional
        The result itself, where an earlier sweep had it: what is left to do is its gradient.
    """
    return _Softmin.apply(c, x, y, score, epsilon, guess, known)  # type: ignore[no-any-return,no-untyped-call]


def exponents(c: PairFunction, x: Tensor, y: Tensor, f: Tensor, score: Tensor, epsilon: float) -> Exponent:
    """Return what evaluates tiles of eᵢⱼ = (fᵢ + scoreⱼ − cᵢⱼ)/(ε log 2), in the dtype of the points."""
    unit = math.log2(math.e) / epsilon
    if c.is_squared_distance:
        squares = x.double().square().sum(1), y.double().square().sum(1)
        last = ((f.double() - squares[0]) * unit).to(x.dtype)
        left = torch.cat([x * (2 * unit), last[:, None]], 1)
        right = torch.cat([y, torch.ones_like(y[:, :1])], 1).T.contiguous()
        bias = ((score.double() - squares[1]) * unit).to(x.dtype)
        return lambda i, j, out=None: torch.addmm(bias[j], select(left, i), right[:, j], out=out)
    f, score = (f * unit).to(x.dtype), (score * unit).to(x.dtype)
    return lambda i, j, out=None: c.evaluate(x[i], y[j]).mul_(-unit).add_(f[i, None]).add_(score[j])


def working_dtype(c: PairFunction, x: Tensor, y: Tensor, epsilon: float) -> torch.dtype:
    """Return the dtype in which exponents by matrix product keep three digits: float64 where |x|²/ε is large."""
    if not c.is_squared_distance:
        return x.dtype
    largest = max(float(x.square().sum(1).max()), float(y.square().sum(1).max()))
    return torch.float64 if torch.finfo(x.dtype).eps * largest / epsilon > 1e-4 else x.dtype


def _row_sums(exponent: Exponent, n: int, m: int, device: torch.device) -> Tensor:
    """Sum 2^e over the columns."""
    sums = torch.zeros(n, dtype=torch.float64, device=device)
    for i in blocks(n):
        for j in blocks(m):
            sums[i] += powers(exponent(i, j)).sum(1)
    return sums


def _log_sums(exponent: Exponent, rows: Tensor, m: int) -> Tensor:
    """Find log₂ Σⱼ 2^e of some rows, whatever the exponents: each row's greatest one is subtracted."""
    logs = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for i in blocks(len(rows)):
        highest = torch.full((i.stop - i.start,), -math.inf, dtype=torch.float64, device=rows.device)
        sums = torch.zeros_like(highest)
        for j in blocks(m):
            tile = exponent(rows[i], j)
            higher = torch.maximum(highest, tile.amax(1).double())
            sums = sums * torch.exp2(highest - higher) + powers(tile.sub_(higher[:, None].to(tile.dtype))).sum(1)
            highest = higher
        logs[i] = highest + torch.log2(sums)
    return logs


def _softmin(
    c: PairFunction, x: Tensor, y: Tensor, score: Tensor, epsilon: float, guess: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Evaluate the soft minimum: by plain sums where a guess is good, by the row's greatest exponent elsewhere."""
    wx, wy, ws = x.to(dtype), y.to(dtype), score.to(dtype)
    shift = torch.zeros(len(x), dtype=dtype, device=x.device) if guess is None else guess.to(dtype)
    exponent = exponents(c, wx, wy, shift, ws, epsilon)
    if guess is None:
        logs = _log_sums(exponent, torch.arange(len(x), device=x.device), len(y))
    else:
        sums = _row_sums(exponent, len(x), len(y), x.device)
        logs = torch.log2(sums)
        lost = (~trusted(sums)).nonzero()[:, 0]
        if len(lost):
            logs[lost] = _log_sums(exponent, lost, len(y))
    return shift.double() - logs * (epsilon / math.log2(math.e))


class _Softmin(Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        c, x, y, score, epsilon, guess, known = inputs
        dtype = working_dtype(c, x, y, epsilon)
        value = _softmin(c, x, y, score, epsilon, guess, dtype) if known is None else known.double().clone()
        ctx.c, ctx.epsilon, ctx.dtype = c, epsilon, dtype
        ctx.save_for_backward(x, y, score, value)
        return value

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        c, (x, y, score, value), d = ctx.c, ctx.saved_tensors, ctx.saved_tensors[0].shape[1]
        wx, wy, wg = (t.to(ctx.dtype) for t in (x, y, g))
        exponent = exponents(c, wx, wy, value.to(ctx.dtype), score.to(ctx.dtype), ctx.epsilon)
        payload_y = padded(torch.cat([wy, torch.ones_like(wy[:, :1])], 1))
        payload_x = padded(torch.cat([wg[:, None] * wx, wg[:, None]], 1))
        rows, columns = accumulator(len(x), payload_y), accumulator(len(y), payload_x)
        mass = torch.zeros(len(y), dtype=torch.float64, device=x.device)
        _, needs_x, needs_y, needs_score, *_ = ctx.needs_input_grad
        bits = math.log2(len(y)) - math.log2(torch.finfo(ctx.dtype).eps)  # of a row's sum, which is one, nothing is lost
        near = find_near(c, wx, wy, value, score, ctx.epsilon, bits)
        for i, j in tiles(len(x), len(y), near):
            plan, factor = powers(exponent(i, j)), 2.0
            if needs_score:
                mass[j] = (select(wg, i) @ plan).double()
            if not c.is_squared_distance and (needs_x or needs_y):
                slope, factor = c.evaluate_slope(wx, wy[j])
                plan = slope.mul_(plan)
            if needs_x:
                add_to(rows, i, factor * (plan @ payload_y[j].to(plan.dtype)))
            if needs_y:
                columns[j] = (factor * (select(payload_x, i).T.to(plan.dtype) @ plan).T).to(columns.dtype)
        gx = g.double()[:, None] * c.form.gradient(x.double(), rows[:, : d + 1].double()) if needs_x else None
        gy = c.form.gradient(y.double(), columns[:, : d + 1].double()) if needs_y else None
        gx, gy = (None if grad is None else grad.to(x.dtype) for grad in (gx, gy))
        return None, gx, gy, -mass.to(score.dtype) if needs_score else None, None, None, None
