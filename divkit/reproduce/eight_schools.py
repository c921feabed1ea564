"""`avb-eight-schools`: a posterior with two signs, found by a sampler and missed by normal laws.

y_i ~ N(θ_i, σ_i²), θ = μ + τη, the code z = (μ, τ, η₁ … η₈) ~ N(0, I). The sign of τ is not known from y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Size, Tensor, nn

from divkit.core import registry
from divkit.core.criterion import Criterion
from divkit.critic import Adam, Ascent, Variational
from divkit.fdiv import GAN, KL, Bound
from divkit.models import AVB, Sampler, Training, fit
from divkit.models.likelihoods import Likelihood
from divkit.models.networks import Critic, perceptron
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most
from divkit.reproduce.drawing import INK, panels
from divkit.reproduce.kit import Effort, Parts, gather, mean, spread

__all__ = ["EIGHT_SCHOOLS", "EightSchools"]

Y = (2.8, 0.8, -0.3, 0.7, -0.1, 0.1, 1.8, 1.2)  # effects, in units of ten points of a test
SIGMA = (0.8, 0.5, 0.8, 0.6, 0.5, 0.6, 0.5, 0.4)  # their known standard errors
LATENT = 2 + len(Y)
DISTANCES = ("energy", "w2", "mmd")


@dataclass(frozen=True)
class EightSchools:
    """The protocol of `avb-eight-schools`."""

    noise: int = 16  # numbers that the sampler reads
    contrast: int = 16  # codes behind the moments of adaptive contrast; without it the encoder outruns its critic
    training: Training = Training(batch=256, rate=1e-3, look=100_000)
    ascent: Ascent = Ascent(rate=2e-3, warm=4, optimiser=Adam((0.5, 0.999)))
    draws: int = 2000  # of (μ, τ), from each model and from the exact posterior
    share: float = 0.1  # the least share of each sign of τ that AVB has to find
    side: int = 401  # nodes along an axis of the grid of (μ, τ)
    radius: float = 5.0  # half the side of the square that the nodes fill
    short: Effort = Effort(800, 2)
    full: Effort = Effort(6000, 5)

    @property
    def ticks(self) -> Tensor:
        """The nodes along an axis of the grid."""
        return torch.linspace(-self.radius, self.radius, self.side, dtype=torch.float64)

    def sampler(self, seed: int) -> AVB:
        """Make AVB of one observation, with adaptive contrast."""
        criterion = Criterion(Variational(Bound(KL, GAN), Squares, replace(self.ascent, seed=seed)))
        return AVB(Sampler(Prior(self.noise), self.noise), Effects(), Schools(), criterion, LATENT, contrast=self.contrast)

    def posterior(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw (n, 2) of (μ, τ) given y, with the density on the grid: y_i | μ, τ ~ N(μ, σ_i² + τ²)."""
        grid = torch.cartesian_prod(self.ticks, self.ticks)
        variance = torch.tensor(SIGMA, dtype=torch.float64).square() + grid[:, 1:].square()
        residual = torch.tensor(Y, dtype=torch.float64) - grid[:, :1]
        log_density = -0.5 * (residual.square() / variance + variance.log()).sum(1) - grid.square().sum(1) / 2
        shares = torch.softmax(log_density, 0)
        nodes = grid[torch.multinomial(shares, n, replacement=True, generator=generator)]
        width = 2 * self.radius / (self.side - 1)
        jitter = width * (torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5)
        return nodes + jitter, shares.reshape(self.side, self.side)


@dataclass(frozen=True)
class Schools(Likelihood):
    """The likelihood of y, normal around θ with the schools' known σ."""

    def __call__(self, x: Tensor, output: Tensor) -> Tensor:  # x: anything; output: θ (n, 8)
        law = torch.distributions.Normal(output, torch.tensor(SIGMA))
        return law.log_prob(torch.tensor(Y)).sum(1)  # type: ignore[no-untyped-call, no-any-return]

    def mean(self, output: Tensor) -> Tensor:
        return output


class Effects(nn.Module):
    """The decoder θ = μ + τη of z = (μ, τ, η)."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :1] + z[:, 1:2] * z[:, 2:]


class NormalGuide(nn.Module):
    """A normal law for z, mean-field or of full rank, by the reparametrised ELBO."""

    def __init__(self, full: bool) -> None:
        super().__init__()
        self.full = full
        self.mean, self.log_scale = nn.Parameter(0.1 * torch.randn(LATENT)), nn.Parameter(torch.full((LATENT,), -1.0))
        self.below = nn.Parameter(torch.zeros(LATENT, LATENT))

    def draw(self, n: int) -> Tensor:
        """Draw codes (n, 10)."""
        root = torch.diag(self.log_scale.exp()) + (self.below.tril(-1) if self.full else 0.0)
        return self.mean + torch.randn(n, LATENT) @ root.T

    def loss(self, x: Tensor) -> Tensor:
        """Return the negative ELBO but for a constant, from as many draws as x has rows."""
        z = self.draw(len(x))
        entropy = self.log_scale.sum()  # and a constant
        return -(Schools()(x, Effects()(z)) - z.square().sum(1) / 2).mean() - entropy


class Prior(nn.Module):
    """z = ε + f(x, ε): the sampler begins close to the prior, on both sides of τ = 0, where a critic of zeros is right."""

    def __init__(self, noise: int) -> None:
        super().__init__()
        self.change = perceptron(1 + noise, LATENT, (128, 128))

    def forward(self, rows: Tensor) -> Tensor:  # rows: (n, 1 + noise), the observation beside the noise
        return rows[:, 1 : 1 + LATENT] + self.change(rows)  # type: ignore[no-any-return]


class Squares(nn.Module):
    """A perceptron on codes beside their squares: far out it falls or rises with the square, as the contrast's density does.

    With a slope alone it cannot pay back what log r gives to codes far outside its own moments, and more of them run away.
    """

    def __init__(self, shape: Size) -> None:
        super().__init__()
        self.body = Critic(shape, shape, hidden=(128, 128))

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(rows, rows.square())  # type: ignore[no-any-return]


def _one(protocol: EightSchools, steps: int, name: str, seed: int) -> list[list[float]]:
    """Train one model, and draw (μ, τ) from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = protocol.sampler(seed) if name == "AVB" else NormalGuide(name == "full rank")
        fit(model, torch.zeros(4096, 1), replace(protocol.training, steps=steps, halving=steps / 2, seed=seed))
        torch.manual_seed(seed)
        with torch.no_grad():
            z = model.encode(torch.zeros(protocol.draws, 1)) if isinstance(model, AVB) else model.draw(protocol.draws)  # type: ignore[operator]
        return z[:, :2].tolist()


def _run(protocol: EightSchools, setup: Setup) -> Outcome:
    form, generator = protocol.full if setup.full else protocol.short, torch.Generator().manual_seed(setup.seed)
    exact, density = protocol.posterior(protocol.draws, generator)
    again, _ = protocol.posterior(protocol.draws, generator)
    make = partial(partial, _one, protocol, form.steps)
    draws = gather(setup, "avb-eight-schools", ("mean field", "full rank", "AVB"), form.seeds, make)
    clouds = {name: [torch.tensor(cloud, dtype=torch.float64) for cloud in each] for name, each in draws.items()}
    distances = {name: [_measured(exact, cloud) for cloud in each] for name, each in clouds.items()}
    rows = [
        Quantity(f"{key} of two exact sample sets", value, note="the yardstick")
        for key, value in _measured(exact, again).items()
        if key in DISTANCES
    ]
    for name, parts in distances.items():
        rows += _rows(name, parts, protocol.share)
    for key in ("energy", "w2"):
        better = min(mean(distances[name], key) for name in ("mean field", "full rank"))
        rows.append(at_most(f"{key} of AVB against the better normal law's", mean(distances["AVB"], key), better))
    return Outcome(rows, _figure(protocol.ticks, density, {name: each[0] for name, each in clouds.items()}))


def _measured(exact: Tensor, cloud: Tensor) -> dict[str, float]:
    """Return the distances of draws of (μ, τ) from exact ones, and the smaller share of a sign of τ."""
    share = float((cloud[:, 1] < 0).double().mean())
    return {key: registry.get(key).estimate(exact, cloud).value for key in DISTANCES} | {"share": min(share, 1 - share)}


def _rows(name: str, parts: Parts, share: float) -> list[Quantity]:
    rows = [
        Quantity(f"{key} to the exact posterior of (μ, τ), {name}", mean(parts, key), stderr=spread(parts, key))
        for key in DISTANCES
    ]
    row = partial(Quantity, note="shown") if name != "AVB" else partial(at_least, bound=share)
    return [*rows, row(f"least share of a sign of τ, {name}", min(part["share"] for part in parts))]


def _figure(ticks: Tensor, density: Tensor, clouds: dict[str, Tensor]) -> Figure:
    figure, axes = panels(1, 3, width=3.2)
    levels = density.max().item() * np.exp([-4.5, -2.0, -0.5])
    for ax, (name, cloud) in zip(axes[0], clouds.items()):
        ax.scatter(*cloud.numpy().T, s=2, linewidths=0)
        ax.contour(ticks.numpy(), ticks.numpy(), density.numpy().T, levels=levels, colors=INK, linewidths=0.8)
        ax.set(title=f"{name}; lines: exact", xlim=(-1.5, 2.5), ylim=(-3, 3), xlabel="μ", ylabel="τ")
    return figure


PROTOCOL = EightSchools()
EIGHT_SCHOOLS = Case(
    name="avb-eight-schools",
    title="Eight schools: both signs of the scale are found by a sampler, not by normal laws",
    protocol=(
        f"y = {Y}, σ = {SIGMA}; μ, τ, η ~ N(0, 1), θ = μ + τη. AVB: z = ε₁ + f(ε) of ten numbers from {PROTOCOL.noise} of "
        f"noise, perceptrons of 128–128, the critic's on standardised codes and their squares, adaptive contrast of "
        f"{PROTOCOL.contrast} samples, {PROTOCOL.ascent.warm} critic steps for each of the model; normals, mean-field and of "
        f"full rank, by the ELBO. Batches of {PROTOCOL.training.batch}, Adam {PROTOCOL.training.rate:g} that halves twice. "
        f"{PROTOCOL.draws} draws of (μ, τ) against the exact posterior by quadrature on {PROTOCOL.side}² nodes. Source: "
        f"Mescheder, Nowozin, Geiger (2017), section 6.1."
    ),
    short=f"{PROTOCOL.short.steps} steps, {PROTOCOL.short.seeds} seeds.",
    full=f"{PROTOCOL.full.steps} steps, {PROTOCOL.full.seeds} seeds.",
    run=partial(_run, PROTOCOL),
    minutes=1.0,
    full_minutes=25.0,
)
