"""A Gaussian Q = N(μ, σ²) fitted to a mixture P on the line under an f-divergence, exactly and adversarially.

The divergence is the record's bound ∫ p a(v) − q b(v) at v = log p/q, by a sum over a grid; or it is learned: a generator
G(z) = μ + σz descends the bound that a critic ascends, both of the same record, in the canonical parametrisation. Two cases
share this: `mode-seeking` has a target of its own, f-GAN's is `TARGET`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import optimize
from torch import Size, Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from divkit.core.criterion import Criterion
from divkit.core.estimate import Solution
from divkit.critic import Ascent, Variational
from divkit.data.measure import Measure
from divkit.fdiv.bounds import Bound
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN, JEFFREYS, TABLE
from divkit.reproduce.kit import normal
from divkit.truths import exact

__all__ = ["Budget", "Fit", "Game", "TargetMixture", "bound_of", "by_record", "by_truth", "divergence", "measured", "train"]

NAMES = ("kl", "reverse-kl", "fgan-js", "jeffreys", "pearson")
Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # n samples of the target (n, 1), and n of z (n, 1)


@dataclass(frozen=True)
class TargetMixture:
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


def bound_of(record: FDivergence, target: TargetMixture, low: float, high: float, nodes: int) -> Callable[[Normal], Tensor]:
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


TARGET = TargetMixture((0.33, 1 - 0.33), (-1.0, 2.0), (0.065**0.5, 2.0**0.5))


class Fit(NamedTuple):
    """A Gaussian N(mu, sigma²) with the divergence of the target from it."""

    value: float
    mu: float
    sigma: float


@dataclass(frozen=True)
class Budget:
    """How long the fit and its critics are trained, and on how much they are measured."""

    steps: int  # of the generator
    judging: int  # steps of a critic at each of its last rates
    batch: int = 1024  # samples of each side in a step of the generator; the last critics see four times as many
    held_out: int = 1_000_000  # new samples of each side on which a critic is measured


def divergence(name: str, mu: float, sigma: float) -> float:
    """Return D(P‖N(μ, σ²)) by quadrature; infinite where it is, or where quadrature will not vouch for it."""
    try:
        return exact(name, TARGET.law, normal(mu, sigma))
    except ValueError:  # far from the optimum only
        return math.inf


def by_truth(name: str) -> Fit:
    """Return the optimum of `divkit.exact` by the simplex search of Nelder and Mead."""
    best = optimize.minimize(
        lambda z: divergence(name, float(z[0]), math.exp(z[1])),
        np.array([1.0, 0.5]),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-11},
    )
    return Fit(float(best.fun), float(best.x[0]), math.exp(best.x[1]))


def by_record(record: FDivergence) -> Fit:
    """Return the optimum of the record's bound on a grid, by autograd and BFGS: nothing in common with `by_truth`."""
    bound = bound_of(record, TARGET, -12.0, 16.0, 14_001)

    def value_and_slope(z: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        value = bound(Normal(theta[0], theta[1].exp()))
        (slope,) = torch.autograd.grad(value, theta)
        return float(value.detach()), slope.numpy()

    best = optimize.minimize(value_and_slope, np.array([1.0, 0.5]), jac=True, method="BFGS", options={"gtol": 1e-8})
    return Fit(float(best.fun), float(best.x[0]), math.exp(best.x[1]))


def train(name: str, budget: Budget, seed: int) -> tuple[Fit, float]:
    """Train f-GAN's generator; return it with the value F that its critic reaches on new samples, and F's standard error."""
    generator, record = torch.Generator().manual_seed(seed), TABLE[name]
    game = Game(start=(0.0, 1.0), rate=5e-3, steps=budget.steps, batch=budget.batch)
    mu, sigma, criterion = game.play(record, lambda n, g: (draw(n, g), noise(n, g)), generator)
    stages = tuple((record, rate) for rate in (5e-3, 1e-3, 2e-4))
    solution = _improved(mu, sigma, budget, stages, generator, criterion.solution)
    x, y = draw(budget.held_out, generator), mu + sigma * noise(budget.held_out, generator)
    e = criterion.divergence.estimate(x, y, solution=solution)
    return Fit(e.value, mu, sigma), e.stderr


def measured(mu: float, sigma: float, budget: Budget, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return every record's value on new samples by one logit, its error, and the error that log p/q itself would have."""
    generator = torch.Generator().manual_seed(seed)
    # The logistic loss is blind where p/q is far from one. Jeffreys' bound listens to both tails.
    stages = ((GAN, 5e-3), (JEFFREYS, 2e-3), (JEFFREYS, 5e-4), (JEFFREYS, 1e-4))
    solution = _improved(mu, sigma, budget, stages, generator, None)
    judge = Variational(Bound(GAN), tanh_critic)
    x, y = Measure(draw(budget.held_out, generator)), Measure(mu + sigma * noise(budget.held_out, generator))
    with torch.no_grad():
        scores = judge.scores(x, solution, "x"), judge.scores(y, solution, "y")
    values = {}
    for name in NAMES:
        terms = Bound(TABLE[name]).terms(*scores, x, y)
        error = math.sqrt(float(terms.x.var()) / x.n + float(terms.y.var()) / y.n)
        values[name] = float(terms.value(x, y)), error, _oracle(TABLE[name], x.flat, y.flat, mu, sigma)
    return values


def draw(n: int, generator: torch.Generator) -> Tensor:  # -> (n, 1)
    """Draw samples of the target."""
    first = torch.rand(n, 1, generator=generator) < TARGET.weights[0]
    one, two = (mean + deviation * noise(n, generator) for mean, deviation in zip(TARGET.means, TARGET.deviations))
    return torch.where(first, one, two)


def noise(n: int, generator: torch.Generator) -> Tensor:  # -> (n, 1)
    """Draw standard normal samples."""
    return torch.randn(n, 1, generator=generator)


def _improved(
    mu: float,
    sigma: float,
    budget: Budget,
    stages: Sequence[tuple[FDivergence, float]],
    generator: torch.Generator,
    solution: Solution | None,
) -> Solution:
    """Train a critic of P and N(μ, σ²) on new samples, by the bound and at the rate of each stage."""
    n = 4 * budget.batch
    for record, rate in stages:
        ascent = Ascent(rate=rate, warm=1, seed=generator.initial_seed())
        criterion = Criterion(Variational(Bound(record, train=record), tanh_critic, ascent))
        criterion.solution = solution
        with criterion.ascending():
            for _ in range(budget.judging):
                criterion(draw(n, generator), mu + sigma * noise(n, generator))
        solution = criterion.solution
    assert solution is not None
    return solution


def _oracle(record: FDivergence, x: Tensor, y: Tensor, mu: float, sigma: float) -> float:
    """Return the standard error of the bound at v = log p/q."""
    total = 0.0
    for sample, function in ((x.double(), record.a), (y.double(), record.b)):
        log_q = Normal(mu, sigma).log_prob(sample)  # type: ignore[no-untyped-call]
        v = TARGET.law.log_prob(sample) - log_q  # type: ignore[no-untyped-call]
        total += float(function(v).var()) / len(sample)
    return math.sqrt(total)
