"""Near pairs: where an exponent is sharp, most pairs add nothing to a sum of exponentials, and are left out.

The summands are exp((fᵢ + gⱼ − |xᵢ − yⱼ|²)/ε). Rows and columns are cut into blocks of consecutive ones, each
with its bounding box and its greatest potential. For a box of rows A and a box of columns B,

    fᵢ + gⱼ − |xᵢ − yⱼ|² ≤ max_A f + max_B g − gap(A, B)²,

so that a block of rows whose bound is below −bits · ε log 2 has no summand above 2^−bits in that strip of columns.
Of the blocks that are left, rows are tested one by one in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.tiles import strips, within

__all__ = ["Near", "Rows", "Sparsity", "add_to", "current_sparsity", "find_near", "many", "select", "sparsity", "tiles"]

Rows: TypeAlias = slice | Tensor  # a range of rows, or their numbers


@dataclass(frozen=True)
class Sparsity:
    """When sums are restricted to near pairs, and how these are looked for.

    Attributes
    ----------
    smallest : int
        The number of pairs, n · m, below which all are summed: looking would take longer than it saves.
    width : int
        Rows of a block, and columns of a strip.
    share : float
        The share of near pairs from which on all are summed: large tiles are faster than many small ones.
    looks : int
        Strips that this share is guessed from.
    slack : float
        Bits by which a sum that should be near one may fall short of it. Where it falls shorter, what was left out may count,
        and the sum is found again over all pairs.
    """

    smallest: int = 1 << 27
    width: int = 64
    share: float = 0.4
    looks: int = 16
    slack: float = 4.0


_SPARSITY: ContextVar[Sparsity] = ContextVar("sparsity", default=Sparsity())  # noqa: B039  (frozen)


def sparsity(settings: Sparsity) -> AbstractContextManager[None]:
    """Set within a context when near pairs are looked for: results depend on it by rounding only."""
    return within(_SPARSITY, settings)


def current_sparsity() -> Sparsity:
    """Return the settings that hold in this context."""
    return _SPARSITY.get()


class Blocks(NamedTuple):
    """Consecutive rows, `width` of them each, the last one repeated to fill its block: coordinates, potential, boxes."""

    points: Tensor  # (d, B, width)
    potential: Tensor  # (B, width)
    low: Tensor  # (d, B)
    high: Tensor  # (d, B)
    most: Tensor  # (B,)

    @classmethod
    def of(cls, points: Tensor, potential: Tensor, width: int) -> Blocks:
        """Cut points (n, d) and their potentials (n,) into blocks."""
        missing = -len(points) % width
        whole = torch.cat([points, points[-1:].expand(missing, -1)]).T.reshape(points.shape[1], -1, width)
        f = torch.cat([potential, potential[-1:].expand(missing)]).to(points.dtype).view(-1, width)
        return cls(whole, f, whole.amin(2), whole.amax(2), f.amax(1))


class Near(NamedTuple):
    """Blocks of n rows x with potentials f, strips of columns y with g, and what fᵢ + gⱼ − |xᵢ − yⱼ|² must exceed."""

    blocks: Blocks
    strips: Blocks
    least: float
    n: int
    width: int
    slack: float  # see `Sparsity`

    def rows(self, strip: int, *, lower: bool = False) -> Tensor:  # -> (K,)
        """Return the rows near a strip; with `lower`, where x and y are one, the strip's own and those after them."""
        blocks, first = self.blocks, strip + 1 if lower else 0
        box = list(zip(self.strips.low[:, strip].tolist(), self.strips.high[:, strip].tolist()))
        least = self.least - float(self.strips.most[strip])
        block = (blocks.most - _gap(blocks.low, blocks.high, box) > least)[first:].nonzero()[:, 0] + first
        points = blocks.points.index_select(1, block)
        is_near = blocks.potential.index_select(0, block) - _gap(points, points, box) > least
        rows = (block[:, None] * self.width + torch.arange(self.width, device=block.device)).masked_select(is_near)
        if self.n % self.width:
            rows = rows[: int(torch.searchsorted(rows, self.n))]
        if not lower:
            return rows
        return torch.cat([torch.arange(strip * self.width, min((strip + 1) * self.width, self.n), device=rows.device), rows])


def _gap(low: Tensor, high: Tensor, box: list[tuple[float, float]]) -> Tensor:  # (d, …) -> (…)
    """Find the squared distances of boxes from one, a coordinate at a time."""
    total = torch.zeros_like(low[0])
    for below, above, (least, most) in zip(low, high, box):
        gap = torch.maximum(below - most, least - above).clamp_(min=0.0)
        total.addcmul_(gap, gap)
    return total


def many(n: int, m: int) -> bool:
    """Return whether there are so many pairs that it may pay to look for near ones."""
    return n * m >= current_sparsity().smallest


def find_near(c: PairFunction, x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float, bits: float) -> Near | None:
    """Find the pairs of which exp((fᵢ + gⱼ − |xᵢ − yⱼ|²)/ε) may exceed 2^−bits; None where all pairs should be summed.

    Rows should be sorted so that neighbours follow one another: blocks are of consecutive ones.
    """
    if not c.is_squared_distance or not many(len(x), len(y)):
        return None
    settings = current_sparsity()
    width, least = settings.width, -bits * math.log(2) * epsilon
    near = Near(Blocks.of(x, f, width), Blocks.of(y, g, width), least, len(x), width, settings.slack)
    looks = range(0, len(near.strips.most), 1 + len(near.strips.most) // settings.looks)
    share = sum(len(near.rows(strip)) for strip in looks) / (len(looks) * len(x))
    return near if share < settings.share else None


def tiles(n: int, m: int, near: Near | None, *, lower: bool = False) -> Iterator[tuple[Rows, slice]]:
    """Yield rows and strips of columns that cover all pairs, or the near ones; with `lower`, rows from the strip's first on."""
    if near is None:
        for j in strips(n, m):
            yield slice(j.start if lower else 0, n), j
        return
    for strip, start in enumerate(range(0, m, near.width)):
        yield near.rows(strip, lower=lower), slice(start, min(start + near.width, m))


def select(values: Tensor, rows: Rows) -> Tensor:
    """Return some rows of a tensor."""
    return values[rows] if isinstance(rows, slice) else values.index_select(0, rows)  # half the time of indexing


def add_to(values: Tensor, rows: Rows, more: Tensor) -> None:
    """Add to some rows of a tensor, in place."""
    if isinstance(rows, slice):
        values[rows] += more
    else:
        values.index_add_(0, rows, more.to(values.dtype))
