"""Fidelity and diversity by nearest neighbours: precision, recall, density, coverage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from divkit.support.checks import whole

__all__ = ["Neighbourhoods", "neighbourhoods"]


class Neighbourhoods(NamedTuple):
    """Shares between 0 and 1, but density, which may be larger."""

    precision: float  # generated points inside some real point's ball
    recall: float  # real points inside some generated point's ball
    density: float  # real balls around a generated point, divided by k
    coverage: float  # real points whose ball holds a generated point


def neighbourhoods(real: Tensor, made: Tensor, k: int = 5) -> Neighbourhoods:
    """Compare two sets by balls that reach each point's k-th neighbour within its own set.

    Source: Kynkäänniemi et al. (2019) for precision and recall; Naeem et al. (2020) for density and coverage.

    Parameters
    ----------
    real, made : Tensor (n, *event), (m, *event)
        Points, or their features.
    k : int

    Raises
    ------
    ValueError
        Where a set has no k-th neighbour, or the points differ in size.

    Examples
    --------
    >>> x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    >>> neighbourhoods(x, x + 100.0).coverage, neighbourhoods(x, x).recall
    (0.0, 1.0)
    """
    whole("k", k)
    a, b = real.flatten(1).double(), made.flatten(1).double()
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"A real point has {a.shape[1]} numbers and a generated one {b.shape[1]}; they must be the same.")
    if min(len(a), len(b)) <= k:
        raise ValueError(f"Found array with {min(len(a), len(b))} sample(s) while a minimum of {k + 1} is required: k = {k}.")
    reach_a, reach_b = _reach(a, k), _reach(b, k)
    inside = torch.zeros(len(b), dtype=torch.float64, device=b.device)  # real balls around each generated point
    recalled, covered = [], []
    for rows, radius in zip(torch.split(a, 1000), torch.split(reach_a, 1000)):
        distance = torch.cdist(rows, b)
        held = distance <= radius[:, None]
        inside += held.sum(0)
        covered.append(held.any(1))
        recalled.append((distance <= reach_b).any(1))
    shares = [torch.cat(parts).double().mean() for parts in (recalled, covered)]
    return Neighbourhoods(float((inside > 0).double().mean()), float(shares[0]), float(inside.mean()) / k, float(shares[1]))


def _reach(x: Tensor, k: int) -> Tensor:
    """Each point's distance to its k-th other point: (n,)."""
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in torch.split(x, 1000)])
