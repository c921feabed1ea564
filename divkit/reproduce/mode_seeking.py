"""`mode-seeking`: one Gaussian, two modes, every f-divergence: which cover both modes, and which settle on one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import optimize
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Normal

from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import TABLE, alpha
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, near
from divkit.reproduce.drawing import COLOURS, INK, PALE, RULE, panels
from divkit.reproduce.fgan_fit import Game, TargetMixture, bound_of
from divkit.reproduce.kit import Effort, normal
from divkit.truths import exact

__all__ = ["MODE_SEEKING", "ModeSeeking"]

TARGET = TargetMixture((0.6, 0.4), (-1.5, 1.5), (0.5, 0.5))
MODE = TARGET.deviations[0]  # the standard deviation of one mode
NAMES = ("pearson", "kl", "jeffreys", "js", "tv", "squared-hellinger", "le-cam", "lin-k", "reverse-kl", "neyman")
SEEKING = "reverse-kl from a mode"
RUNS = {name: (name, (0.0, 1.0)) for name in ("pearson", "kl", "jeffreys", "js", "squared-hellinger", "reverse-kl")} | {
    SEEKING: ("reverse-kl", (-1.5, 0.5))
}  # what is learned -> the record, and the generator's μ and σ before training: between the modes, or at one
ORDERS = tuple(np.round(np.arange(-1.0, 2.01, 0.1), 2).tolist())  # α of the curve in the figure
STARTS = ((TARGET.mean, TARGET.deviation), (-1.5, 0.5), (1.5, 0.5), (-1.0, 1.0))  # of the search for the exact optimum


@dataclass(frozen=True)
class ModeSeeking:
    """The protocol of `mode-seeking`."""

    rate: float = 1e-2  # of the generator
    batch: int = 1024
    optimum_within: float = 1e-3  # tolerance of what is exact
    fit_within: float = 0.1  # tolerance of what is learned, relative to P's deviation for μ, to the optimum's for σ
    short: Effort = Effort(800, 1)
    full: Effort = Effort(4000, 3)


def optimum(record: FDivergence, starts: Sequence[tuple[float, float]] = STARTS) -> tuple[float, float, float]:
    """Return the best μ and σ and the divergence there, by simplex searches on a grid from several starts."""
    bound = bound_of(record, TARGET, -14.0, 14.0, 7001)

    def value(z: NDArray[np.float64]) -> float:
        total = float(bound(Normal(float(z[0]), math.exp(z[1]))))
        return total if math.isfinite(total) else 1e6

    tries = [optimize.minimize(value, (mu, math.log(sigma)), method="Nelder-Mead") for mu, sigma in starts]
    best = min(tries, key=lambda result: float(result.fun))
    return float(best.x[0]), math.exp(best.x[1]), float(best.fun)


def train(protocol: ModeSeeking, name: str, start: tuple[float, float], steps: int, seed: int) -> tuple[float, float]:
    """Return μ and σ that a record's game reaches from a start."""
    game = Game(start, protocol.rate, steps, protocol.batch)
    return game.play(TABLE[name], _samples, torch.Generator().manual_seed(seed))[:2]


def _samples(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw samples of the target, and noise for the generator."""
    z = torch.randn(n, 1, generator=generator)
    return draw(n, generator), z


def draw(n: int, generator: torch.Generator) -> Tensor:  # -> (n, 1)
    """Draw samples of the target."""
    mode = (torch.rand(n, 1, generator=generator) >= TARGET.weights[0]).long()
    noise = torch.randn(n, 1, generator=generator)
    return torch.tensor(TARGET.means)[mode] + torch.tensor(TARGET.deviations)[mode] * noise


def _run(protocol: ModeSeeking, setup: Setup) -> Outcome:
    form = protocol.full if setup.full else protocol.short
    with setup.progress("mode-seeking", len(NAMES) + len(ORDERS) + len(RUNS) * (1 + form.seeds)) as done:

        def part(key: str, make: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
            result = tuple(setup.keep(key, make))
            done(1)
            return result

        best = {name: part(f"exact {name}", partial(optimum, TABLE[name])) for name in NAMES}
        curve = {order: part(f"order {order}", partial(optimum, _of_order(order))) for order in ORDERS}
        fits, nearest = {}, {}
        for title, (name, start) in RUNS.items():
            make = partial(train, protocol, name, start, form.steps)
            seeds = [(k, 1000 * setup.seed + k) for k in range(form.seeds)]
            fits[title] = np.array([part(f"{title} {k}", partial(make, seed)) for k, seed in seeds])
            nearest[title] = part(f"reached {title}", partial(optimum, TABLE[name], (start,)))
    rows = [row for name in NAMES for row in _optimal(name, best[name], protocol.optimum_within)]
    rows += [row for title in RUNS for row in _learned(title, fits[title], nearest[title], protocol.fit_within)]
    return Outcome([*_extremes(best, protocol.optimum_within), *rows], _figure(best, curve, fits))


def _of_order(order: float) -> FDivergence:
    """Return the α-divergence of an order, reverse KL and KL at its limits 0 and 1."""
    return {0.0: TABLE["reverse-kl"], 1.0: TABLE["kl"]}.get(order) or alpha(order)


def _extremes(best: dict[str, tuple[float, ...]], tolerance: float) -> list[Quantity]:
    """Return what is known of the ends: KL matches moments; a seeker is as narrow as the mode it has."""
    mu, sigma, _ = best["kl"]
    seeker = best["reverse-kl"]
    return [
        near("μ under KL: the mean of P", mu, TARGET.mean, tolerance),
        near("σ under KL: the standard deviation of P", sigma, TARGET.deviation, tolerance),
        near("σ under reverse KL: the deviation of one mode", seeker[1], MODE, 0.05 * MODE),
        near("μ under reverse KL: the heavier mode", seeker[0], TARGET.means[0], 0.05),
        at_least("σ under KL over σ under reverse KL", sigma / seeker[1], 2.0),
    ]


def _optimal(name: str, best: tuple[float, ...], tolerance: float) -> list[Quantity]:
    """Return the least value of a divergence beside the exact one there, and how much of Q is on one side."""
    mu, sigma, value = best
    truth = exact(name, TARGET.law, normal(mu, sigma))
    share = float(norm.cdf(0.0, mu, sigma))
    note = f"{max(share, 1 - share):.0%} of Q on one side of 0; P has {max(TARGET.weights):.0%}"
    title, allowed = f"least D(P‖Q), {name}", tolerance * max(1.0, truth)
    return [
        near(title, value, truth, allowed, note="by the bound; exact: dk.exact there"),
        Quantity(f"σ there, {name}", sigma, note=note),
    ]


def _learned(name: str, fits: NDArray[np.float64], best: tuple[float, ...], tolerance: float) -> list[Quantity]:
    """Return what was learned beside what a search on the exact divergence reaches from the same start."""
    spread = fits.std(0, ddof=1) if len(fits) > 1 else (None, None)
    mu, sigma = (float(value) for value in fits.mean(0))
    return [
        near(f"μ learned, {name}", mu, best[0], tolerance * TARGET.deviation, stderr=spread[0]),
        near(f"σ learned, {name}", sigma, best[1], tolerance * best[1], stderr=spread[1]),
    ]


def _figure(
    best: dict[str, tuple[float, ...]], curve: dict[float, tuple[float, ...]], fits: dict[str, NDArray[np.float64]]
) -> Figure:
    figure, axes = panels(1, 2, 4.8, 3.6)
    left, right = axes[0]
    x = np.linspace(-5.0, 5.0, 500)
    left.fill_between(x, TARGET.law.log_prob(torch.tensor(x)).exp().numpy(), color=PALE, label="P")  # type: ignore[no-untyped-call]
    for colour, name in zip(COLOURS, ("pearson", "kl", "jeffreys", "js", "reverse-kl")):
        mu, sigma, _ = best[name]
        left.plot(x, norm.pdf(x, mu, sigma), color=colour, label=name)
    for name, order in {"reverse-kl": 0.0, SEEKING: 0.0, "kl": 1.0, "pearson": 2.0}.items():
        right.plot(order, fits[name][:, 1].mean(), "o", color=COLOURS[1], markersize=5)
    left.set(xlabel="x", title="the best Gaussian under each divergence")
    left.legend()
    right.plot(list(curve), [optimum[1] for optimum in curve.values()], color=INK, linewidth=1.2)
    for label, deviation, order, side in (("P", TARGET.deviation, ORDERS[0], "left"), ("one mode", MODE, ORDERS[-1], "right")):
        right.axhline(deviation, color=RULE, linewidth=0.8)
        right.annotate(label, (order, deviation), xytext=(0, 3), textcoords="offset points", ha=side)
    right.set(
        xlabel="order α: 0 is reverse KL, 1 is KL, 2 is ½ Pearson",
        ylabel="σ",
        title="line: exact; dots: learned, reverse KL from two starts",
        ylim=(0, None),
    )
    return figure


PROTOCOL = ModeSeeking()
MODE_SEEKING = Case(
    name="mode-seeking",
    title="Forward KL covers both modes, reverse KL settles on one, and the others stand between",
    protocol=(
        f"P = .6 N(−1.5, .5²) + .4 N(1.5, .5²), Q = N(μ, σ²). Exact: the record's bound at log p/q on a grid, minimised by "
        f"simplex searches from {len(STARTS)} starts, its least value against dk.exact within 1e-3; orders α from −1 to 2. "
        f"Learned: G(z) = μ + σz from N(0, 1), critic 64–64 tanh, batch {PROTOCOL.batch:,}, two critic steps each, both by the "
        f"record in the canonical parametrisation, averaged over the second half; within 10 % (μ: of P's deviation) of what a "
        f"search on the exact divergence reaches from the same start. Reverse KL has an optimum between the modes too (.85 for "
        f".51), and there both end; started at a mode, both stay."
    ),
    short=f"Short form: {PROTOCOL.short.steps:,} steps, one seed.",
    full=f"Full form: {PROTOCOL.full.steps:,} steps, {PROTOCOL.full.seeds} seeds.",
    run=partial(_run, PROTOCOL),
    minutes=1.0,
    full_minutes=8.0,
)
