"""Sweeps of matrix scaling: both halves of a Sinkhorn iteration from one evaluation of every pair.

A sweep takes potentials f, g to

    g⁺ⱼ = −λ ε log Σᵢ aᵢ exp((fᵢ − cᵢⱼ)/ε),    f⁺ᵢ = −λ ε log Σⱼ bⱼ exp((g⁺ⱼ − cᵢⱼ)/ε)

of weights a, b and a damping λ, which is one unless mass may change. With a guess g of g⁺, let Tᵢⱼ = exp((fᵢ + gⱼ − cᵢⱼ)/ε) and

    Sⱼ = Σᵢ aᵢ Tᵢⱼ,    Rᵢ = Σⱼ Tᵢⱼ bⱼ exp((g⁺ⱼ − gⱼ)/ε).

Then g⁺ⱼ = λ (gⱼ − ε log Sⱼ) and f⁺ᵢ = λ (fᵢ − ε log Rᵢ), and the factor in R is exp((λ − 1) gⱼ/ε) Sⱼ^−λ. So a strip of
columns of T, over all rows, is evaluated once: its column sums S give g⁺, and with them its part of R. Near the solution S
and R are near one. Where one is not, a bound on the exponents may have cut it, and it is found anew by `softmin`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.near import Near, Rows, add_to, current_sparsity, find_near, select, tiles
from divkit.pairs.softmin import Exponent, exponents, powers, softmin, trusted, working_dtype

__all__ = ["alternate", "entries", "reflect"]


def alternate(
    c: PairFunction, x: Tensor, y: Tensor, a: Tensor, b: Tensor, f: Tensor, g: Tensor, epsilon: float, damping: float = 1.0
) -> tuple[Tensor, Tensor]:  # -> (n,), (m,) float64
    """Make one Sinkhorn sweep from f, with a guess g: the f⁺ and g⁺ at the top; `damping` is λ."""
    dtype = working_dtype(c, x, y, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, y.to(dtype), f, g, epsilon)
    weights, shift = a.to(dtype), (damping - 1) * g / epsilon
    sums, rows = torch.empty_like(g), torch.zeros(len(x), dtype=torch.float64, device=x.device)  # S, R
    near = _find_near(c, x, y, f, g, epsilon, damping, dtype)
    for i, j, tile in _strips(exponent, wx, len(y), near):
        sums[j] = select(weights, i) @ tile
        add_to(rows, i, tile @ (b[j] * torch.exp(shift[j] - damping * sums[j].log())).to(dtype))
    new = damping * (g - epsilon * sums.log())
    lost = (~_trusted(sums, near)).nonzero()[:, 0]
    if len(lost):  # the guess was so far off that exponents were cut: their part of R is wrong as well
        new[lost] = damping * softmin(c, y[lost], x, f + epsilon * a.log(), epsilon)
        return damping * softmin(c, x, y, new + epsilon * b.log(), epsilon, f), new
    image = _from_sums(f, rows, epsilon, near, lambda lost: softmin(c, x[lost], y, new + epsilon * b.log(), epsilon))
    return damping * image, new


def reflect(
    c: PairFunction, x: Tensor, a: Tensor, p: Tensor, epsilon: float, damping: float = 1.0
) -> Tensor:  # -> (n,) float64
    """Find λ softmin(c − p) over x itself, weighted by a: the halves of the symmetric table are one evaluation."""
    dtype = working_dtype(c, x, x, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, wx, p, p, epsilon)
    weights, rows = a.to(dtype), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    near = _find_near(c, x, x, p, p, epsilon, damping, dtype)
    for i, j, tile in _strips(exponent, wx, len(x), near, lower=True):
        add_to(rows, i, tile @ weights[j])
        width = j.stop - j.start  # rows i begin with rows j, whose square is complete; the rest counts for its transpose too
        rows[j] += select(weights, i)[width:] @ tile[width:]
    return damping * _from_sums(p, rows, epsilon, near, lambda lost: softmin(c, x[lost], x, p + epsilon * a.log(), epsilon))


def entries(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, *, least: float, most: int
) -> tuple[Tensor, Tensor, Tensor] | None:  # -> rows, columns, values (K,)
    """Find all exp((fᵢ + gⱼ − cᵢⱼ)/ε) above `least`; None where there are more than `most`."""
    dtype = working_dtype(c, x, y, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, y.to(dtype), f, g, epsilon)
    rows, columns, values, count = [], [], [], 0
    near = find_near(c, x, y, f, g, epsilon, -math.log2(least))
    for strip_rows, j, tile in _strips(exponent, wx, len(y), near):
        i, k = (tile > least).nonzero(as_tuple=True)
        count += len(i)
        if count > most:
            return None
        rows.append(i if isinstance(strip_rows, slice) else strip_rows[i])
        columns.append(k + j.start)
        values.append(tile[i, k].double())
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def _strips(
    exponent: Exponent, x: Tensor, m: int, near: Near | None, *, lower: bool = False
) -> Iterator[tuple[Rows, slice, Tensor]]:
    """Yield strips of T with their rows and columns, all in one piece of memory."""
    memory = x.new_empty(0)
    for i, j in tiles(len(x), m, near, lower=lower):
        shape = i.stop - i.start if isinstance(i, slice) else len(i), j.stop - j.start
        size = shape[0] * shape[1]
        if size > len(memory):
            memory = x.new_empty(size if near is None else min(2 * size, len(x) * shape[1]))
        yield i, j, powers(exponent(i, j, memory[:size].view(shape)))


def _find_near(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, damping: float, dtype: torch.dtype
) -> Near | None:
    """Find the pairs that are not lost to rounding in a trusted sum; None (all pairs) where sums need not be near one."""
    if damping != 1:
        return None
    return find_near(c, x, y, f, g, epsilon, current_sparsity().slack - math.log2(torch.finfo(dtype).eps))


def _trusted(sums: Tensor, near: Near | None) -> Tensor:
    """Return whether sums lost nothing to the bound on exponents, nor to the pairs left out."""
    return trusted(sums) if near is None else trusted(sums, 2.0**-near.slack)


def _from_sums(
    f: Tensor, sums: Tensor, epsilon: float, near: Near | None, again: Callable[[Tensor], Tensor]
) -> Tensor:  # -> (n,)
    """Return the softmin f − ε log R, given R as `sums`; rows that lost digits are found `again`."""
    value = f - epsilon * sums.log()
    lost = (~_trusted(sums, near)).nonzero()[:, 0]
    if len(lost):
        value[lost] = again(lost)
    return value
