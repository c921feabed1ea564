"""`critic-surface`: what clipped, penalised and 1-Lipschitz critics look like on three sets of points in the plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from divkit.core.criterion import Criterion
from divkit.core.registry import get
from divkit.critic import Ascent, Clip, GradientPenalty, Kantorovich, RMSProp, Variational, groupsort, perceptron, spectral
from divkit.data.measure import pair
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most
from divkit.reproduce.drawing import calm, panels

__all__ = ["CRITIC_SURFACE"]

STEPS, BATCH, FRESH, GRID = 500, 256, 1000, 90
HOW = Ascent(rate=1e-2)
CRITICS = {
    "weights clipped": Variational(Kantorovich(), perceptron(64, 3), Ascent(rate=5e-3, optimiser=RMSProp()), Clip(0.1)),
    "gradient penalty": Variational(Kantorovich(), perceptron(64, 3), HOW, GradientPenalty()),
    "spectral norm": Variational(Kantorovich(), spectral(64, 3), HOW),
    "GroupSort": Variational(Kantorovich(), groupsort(64, 3), HOW),
}


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Eight narrow normal laws on a circle."""
    angle = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(count, 2, generator=generator)


def grid(count: int, generator: torch.Generator) -> Tensor:
    """Twenty-five narrow normal laws on a square grid."""
    return 2.0 * torch.randint(-2, 3, (count, 2), generator=generator) + 0.05 * torch.randn(count, 2, generator=generator)


def roll(count: int, generator: torch.Generator) -> Tensor:
    """A spiral."""
    t = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=generator))
    return torch.stack([t * t.cos(), t * t.sin()], 1) / 4 + 0.05 * torch.randn(count, 2, generator=generator)


DATA: dict[str, Callable[[int, torch.Generator], Tensor]] = {"8 Gaussians": ring, "25 Gaussians": grid, "swiss roll": roll}


def sides(name: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Data, and other data with noise of unit variance."""
    return DATA[name](count, generator), DATA[name](count, generator) + torch.randn(count, 2, generator=generator)


class Trained(NamedTuple):
    """What a critic makes of data it has not seen."""

    value: float
    stderr: float
    slope: float  # the largest found
    certified: float
    heights: NDArray[Any]  # on the grid


def trained(critic: Variational, name: str, seed: int, x: Tensor, y: Tensor, square: Tensor) -> Trained:
    """A critic after `STEPS` fresh batches."""
    criterion, generator = Criterion(critic), torch.Generator().manual_seed(seed)
    with criterion.ascending():
        for _ in range(STEPS):
            criterion(*sides(name, BATCH, generator))
    solution = criterion.solution
    assert solution is not None
    e = critic.estimate(x, y, solution=solution)
    at, _ = pair(square, square)
    p, q = pair(x, y)
    certified, measured = critic.dual.measure([lambda m: critic.scores(m, solution, "x")], p, q)
    with torch.no_grad():
        heights = critic.scores(at, solution, "x").reshape(GRID, GRID).T.numpy()
    return Trained(e.value, e.stderr, measured["lipschitz"], certified or 0.0, heights)


def _rows(name: str, kind: str, found: Trained, exact: float) -> list[Row]:
    note = f"largest slope {found.slope:.3g}; exact W₁ of the samples {exact:.3g}, above that of the laws"
    rows = [Row(f"value on fresh data: {name}, {kind}", found.value, stderr=found.stderr, note=note)]
    rows.append(at_most(f"certified bound over exact W₁: {name}, {kind}", found.certified / exact, 1 + 1e-6))
    if CRITICS[kind].dual.honesty(CRITICS[kind].critic) is CRITICS["GroupSort"].bias:
        rows.append(at_most(f"largest slope: {name}, {kind}", found.slope, 1 + 1e-5))
    return rows


def _run(setup: Setup) -> Outcome:
    rows: list[Row] = []
    ticks = torch.linspace(-1, 1, GRID)
    figure, axes = panels(len(DATA), len(CRITICS), width=2.1, height=2.1)
    with setup.progress("critic-surface", len(DATA) * len(CRITICS)) as done:
        for line, name in zip(axes, DATA):
            x, y = sides(name, FRESH, torch.Generator().manual_seed(1000 + setup.seed))
            exact = get("w1").estimate(x, y).value
            reach = 1.1 * float(x.abs().max())
            square = reach * torch.cartesian_prod(ticks, ticks)
            found = {kind: trained(critic, name, setup.seed, x, y, square) for kind, critic in CRITICS.items()}
            for place, (ax, (kind, made)) in enumerate(zip(line, found.items())):
                rows += _rows(name, kind, made, exact)
                _draw(ax, made.heights, x, reach)
                ax.set_title(kind if ax is axes[0, place] else "")
                done(1)
            line[0].set_ylabel(name)
            clipped = found["weights clipped"]
            penalised = found["gradient penalty"]
            gain = penalised.value / penalised.slope / (clipped.value / clipped.slope)
            rows.append(at_least(f"value per slope, penalty over clipping: {name}", gain, 1.0))
    return Outcome(rows, figure)


def _draw(ax: Axes, heights: NDArray[Any], x: Tensor, reach: float) -> None:
    place = np.linspace(-reach, reach, GRID)
    ax.contour(place, place, heights, levels=14, linewidths=0.8, cmap="viridis")
    ax.plot(*x[:400].T.numpy(), ".", color="C1", markersize=1.5)
    calm(ax).set_aspect("equal")


CRITIC_SURFACE = Case(
    name="critic-surface",
    title="A penalised critic finds more for its slope than a clipped one",
    protocol=(
        f"8 Gaussians (radius 2, sd .02), 25 Gaussians (spacing 2, sd .05) and a spiral, against as many other such points "
        f"with noise N(0, I) added; critics of three hidden layers of 64, {STEPS:,} steps on fresh batches of {BATCH} a side, "
        f"rate .01 (.005 where clipped); judged on {FRESH:,} fresh points a side, whose exact W₁ is by linear programming. "
        f"Level lines of the critic, and 400 of the data. No certified bound (the critic's c-transform) may pass exact W₁; "
        f"with a penalty a critic finds more for its largest slope than a clipped one. So few steps draw a sketch. "
        f"Spectral norms leave a slope near .6: every kink of a leaky ReLU takes some of the gradient's norm, "
        f"which layers of norm one cannot give back; "
        f"between two points, where no kink is needed, the same critic reaches 1."
    ),
    run=_run,
    minutes=1.5,
)
