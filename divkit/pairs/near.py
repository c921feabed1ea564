"""Which rows are near a strip of columns, where sharp exponents leave most pairs with nothing to add."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.tiles import strips

__all__ = ["Near", "Rows", "added", "many", "near", "taken", "tiles"]

Rows: TypeAlias = slice | Tensor  # a range of rows, or their numbers

WIDTH = 64  # rows of a block and columns of a strip
LARGE = 1 << 27  # pairs below which all are taken
MOST = 0.4  # the share of near pairs above which all are taken: large tiles are faster than many small ones
LOOKS = 16  # strips that the share is guessed from


class Blocks(NamedTuple):
    """Consecutive rows, `WIDTH` of them each, the last one repeated to fill its block: coordinates, potential, boxes."""

    points: Tensor  # (d, B, WIDTH)
    potential: Tensor  # (B, WIDTH)
    low: Tensor  # (d, B)
    high: Tensor  # (d, B)
    most: Tensor  # (B,)

    @classmethod
    def of(cls, points: Tensor, potential: Tensor) -> Blocks:
        missing = -len(points) % WIDTH
        whole = torch.cat([points, points[-1:].expand(missing, -1)]).T.reshape(points.shape[1], -1, WIDTH)
        f = torch.cat([potential, potential[-1:].expand(missing)]).to(points.dtype).view(-1, WIDTH)
        return cls(whole, f, whole.amin(2), whole.amax(2), f.amax(1))


class Near(NamedTuple):
    """Blocks of rows x with potentials f, strips of columns y with g, and what fᵢ + gⱼ − |xᵢ − yⱼ|² must exceed."""

    blocks: Blocks
    strips: Blocks
    least: float
    n: int

    def rows(self, strip: int, *, lower: bool = False) -> Tensor:  # -> (K,)
        """Rows that may count somewhere in the box of a strip; with `lower`, where x and y are one, from its own rows on."""
        of, first = self.blocks, strip + 1 if lower else 0
        box = list(zip(self.strips.low[:, strip].tolist(), self.strips.high[:, strip].tolist()))
        least = self.least - float(self.strips.most[strip])
        block = (of.most - _gap(of.low, of.high, box) > least)[first:].nonzero()[:, 0] + first
        points = of.points.index_select(1, block)
        near = of.potential.index_select(0, block) - _gap(points, points, box) > least
        rows = (block[:, None] * WIDTH + torch.arange(WIDTH, device=block.device)).masked_select(near)
        if self.n % WIDTH:
            rows = rows[: int(torch.searchsorted(rows, self.n))]
        if not lower:
            return rows
        return torch.cat([torch.arange(strip * WIDTH, min((strip + 1) * WIDTH, self.n), device=rows.device), rows])


def _gap(low: Tensor, high: Tensor, box: list[tuple[float, float]]) -> Tensor:  # (d, …) -> (…)
    """Squared distances of boxes from one, a coordinate at a time."""
    total = torch.zeros_like(low[0])
    for below, above, (least, most) in zip(low, high, box):
        away = torch.maximum(below - most, least - above).clamp_(min=0.0)
        total.addcmul_(away, away)
    return total


def many(n: int, m: int) -> bool:
    """Whether it may pay to look for near pairs."""
    return n * m >= LARGE


def near(c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, bits: float) -> Near | None:
    """The pairs of which exp((fᵢ + gⱼ − |xᵢ − yⱼ|²)/ε) may exceed 2^−bits; None where that is most of them, or there are few.

    Rows should be sorted so that neighbours follow one another: blocks are of consecutive ones.
    """
    if not c.linear or not many(len(x), len(y)):
        return None
    made = Near(Blocks.of(x, f), Blocks.of(y, g), -bits * math.log(2) * epsilon, len(x))
    looked = range(0, len(made.strips.most), 1 + len(made.strips.most) // LOOKS)
    share = sum(len(made.rows(strip)) for strip in looked) / (len(looked) * len(x))
    return made if share < MOST else None


def tiles(n: int, m: int, close: Near | None, *, lower: bool = False) -> Iterator[tuple[Rows, slice]]:
    """Rows and strips of columns that cover all pairs, or the near ones; with `lower`, the rows from the strip's first on."""
    if close is None:
        for j in strips(n, m):
            yield slice(j.start if lower else 0, n), j
        return
    for strip, start in enumerate(range(0, m, WIDTH)):
        yield close.rows(strip, lower=lower), slice(start, min(start + WIDTH, m))


def taken(values: Tensor, rows: Rows) -> Tensor:
    """Some rows of a tensor."""
    return values[rows] if isinstance(rows, slice) else values.index_select(0, rows)  # half the time of indexing


def added(values: Tensor, rows: Rows, more: Tensor) -> None:
    """Add to some rows, in place."""
    if isinstance(rows, slice):
        values[rows] += more
    else:
        values.index_add_(0, rows, more.to(values.dtype))
