"""Mixtures with well separated modes, and what generated points say of them: modes found, share of high quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ModeCount", "Modes", "grid", "modes", "ring", "swiss_roll"]

FEWEST = 20  # good points that make a mode found
FAR = 3.0  # standard deviations from the nearest centre within which a point is good


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
    """Centres on a circle."""
    angles = [2 * math.pi * k / count for k in range(count)]
    return Modes(tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), deviation)


def grid(side: int = 5, spacing: float = 2.0, deviation: float = 0.05) -> Modes:
    """Centres on a square grid around 0."""
    ticks = [spacing * (k - (side - 1) / 2) for k in range(side)]
    return Modes(tuple((a, b) for a in ticks for b in ticks), deviation)


def swiss_roll(n: int, generator: torch.Generator, deviation: float = 0.1) -> Tensor:  # -> (n, 2)
    """A spiral t (cos t, sin t)/7.5 with noise, t = 3π/2 (1 + 2u), u uniform: about two units across."""
    t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
    points = torch.stack([t * t.cos(), t * t.sin()], 1) + deviation * 7.5 * torch.randn(n, 2, generator=generator) / 4
    return points / 7.5


class ModeCount(NamedTuple):
    """What `modes` found."""

    found: int  # modes with at least 20 good points
    quality: float  # share of good points
    reverse_kl: float  # KL of the good points' modes from equal shares, nats; log k less their entropy
    counts: Tensor  # (k,) good points of each mode


def modes(x: Tensor, mixture: Modes) -> ModeCount:  # x: (n, d)
    """Count the modes that points reach: a point is good within three standard deviations of its nearest centre.

    Source: the protocol of Srivastava et al. (2017) and Lin et al. (2018); in d dimensions the distance is Mahalanobis'.

    Examples
    --------
    >>> x = ring().sample(2500, torch.Generator().manual_seed(0))
    >>> found = modes(x[x[:, 0] > 0.5], ring())
    >>> found.found, found.quality > 0.97
    (3, True)
    """
    centres = torch.tensor(mixture.centres).to(x)
    distance, nearest = torch.cdist(x.double(), centres.double()).min(1)
    good = distance < FAR * mixture.deviation
    counts = torch.bincount(nearest[good], minlength=len(centres))
    shares = counts / counts.sum().clamp(min=1)
    reverse = float(torch.special.xlogy(shares, shares * len(centres)).sum()) if bool(good.any()) else math.inf
    return ModeCount(int((counts >= FEWEST).sum()), float(good.double().mean()), reverse, counts)
