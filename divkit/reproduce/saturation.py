"""`saturation`: the gradient that a generator gets from a perfect discriminator, by the saturating and by the other loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.special import expit
from torch.distributions import Normal

from divkit.fdiv.table import GAN
from divkit.reproduce.case import Case, Outcome, Row, Setup, near
from divkit.reproduce.drawing import panels
from divkit.truths import exact

__all__ = ["SATURATION"]

SEPARATIONS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
DRAWS = 1_000_000
ERRORS = 5.0  # standard errors allowed: one run in 100 000 would fail by chance
STEP = 1e-3  # of finite differences of exact divergences


def gradients(theta: float, generator: torch.Generator) -> dict[str, tuple[float, float]]:
    """Mean and standard error of the gradient in θ of both losses: by autograd through x = z + θ, D* frozen."""
    x = torch.randn(DRAWS, generator=generator, dtype=torch.float64).add_(theta).requires_grad_()
    logit = theta**2 / 2 - theta * x  # log p/q of N(0, 1) and N(θ, 1): D* = σ(logit)
    losses = {"saturating": -GAN.b(logit), "non-saturating": -GAN.a(logit)}
    found = {}
    for name, loss in losses.items():
        (slope,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        found[name] = float(slope.mean()), float(slope.std()) / math.sqrt(DRAWS)
    return found


def expected(theta: float) -> dict[str, float]:
    """The same by quadrature: θ E_Q D* and θ E_Q (1 − D*)."""

    def mean(sign: float) -> float:
        def density(x: float) -> float:
            return float(expit(sign * (theta**2 / 2 - theta * x))) * math.exp(-((x - theta) ** 2) / 2) / math.sqrt(2 * math.pi)

        return float(quad(density, theta - 12, theta + 12, points=(theta / 2, theta), epsabs=0, epsrel=1e-11, limit=400)[0])

    return {"saturating": theta * mean(1.0), "non-saturating": theta * mean(-1.0)}


def by_divergences(theta: float) -> dict[str, float]:
    """The gradients of the divergences that they are: 2·JS for one, KL(Q‖P) − 2·JS for the other (Arjovsky & Bottou 2017)."""

    def slope(name: str) -> float:
        up, down = (exact(name, Normal(0.0, 1.0), _normal(theta + step)) for step in (STEP, -STEP))
        return (up - down) / (2 * STEP)

    js = slope("fgan-js")
    return {"saturating": js, "non-saturating": slope("reverse-kl") - js}


def _normal(mean: float) -> Normal:
    return Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


def _run(setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    rows: list[Row] = []
    with setup.progress("saturation", len(SEPARATIONS)) as done:
        for theta in SEPARATIONS:
            found, truth, known = gradients(theta, generator), expected(theta), by_divergences(theta)
            divergences = {"saturating": "2·JS", "non-saturating": "KL(Q‖P) − 2·JS"}
            for name, (mean, error) in found.items():
                said = f"gradient of the {name} loss, separation {theta:g}"
                rows.append(near(said, mean, truth[name], ERRORS * error, stderr=error))
                title = f"d/dθ [{divergences[name]}], separation {theta:g}"
                rows.append(near(title, known[name], truth[name], 1e-5, note="by differences of exact divergences"))
            done(1)
    return Outcome(rows, _figure([row for row in rows if row.stderr is not None]))


def _figure(rows: Sequence[Row]) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax, grid = axes[0, 0], np.linspace(0.05, 8.0, 60)
    curves = [expected(float(theta)) for theta in grid]
    for place, name in enumerate(("saturating", "non-saturating")):
        ax.plot(grid, [curve[name] for curve in curves], label=f"{name}: quadrature")
        ours = [row.ours for row in rows if f"the {name} loss" in row.quantity]
        ax.plot(SEPARATIONS, ours, "o", color=f"C{place}", markersize=4.5, label=f"{name}: autograd, {DRAWS:,} draws")
    ax.set_yscale("log")
    ax.set_xlabel("separation θ of N(0, 1) and the generator's N(θ, 1)")
    ax.set_ylabel("gradient in θ, D exact")
    ax.legend()
    return figure


SATURATION = Case(
    name="saturation",
    title="With a perfect discriminator one GAN loss has no gradient, the other keeps it",
    protocol=(
        f"P = N(0, 1), generator z + θ with z ~ N(0, 1), the discriminator exact and frozen; gradients in θ by autograd over "
        f"{DRAWS:,} draws, beside quadrature and beside differences of the divergences that they descend; a row passes within "
        f"{ERRORS:g} standard errors, or 1e-5."
    ),
    run=_run,
    minutes=0.1,
)
