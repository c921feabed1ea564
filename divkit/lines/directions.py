"""Random directions to project on, and how many of them a standard error needs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["directions", "too_few"]


def directions(count: int, d: int, seed: int, like: Tensor) -> Tensor:  # -> (count, d), unit rows
    """Draw directions uniformly on the sphere, orthogonal within each group of d, which lowers the variance."""
    generator, width = torch.Generator(device="cpu").manual_seed(seed), min(d, count)
    groups = [
        torch.linalg.qr(torch.randn(d, width, generator=generator, dtype=torch.float64, device="cpu"))[0].T
        for _ in range(0, count, d)
    ]
    rows = torch.cat(groups)[:count]
    signs = torch.randint(0, 2, (len(rows), 1), generator=generator, device="cpu").double() * 2 - 1
    return (rows * signs).to(dtype=like.dtype, device=like.device)


def too_few(count: int, d: int, minimum: int = 5) -> str:
    """Return the reason why there is no standard error, or an empty text.

    The deviation of fewer than `minimum` directions is too rough for one. In one dimension all directions are one, and exact.
    """
    if d == 1 or count >= minimum:
        return ""
    return f"no standard error from {count} projection(s); a minimum of {minimum} is required"
