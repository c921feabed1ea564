"""Arcs worth having: the pairs of least reduced cost c(xᵢ, yⱼ) − uᵢ − vⱼ, and those where it is negative."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from divkit.pairs.forms import PairFunction
from divkit.pairs.tiles import blocks

__all__ = ["Violations", "cheapest", "violations"]

GROUP = 16  # entries of a tile that share a minimum: one vectorised pass, after which selection costs a sixteenth
PLACE = GROUP - 1  # the bits of a float32 in which a minimum remembers its place in the group; six digits are left
PENDING = 4  # blocks whose minima wait before a selection among them


class Violations(NamedTuple):
    """What a sweep over all reduced costs finds."""

    minimum: Tensor  # (n,) minⱼ c(xᵢ, yⱼ) − vⱼ, the c-transform of v
    rows: Tensor  # (K,)
    columns: Tensor  # (K,) pairs whose reduced cost is negative: the worst of each row


def cheapest(c: PairFunction, x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Pairs (rows, columns), each once, with about the k least reduced costs of every row and column.

    A selection, not a proof: of the sixteen entries in a group only the least can be chosen (rows in random order make
    that rare), and reduced costs below zero count as zero.
    """
    u, v = u.to(x.dtype), v.to(x.dtype)
    of_rows, of_columns = [], [_Best(k) for _ in blocks(len(y))]
    for i in blocks(len(x)):
        of_row = _Best(k)
        for j, of_column in zip(blocks(len(y)), of_columns):
            tile = c.evaluate(x[i], y[j]).sub_(u[i, None]).sub_(v[j]).float().clamp_(min=0.0)
            of_row.add(*_minima(tile, 1), j.start)
            of_column.add(*_minima(tile, 0), i.start)
        of_rows.append(of_row.select())
    columns, rows = torch.cat(of_rows), torch.cat([best.select() for best in of_columns])
    own_rows = torch.arange(len(x), device=x.device)[:, None].expand_as(columns)
    own_columns = torch.arange(len(y), device=x.device)[:, None].expand_as(rows)
    key = torch.unique(torch.cat([(own_rows * len(y) + columns).flatten(), (rows * len(y) + own_columns).flatten()]))
    return key // len(y), key % len(y)


def violations(c: PairFunction, x: Tensor, y: Tensor, u: Tensor, v: Tensor, tolerance: float, k: int) -> Violations:
    """Check every reduced cost against −tolerance; of each row at most the k worst pairs come back."""
    minimum = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    found = []
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
                both = torch.cat([worst[rows], lower], 1)
                worst[rows], chosen = both.topk(k, 1, largest=False)
                index[rows] = torch.cat([index[rows], where + j.start], 1).gather(1, chosen)
        rows, place = (index >= 0).nonzero(as_tuple=True)
        found.append((rows + i.start, index[rows, place]))
    rows, columns = (torch.cat(part) for part in zip(*found))
    return Violations(minimum, rows, columns)


def _minima(tile: Tensor, dim: int) -> tuple[Tensor, Tensor]:  # (p, q) -> (p or q, groups) twice
    """Minima over groups of a non-negative tile along `dim`, as integers in the order of the numbers, and where they are.

    A group is every g-th entry, g being the number of groups.
    """
    short = -tile.shape[dim] % GROUP
    if short:
        tile = torch.nn.functional.pad(tile, (0, short) if dim else (0, 0, 0, short), value=torch.inf)
    groups = tile.shape[dim] // GROUP
    place = torch.arange(GROUP, dtype=torch.int32, device=tile.device)
    ordered = tile.view(torch.int32).bitwise_and(~PLACE)
    if dim:
        least = ordered.view(-1, GROUP, groups).bitwise_or_(place[:, None]).amin(1)
    else:
        least = ordered.view(GROUP, groups, -1).bitwise_or_(place[:, None, None]).amin(0).T.contiguous()
    where = (least & PLACE) * groups + torch.arange(groups, dtype=torch.int32, device=tile.device)
    return least, where


class _Best:
    """The k least of what was added, row by row."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.values: list[Tensor] = []
        self.index: list[Tensor] = []

    def add(self, values: Tensor, index: Tensor, start: int) -> None:
        self.values.append(values)
        self.index.append(index.add_(start))
        if len(self.values) == PENDING:
            self.merge()

    def merge(self) -> None:
        values, index = torch.cat(self.values, 1), torch.cat(self.index, 1)
        least, chosen = values.topk(min(self.k, values.shape[1]), 1, largest=False)
        self.values, self.index = [least], [index.gather(1, chosen)]

    def select(self) -> Tensor:  # -> (rows, k)
        self.merge()
        return self.index[0].long()
