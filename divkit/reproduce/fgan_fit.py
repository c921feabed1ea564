"""A Gaussian fitted to a mixture under an f-divergence: the exact optimum, and what adversarial training finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
from divkit.truths import exact

__all__ = ["NAMES", "TARGET", "Budget", "Fit", "by_record", "by_truth", "divergence", "measured", "tanh_critic", "train"]

NAMES = ("kl", "reverse-kl", "fgan-js", "jeffreys", "pearson")
WEIGHT, MEANS, VARIANCES = 0.33, (-1.0, 2.0), (0.065, 2.0)
TARGET = MixtureSameFamily(
    Categorical(torch.tensor([WEIGHT, 1 - WEIGHT], dtype=torch.float64)),
    Normal(torch.tensor(MEANS, dtype=torch.float64), torch.tensor(VARIANCES, dtype=torch.float64).sqrt()),
)
START = (0.0, 1.0)  # μ and σ before training
BATCH, HELD_OUT = 1024, 1_000_000
RATES = (5e-3, 1e-3, 2e-4)  # of the critic at the end of training, one after the other
# a judge of all records: the logistic loss is blind where p/q is far from one, Jeffreys' bound listens to both tails
JUDGING = ((GAN, 5e-3), (JEFFREYS, 2e-3), (JEFFREYS, 5e-4), (JEFFREYS, 1e-4))


@dataclass(frozen=True)
class Fit:
    """A Gaussian N(mu, sigma²) with the divergence of the target from it."""

    value: float
    mu: float
    sigma: float


@dataclass(frozen=True)
class Budget:
    """Steps of the generator, and of a critic at each of its last rates."""

    steps: int
    judging: int


def divergence(name: str, mu: float, sigma: float) -> float:
    """D(P‖N(μ, σ²)) by quadrature; infinite where it is, or where quadrature will not vouch for it."""
    q = Normal(torch.tensor(mu, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))
    try:
        return exact(name, TARGET, q)
    except ValueError:  # far from the optimum only
        return math.inf


def by_truth(name: str) -> Fit:
    """The optimum of `divkit.exact` by the simplex search of Nelder and Mead."""
    found = optimize.minimize(
        lambda z: divergence(name, float(z[0]), math.exp(z[1])),
        np.array([1.0, 0.5]),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-11},
    )
    return Fit(float(found.fun), float(found.x[0]), math.exp(found.x[1]))


def by_record(record: FDivergence) -> Fit:
    """The optimum of the record's bound at v = log p/q, on a grid, by autograd and BFGS: nothing in common with `by_truth`."""
    x = torch.linspace(-12.0, 16.0, 14_001, dtype=torch.float64)
    log_p, dx = TARGET.log_prob(x), float(x[1] - x[0])  # type: ignore[no-untyped-call]

    def bound(z: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        log_q = Normal(theta[0], theta[1].exp()).log_prob(x)  # type: ignore[no-untyped-call]
        v = (log_p - log_q).clamp(-300.0, 300.0)
        value = (log_p.exp() * record.a(v) - log_q.exp() * record.b(v)).sum() * dx
        (gradient,) = torch.autograd.grad(value, theta)
        return float(value.detach()), gradient.numpy()

    found = optimize.minimize(bound, np.array([1.0, 0.5]), jac=True, method="BFGS", options={"gtol": 1e-8})
    return Fit(float(found.fun), float(found.x[0]), math.exp(found.x[1]))


def tanh_critic(*shapes: Size) -> nn.Module:
    """The paper's critic: two hidden layers of 64 with tanh."""
    return nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))


def train(name: str, budget: Budget, seed: int) -> tuple[Fit, float]:
    """f-GAN: G(z) = μ + σz descends the bound that a critic ascends, both of the same record, in the canonical parametrisation.

    Returns the generator, averaged over the second half of its steps, with the value F that its critic reaches on samples that
    it has not seen, and F's standard error.
    """
    generator, record = torch.Generator().manual_seed(seed), TABLE[name]
    how = Ascent(rate=2e-3, warm=2, seed=seed)
    criterion = Criterion(Variational(Bound(record, train=record), tanh_critic, how))
    mu = torch.tensor(START[0], requires_grad=True)
    log_sigma = torch.tensor(math.log(START[1]), requires_grad=True)
    optimiser = torch.optim.Adam([mu, log_sigma], lr=5e-3, betas=(0.5, 0.9))
    sums, half = np.zeros(2), budget.steps // 2
    for step in range(budget.steps):
        if step == half:
            optimiser.param_groups[0]["lr"] /= 5
        optimiser.zero_grad()
        criterion(draw(BATCH, generator), mu + log_sigma.exp() * noise(BATCH, generator)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step >= half:
            sums += [mu.item(), log_sigma.exp().item()]
    mean, sigma = (float(total) / (budget.steps - half) for total in sums)
    stages = tuple((record, rate) for rate in RATES)
    solution = _improved(mean, sigma, budget, stages, generator, criterion.solution)
    x, y = draw(HELD_OUT, generator), mean + sigma * noise(HELD_OUT, generator)
    e = criterion.divergence.estimate(x, y, solution=solution)
    return Fit(e.value, mean, sigma), e.stderr


def measured(mu: float, sigma: float, budget: Budget, seed: int) -> dict[str, tuple[float, float, float]]:
    """Every record's value on held-out samples by one logit, its error, and the error that log p/q itself would have."""
    generator = torch.Generator().manual_seed(seed)
    solution = _improved(mu, sigma, budget, JUDGING, generator, None)
    judge = Variational(Bound(GAN), tanh_critic)
    x, y = Measure(draw(HELD_OUT, generator)), Measure(mu + sigma * noise(HELD_OUT, generator))
    with torch.no_grad():
        scores = judge.scores(x, solution, "x"), judge.scores(y, solution, "y")
    found = {}
    for name in NAMES:
        terms = Bound(TABLE[name]).terms(*scores, x, y)
        error = math.sqrt(float(terms.x.var()) / x.n + float(terms.y.var()) / y.n)
        found[name] = float(terms.value(x, y)), error, _oracle(TABLE[name], x.flat, y.flat, mu, sigma)
    return found


def draw(n: int, generator: torch.Generator) -> Tensor:  # -> (n, 1)
    """Samples of the target."""
    first = torch.rand(n, 1, generator=generator) < WEIGHT
    one, two = (mean + variance**0.5 * noise(n, generator) for mean, variance in zip(MEANS, VARIANCES))
    return torch.where(first, one, two)


def noise(n: int, generator: torch.Generator) -> Tensor:  # -> (n, 1)
    """Standard normal samples."""
    return torch.randn(n, 1, generator=generator)


def _improved(
    mu: float,
    sigma: float,
    budget: Budget,
    stages: Sequence[tuple[FDivergence, float]],
    generator: torch.Generator,
    solution: Solution | None,
) -> Solution:
    """A critic of P and N(μ, σ²) on fresh samples, by the bound and at the rate of each stage."""
    for record, rate in stages:
        how = Ascent(rate=rate, warm=1, seed=generator.initial_seed())
        criterion = Criterion(Variational(Bound(record, train=record), tanh_critic, how))
        criterion.solution = solution
        with criterion.ascending():
            for _ in range(budget.judging):
                criterion(draw(4 * BATCH, generator), mu + sigma * noise(4 * BATCH, generator))
        solution = criterion.solution
    assert solution is not None
    return solution


def _oracle(record: FDivergence, x: Tensor, y: Tensor, mu: float, sigma: float) -> float:
    """Standard error of the bound at v = log p/q."""
    total = 0.0
    for sample, function in ((x.double(), record.a), (y.double(), record.b)):
        log_q = Normal(mu, sigma).log_prob(sample)  # type: ignore[no-untyped-call]
        v = TARGET.log_prob(sample) - log_q  # type: ignore[no-untyped-call]
        total += float(function(v).var()) / len(sample)
    return math.sqrt(total)
