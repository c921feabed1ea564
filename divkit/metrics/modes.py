"""Mixtures with well separated modes, and how many of the modes generated points reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.metrics.rows import rows_of

__all__ = ["ModeCount", "Modes", "grid", "modes", "ring", "swiss_roll"]


@dataclass(frozen=True)
class Modes:
    """Equal isotropic normal laws around centres (k, d)."""

    centres: tuple[tuple[float, ...], ...]
    deviation: float

    def sample(self, n: int, generator: torch.Generator) -> Tensor:  # -> (n, d)
        """Draw points.

        >>> ring().sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
        """
        centres = torch.tensor(self.centres)
        which = torch.randint(len(centres), (n,), generator=generator)
        return centres[which] + self.deviation * torch.randn(n, centres.shape[1], generator=generator)


def ring(count: int = 8, radius: float = 1.0, deviation: float = 0.01) -> Modes:
    """Return a mixture whose centres lie on a circle."""
    angles = [2 * math.pi * k / count for k in range(count)]
    return Modes(tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), deviation)


def grid(side: int = 5, spacing: float = 2.0, deviation: float = 0.05) -> Modes:
    """Return a mixture whose centres form a square grid around 0."""
    ticks = [spacing * (k - (side - 1) / 2) for k in range(side)]
    return Modes(tuple((a, b) for a in ticks for b in ticks), deviation)


def swiss_roll(n: int, generator: torch.Generator, deviation: float = 0.1) -> Tensor:  # -> (n, 2)
    """Draw from a spiral t (cos t, sin t)/7.5 with noise, t = 3π/2 (1 + 2u), u uniform: about two units across."""
    t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
    points = torch.stack([t * t.cos(), t * t.sin()], 1) + deviation * 7.5 * torch.randn(n, 2, generator=generator) / 4
    return points / 7.5


class ModeCount(NamedTuple):
    """The modes that points reach."""

    found: int  # modes with at least `fewest` good points
    quality: float  # share of good points
    reverse_kl: float  # KL of the good points' modes from equal shares, nats; log k less their entropy
    counts: Tensor  # (k,) good points of each mode


def modes(x: Any, mixture: Modes, *, within: float = 3.0, fewest: int = 20) -> ModeCount:
    """Count the modes that points reach: a point is good within three standard deviations of its nearest centre.

    Source: the protocol of Srivastava et al. (2017) and Lin et al. (2018); in d dimensions the distance is Mahalanobis'.

    Parameters
    ----------
    x : array-like (n, d)
        In the coordinates of the mixture.
    mixture : Modes
    within : float
        The distance from the nearest centre up to which a point is good, in standard deviations.
    fewest : int
        Good points that make a mode found.

    Examples
    --------
    >>> x = ring().sample(2500, torch.Generator().manual_seed(0))
    >>> count = modes(x[x[:, 0] > 0.5], ring())
    >>> count.found, count.quality > 0.97
    (3, True)
    """
    measure = x if isinstance(x, Measure) else Measure(x)
    points, centres = rows_of(measure, torch.tensor(mixture.centres, device=measure.device))
    distance, nearest = (column[:, 0] for column in pairs.nearest(points, centres, 1))
    good = distance < within * mixture.deviation
    counts = torch.bincount(nearest[good], minlength=len(centres))
    shares = counts / counts.sum().clamp(min=1)
    reverse = float(torch.special.xlogy(shares, shares * len(centres)).sum()) if bool(good.any()) else math.inf
    return ModeCount(int((counts >= fewest).sum()), float(good.double().mean()), reverse, counts)
