"""`saturation`: the gradient that a generator gets from a perfect discriminator, by the saturating and by the other loss.

P = N(0, 1), Q = N(θ, 1), log p/q = θ²/2 − θx, D* = σ(log p/q).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.special import expit

from divkit.fdiv.table import GAN
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, near
from divkit.reproduce.drawing import panels
from divkit.reproduce.kit import normal
from divkit.truths import exact

__all__ = ["SATURATION", "Saturation"]


@dataclass(frozen=True)
class Saturation:
    """The protocol of `saturation`."""

    separations: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)  # θ
    draws: int = 1_000_000
    errors: float = 5.0  # standard errors allowed: one run in 100,000 would fail by chance


def gradients(theta: float, draws: int, generator: torch.Generator) -> dict[str, tuple[float, float]]:
    """Return mean and standard error of the gradient in θ of both losses, by autograd through x = z + θ with D* frozen."""
    x = torch.randn(draws, generator=generator, dtype=torch.float64).add_(theta).requires_grad_()
    logit = theta**2 / 2 - theta * x
    slopes = {}
    for name, loss in {"saturating": -GAN.b(logit), "non-saturating": -GAN.a(logit)}.items():
        (slope,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        slopes[name] = float(slope.mean()), float(slope.std()) / math.sqrt(draws)
    return slopes


def expected(theta: float) -> dict[str, float]:
    """Return the expected gradients by quadrature: θ E_Q D* and θ E_Q (1 − D*)."""

    def mean(sign: float) -> float:
        def density(x: float) -> float:
            return float(expit(sign * (theta**2 / 2 - theta * x))) * math.exp(-((x - theta) ** 2) / 2) / math.sqrt(2 * math.pi)

        return float(quad(density, theta - 12, theta + 12, points=(theta / 2, theta), epsabs=0, epsrel=1e-11, limit=400)[0])

    return {"saturating": theta * mean(1.0), "non-saturating": theta * mean(-1.0)}


def by_divergences(theta: float, step: float = 1e-3) -> dict[str, float]:
    """Return the gradients as differences of 2·JS, and of KL(Q‖P) − 2·JS (Arjovsky & Bottou 2017)."""

    def slope(name: str) -> float:
        up, down = (exact(name, normal(0.0, 1.0), normal(theta + h, 1.0)) for h in (step, -step))
        return (up - down) / (2 * step)

    js = slope("fgan-js")
    return {"saturating": js, "non-saturating": slope("reverse-kl") - js}


def _run(protocol: Saturation, setup: Setup) -> Outcome:
    generator = torch.Generator().manual_seed(setup.seed)
    rows: list[Quantity] = []
    divergences = {"saturating": "2·JS", "non-saturating": "KL(Q‖P) − 2·JS"}
    with setup.progress("saturation", len(protocol.separations)) as done:
        for theta in protocol.separations:
            truth, differences = expected(theta), by_divergences(theta)
            for name, (mean, error) in gradients(theta, protocol.draws, generator).items():
                title = f"gradient of the {name} loss, separation {theta:g}"
                rows.append(near(title, mean, truth[name], protocol.errors * error, stderr=error))
                title = f"d/dθ [{divergences[name]}], separation {theta:g}"
                rows.append(near(title, differences[name], truth[name], 1e-5, note="by differences of exact divergences"))
            done(1)
    return Outcome(rows, _figure(protocol, [row for row in rows if row.stderr is not None]))


def _figure(protocol: Saturation, rows: Sequence[Quantity]) -> Figure:
    figure, axes = panels(width=5.6, height=3.6)
    ax, grid = axes[0, 0], np.linspace(0.05, 8.0, 60)
    curves = [expected(float(theta)) for theta in grid]
    for place, name in enumerate(("saturating", "non-saturating")):
        ax.plot(grid, [curve[name] for curve in curves], label=f"{name}: quadrature")
        ours, label = [row.ours for row in rows if f"the {name} loss" in row.quantity], f"{protocol.draws:,} draws"
        ax.plot(protocol.separations, ours, "o", color=f"C{place}", markersize=4.5, label=f"{name}: autograd, {label}")
    ax.set(yscale="log", xlabel="separation θ of N(0, 1) and the generator's N(θ, 1)", ylabel="gradient in θ, D exact")
    ax.legend()
    return figure


PROTOCOL = Saturation()
SATURATION = Case(
    name="saturation",
    title="With a perfect discriminator one GAN loss has no gradient, the other keeps it",
    protocol=(
        f"P = N(0, 1), generator z + θ with z ~ N(0, 1), the discriminator exact and frozen; gradients in θ by autograd over "
        f"{PROTOCOL.draws:,} draws, beside quadrature and beside differences of the divergences that they descend; a row "
        f"passes within {PROTOCOL.errors:g} standard errors, or 1e-5."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.1,
)
