r"""Fidelity and diversity by nearest neighbours: precision, recall, density, coverage.

Around each real point :math:`x_i` lies a ball of radius :math:`r_i`, its distance to its k-th neighbour among the real points;
around each generated point :math:`y_j` one of radius :math:`s_j`, likewise. With
:math:`I_{ij} = [|x_i - y_j| \le r_i]` and :math:`J_{ij} = [|x_i - y_j| \le s_j]`

- precision is the share of j with some :math:`I_{ij}`, recall the share of i with some :math:`J_{ij}`;
- density is :math:`\sum_{ij} I_{ij} / (k m)`, coverage the share of i with some :math:`I_{ij}`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from divkit import pairs
from divkit.metrics.rows import rows_of
from divkit.support.checks import enough, whole

__all__ = ["Neighbourhoods", "neighbourhoods"]


class Neighbourhoods(NamedTuple):
    """Shares between 0 and 1, but density, which may be larger."""

    precision: float  # generated points inside some real point's ball
    recall: float  # real points inside some generated point's ball
    density: float  # real balls around a generated point, divided by k
    coverage: float  # real points whose ball holds a generated point


def neighbourhoods(real: Any, made: Any, k: int = 5) -> Neighbourhoods:
    """Compare two sets by balls that reach each point's k-th neighbour within its own set.

    Source: Kynkäänniemi et al. (2019) for precision and recall; Naeem et al. (2020) for density and coverage.

    Parameters
    ----------
    real, made : array-like (n, *event), (m, *event)
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
    x, y = rows_of(real, made)
    for name, points in (("real", x), ("made", y)):
        enough(name, len(points), k + 1, f"for k = {k}")
    r, s = (pairs.nearest(points, points, k, exclude_self=True)[0][:, -1] for points in (x, y))
    balls = torch.zeros(len(y), dtype=torch.float64, device=y.device)  # Σᵢ Iᵢⱼ
    recalled, covered = [], []
    for points, radius in zip(torch.split(x, 1000), torch.split(r, 1000)):  # a tile of distances at a time
        distance = pairs.Distance.tile(points, y).sqrt_()
        inside = distance <= radius[:, None]
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= s).any(1))
    recall, coverage = (float(torch.cat(parts).double().mean()) for parts in (recalled, covered))
    return Neighbourhoods(float((balls > 0).double().mean()), recall, float(balls.mean()) / k, coverage)
