"""Functions that the f-divergence table needs and torch lacks: accurate near 0, finite far out, differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["log_mixture", "log_wright_omega", "mixture", "softplus", "tree"]


def softplus(v: Tensor) -> Tensor:
    """Return log(1 + eᵛ) without torch's cut at v = 20, which costs float64 seven digits.

    >>> round(float(softplus(torch.tensor(0.0))), 6)  # log 2
    0.693147
    """
    return -logsigmoid(-v)


def log_mixture(weight: float, v: Tensor) -> Tensor:
    """Return log(1 − w + w eᵛ) for 0 < w < 1, to full relative accuracy at its zero v = 0 too.

    >>> float(log_mixture(0.5, torch.tensor(1e-10, dtype=torch.float64))) / 5e-11 - 1 < 1e-9
    True
    """
    near = v.abs() < 1
    small = torch.log1p(weight * torch.expm1(v.clamp(-1, 1)))
    large = math.log1p(-weight) + softplus(v + math.log(weight / (1 - weight)))
    return torch.where(near, small, large)


def mixture(weight: float, v: Tensor) -> Tensor:
    """Return w σ(v) + (1 − w) σ(−v), the density w p + (1 − w) q over p + q, of the logit v = log p/q.

    >>> float(mixture(0.25, torch.tensor(0.0)))
    0.5
    """
    return weight * torch.sigmoid(v) + (1 - weight) * torch.sigmoid(-v)


def log_wright_omega(z: Tensor) -> Tensor:
    """Return log ω(z), the root y of y + eʸ = z; ω(z) = W₀(eᶻ) is Wright's, which over- and underflows where this does not.

    Two steps of the Fritsch–Shafer–Crowley iteration, written for the logarithm. Source: Lawrence, Corless, Jeffrey (2012).

    >>> float(log_wright_omega(torch.tensor(1.0)))
    0.0
    """
    above = z.clamp(min=1)
    start = torch.where(z < 1, torch.where(z < -2, z, 2 * (z - 1) / 3), torch.log(above - torch.log(above)))
    for _ in range(2):
        omega = start.exp()
        start = start + torch.log1p(_correction(z - omega - start, 1 + omega))
    return start


def tree(z: Tensor) -> Tensor:
    """Return −W₀(−eᶻ) for z ≤ −1, the root s ∈ (0, 1] of log s − s = z, with the series of W₀ at its branch point z = −1.

    Source: Corless et al. (1996), eq. 4.22.

    >>> [round(s, 6) for s in tree(torch.tensor([-1.0, -2.0])).tolist()]
    [1.0, 0.158594]
    """
    p = torch.sqrt(-2 * torch.expm1((z + 1).clamp(max=0)))
    series = 1 - p * (1 - p * (1 / 3 - p * (11 / 72 - p * (43 / 540 - p * 769 / 17280))))
    branch = -1 - 5e-5  # there p = .01, and the series is good to p⁶/40 < 1e-13
    far = z.clamp(max=branch)  # keeps the iteration, which divides 0 by 0 at the branch point, away from it
    y = far.exp()
    s = torch.where(far > -1.5, series.clamp(max=0.99), y * (1 + y * (1 + 1.5 * y)))
    for _ in range(2):
        s = s * (1 + _correction(far - torch.log(s) + s, 1 - s))
    return torch.where(z > branch, series, s)


def _correction(residual: Tensor, slope: Tensor) -> Tensor:
    """Return ε of the iteration w ← w (1 + ε), of fourth order in the residual z − log w − w; slope = 1 + w."""
    q = 2 * (slope + 2 / 3 * residual)
    ratio = residual / slope
    return ratio * (q - ratio) / (q - 2 * ratio)
