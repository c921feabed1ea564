"""Sweeps of matrix scaling: both halves of a Sinkhorn iteration from one evaluation of every pair."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.softmin import FLOOR, TRUSTED, Exponent, exponents, softmin, working
from divkit.pairs.tiles import strips

__all__ = ["alternate", "entries", "reflect"]


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
    for j, tile in _strips(exponent, wx, len(y)):
        sums[j] = weights @ tile
        rows += tile @ (b[j] * torch.exp(shift[j] - damping * sums[j].log())).to(dtype)
    new = damping * (g - epsilon * sums.log())
    stale = (~_trusted(sums)).nonzero()[:, 0]
    if len(stale):  # the guess was so far off that the clamp cut: their part of the rows is wrong as well
        new[stale] = damping * softmin(c, y[stale], x, f + epsilon * a.log(), epsilon)
        return damping * softmin(c, x, y, new + epsilon * b.log(), epsilon, f), new
    return damping * _reduced(c, x, y, b, f, new, rows, epsilon), new


def reflect(
    c: PairFunction, x: Tensor, a: Tensor, p: Tensor, epsilon: float, damping: float = 1.0
) -> Tensor:  # -> (n,) float64
    """λ softmin(c − p) over x itself, weighted by a: the halves of the symmetric table are one evaluation."""
    dtype = working(c, x, x, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, wx, p, p, epsilon)
    weights, rows = a.to(dtype), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for j, tile in _strips(exponent, wx, len(x), lower=True):
        rows[j.start :] += tile @ weights[j]
        rows[j] += weights[j.stop :] @ tile[j.stop - j.start :]  # the strip's own square is done
    return damping * _reduced(c, x, x, a, p, p, rows, epsilon)


def entries(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, *, least: float, most: int
) -> tuple[Tensor, Tensor, Tensor] | None:  # -> rows, columns, values (K,)
    """All exp((fᵢ + gⱼ − cᵢⱼ)/ε) above `least`; None where there are more than `most`."""
    dtype = working(c, x, y, epsilon)
    wx = x.to(dtype)
    exponent = exponents(c, wx, y.to(dtype), f, g, epsilon)
    rows, columns, values, count = [], [], [], 0
    for j, tile in _strips(exponent, wx, len(y)):
        i, k = (tile > least).nonzero(as_tuple=True)
        count += len(i)
        if count > most:
            return None
        rows.append(i)
        columns.append(k + j.start)
        values.append(tile[i, k].double())
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def _strips(exponent: Exponent, x: Tensor, m: int, *, lower: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Strips of columns and their tile of 2^exponent, over all rows or those from the strip's on, in one piece of memory."""
    cut = strips(len(x), m)
    memory = x.new_empty(len(x) * cut[0].stop)
    for j in cut:
        first, width = j.start if lower else 0, j.stop - j.start
        rows = len(x) - first
        tile = exponent(slice(first, None), j, memory[: rows * width].view(rows, width))
        yield j, tile.clamp_(min=FLOOR, max=-FLOOR).exp2_()


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
