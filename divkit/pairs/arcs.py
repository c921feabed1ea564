"""Pairs that may belong to a transport plan: those of least or of negative reduced cost c(xᵢ, yⱼ) − uᵢ − vⱼ.

For optimal potentials u, v no reduced cost is negative, and a plan's pairs have reduced cost zero. So near the optimum a plan
is sought among the pairs of least reduced cost (`cheapest`), and a negative one proves that the potentials are not optimal yet
(`violations`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.group_minima import group_minima
from divkit.pairs.tiles import blocks

__all__ = ["Violations", "cheapest", "violations"]


class Violations(NamedTuple):
    """The pairs of negative reduced cost, and the least cost of each row."""

    minimum: Tensor  # (n,) minⱼ c(xᵢ, yⱼ) − vⱼ, the c-transform of v
    rows: Tensor  # (K,)
    columns: Tensor  # (K,) pairs whose reduced cost is negative: the worst of each row


def cheapest(
    c: PairFunction, x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: int, *, place_bits: int = 4, pending: int = 4
) -> tuple[Tensor, Tensor]:
    """Select pairs (rows, columns), each once, with about the k least reduced costs of every row and column.

    A selection, not a proof: of each group of 2^place_bits entries of a tile only the least can be chosen (rows in random order
    make it rare that this loses one), and reduced costs below zero count as zero. The minima of `pending` tiles are gathered
    before the best of them are selected.
    """
    u, v = u.to(x.dtype), v.to(x.dtype)
    of_rows, best_of_columns = [], [_Best(k, pending) for _ in blocks(len(y))]
    for i in blocks(len(x)):
        best_of_rows = _Best(k, pending)
        for j, best_of_block in zip(blocks(len(y)), best_of_columns):
            tile = c.evaluate(x[i], y[j]).sub_(u[i, None]).sub_(v[j]).float().clamp_(min=0.0)
            best_of_rows.add(*group_minima(tile, 1, place_bits), j.start)
            best_of_block.add(*group_minima(tile, 0, place_bits), i.start)
        of_rows.append(best_of_rows.select())
    columns, rows = torch.cat(of_rows), torch.cat([best.select() for best in best_of_columns])
    own_rows = torch.arange(len(x), device=x.device)[:, None].expand_as(columns)
    own_columns = torch.arange(len(y), device=x.device)[:, None].expand_as(rows)
    key = torch.unique(torch.cat([(own_rows * len(y) + columns).flatten(), (rows * len(y) + own_columns).flatten()]))
    return key // len(y), key % len(y)


def violations(c: PairFunction, x: Tensor, y: Tensor, u: Tensor, v: Tensor, tolerance: float, k: int) -> Violations:
    """Check every reduced cost against −tolerance; of each row at most the k worst pairs come back."""
    minimum = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    pairs = []
    for i in blocks(len(x)):
        worst = torch.full((i.stop - i.start, k), -tolerance, dtype=x.dtype, device=x.device)
        index = torch.full((i.stop - i.start, k), -1, dtype=torch.long, device=x.device)
        for j in blocks(len(y)):
            tile = c.evaluate(x[i], y[j]).sub_(v[j])
            least = tile.amin(1)
            minimum[i] = torch.minimum(minimum[i], least)
            rows = (least - u[i] < worst[:, -1]).nonzero()[:, 0]
            if len(rows):
                lower, where = (tile[rows] - u[i][rows, None]).topk(min(k, tile.shape[1]), 1, largest=False)
                worst[rows], chosen = torch.cat([worst[rows], lower], 1).topk(k, 1, largest=False)
                index[rows] = torch.cat([index[rows], where + j.start], 1).gather(1, chosen)
        rows, place = (index >= 0).nonzero(as_tuple=True)
        pairs.append((rows + i.start, index[rows, place]))
    rows, columns = (torch.cat(part) for part in zip(*pairs))
    return Violations(minimum, rows, columns)


class _Best:
    """The k least of the numbers added so far, row by row, and their indices."""

    def __init__(self, k: int, pending: int) -> None:
        self.k, self.pending = k, pending
        self.values: list[Tensor] = []
        self.index: list[Tensor] = []

    def add(self, values: Tensor, index: Tensor, start: int) -> None:
        """Take numbers in, whose indices count from `start`."""
        self.values.append(values)
        self.index.append(index.add_(start))
        if len(self.values) == self.pending:
            self._merge()

    def select(self) -> Tensor:  # -> (rows, k)
        """Return the indices of the k least of each row."""
        self._merge()
        return self.index[0].long()

    def _merge(self) -> None:
        """Reduce what was added to the k least of each row."""
        values, index = torch.cat(self.values, 1), torch.cat(self.index, 1)
        least, chosen = values.topk(min(self.k, values.shape[1]), 1, largest=False)
        self.values, self.index = [least], [index.gather(1, chosen)]
