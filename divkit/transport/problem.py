"""The entropic transport problem between two weighted clouds: its sweep, its dual value, its measured error.

With weights a (n,) and b (m,), a cost c and ε > 0 it is min Σ cᵢⱼ πᵢⱼ + ε KL(π | a ⊗ b) over plans π with marginals a and b.
The optimal plan is πᵢⱼ = aᵢ bⱼ exp((fᵢ + gⱼ − cᵢⱼ)/ε) with dual potentials f (n,) and g (m,), each a soft minimum of the other:
fᵢ = −λ ε log Σⱼ bⱼ exp((gⱼ − cᵢⱼ)/ε), λ = 1, and the like for g. Marginals that may be missed at the price ρ KL have
λ = ρ/(ρ + ε). A sweep finds the g that belongs to f and then the `image`, the f that belongs to that g: they solve the problem
where the image is f itself, and the first marginal of the plan is a exp((f − image/λ)/ε).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.pairs import alternate, clusters, reflect
from divkit.transport.costs import Cost

__all__ = ["Cloud", "Coupling", "EntropicProblem"]

COARSE = 256, 1024  # the fewest and the most points of a coarse cloud, which has a quarter of the points between them


@dataclass(frozen=True, eq=False)
class Cloud:
    """Weighted points in the frame of `pairs.frame`; their weights sum to one, or to their mass where it may change."""

    points: Tensor  # (n, d)
    log_weights: Tensor  # (n,) float64

    @property
    def weights(self) -> Tensor:
        return self.log_weights.exp()

    def double(self) -> Cloud:
        return replace(self, points=self.points.double())

    @cached_property
    def coarse(self) -> Cloud:
        """The means of clusters, with all of the mass; the cloud itself where there are not many more points."""
        n, (fewest, most) = len(self.points), COARSE
        count = min(most, max(fewest, n // 4))
        if n <= 2 * count:
            return self
        halvings = round(math.log2(count))
        label, size = clusters(self.points, halvings), 2**halvings
        share = torch.exp(self.log_weights - self.log_weights.max())
        mass = share.new_zeros(size).index_add_(0, label, share)
        within = torch.where(mass > 0, mass, 1.0)[label]
        means = share.new_zeros(size, self.points.shape[1])
        means.index_add_(0, label, (share / within)[:, None] * self.points.double())
        return Cloud(means.to(self.points), mass.log() + self.log_weights.max())


class EntropicProblem(NamedTuple):
    """The problem OT_ε(x, y) with a cost, and marginals that are kept (ρ = ∞) or cost ρ KL to miss."""

    cost: Cost
    x: Cloud
    y: Cloud
    epsilon: float
    rho: float = math.inf

    @property
    def damping(self) -> float:
        """λ = ρ/(ρ + ε), by which a penalised marginal shortens an update."""
        return 1.0 if self.rho == math.inf else self.rho / (self.rho + self.epsilon)

    @property
    def coarse(self) -> EntropicProblem:
        """The problem between coarse clouds; itself where the cost may be none of means."""
        return self if not self.cost.convex else self._replace(x=self.x.coarse, y=self.y.coarse)

    def zero(self) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(self.x.log_weights), torch.zeros_like(self.y.log_weights)

    def sweep(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image of f, and the second potential that belongs to f, of which `g` is a guess."""
        x, y = self.x, self.y
        return alternate(self.cost, x.points, y.points, x.weights, y.weights, f, g, self.epsilon, self.damping)

    def reflection(self, p: Tensor) -> Tensor:
        """Return the image of the one potential p where x and y are one cloud."""
        return reflect(self.cost, self.x.points, self.x.weights, p, self.epsilon, self.damping)

    def extend(self, x: Tensor, g: Tensor, guess: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the first potential at any points x, as a function of the second one; differentiable in x.

        `guess` is near the result; `known` is the result, of which only the gradient is then to be found.
        """
        score = g + self.epsilon * self.y.log_weights
        near, value = (None if t is None else t / self.damping for t in (guess, known))
        return self.damping * self.cost.softmin(x, self.y.points, score, self.epsilon, near, value)

    def transposed(self) -> EntropicProblem:
        """Return the problem with x and y in each other's place."""
        return self._replace(x=self.y, y=self.x)

    def double(self) -> EntropicProblem:
        return self._replace(x=self.x.double(), y=self.y.double())

    def rows(self, f: Tensor, image: Tensor) -> Tensor:
        """Return the plan's first marginal over a, at f and the g that belongs to it; exponents are cut at 50."""
        return torch.exp(((f - image / self.damping) / self.epsilon).clamp(max=50.0))

    def error(self, f: Tensor, image: Tensor) -> float:
        """Return the L₁ distance of the plan's first marginal from what it should be, over the mass."""
        a, target = self.x.weights, torch.exp((-f / self.rho).clamp(max=50.0))
        return float(_sum(a, (self.rows(f, image) - target).abs()) / a.sum())

    def conjugate(self, f: Tensor) -> Tensor:
        """Return what f adds to the value per unit of mass: f, or −(ρ + ε)(e^(−f/ρ) − 1) − ε where marginals may be missed."""
        if self.rho == math.inf:
            return f
        return -(self.rho + self.epsilon) * torch.expm1(-f / self.rho) - self.epsilon

    def constant(self, g: Tensor) -> float:
        """Return what the value has beyond Σ a conjugate(f) + Σ b conjugate(g), at a solution."""
        if self.rho == math.inf:
            return 0.0
        moved = float(_sum(self.y.weights, torch.exp(-g / self.rho)))
        return self.epsilon * (moved + float(self.x.weights.sum() * self.y.weights.sum()))

    def dual(self, f: Tensor, g: Tensor) -> float:
        """Return the dual value, which is below the optimum, where f is the one that belongs to g."""
        value = _sum(self.x.weights, self.conjugate(f)) + _sum(self.y.weights, self.conjugate(g))
        return float(value) + self.constant(g)

    def bracket(self, f: Tensor, g: Tensor, image: Tensor) -> tuple[float, float]:
        """Return a dual and a primal value of the problem, where g belongs to f."""
        lower = self.dual(image, g)
        if self.rho == math.inf:
            return lower, max(lower, self._rounded(f, g, image))
        a, b = self.x.weights, self.y.weights
        r, c = self.rows(f, image), torch.exp(-g / self.rho)
        penalty = _sum(a, torch.xlogy(r, r) - r + 1) + _sum(b, torch.xlogy(c, c) - c + 1)
        product = float(a.sum() * b.sum())
        primal = _sum(a, r * f) + _sum(b, c * g) - self.epsilon * (_sum(b, c) - product) + self.rho * penalty
        return lower, max(lower, float(primal))

    def _rounded(self, f: Tensor, g: Tensor, image: Tensor) -> float:
        """Return the primal value of the plan rounded to its marginals, bounded by convexity of its KL part.

        Rows too heavy are scaled down, what is missing is spread as a product. Source: Altschuler, Weed and Rigollet (2017).
        """
        a, b = self.x.weights, self.y.weights
        r = self.rows(f, image)
        scaled, share = f - self.epsilon * r.clamp(min=1.0).log(), r.clamp(max=1.0)
        columns = self.transposed().extend(self.y.points, scaled, g)
        c = torch.exp(((g - columns) / self.epsilon).clamp(max=0.0))  # of b: at most one
        value = float(_sum(a, share * scaled) + _sum(b, c * g))
        left_x, left_y = torch.where(a > 0, a * (1 - share), 0.0), torch.where(b > 0, b * (1 - c), 0.0)
        missing = float((left_x.sum() + left_y.sum()) / 2)
        if not 0 < missing < 1:
            return value if missing <= 0 else math.inf
        left_x, left_y = left_x / left_x.sum(), left_y / left_y.sum()
        spread = float(self.cost.mean(self.x.points, self.y.points, left_x, left_y))
        spread += self.epsilon * float(torch.xlogy(left_x, left_x / a).nansum() + torch.xlogy(left_y, left_y / b).nansum())
        return value - self.epsilon * (1 - missing) * math.log1p(-missing) + missing * spread


Coupling = EntropicProblem  # the earlier name


def _sum(weights: Tensor, values: Tensor) -> Tensor:
    """Return Σ weight · value, where a weight of zero takes out an infinite value."""
    return torch.where(weights > 0, weights * values, 0.0).sum()
