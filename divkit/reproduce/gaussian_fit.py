"""A Gaussian Q = N(μ, σ²) fitted to a mixture P on the line under an f-divergence.

The divergence is the record's bound ∫ p a(v) − q b(v) at v = log p/q, by a sum over a grid; or it is learned: a generator
G(z) = μ + σz descends the bound that a critic ascends, both of the same record, in the canonical parametrisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Size, Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from divkit.core.criterion import Criterion
from divkit.critic import Ascent, Variational
from divkit.fdiv.bounds import Bound
from divkit.fdiv.records import FDivergence

__all__ = ["Game", "Mixture", "bound_of", "tanh_critic"]

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # n samples of the target (n, 1), and n of z (n, 1)


@dataclass(frozen=True)
class Mixture:
    """A mixture of normal laws on the line."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @property
    def law(self) -> MixtureSameFamily:
        """The mixture in float64."""
        weights, means, deviations = (
            torch.tensor(values, dtype=torch.float64) for values in (self.weights, self.means, self.deviations)
        )
        return MixtureSameFamily(Categorical(weights), Normal(means, deviations))

    @property
    def mean(self) -> float:
        """The mean of the mixture."""
        return sum(w * m for w, m in zip(self.weights, self.means))

    @property
    def deviation(self) -> float:
        """The standard deviation of the mixture."""
        parts = zip(self.weights, self.means, self.deviations)
        return math.sqrt(sum(w * (s**2 + (m - self.mean) ** 2) for w, m, s in parts))


def bound_of(record: FDivergence, target: Mixture, low: float, high: float, nodes: int) -> Callable[[Normal], Tensor]:
    """Return the divergence of the target from a normal law as a function of that law, on a grid of [low, high]."""
    x = torch.linspace(low, high, nodes, dtype=torch.float64)
    log_p, dx = target.law.log_prob(x), float(x[1] - x[0])  # type: ignore[no-untyped-call]

    def bound(q: Normal) -> Tensor:
        log_q = q.log_prob(x)  # type: ignore[no-untyped-call]
        v = (log_p - log_q).clamp(-300.0, 300.0)
        value: Tensor = (log_p.exp() * record.a(v) - log_q.exp() * record.b(v)).sum() * dx
        return value

    return bound


def tanh_critic(*shapes: Size) -> nn.Module:
    """Make the critic of f-GAN's paper: two hidden layers of 64 with tanh."""
    return nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))


@dataclass(frozen=True)
class Game:
    """Adversarial training of G(z) = μ + σz."""

    start: tuple[float, float]  # μ and σ before training
    rate: float  # of the generator; a fifth of it in the second half
    steps: int  # of the generator
    batch: int = 1024  # samples of each side in a step

    def play(self, record: FDivergence, draw: Draw, generator: torch.Generator) -> tuple[float, float, Criterion]:
        """Train, and return μ and σ, averaged over the second half of the steps, with the criterion that holds the critic."""
        ascent = Ascent(rate=2e-3, warm=2, seed=generator.initial_seed())
        criterion = Criterion(Variational(Bound(record, train=record), tanh_critic, ascent))
        theta = torch.tensor([self.start[0], math.log(self.start[1])], requires_grad=True)  # μ, log σ
        optimiser = torch.optim.Adam([theta], lr=self.rate, betas=(0.5, 0.9))
        path = []
        for step in range(self.steps):
            if step == self.steps // 2:
                optimiser.param_groups[0]["lr"] /= 5
            optimiser.zero_grad()
            x, z = draw(self.batch, generator)
            criterion(x, theta[0] + theta[1].exp() * z).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            path.append((float(theta[0].detach()), float(theta[1].detach().exp())))
        mu, sigma = np.mean(path[self.steps // 2 :], 0)
        return float(mu), float(sigma), criterion
