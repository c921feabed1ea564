"""Rough dual potentials of transport: entropic ones of part of the points, extended to all.

With weights a, b and a regularisation ε the entropic potentials satisfy fᵢ = −ε log Σⱼ bⱼ exp((gⱼ − cᵢⱼ)/ε) and the like for
g, which reads as a function of any point. ε falls by halves from the largest cost to a fraction of the mean cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.pairs import PairFunction, softmin

__all__ = ["RoughStart", "dual"]


@dataclass(frozen=True)
class RoughStart:
    """Settings of the rough potentials; they change the rounds of the simplex after them, no result.

    Parameters
    ----------
    points : int
        Points of each sample on which ε is annealed.
    epsilon : float
        The last ε as a share of the mean cost: less costs sweeps and saves no round of the simplex.
    tol : float
        L₁ error of the marginal at which sweeps on part of the points end.
    sweeps : int
        Sweeps after which they end anyway.
    dimension : int
        Up to this dimension half of the points are solved too: potentials there differ by more than a spacing.
    """

    points: int = 1000
    epsilon: float = 0.02
    tol: float = 0.05
    sweeps: int = 20
    dimension: int = 3


def dual(
    c: PairFunction, x: Tensor, y: Tensor, a: Tensor, b: Tensor, how: RoughStart = RoughStart()
) -> Tensor:  # -> (m,) float64
    """Return a rough second potential of the transport between points in random order, with weights a and b."""
    few = how.points
    x, y, log_a, log_b = x.float(), y.float(), a.log(), b.log()
    table = c.evaluate(x[:few], y[:few])
    least = min(float(table.min()), 0.0)
    mean, largest = float(table.mean()) - least, float(table.max()) - least
    if not mean > 0:
        return torch.zeros_like(b)
    epsilon, level = how.epsilon * mean, largest
    g = torch.zeros(min(len(y), few), dtype=torch.float64, device=x.device)
    part = _Part(c, x[:few], y[:few], log_a[:few], log_b[:few])
    while level > epsilon:
        g = part.sweep(part.sweep(g, level)[0], level)[0]
        level /= 2
    g, f = part.settle(g, epsilon, how)
    if x.shape[1] <= how.dimension and len(x) > 2 * few:
        half = _Part(c, x[: len(x) // 2], y[: len(y) // 2], log_a[: len(x) // 2], log_b[: len(y) // 2])
        g, f = half.settle(part.extend(f, half.y, epsilon), epsilon, how)
        part = half
    whole = _Part(c, x, y, log_a, log_b)
    return whole.sweep(part.extend(f, y, epsilon), epsilon)[0]


class _Part:
    """The entropic problem of some of the points, their weights normalised."""

    def __init__(self, c: PairFunction, x: Tensor, y: Tensor, log_a: Tensor, log_b: Tensor) -> None:
        self.c, self.x, self.y = c, x, y
        self.log_a, self.log_b = log_a - log_a.logsumexp(0), log_b - log_b.logsumexp(0)
        self.f: Tensor | None = None  # the first potential of the last sweep, near which the next one lies

    def extend(self, f: Tensor, y: Tensor, epsilon: float) -> Tensor:
        """Return the second potential at any points y."""
        return softmin(self.c, y, self.x, f + epsilon * self.log_a, epsilon)

    def sweep(self, g: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Return a better second potential g, and the first one that belongs to the given g."""
        f = self.f = softmin(self.c, self.x, self.y, g + epsilon * self.log_b, epsilon, self.f)
        return softmin(self.c, self.y, self.x, f + epsilon * self.log_a, epsilon, g), f

    def settle(self, g: Tensor, epsilon: float, how: RoughStart) -> tuple[Tensor, Tensor]:
        """Sweep until the second marginal is right to `how.tol`."""
        for _ in range(how.sweeps):
            new, f = self.sweep(g, epsilon)
            change = ((g - new) / epsilon).clamp(max=50.0)
            g = new
            if float((self.log_b.exp() * torch.expm1(change).abs()).sum()) <= how.tol:
                break
        return g, f
