"""Clusters of near points, by halving again and again along the widest axis."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clusters", "neighbours"]


def clusters(points: Tensor, halvings: int) -> Tensor:  # (n, d) -> (n,)
    """Label 2^halvings clusters of equal size, up to one point.

    In each round a cluster is sorted along the axis in which it is widest, and its lower half becomes one of the next round's.
    All are sorted at once: by their label plus the place within the cluster, from 0 to ½.
    """
    n = len(points)
    order, rank = torch.arange(n, device=points.device), torch.arange(n, device=points.device)
    for level in range(halvings):
        label, sorted_points = rank * 2**level // n, points[order]
        target = label[:, None].expand_as(sorted_points)
        empty = sorted_points.new_zeros(2**level, sorted_points.shape[1])
        high, low = (empty.scatter_reduce(0, target, sorted_points, how, include_self=False) for how in ("amax", "amin"))
        axis = (high - low).argmax(1)[label]
        along = sorted_points[rank, axis].double()
        least, most = low.double()[label, axis], high.double()[label, axis]
        order = order[(label + (along - least) / (2 * (most - least)).clamp(min=1e-300)).argsort(stable=True)]
    return torch.empty_like(rank).index_copy_(0, order, rank * 2**halvings // n)


def neighbours(points: Tensor, cluster_size: int = 8) -> Tensor:  # (n, d) -> (n,)
    """Return row numbers, so ordered that near points follow one another: by clusters of about `cluster_size` points."""
    return clusters(points, max(0, (len(points) // cluster_size).bit_length() - 1)).argsort(stable=True)
