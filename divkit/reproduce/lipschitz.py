"""`lipschitz`: what critics reach of exact W₁ when they are clipped, penalised, divided by spectral norms, or orthonormal."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.core.estimate import Bias, Estimate
from divkit.core.registry import get
from divkit.critic import Ascent, Clip, GradientPenalty, Kantorovich, Variational, groupsort, perceptron, spectral
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most, near
from divkit.reproduce.drawing import INK, panels
from divkit.reproduce.kit import circle

__all__ = ["LIPSCHITZ", "Lipschitz"]


@dataclass(frozen=True)
class Lipschitz:
    """The protocol of `lipschitz`."""

    n: int = 300  # points of each side
    distance: float = 2.0  # between the two points, and between the two normal laws
    weight: float = 2.0  # λ of the penalties: small, so that the slope it leaves shows
    tight: float = 0.85  # the share of the exact distance that a certified bound has to reach
    errors: float = 4.0  # standard errors allowed

    def problems(self, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Draw two point masses, two normal laws, and eight narrow normal laws around a circle against one in the middle."""
        n, shift = self.n, torch.tensor([self.distance, 0.0])
        x, y = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(seed)
        ring = circle(torch.arange(n) % 8) + 0.05 * torch.randn(n, 2, generator=generator)
        return {
            "two points": (shift.expand(n, 2).clone(), torch.zeros(n, 2)),
            "two normal laws": (x + shift, y),
            "ring": (ring, 0.5 * torch.randn(n, 2, generator=generator)),
        }

    def critics(self, seed: int) -> dict[str, Variational]:
        """Return W₁'s dual by each kind of critic."""
        ascent = Ascent(folds=2, rate=1e-2, steps=1500, doubt=0.0, seed=seed)
        make = partial(Variational, Kantorovich())
        return {
            "clipped": make(perceptron(32, 2), ascent, Clip(0.1)),
            "penalty": make(perceptron(32, 2), ascent, GradientPenalty(self.weight)),
            "one-sided": make(perceptron(32, 2), ascent, GradientPenalty(self.weight, one_sided=True)),
            "spectral": make(spectral(32, 2), ascent),
            "GroupSort": make(groupsort(32, 2), ascent),
        }


def _rows(protocol: Lipschitz, problem: str, name: str, e: Estimate, exact: float) -> list[Quantity]:
    """Judge the value, the certified bound and the largest slope of one critic on one problem."""
    where, distance, weight = f"{problem}, {name}", protocol.distance, protocol.weight
    slope, lower, doubt = float(e.notes["lipschitz"]), e.solution.lower or 0.0, protocol.errors * e.stderr
    note = f"largest slope {slope:.3g}; {e.bias.value}"
    rows = [Quantity(f"value: {where}", e.value, exact, stderr=e.stderr, note=note)]
    note = "by the critic's c-transform"
    rows.append(at_most(f"certified bound: {where}", lower, exact * (1 + 1e-6), exact=exact, note=note))
    if e.bias is Bias.BELOW:
        rows.append(at_most(f"largest slope: {where}", slope, 1 + 1e-5))
        rows.append(at_least(f"certified bound over exact W₁: {where}", lower / exact, protocol.tight))
    if problem == "two points":
        title, ratio = f"value over distance: {where}", e.value / distance
        if name in ("penalty", "one-sided"):
            rows.append(near(title, ratio, 1 + distance / (2 * weight), 0.03, note="1 + |a|/2λ"))
        elif name == "GroupSort":
            rows.append(near(title, ratio, 1.0, 0.01))
        elif name == "spectral":
            rows.append(at_most(title, ratio, 1 + 1e-5, note="ReLUs lose slope"))
    elif problem == "two normal laws" and e.bias is Bias.BELOW:
        rows.append(at_most(f"value: {where}", e.value, distance + doubt, exact=distance, stderr=e.stderr))
        rows.append(at_least(f"value: {where}", e.value, 0.9 * distance - doubt, exact=distance, stderr=e.stderr))
    return rows


def _run(protocol: Lipschitz, setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    estimates: dict[str, dict[str, Estimate]] = {}
    truths: dict[str, float] = {}
    problems, critics = protocol.problems(setup.seed), protocol.critics(setup.seed)
    with setup.progress("lipschitz", len(problems) * len(critics)) as done, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for problem, (x, y) in problems.items():
            truths[problem] = get("w1").estimate(x, y).value
            estimates[problem] = {}
            for name, critic in critics.items():
                estimates[problem][name] = e = critic.estimate(x, y)
                rows += _rows(protocol, problem, name, e, truths[problem])
                done(1)
    return Outcome(rows, _figure(estimates, truths))


def _figure(estimates: dict[str, dict[str, Estimate]], truths: dict[str, float]) -> Figure:
    figure, axes = panels(columns=len(estimates), width=3.4, height=2.9)
    for ax, (problem, critics) in zip(axes[0], estimates.items()):
        for place, e in enumerate(critics.values()):
            colour = "C0" if e.bias is Bias.BELOW else "C1"
            ax.errorbar(e.value, place, xerr=2 * e.stderr, fmt="o", color=colour, markersize=4.5)
            ax.plot(e.solution.lower, place, "|", color=INK, markersize=12)
        ax.axvline(truths[problem], color=INK, linewidth=0.8)
        ax.set_yticks(range(len(critics)), list(critics) if ax is axes[0, 0] else [""] * len(critics))
        ax.invert_yaxis()
        ax.set(xlabel="value ± 2 s.e. (dot), certified (tick)", title=f"{problem}: W₁ = {truths[problem]:.3f}")
        ax.set_xlim(left=0)
    return figure


PROTOCOL = Lipschitz()
LIPSCHITZ = Case(
    name="lipschitz",
    title="Only critics that are 1-Lipschitz by construction bound W₁; a c-transform makes a bound of any",
    protocol=(
        f"{PROTOCOL.n} points a side: two point masses {PROTOCOL.distance:g} apart, two normal laws {PROTOCOL.distance:g} "
        f"apart, a ring of eight against its middle. Critics of two hidden layers of 32, two folds, Adam at .01: weights "
        f"clipped at .1; gradient penalties with λ = {PROTOCOL.weight:g}, two-sided and one-sided; spectral norms; GroupSort "
        f"between orthonormal layers. Exact W₁ of the samples by linear programming. A bound passes up to 1e-6, a value within "
        f"{PROTOCOL.errors:g} standard errors."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.3,
)
