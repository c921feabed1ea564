"""`linear-vae`: a linear decoder makes log p(x) exact, so that the VAE's bounds can be seen to be bounds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from divkit.models import VAE, Training, fit
from divkit.models.likelihoods import Normal
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most, near
from divkit.reproduce.drawing import panels

__all__ = ["LINEAR_VAE"]

D, LATENT, DEVIATION = 5, 2, 0.5
POINTS, KS, REPEATS = 2000, (1, 2, 5, 10, 50), 40
ERRORS = 5.0
TRAINING = Training(steps=2000, batch=250, rate=3e-2, halving=400, look=2000)


class Setting(NamedTuple):
    """A VAE whose decoder Wz + b has orthogonal columns, so that the posterior's covariance is diagonal, and what is known."""

    model: VAE
    weight: Tensor  # (D, LATENT)
    bias: Tensor  # (D,)
    law: MultivariateNormal  # of x

    @property
    def variance(self) -> Tensor:
        """Of the posterior: (LATENT,)."""
        return 1 / (1 + self.weight.square().sum(0) / DEVIATION**2)


def make(generator: torch.Generator) -> Setting:
    """Draw a decoder; the encoder gives the prior."""
    columns, _ = torch.linalg.qr(torch.randn(D, LATENT, generator=generator, dtype=torch.float64))
    weight = columns * torch.tensor([2.0, 1.0], dtype=torch.float64)
    bias = torch.randn(D, generator=generator, dtype=torch.float64)
    encoder, decoder = nn.Linear(D, 2 * LATENT).double(), nn.Linear(LATENT, D).double()
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.copy_(bias)
        for parameter in encoder.parameters():
            parameter.zero_()
    decoder.requires_grad_(False)
    law = MultivariateNormal(bias, weight @ weight.T + DEVIATION**2 * torch.eye(D, dtype=torch.float64))
    return Setting(VAE(encoder, decoder, Normal(DEVIATION), LATENT), weight, bias, law)


@torch.no_grad()
def set_posterior(known: Setting) -> None:
    """Give the encoder the exact posterior N(S Wᵀ(x − b)/s², S), S = (I + WᵀW/s²)⁻¹."""
    gain = known.variance[:, None] * known.weight.T / DEVIATION**2
    weight, bias = known.model.encoder.parameters()
    weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
    bias.copy_(torch.cat([-gain @ known.bias, known.variance.log()]))


@torch.no_grad()
def elbo(model: VAE, x: Tensor) -> tuple[float, float]:
    """Mean and standard error over the noise, at fixed x."""
    found = -torch.stack([model.loss(x) for _ in range(REPEATS)])
    return float(found.mean()), float(found.std()) / math.sqrt(REPEATS)


@torch.no_grad()
def gap(known: Setting, x: Tensor) -> float:
    """E KL(q(z|x) ‖ p(z|x)) in closed form: what the ELBO lacks."""
    mean = (x - known.bias) @ known.weight / DEVIATION**2 * known.variance
    q = known.model.posterior(x)
    terms = (q.variance + (q.mean - mean).square()) / known.variance - 1 - (q.variance / known.variance).log()
    return float(0.5 * terms.sum(1).mean())


def _run(setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    known = make(generator)
    model, law = known.model, known.law
    white = torch.randn(POINTS, D, generator=generator, dtype=torch.float64)
    x = law.loc + white @ law.scale_tril.T
    exact = float(law.log_prob(x).mean())  # type: ignore[no-untyped-call]
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    with setup.progress("linear-vae", 3) as done, torch.random.fork_rng(devices=[]):
        torch.manual_seed(setup.seed)
        for name in ("prior as encoder", "trained encoder", "exact posterior"):
            if name == "trained encoder":
                fit(model, x, replace(TRAINING, seed=setup.seed))
            if name == "exact posterior":
                set_posterior(known)
            found, curves[name] = _bounds(name, known, x, exact)
            rows += found
            done(1)
    return Outcome(rows, _figure(curves, exact))


def _bounds(name: str, known: Setting, x: Tensor, exact: float) -> tuple[list[Row], list[float]]:
    model = known.model
    value, error = elbo(model, x)
    lack = gap(known, x)
    allowed = ERRORS * error + 1e-9
    rows = [
        near(
            f"ELBO, {name}", value, exact - lack, allowed, stderr=error, note="exact: log p(x) less KL(q‖p(z|x)) in closed form"
        )
    ]
    rows.append(at_most(f"ELBO less log p(x), {name}", value - exact, allowed))
    if name == "trained encoder":
        rows.append(at_most("KL(q‖p(z|x)) that training leaves, nats", lack, 0.05))
    curve = []
    for k in KS:
        parts = torch.stack([model.log_likelihood(x, k).mean() for _ in range(8)])
        curve.append(float(parts.mean()))
        said = float(parts.std()) / math.sqrt(8) if name != "exact posterior" else 0.0
        rows.append(at_most(f"IWAE_{k} less log p(x), {name}", curve[-1] - exact, 6 * said + 1e-9, stderr=said))
    steps = [b - a for a, b in pairwise(curve)]
    rows.append(
        at_least(f"smallest increase of IWAE_k with k, {name}", min(steps), -2e-3 if name != "prior as encoder" else 0.0)
    )
    if name == "exact posterior":
        rows.append(near("IWAE_1 at the exact posterior: every weight is p(x)", curve[0], exact, 1e-9))
    return rows, curve


def _figure(curves: dict[str, list[float]], exact: float) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax = axes[0, 0]
    for name, curve in curves.items():
        ax.plot(KS, [exact - value for value in curve], "o-", label=name)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.set_ylim(bottom=-3e-4)
    ax.set_xlabel("k of IWAE_k (k = 1: the ELBO)")
    ax.set_ylabel("log p(x) less the bound, nats")
    ax.legend()
    return figure


LINEAR_VAE = Case(
    name="linear-vae",
    title="ELBO ≤ IWAE_k ≤ log p(x), with equality at the posterior",
    protocol=(
        f"A linear decoder from {LATENT} to {D} dimensions with orthogonal columns and normal noise of deviation {DEVIATION}: "
        f"p(x) and p(z|x) are normal laws. {POINTS} points of the model. The encoder is the prior, then trained for "
        f"{TRAINING.steps} steps of Adam at a falling rate, then the exact posterior. ELBO against log p(x) − KL(q‖p(z|x)) "
        f"within {ERRORS:g} standard errors; IWAE_k for k in {KS}. Sources: Kingma, Welling (2014); Burda, Grosse, "
        f"Salakhutdinov (2016)."
    ),
    run=_run,
    minutes=0.1,
)
