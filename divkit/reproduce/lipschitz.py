"""`lipschitz`: what critics reach of exact W₁ when they are clipped, penalised, divided by spectral norms, or orthonormal."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.core.estimate import Bias, Estimate
from divkit.core.registry import get
from divkit.critic import Ascent, Clip, GradientPenalty, Kantorovich, Variational, groupsort, perceptron, spectral
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most, near
from divkit.reproduce.drawing import INK, panels

__all__ = ["CRITICS", "LIPSCHITZ"]

N = 300
APART = 2.0  # of the two points, and of the two normal laws
WEIGHT = 2.0  # λ: small, so that the slope it leaves shows
TIGHT = 0.85  # of the exact distance that a certified bound has to reach
ERRORS = 4.0

CRITICS: dict[str, Callable[[Ascent], Variational]] = {
    "clipped": lambda how: Variational(Kantorovich(), perceptron(32, 2), how, Clip(0.1)),
    "penalty": lambda how: Variational(Kantorovich(), perceptron(32, 2), how, GradientPenalty(WEIGHT)),
    "one-sided": lambda how: Variational(Kantorovich(), perceptron(32, 2), how, GradientPenalty(WEIGHT, one_sided=True)),
    "spectral": lambda how: Variational(Kantorovich(), spectral(32, 2), how),
    "GroupSort": lambda how: Variational(Kantorovich(), groupsort(32, 2), how),
}


def points(seed: int) -> tuple[Tensor, Tensor]:
    """All mass on two points."""
    return torch.tensor([[APART, 0.0]]).expand(N, 2).clone(), torch.zeros(N, 2)


def normals(seed: int) -> tuple[Tensor, Tensor]:
    """Two normal laws, one shifted: W₁ is the shift."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, N, 2, generator=generator)
    return x + torch.tensor([APART, 0.0]), y


def ring(seed: int) -> tuple[Tensor, Tensor]:
    """Eight narrow normal laws around a circle, against one in the middle."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.arange(N) % 8 * (torch.pi / 4)
    x = 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(N, 2, generator=generator)
    return x, 0.5 * torch.randn(N, 2, generator=generator)


PROBLEMS = {"two points": points, "two normal laws": normals, "ring": ring}


def _solved(name: str, x: Tensor, y: Tensor, seed: int) -> Estimate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CRITICS[name](Ascent(folds=2, rate=1e-2, steps=1500, doubt=0.0, seed=seed)).estimate(x, y)


def _rows(problem: str, name: str, e: Estimate, exact: float) -> list[Row]:
    said = f"{problem}, {name}"
    slope = float(e.notes["lipschitz"])
    rows = [Row(f"value: {said}", e.value, exact, stderr=e.stderr, note=f"largest slope {slope:.3g}; {e.bias.value}")]
    lower = e.solution.lower or 0.0
    rows.append(at_most(f"certified bound: {said}", lower, exact * (1 + 1e-6), exact=exact, note="by the critic's c-transform"))
    if e.bias is Bias.BELOW:
        rows.append(at_most(f"largest slope: {said}", slope, 1 + 1e-5))
        rows.append(at_least(f"certified bound over exact W₁: {said}", lower / exact, TIGHT))
    if problem == "two points":
        if name in ("penalty", "one-sided"):
            rows.append(
                near(f"value over distance: {said}", e.value / APART, 1 + APART / (2 * WEIGHT), 0.03, note="1 + |a|/2λ")
            )
        elif name == "GroupSort":
            rows.append(near(f"value over distance: {said}", e.value / APART, 1.0, 0.01))
        elif name == "spectral":
            rows.append(at_most(f"value over distance: {said}", e.value / APART, 1 + 1e-5, note="ReLUs lose slope"))
    elif problem == "two normal laws" and e.bias is Bias.BELOW:
        rows.append(at_most(f"value: {said}", e.value, APART + ERRORS * e.stderr, exact=APART, stderr=e.stderr))
        rows.append(at_least(f"value: {said}", e.value, 0.9 * APART - ERRORS * e.stderr, exact=APART, stderr=e.stderr))
    return rows


def _run(setup: Setup) -> Outcome:
    rows: list[Row] = []
    found: dict[str, dict[str, Estimate]] = {}
    truths: dict[str, float] = {}
    with setup.progress("lipschitz", len(PROBLEMS) * len(CRITICS)) as done:
        for problem, draw in PROBLEMS.items():
            x, y = draw(setup.seed)
            truths[problem] = get("w1").estimate(x, y).value
            found[problem] = {}
            for name in CRITICS:
                found[problem][name] = e = _solved(name, x, y, setup.seed)
                rows += _rows(problem, name, e, truths[problem])
                done(1)
    return Outcome(rows, _figure(found, truths))


def _figure(found: dict[str, dict[str, Estimate]], truths: dict[str, float]) -> Figure:
    figure, axes = panels(columns=len(found), width=3.4, height=2.9)
    for ax, (problem, estimates) in zip(axes[0], found.items()):
        for place, e in enumerate(estimates.values()):
            colour = "C0" if e.bias is Bias.BELOW else "C1"
            ax.errorbar(e.value, place, xerr=2 * e.stderr, fmt="o", color=colour, markersize=4.5)
            ax.plot(e.solution.lower, place, "|", color=INK, markersize=12)
        ax.axvline(truths[problem], color=INK, linewidth=0.8)
        ax.set_yticks(range(len(estimates)), list(estimates) if ax is axes[0, 0] else [""] * len(estimates))
        ax.invert_yaxis()
        ax.set(xlabel="value ± 2 s.e. (dot), certified (tick)", title=f"{problem}: W₁ = {truths[problem]:.3f}")
        ax.set_xlim(left=0)
    return figure


LIPSCHITZ = Case(
    name="lipschitz",
    title="Only critics that are 1-Lipschitz by construction bound W₁; a c-transform makes a bound of any",
    protocol=(
        f"{N} points a side: two point masses {APART:g} apart, two normal laws {APART:g} apart, a ring of eight against its "
        f"middle. Critics of two hidden layers of 32, two folds, Adam at .01: weights clipped at .1; gradient penalties with "
        f"λ = {WEIGHT:g}, two-sided and one-sided; spectral norms; GroupSort between orthonormal layers. Exact W₁ of the "
        f"samples by linear programming. A bound passes up to 1e-6, a value within {ERRORS:g} standard errors."
    ),
    run=_run,
    minutes=0.3,
)
