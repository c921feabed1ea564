"""Directions to project on, and how many of them say how much they differ."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.core.notes import Note, Notes

__all__ = ["directions", "too_few"]

ENOUGH = 5  # directions: the deviation of fewer is no error to go by


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


def too_few(count: int, d: int) -> Notes:
    """Return a note where so few directions in d dimensions cannot tell how much they differ; in one dimension there is one."""
    if d == 1 or count >= ENOUGH:
        return {}
    return {Note.STDERR: f"no standard error from {count} projection(s); a minimum of {ENOUGH} is required"}
