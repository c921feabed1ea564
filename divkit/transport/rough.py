"""Rough dual potentials: entropic ones of part of the points, extended to all."""

from __future__ import annotations

import torch
from torch import Tensor

from divkit.pairs import PairFunction, softmin

__all__ = ["dual"]

COARSE = 1000  # points on which ε is annealed
EPSILON = 0.02  # of the mean cost; less costs sweeps and saves no round of the simplex
ENOUGH = 0.05  # L₁ error of the marginal at which sweeps on part of the points end
SWEEPS = 20  # or when so many are spent
FLAT = 3  # up to this dimension half of the points are needed: their potentials differ by more than a spacing


def dual(c: PairFunction, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:  # -> (m,) float64
    """The second potential of transport between weighted points in random order."""
    x, y, log_a, log_b = x.float(), y.float(), a.log(), b.log()
    table = c.evaluate(x[:COARSE], y[:COARSE])
    least = min(float(table.min()), 0.0)
    mean, largest = float(table.mean()) - least, float(table.max()) - least
    if not mean > 0:
        return torch.zeros_like(b)
    epsilon, level = EPSILON * mean, largest
    g = torch.zeros(min(len(y), COARSE), dtype=torch.float64, device=x.device)
    part = _Part(c, x[:COARSE], y[:COARSE], log_a[:COARSE], log_b[:COARSE])
    while level > epsilon:
        g = part.sweep(part.sweep(g, level)[0], level)[0]
        level /= 2
    g, f = part.settle(g, epsilon)
    if x.shape[1] <= FLAT and len(x) > 2 * COARSE:
        half = _Part(c, x[: len(x) // 2], y[: len(y) // 2], log_a[: len(x) // 2], log_b[: len(y) // 2])
        g, f = half.settle(part.extend(f, half.y, epsilon), epsilon)
        part = half
    whole = _Part(c, x, y, log_a, log_b)
    return whole.sweep(part.extend(f, y, epsilon), epsilon)[0]


class _Part:
    """Some of the points, their weights normalised."""

    def __init__(self, c: PairFunction, x: Tensor, y: Tensor, log_a: Tensor, log_b: Tensor) -> None:
        self.c, self.x, self.y = c, x, y
        self.log_a, self.log_b = log_a - log_a.logsumexp(0), log_b - log_b.logsumexp(0)
        self.f: Tensor | None = None  # of the last sweep: the next one is near

    def extend(self, f: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return softmin(self.c, y, self.x, f + epsilon * self.log_a, epsilon)

    def sweep(self, g: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Improve the second potential; the first comes with it."""
        f = self.f = softmin(self.c, self.x, self.y, g + epsilon * self.log_b, epsilon, self.f)
        return softmin(self.c, self.y, self.x, f + epsilon * self.log_a, epsilon, g), f

    def settle(self, g: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Sweep until the second marginal is roughly right."""
        for _ in range(SWEEPS):
            new, f = self.sweep(g, epsilon)
            change = ((g - new) / epsilon).clamp(max=50.0)
            g = new
            if float((self.log_b.exp() * torch.expm1(change).abs()).sum()) <= ENOUGH:
                break
        return g, f
