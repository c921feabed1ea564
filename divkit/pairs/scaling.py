"""Sweeps of matrix scaling: both halves of a Sinkhorn iteration from one evaluation of every pair, or of those that count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.softmin import FLOOR, TRUSTED, exponents, softmin, working
from divkit.pairs.tiles import strips

__all__ = ["Support", "alternate", "compact", "entries", "reflect", "support"]

EVERY = slice(None)


class Support(NamedTuple):
    """The tiles, as rows by a strip of columns, outside of which nothing counts; and their share of all pairs."""

    tiles: list[tuple[Tensor, slice]]
    share: float


def compact(points: Tensor, n: int) -> Tensor:  # (m, d) -> (m,)
    """An order of points in which each of the strips over n rows is a compact cluster."""
    width = strips(n, len(points))[0].stop

    def split(kept: Tensor) -> list[Tensor]:
        if len(kept) <= width:
            return [kept]
        spread = points[kept].amax(0) - points[kept].amin(0)
        kept = kept[points[kept, int(spread.argmax())].argsort(stable=True)]
        half = width * max(1, round(len(kept) / width / 2))
        return split(kept[:half]) + split(kept[half:])

    return torch.cat(split(torch.arange(len(points), device=points.device)))


def support(
    c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, *, least: float, half: bool = False
) -> Support:
    """Where exp((fᵢ + gⱼ − cᵢⱼ)/ε) exceeds `least` in some column of a strip; with `half`, of rows from the strip's on."""
    dtype = working(c, x, y, epsilon)
    exponent = exponents(c, x.to(dtype), y.to(dtype), f, g, epsilon)
    tiles, count = [], 0
    for j in strips(len(x), len(y)):
        first = j.start if half else 0
        rows = (exponent(slice(first, None), j).amax(1) > math.log2(least)).nonzero()[:, 0] + first
        tiles.append((rows, j))
        count += len(rows) * (j.stop - j.start)
    return Support(tiles, count / len(x) / len(y))


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
    within: Support | None = None,
) -> tuple[Tensor, Tensor]:  # -> (n,), (m,) float64
    """One Sinkhorn sweep: g⁺ = λ softmin(c − f) over x weighted by a, then f⁺ = λ softmin(c − g⁺) over y weighted by b.

    A strip of columns over all rows is evaluated once at the guess g: its column sums give g⁺, and its columns, rescaled
    by it, the strip's part of the row sums.
    """
    dtype = working(c, x, y, epsilon)
    weights = a.to(dtype)
    rows, new = torch.zeros(len(x), dtype=torch.float64, device=x.device), torch.empty_like(g)
    exponent = exponents(c, x.to(dtype), y.to(dtype), f, g, epsilon)
    tiles: Sequence[tuple[Tensor | slice, slice]] = within.tiles if within else [(EVERY, j) for j in strips(len(x), len(y))]
    for i, j in tiles:
        tile, start = _exp2(exponent(i, j)), g[j]
        sums = (weights[i] @ tile).double()
        if not bool(_trusted(sums).all()):
            start = softmin(c, y[j], x, f + epsilon * a.log(), epsilon)
            tile = _exp2(exponents(c, x.to(dtype), y[j].to(dtype), f, start, epsilon)(i, EVERY))
            sums = (weights[i] @ tile).double()
        new[j] = damping * (start - epsilon * sums.log())
        rows[i] += (tile @ (b[j] * torch.exp((new[j] - start) / epsilon)).to(dtype)).double()
    return damping * _reduced(c, x, y, b, f, new, rows, epsilon), new


def reflect(
    c: PairFunction, x: Tensor, a: Tensor, p: Tensor, epsilon: float, damping: float = 1.0, within: Support | None = None
) -> Tensor:  # -> (n,) float64
    """λ softmin(c − p) over x itself, weighted by a: the halves of the symmetric table are one evaluation."""
    dtype = working(c, x, x, epsilon)
    weights, rows = a.to(dtype), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    exponent = exponents(c, x.to(dtype), x.to(dtype), p, p, epsilon)
    lower = [(slice(j.start, None), j) for j in strips(len(x), len(x))]
    tiles: Sequence[tuple[Tensor | slice, slice]] = within.tiles if within else lower
    later = torch.arange(len(x), device=x.device)
    for i, j in tiles:
        tile = _exp2(exponent(i, j))
        rows[i] += (tile @ weights[j]).double()
        rows[j] += (torch.where(later[i] >= j.stop, weights[i], 0.0) @ tile).double()  # the strip's own square is done
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
