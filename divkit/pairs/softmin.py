"""The soft minimum over all pairs, one matrix product a tile where the cost is a squared distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from divkit.pairs.forms import PairFunction
from divkit.pairs.tiles import accumulator, blocks, first_derivative, padded

__all__ = ["softmin"]

LOG2E = math.log2(math.e)
FLOOR = -126.0  # below it exp2 of float32 leaves the normal numbers, where the processor is 40 times slower
TRUSTED = 2.0**60  # a row sum within [1/TRUSTED, TRUSTED] lost nothing to the clamp; others are redone

Exponent = Callable[[slice | Tensor, slice], Tensor]  # a tile of log2 of the summands


def softmin(c: PairFunction, x: Tensor, y: Tensor, score: Tensor, epsilon: float, guess: Tensor | None = None) -> Tensor:
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
    """
    return _Softmin.apply(c, x, y, score, epsilon, guess)  # type: ignore[no-any-return,no-untyped-call]


def _exponent(c: PairFunction, x: Tensor, y: Tensor, f: Tensor, score: Tensor, epsilon: float) -> Exponent:
    """Tiles of (fᵢ + scoreⱼ − cᵢⱼ)/ε in units of log 2."""
    unit = LOG2E / epsilon
    if c.linear:
        squares = x.square().sum(1), y.square().sum(1)
        left = torch.cat([x * (2 * unit), ((f - squares[0]) * unit)[:, None], torch.ones_like(f)[:, None]], 1)
        right = torch.cat([y, torch.ones_like(score)[:, None], ((score - squares[1]) * unit)[:, None]], 1).T.contiguous()
        return lambda i, j: left[i] @ right[:, j]
    f, score = f * unit, score * unit
    return lambda i, j: c.value(c.form.tile(x[i], y[j])).mul_(-unit).add_(f[i, None]).add_(score[j])


def _working(x: Tensor, y: Tensor, epsilon: float) -> torch.dtype:
    """The dtype in which an exponent of |x − y|²/ε by matrix product keeps three digits."""
    largest = max(float(x.square().sum(1).max()), float(y.square().sum(1).max()))
    return torch.float64 if torch.finfo(x.dtype).eps * largest / epsilon > 1e-4 else x.dtype


def _row_sums(exponent: Exponent, n: int, m: int, device: torch.device) -> Tensor:
    sums = torch.zeros(n, dtype=torch.float64, device=device)
    for i in blocks(n):
        for j in blocks(m):
            sums[i] += exponent(i, j).clamp_(min=FLOOR, max=-FLOOR).exp2_().sum(1)
    return sums


def _log_sums(exponent: Exponent, rows: Tensor, m: int) -> Tensor:  # -> log2 Σⱼ 2^exponent of some rows
    logs = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for i in blocks(len(rows)):
        highest = torch.full((i.stop - i.start,), -math.inf, dtype=torch.float64, device=rows.device)
        sums = torch.zeros_like(highest)
        for j in blocks(m):
            tile = exponent(rows[i], j)
            higher = torch.maximum(highest, tile.amax(1).double())
            sums = sums * torch.exp2(highest - higher) + tile.sub_(higher[:, None].to(tile.dtype)).clamp_(
                min=FLOOR
            ).exp2_().sum(1)
            highest = higher
        logs[i] = highest + torch.log2(sums)
    return logs


class _Softmin(Function):
    @staticmethod
    def forward(ctx: Any, c: PairFunction, x: Tensor, y: Tensor, score: Tensor, epsilon: float, guess: Tensor | None) -> Tensor:
        dtype = _working(x, y, epsilon) if c.linear else x.dtype
        wx, wy, ws = x.to(dtype), y.to(dtype), score.to(dtype)
        shift = torch.zeros(len(x), dtype=dtype, device=x.device) if guess is None else guess.to(dtype)
        exponent = _exponent(c, wx, wy, shift, ws, epsilon)
        if guess is None:
            logs = _log_sums(exponent, torch.arange(len(x), device=x.device), len(y))
        else:
            sums = _row_sums(exponent, len(x), len(y), x.device)
            logs = torch.log2(sums)
            stale = (~((sums > 1 / TRUSTED) & (sums < TRUSTED))).nonzero()[:, 0]
            if len(stale):
                logs[stale] = _log_sums(exponent, stale, len(y))
        value = shift.double() - logs * (epsilon / LOG2E)
        ctx.c, ctx.epsilon, ctx.dtype = c, epsilon, dtype
        ctx.save_for_backward(x, y, score, value)
        return value

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        c, (x, y, score, value), d = ctx.c, ctx.saved_tensors, ctx.saved_tensors[0].shape[1]
        wx, wy, wg = (t.to(ctx.dtype) for t in (x, y, g))
        exponent = _exponent(c, wx, wy, value.to(ctx.dtype), score.to(ctx.dtype), ctx.epsilon)
        payload_x = padded(torch.cat([wg[:, None] * wx, wg[:, None]], 1))
        payload_y = padded(torch.cat([wy, torch.ones_like(wy[:, :1])], 1))
        rows, columns = accumulator(len(x), payload_y), accumulator(len(y), payload_x)
        mass = torch.zeros(len(y), dtype=torch.float64, device=x.device)
        for i in blocks(len(x)):
            left = payload_x[i].T.contiguous()
            for j in blocks(len(y)):
                plan, factor = exponent(i, j).clamp_(min=FLOOR, max=-FLOOR).exp2_(), 2.0
                mass[j] += wg[i] @ plan
                if not c.linear:
                    _, slope, factor = c.evaluate_with_slope(wx[i], wy[j])
                    plan = slope.mul_(plan)
                rows[i].add_(plan @ payload_y[j].to(plan.dtype), alpha=factor)
                columns[j].add_((left.to(plan.dtype) @ plan).T, alpha=factor)
        gx = g.double()[:, None] * c.form.gradient(x.double(), rows[:, : d + 1].double())
        gy = c.form.gradient(y.double(), columns[:, : d + 1].double())
        return None, gx.to(x.dtype), gy.to(y.dtype), (-mass).to(score.dtype), None, None
