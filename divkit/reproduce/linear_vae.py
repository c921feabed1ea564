"""`linear-vae`: a linear decoder makes log p(x) exact, so that the VAE's bounds can be seen to be bounds.

x = Wz + b + sε with orthogonal columns W, so that the posterior N(S Wᵀ(x − b)/s², S), S = (I + WᵀW/s²)⁻¹, is diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from divkit.models import VAE, Training, fit
from divkit.models.likelihoods import Normal
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most, near
from divkit.reproduce.drawing import panels

__all__ = ["LINEAR_VAE", "LinearVAE"]


@dataclass(frozen=True)
class LinearVAE:
    """The protocol of `linear-vae`."""

    d: int = 5  # coordinates of x
    latent: int = 2  # coordinates of z
    deviation: float = 0.5  # s
    points: int = 2000
    ks: tuple[int, ...] = (1, 2, 5, 10, 50)  # k of IWAE_k
    repeats: int = 40  # of the noise behind the ELBO's mean
    errors: float = 5.0  # standard errors allowed
    training: Training = Training(steps=2000, batch=250, rate=3e-2, halving=400, look=2000)


class Instance(NamedTuple):
    """A VAE with a linear decoder, and what is known of it."""

    model: VAE
    weight: Tensor  # W (d, latent)
    bias: Tensor  # b (d,)
    deviation: float  # s
    law: MultivariateNormal  # of x

    @property
    def variance(self) -> Tensor:
        """The posterior's variances (latent,), the diagonal of S."""
        return 1 / (1 + self.weight.square().sum(0) / self.deviation**2)


def make(protocol: LinearVAE, generator: torch.Generator) -> Instance:
    """Draw a decoder; the encoder gives the prior."""
    d, latent, deviation = protocol.d, protocol.latent, protocol.deviation
    columns, _ = torch.linalg.qr(torch.randn(d, latent, generator=generator, dtype=torch.float64))
    weight = columns * torch.tensor([2.0, 1.0], dtype=torch.float64)
    bias = torch.randn(d, generator=generator, dtype=torch.float64)
    encoder, decoder = nn.Linear(d, 2 * latent).double(), nn.Linear(latent, d).double()
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.copy_(bias)
        for parameter in encoder.parameters():
            parameter.zero_()
    decoder.requires_grad_(False)
    law = MultivariateNormal(bias, weight @ weight.T + deviation**2 * torch.eye(d, dtype=torch.float64))
    return Instance(VAE(encoder, decoder, Normal(deviation), latent), weight, bias, deviation, law)


@torch.no_grad()
def set_posterior(setting: Instance) -> None:
    """Give the encoder the exact posterior."""
    gain = setting.variance[:, None] * setting.weight.T / setting.deviation**2
    weight, bias = setting.model.encoder.parameters()
    weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
    bias.copy_(torch.cat([-gain @ setting.bias, setting.variance.log()]))


@torch.no_grad()
def elbo(model: VAE, x: Tensor, repeats: int) -> tuple[float, float]:
    """Return mean and standard error of the ELBO over the noise, at fixed x."""
    values = -torch.stack([model.loss(x) for _ in range(repeats)])
    return float(values.mean()), float(values.std()) / math.sqrt(repeats)


@torch.no_grad()
def gap(setting: Instance, x: Tensor) -> float:
    """Return E KL(q(z|x) ‖ p(z|x)) in closed form: what the ELBO lacks."""
    mean = (x - setting.bias) @ setting.weight / setting.deviation**2 * setting.variance
    q = setting.model.posterior(x)
    terms = (q.variance + (q.mean - mean).square()) / setting.variance - 1 - (q.variance / setting.variance).log()
    return float(0.5 * terms.sum(1).mean())


def _run(protocol: LinearVAE, setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    setting = make(protocol, generator)
    law = setting.law
    white = torch.randn(protocol.points, protocol.d, generator=generator, dtype=torch.float64)
    x = law.loc + white @ law.scale_tril.T
    exact = float(law.log_prob(x).mean())  # type: ignore[no-untyped-call]
    rows: list[Quantity] = []
    curves: dict[str, list[float]] = {}
    with setup.progress("linear-vae", 3) as done, torch.random.fork_rng(devices=[]):
        torch.manual_seed(setup.seed)
        for name in ("prior as encoder", "trained encoder", "exact posterior"):
            if name == "trained encoder":
                fit(setting.model, x, replace(protocol.training, seed=setup.seed))
            if name == "exact posterior":
                set_posterior(setting)
            more, curves[name] = _bounds(protocol, name, setting, x, exact)
            rows += more
            done(1)
    return Outcome(rows, _figure(protocol.ks, curves, exact))


def _bounds(protocol: LinearVAE, name: str, setting: Instance, x: Tensor, exact: float) -> tuple[list[Quantity], list[float]]:
    """Judge the ELBO and IWAE_k of one encoder; return the rows, and IWAE_k for every k."""
    model, lack = setting.model, gap(setting, x)
    value, error = elbo(model, x, protocol.repeats)
    allowed = protocol.errors * error + 1e-9
    note = "exact: log p(x) less KL(q‖p(z|x)) in closed form"
    rows = [near(f"ELBO, {name}", value, exact - lack, allowed, stderr=error, note=note)]
    rows.append(at_most(f"ELBO less log p(x), {name}", value - exact, allowed))
    if name == "trained encoder":
        rows.append(at_most("KL(q‖p(z|x)) that training leaves, nats", lack, 0.05))
    curve = []
    for k in protocol.ks:
        parts = torch.stack([model.log_likelihood(x, k).mean() for _ in range(8)])
        curve.append(float(parts.mean()))
        error = float(parts.std()) / math.sqrt(8) if name != "exact posterior" else 0.0
        rows.append(at_most(f"IWAE_{k} less log p(x), {name}", curve[-1] - exact, 6 * error + 1e-9, stderr=error))
    least = min(b - a for a, b in pairwise(curve))
    rows.append(at_least(f"smallest increase of IWAE_k with k, {name}", least, -2e-3 if name != "prior as encoder" else 0.0))
    if name == "exact posterior":
        rows.append(near("IWAE_1 at the exact posterior: every weight is p(x)", curve[0], exact, 1e-9))
    return rows, curve


def _figure(ks: tuple[int, ...], curves: dict[str, list[float]], exact: float) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax = axes[0, 0]
    for name, curve in curves.items():
        ax.plot(ks, [exact - value for value in curve], "o-", label=name)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.set_ylim(bottom=-3e-4)
    ax.set(xlabel="k of IWAE_k (k = 1: the ELBO)", ylabel="log p(x) less the bound, nats")
    ax.legend()
    return figure


PROTOCOL = LinearVAE()
LINEAR_VAE = Case(
    name="linear-vae",
    title="ELBO ≤ IWAE_k ≤ log p(x), with equality at the posterior",
    protocol=(
        f"A linear decoder from {PROTOCOL.latent} to {PROTOCOL.d} dimensions with orthogonal columns and normal noise of "
        f"deviation {PROTOCOL.deviation}: p(x) and p(z|x) are normal laws. {PROTOCOL.points} points of the model. The encoder "
        f"is the prior, then trained for {PROTOCOL.training.steps} steps of Adam at a falling rate, then the exact posterior. "
        f"ELBO against log p(x) − KL(q‖p(z|x)) within {PROTOCOL.errors:g} standard errors; IWAE_k for k in {PROTOCOL.ks}. "
        f"Sources: Kingma, Welling (2014); Burda, Grosse, Salakhutdinov (2016)."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.1,
)
