"""Minima over all pairs: the c-transform of a potential, and nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs.forms import Distance, PairFunction
from divkit.pairs.tiles import blocks

__all__ = ["minimum", "nearest"]


def minimum(c: PairFunction, x: Tensor, y: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Find the c-transform minⱼ c(xᵢ, yⱼ) − scoreⱼ (n,), and the j of each minimum (n,)."""
    values = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    index = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for i in blocks(len(x)):
        for j in blocks(len(y)):
            least, where = c.evaluate(x[i], y[j]).sub_(score[j]).min(1)
            better = least < values[i]
            values[i] = torch.where(better, least, values[i])
            index[i] = torch.where(better, where + j.start, index[i])
    return values, index


def nearest(x: Tensor, y: Tensor, k: int, *, exclude_self: bool = False) -> tuple[Tensor, Tensor]:
    """Find the distances (n, k), ascending, to the k nearest rows of y, and their indices (n, k).

    With `exclude_self`, x and y are one sample and a row is not its own neighbour.
    """
    if k > len(y) - exclude_self:
        raise ValueError(f"{k} neighbours need at least {k + exclude_self} samples; got {len(y)}.")
    distances = torch.full((len(x), k), torch.inf, dtype=x.dtype, device=x.device)
    index = torch.zeros(len(x), k, dtype=torch.long, device=x.device)
    for i in blocks(len(x)):
        for j in blocks(len(y)):
            tile = Distance.tile(x[i], y[j])
            if exclude_self and i == j:
                tile.fill_diagonal_(torch.inf)
            least, where = tile.topk(min(k, tile.shape[1]), 1, largest=False)
            both = torch.cat([distances[i], least], 1)
            distances[i], chosen = both.topk(k, 1, largest=False, sorted=True)
            index[i] = torch.cat([index[i], where + j.start], 1).gather(1, chosen)
    return distances.sqrt_(), index
