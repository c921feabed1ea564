"""Sweeps of matrix scaling: both halves of a Sinkhorn iteration from one evaluation of every pair."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.softmin import FLOOR, TRUSTED, exponents, softmin, working
from divkit.pairs.tiles import strips

__all__ = ["alternate", "entries", "reflect"]


def alternate(
    c: PairFunction, x: Tensor, y: Tensor, a: Tensor, b: Tensor, f: Tensor, g: Tensor, epsilon: float, damping: float = 1.0
) -> tuple[Tensor, Tensor]:  # -> (n,), (m,) float64
    """One Sinkhorn sweep: g⁺ = λ softmin(c − f) over x weighted by a, then f⁺ = λ softmin(c − g⁺) over y weighted by b.

    A strip of columns over all rows is evaluated once at the guess g: its column sums give g⁺, and its columns, rescaled
    by it, the strip's part of the row sums.
    """
    dtype = working(c, x, y, epsilon)
    weights = a.to(dtype)
    rows, new = torch.zeros(len(x), dtype=torch.float64, device=x.device), torch.empty_like(g)
    exponent = exponents(c, x.to(dtype), y.to(dtype), f, g, epsilon)
    for j in strips(len(x), len(y)):
        tile, start = _exp2(exponent(slice(None), j)), g[j]
        sums = (weights @ tile).double()
        if not bool(_trusted(sums).all()):
            start = softmin(c, y[j], x, f + epsilon * a.log(), epsilon)
            tile = _exp2(exponents(c, x.to(dtype), y[j].to(dtype), f, start, epsilon)(slice(None), slice(None)))
            sums = (weights @ tile).double()
        new[j] = damping * (start - epsilon * sums.log())
        rows += tile @ (b[j] * torch.exp((new[j] - start) / epsilon)).to(dtype)
    return damping * _reduced(c, x, y, b, f, new, rows, epsilon), new


def reflect(
    c: PairFunction, x: Tensor, a: Tensor, p: Tensor, epsilon: float, damping: float = 1.0
) -> Tensor:  # -> (n,) float64
    """λ softmin(c − p) over x itself, weighted by a: the halves of the symmetric table are one evaluation."""
    dtype = working(c, x, x, epsilon)
    weights, rows = a.to(dtype), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    exponent = exponents(c, x.to(dtype), x.to(dtype), p, p, epsilon)
    for j in strips(len(x), len(x)):
        tile = _exp2(exponent(slice(j.start, None), j))
        rows[j.start :] += tile @ weights[j]
        rows[j] += weights[j.stop :] @ tile[j.stop - j.start :]
    return damping * _reduced(c, x, x, a, p, p, rows, epsilon)


def entries(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, *, least: float, most: int
) -> tuple[Tensor, Tensor, Tensor] | None:  # -> rows, columns, values (K,)
    """All exp((fᵢ + gⱼ − cᵢⱼ)/ε) above `least`; None where there are more than `most`."""
    dtype = working(c, x, y, epsilon)
    exponent = exponents(c, x.to(dtype), y.to(dtype), f, g, epsilon)
    rows, columns, values, count = [], [], [], 0
    for j in strips(len(x), len(y)):
        tile = _exp2(exponent(slice(None), j))
        i, k = (tile > least).nonzero(as_tuple=True)
        count += len(i)
        if count > most:
            return None
        rows.append(i)
        columns.append(k + j.start)
        values.append(tile[i, k].double())
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def _exp2(exponent: Tensor) -> Tensor:
    return exponent.clamp_(min=FLOOR, max=-FLOOR).exp2_()


def _trusted(sums: Tensor) -> Tensor:
    return (sums > 1 / TRUSTED) & (sums < TRUSTED)


def _reduced(
    c: PairFunction, x: Tensor, y: Tensor, b: Tensor, f: Tensor, g: Tensor, sums: Tensor, epsilon: float
) -> Tensor:  # -> (n,)
    """The softmin of g whose row sums at the shift f these are; rows that the clamp reached are done again."""
    value = f - epsilon * sums.log()
    stale = (~_trusted(sums)).nonzero()[:, 0]
    if len(stale):
        value[stale] = softmin(c, x[stale], y, g + epsilon * b.log(), epsilon)
    return value
