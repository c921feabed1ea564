"""Sweeps of matrix scaling: both halves of a Sinkhorn iteration from one evaluation of every pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.near import Near, Rows, added, near, taken, tiles
from divkit.pairs.softmin import FLOOR, TRUSTED, Exponent, exponents, softmin, working

__all__ = ["alternate", "entries", "reflect"]

HELD = 4.0  # bits by which a row's sum may fall short of one where far pairs are left out


def alternate(
    c: PairFunction,
    x: Tensor,
    y: Tensor,
    a: Tensor,
    b: Tensor,
    f: Tensor,
    g: Tensor,
    epsilon: float,
    damping: float = 1.0,
) -> tuple[Tensor, Tensor]:  # -> (n,), (m,) float64
    """One Sinkhorn sweep: g⁺ = λ softmin(c − f) over x weighted by a, then f⁺ = λ softmin(c − g⁺) over y weighted by b.

    A strip of columns over all rows is evaluated once at the guess g: its column sums give g⁺, and its columns, rescaled
    by it, the strip's part of the row sums.
    """
    dtype = working(c, x, y, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, y.to(dtype), f, g, epsilon)
    weights, shift = a.to(dtype), (damping - 1) * g / epsilon
    sums, rows = torch.empty_like(g), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    close = _near(c, x, y, f, g, epsilon, damping, dtype)
    for i, j, tile in _strips(exponent, wx, len(y), close):
        sums[j] = taken(weights, i) @ tile
        added(rows, i, tile @ (b[j] * torch.exp(shift[j] - damping * sums[j].log())).to(dtype))
    new = damping * (g - epsilon * sums.log())
    stale = (~_trusted(sums, close)).nonzero()[:, 0]
    if len(stale):  # the guess was so far off that the clamp cut: their part of the rows is wrong as well
        new[stale] = damping * softmin(c, y[stale], x, f + epsilon * a.log(), epsilon)
        return damping * softmin(c, x, y, new + epsilon * b.log(), epsilon, f), new
    found = _reduced(f, rows, epsilon, close, lambda stale: softmin(c, x[stale], y, new + epsilon * b.log(), epsilon))
    return damping * found, new


def reflect(
    c: PairFunction, x: Tensor, a: Tensor, p: Tensor, epsilon: float, damping: float = 1.0
) -> Tensor:  # -> (n,) float64
    """λ softmin(c − p) over x itself, weighted by a: the halves of the symmetric table are one evaluation."""
    dtype = working(c, x, x, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, wx, p, p, epsilon)
    weights, rows = a.to(dtype), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    close = _near(c, x, x, p, p, epsilon, damping, dtype)
    for i, j, tile in _strips(exponent, wx, len(x), close, lower=True):
        added(rows, i, tile @ weights[j])
        own = j.stop - j.start  # rows whose square is done
        rows[j] += taken(weights, i)[own:] @ tile[own:]
    return damping * _reduced(p, rows, epsilon, close, lambda stale: softmin(c, x[stale], x, p + epsilon * a.log(), epsilon))


def entries(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, *, least: float, most: int
) -> tuple[Tensor, Tensor, Tensor] | None:  # -> rows, columns, values (K,)
    """All exp((fᵢ + gⱼ − cᵢⱼ)/ε) above `least`; None where there are more than `most`."""
    dtype = working(c, x, y, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, y.to(dtype), f, g, epsilon)
    rows, columns, values, count = [], [], [], 0
    close = near(c, x, y, f, g, epsilon, -math.log2(least))
    for some, j, tile in _strips(exponent, wx, len(y), close):
        i, k = (tile > least).nonzero(as_tuple=True)
        count += len(i)
        if count > most:
            return None
        rows.append(i if isinstance(some, slice) else some[i])
        columns.append(k + j.start)
        values.append(tile[i, k].double())
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def _strips(
    exponent: Exponent, x: Tensor, m: int, close: Near | None, *, lower: bool = False
) -> Iterator[tuple[Rows, slice, Tensor]]:
    """`tiles` with their 2^exponent, in one piece of memory."""
    memory = x.new_empty(0)
    for i, j in tiles(len(x), m, close, lower=lower):
        shape = i.stop - i.start if isinstance(i, slice) else len(i), j.stop - j.start
        size = shape[0] * shape[1]
        if size > len(memory):
            memory = x.new_empty(size if close is None else min(2 * size, len(x) * shape[1]))
        tile = exponent(i, j, memory[:size].view(shape))
        yield i, j, tile.clamp_(min=FLOOR, max=-FLOOR).exp2_()


def _near(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, damping: float, dtype: torch.dtype
) -> Near | None:
    """The pairs that are not lost to rounding in a sum that is trusted; all of them where sums need not be near one."""
    return near(c, x, y, f, g, epsilon, HELD - math.log2(torch.finfo(dtype).eps)) if damping == 1 else None


def _trusted(sums: Tensor, close: Near | None) -> Tensor:
    return (sums > (1 / TRUSTED if close is None else 2.0**-HELD)) & (sums < TRUSTED)


def _reduced(
    f: Tensor, sums: Tensor, epsilon: float, close: Near | None, again: Callable[[Tensor], Tensor]
) -> Tensor:  # -> (n,)
    """The softmin whose row sums at the shift f these are; rows that cannot be trusted are done `again`, over all pairs."""
    value = f - epsilon * sums.log()
    stale = (~_trusted(sums, close)).nonzero()[:, 0]
    if len(stale):
        value[stale] = again(stale)
    return value
