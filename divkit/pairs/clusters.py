"""Clusters of near points, by halving again and again along the widest axis."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clusters", "neighbours"]

LEAF = 8  # points


def clusters(points: Tensor, halvings: int) -> Tensor:  # (n, d) -> (n,)
    """Labels of 2^halvings clusters of equal size, up to one point."""
    n = len(points)
    order, rank = torch.arange(n, device=points.device), torch.arange(n, device=points.device)
    for level in range(halvings):
        label, placed = rank * 2**level // n, points[order]
        ends = label[:, None].expand_as(placed)
        empty = placed.new_zeros(2**level, placed.shape[1])
        high, low = (empty.scatter_reduce(0, ends, placed, how, include_self=False) for how in ("amax", "amin"))
        axis = (high - low).argmax(1)[label]
        along = placed[rank, axis].double()
        least, most = low.double()[label, axis], high.double()[label, axis]
        order = order[(label + (along - least) / (2 * (most - least)).clamp(min=1e-300)).argsort(stable=True)]
    return torch.empty_like(rank).index_copy_(0, order, rank * 2**halvings // n)


def neighbours(points: Tensor) -> Tensor:  # (n, d) -> (n,)
    """Row numbers, so ordered that near points follow one another."""
    return clusters(points, max(0, (len(points) // LEAF).bit_length() - 1)).argsort(stable=True)
