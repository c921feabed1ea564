"""`avb-eight-schools`: a posterior with two signs, found by a sampler and missed by normal laws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor, nn

from divkit.core import registry
from divkit.core.criterion import Criterion
from divkit.critic import Adam, Ascent, Variational
from divkit.fdiv import GAN, KL, Bound
from divkit.models import AVB, Sampler, Training, fit
from divkit.models.likelihoods import Likelihood
from divkit.models.networks import Critic, perceptron
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most
from divkit.reproduce.drawing import panels

__all__ = ["EIGHT_SCHOOLS"]

Y = (2.8, 0.8, -0.3, 0.7, -0.1, 0.1, 1.8, 1.2)
SIGMA = (0.8, 0.5, 0.8, 0.6, 0.5, 0.6, 0.5, 0.4)
LATENT, NOISE = 2 + len(Y), 16  # μ, τ, η₁…η₈
TRAINING = Training(batch=256, rate=1e-3, look=100_000)
CRITIC = Ascent(rate=2e-3, warm=4, optimiser=Adam((0.5, 0.999)))
CONTRAST = 16  # samples behind the moments of adaptive contrast; without it the encoder outruns its critic
STEPS = {False: 800, True: 6000}
SEEDS = {False: 2, True: 5}
DRAWS = 2000
SIGN = 0.1  # the least share of each sign of τ
SIDE, REACH = 401, 5.0  # grid of (μ, τ)


@dataclass(frozen=True)
class Schools(Likelihood):
    """y ~ N(θ, σ²) with the schools' known σ."""

    def __call__(self, x: Tensor, output: Tensor) -> Tensor:  # x: anything; output: θ (n, 8)
        law = torch.distributions.Normal(output, torch.tensor(SIGMA))
        return law.log_prob(torch.tensor(Y)).sum(1)  # type: ignore[no-untyped-call, no-any-return]

    def mean(self, output: Tensor) -> Tensor:
        return output


class Effects(nn.Module):
    """θ = μ + τη of z = (μ, τ, η)."""

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
        root = torch.diag(self.log_scale.exp()) + (self.below.tril(-1) if self.full else 0.0)
        return self.mean + torch.randn(n, LATENT) @ root.T

    def loss(self, x: Tensor) -> Tensor:
        z = self.draw(len(x))
        entropy = self.log_scale.sum()  # and a constant
        return -(Schools()(x, Effects()(z)) - z.square().sum(1) / 2).mean() - entropy


class Prior(nn.Module):
    """z = ε + f(x, ε): the sampler begins close to the prior, on both sides of τ = 0, where a critic of zeros is right."""

    def __init__(self) -> None:
        super().__init__()
        self.change = perceptron(1 + NOISE, LATENT, (128, 128))

    def forward(self, rows: Tensor) -> Tensor:  # rows: (n, 1 + NOISE), the observation beside the noise
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


def sampler(ascent: Ascent, contrast: int) -> AVB:
    """AVB of one observation, with adaptive contrast."""
    criterion = Criterion(Variational(Bound(KL, GAN), Squares, ascent))
    return AVB(Sampler(Prior(), NOISE), Effects(), Schools(), criterion, LATENT, contrast=contrast)


def posterior(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws (n, 2) of (μ, τ) | y and the density on the grid: y_i | μ, τ ~ N(μ, σ_i² + τ²)."""
    ticks = torch.linspace(-REACH, REACH, SIDE, dtype=torch.float64)
    grid = torch.cartesian_prod(ticks, ticks)
    variance = torch.tensor(SIGMA, dtype=torch.float64).square() + grid[:, 1:].square()
    residual = torch.tensor(Y, dtype=torch.float64) - grid[:, :1]
    log_density = -0.5 * (residual.square() / variance + variance.log()).sum(1) - grid.square().sum(1) / 2
    shares = torch.softmax(log_density, 0)
    drawn = grid[torch.multinomial(shares, n, replacement=True, generator=generator)]
    width = 2 * REACH / (SIDE - 1)
    jitter = width * (torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5)
    return drawn + jitter, shares.reshape(SIDE, SIDE)


def _one(name: str, training: Training, ascent: Ascent, contrast: int) -> list[list[float]]:
    """Draws of (μ, τ) after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        model: nn.Module = sampler(ascent, contrast) if name == "AVB" else NormalGuide(name == "full rank")
        fit(model, torch.zeros(4096, 1), training)
        torch.manual_seed(training.seed)
        with torch.no_grad():
            z = model.encoder(torch.zeros(DRAWS, 1)) if isinstance(model, AVB) else model.draw(DRAWS)  # type: ignore[operator]
        return z[:, :2].tolist()  # type: ignore[no-any-return]


def _run(setup: Setup) -> Outcome:
    steps, seeds = STEPS[setup.full], range(setup.seed, setup.seed + SEEDS[setup.full])
    found: dict[str, list[Tensor]] = {"mean field": [], "full rank": [], "AVB": []}
    generator = torch.Generator().manual_seed(setup.seed)
    exact, density = posterior(DRAWS, generator)
    again, _ = posterior(DRAWS, generator)
    with setup.progress("avb-eight-schools", len(found) * len(seeds)) as done:
        for name, seed in ((name, seed) for name in found for seed in seeds):
            training = replace(TRAINING, steps=steps, halving=steps / 2, seed=seed)
            make = partial(_one, name, training, replace(CRITIC, seed=seed), CONTRAST)
            drawn: Any = setup.keep(f"{name} {seed}", make)
            found[name].append(torch.tensor(drawn, dtype=torch.float64))
            done(1)
    rows = [
        Row(f"{key} of two exact sample sets", registry.get(key).estimate(exact, again).value, note="the yardstick")
        for key in ("energy", "w2", "mmd")
    ]
    distances: dict[str, float] = {}
    for name, clouds in found.items():
        for key in ("energy", "w2", "mmd"):
            values = np.array([registry.get(key).estimate(exact, cloud).value for cloud in clouds])
            rows.append(
                Row(f"{key} to the exact posterior of (μ, τ), {name}", float(values.mean()), stderr=float(values.std(ddof=1)))
            )
            distances[f"{key} {name}"] = float(values.mean())
        shares = [float((cloud[:, 1] < 0).double().mean()) for cloud in clouds]
        least = min(min(share, 1 - share) for share in shares)
        row = partial(Row, note="shown") if name != "AVB" else partial(at_least, bound=SIGN)
        rows.append(row(f"least share of a sign of τ, {name}", least))
    for key in ("energy", "w2"):
        better = min(distances[f"{key} mean field"], distances[f"{key} full rank"])
        rows.append(at_most(f"{key} of AVB against the better normal law's", distances[f"{key} AVB"], better))
    return Outcome(rows, _figure(density, found))


def _figure(density: Tensor, found: dict[str, list[Tensor]]) -> Any:
    figure, axes = panels(1, 3, width=3.2)
    ticks = np.linspace(-REACH, REACH, SIDE)
    for ax, (name, clouds) in zip(axes[0], found.items()):
        ax.scatter(*clouds[0].numpy().T, s=2, linewidths=0)
        ax.contour(
            ticks,
            ticks,
            density.numpy().T,
            levels=density.max().item() * np.exp([-4.5, -2.0, -0.5]),
            colors="#333333",
            linewidths=0.8,
        )
        ax.set_title(f"{name}; lines: exact")
        ax.set_xlim(-1.5, 2.5)
        ax.set_ylim(-3, 3)
        ax.set_xlabel("μ")
        ax.set_ylabel("τ")
    return figure


EIGHT_SCHOOLS = Case(
    name="avb-eight-schools",
    title="Eight schools: both signs of the scale are found by a sampler, not by normal laws",
    protocol=(
        f"y = {Y}, σ = {SIGMA}; μ, τ, η ~ N(0, 1), θ = μ + τη. AVB: z = ε₁ + f(ε) of ten numbers from {NOISE} of noise, "
        f"perceptrons of 128–128, the critic's on standardised codes and their squares, adaptive contrast of {CONTRAST} "
        f"samples, {CRITIC.warm} critic steps for each of the model; "
        f"normals, mean-field and of full rank, by the ELBO. Batches of {TRAINING.batch}, Adam {TRAINING.rate:g} that halves "
        f"twice. {DRAWS} draws of (μ, τ) against the exact posterior by quadrature on {SIDE}² nodes. "
        f"Source: Mescheder, Nowozin, Geiger (2017), section 6.1."
    ),
    short=f"{STEPS[False]} steps, {SEEDS[False]} seeds.",
    full=f"{STEPS[True]} steps, {SEEDS[True]} seeds.",
    run=_run,
    minutes=1.0,
    full_minutes=25.0,
)
