"""Some of the rows: random ones, or evenly spread ones."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["random_rows", "spread_rows"]


def random_rows(n: int, most: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return at most so many different numbers below n, in random order."""
    return torch.randperm(n, generator=generator, device="cpu")[:most].to(device)


def spread_rows(points: Tensor, most: int) -> Tensor:
    """Return every k-th row of points (n, …), with the smallest k that leaves at most so many."""
    return points[:: 1 + len(points) // most]
