"""`critic-surface`: what clipped, penalised and 1-Lipschitz critics look like on three sets of points in the plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from divkit.core.criterion import Criterion
from divkit.core.estimate import Solution
from divkit.core.registry import get
from divkit.critic import Ascent, Clip, GradientPenalty, Kantorovich, RMSProp, Variational, groupsort, perceptron, spectral
from divkit.data.measure import Measure, pair
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most
from divkit.reproduce.drawing import calm, panels
from divkit.reproduce.kit import circle

__all__ = ["CRITIC_SURFACE", "CriticSurface"]

HOW = Ascent(rate=1e-2)
CRITICS = {
    "weights clipped": Variational(Kantorovich(), perceptron(64, 3), Ascent(rate=5e-3, optimiser=RMSProp()), Clip(0.1)),
    "gradient penalty": Variational(Kantorovich(), perceptron(64, 3), HOW, GradientPenalty()),
    "spectral norm": Variational(Kantorovich(), spectral(64, 3), HOW),
    "GroupSort": Variational(Kantorovich(), groupsort(64, 3), HOW),
}


@dataclass(frozen=True)
class CriticSurface:
    """The protocol of `critic-surface`."""

    steps: int = 500  # of a critic
    batch: int = 256  # fresh points of each side in a step
    fresh: int = 1000  # points of each side on which a critic is judged
    nodes: int = 90  # along an axis of the picture


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Draw from eight narrow normal laws on a circle."""
    place = torch.randint(8, (count,), generator=generator)
    return circle(place) + 0.02 * torch.randn(count, 2, generator=generator)


def grid(count: int, generator: torch.Generator) -> Tensor:
    """Draw from twenty-five narrow normal laws on a square grid."""
    return 2.0 * torch.randint(-2, 3, (count, 2), generator=generator) + 0.05 * torch.randn(count, 2, generator=generator)


def roll(count: int, generator: torch.Generator) -> Tensor:
    """Draw from a spiral."""
    t = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=generator))
    return torch.stack([t * t.cos(), t * t.sin()], 1) / 4 + 0.05 * torch.randn(count, 2, generator=generator)


DATA: dict[str, Callable[[int, torch.Generator], Tensor]] = {"8 Gaussians": ring, "25 Gaussians": grid, "swiss roll": roll}


def sides(name: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a set, and as many other points of it with noise of unit variance."""
    return DATA[name](count, generator), DATA[name](count, generator) + torch.randn(count, 2, generator=generator)


def trained(protocol: CriticSurface, critic: Variational, name: str, seed: int) -> Solution:
    """Return the solution of a critic after fresh batches."""
    criterion, generator = Criterion(critic), torch.Generator().manual_seed(seed)
    with criterion.ascending():
        for _ in range(protocol.steps):
            criterion(*sides(name, protocol.batch, generator))
    assert criterion.solution is not None
    return criterion.solution


def _rows(
    title: str, critic: Variational, solution: Solution, data: tuple[Tensor, Tensor], exact: float
) -> tuple[list[Quantity], float]:
    """Judge a critic on data that it has not seen; return the rows, and its value for its largest slope."""
    e = critic.estimate(*data, solution=solution)
    assert isinstance(critic.dual, Kantorovich)
    certified, notes = critic.dual.certify([lambda m: critic.scores(m, solution, "x")], *pair(*data))
    slope = float(notes["lipschitz"])
    note = f"largest slope {slope:.3g}; exact W₁ of the samples {exact:.3g}, above that of the laws"
    rows = [Quantity(f"value on fresh data: {title}", e.value, stderr=e.stderr, note=note)]
    rows.append(at_most(f"certified bound over exact W₁: {title}", certified / exact, 1 + 1e-6))
    if critic.bias is CRITICS["GroupSort"].bias:
        rows.append(at_most(f"largest slope: {title}", slope, 1 + 1e-5))
    return rows, e.value / slope


def _run(protocol: CriticSurface, setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    ticks = torch.linspace(-1, 1, protocol.nodes)
    figure, axes = panels(len(DATA), len(CRITICS), width=2.1, height=2.1)
    with setup.progress("critic-surface", len(DATA) * len(CRITICS)) as done:
        for line, name in zip(axes, DATA):
            x, y = sides(name, protocol.fresh, torch.Generator().manual_seed(1000 + setup.seed))
            exact = get("w1").estimate(x, y).value
            end = 1.1 * float(x.abs().max())
            square = end * torch.cartesian_prod(ticks, ticks)
            nodes, gains = Measure(square), {}
            for place, (ax, (kind, critic)) in enumerate(zip(line, CRITICS.items())):
                solution = trained(protocol, critic, name, setup.seed)
                more, gains[kind] = _rows(f"{name}, {kind}", critic, solution, (x, y), exact)
                rows += more
                with torch.no_grad():
                    heights = critic.scores(nodes, solution, "x").reshape(len(ticks), -1).T.numpy()
                _draw(ax, heights, x, end)
                ax.set_title(kind if ax is axes[0, place] else "")
                done(1)
            line[0].set_ylabel(name)
            gain = gains["gradient penalty"] / gains["weights clipped"]
            rows.append(at_least(f"value per slope, penalty over clipping: {name}", gain, 1.0))
    return Outcome(rows, figure)


def _draw(ax: Axes, heights: NDArray[Any], x: Tensor, end: float) -> None:
    """Draw a critic's level lines on the square [−end, end]², and some of the data."""
    place = np.linspace(-end, end, len(heights))
    ax.contour(place, place, heights, levels=14, linewidths=0.8, cmap="viridis")
    ax.plot(*x[:400].T.numpy(), ".", color="C1", markersize=1.5)
    calm(ax).set_aspect("equal")


PROTOCOL = CriticSurface()
CRITIC_SURFACE = Case(
    name="critic-surface",
    title="A penalised critic finds more for its slope than a clipped one",
    protocol=(
        f"8 Gaussians (radius 2, sd .02), 25 Gaussians (spacing 2, sd .05) and a spiral, against as many other such points "
        f"with noise N(0, I) added; critics of three hidden layers of 64, {PROTOCOL.steps:,} steps on fresh batches of "
        f"{PROTOCOL.batch} a side, rate .01 (.005 where clipped); judged on {PROTOCOL.fresh:,} fresh points a side, whose "
        f"exact W₁ is by linear programming. Level lines of the critic, and 400 of the data. No certified bound (the critic's "
        f"c-transform) may pass exact W₁; with a penalty a critic finds more for its largest slope than a clipped one. So few "
        f"steps draw a sketch. Spectral norms leave a slope near .6: every kink of a leaky ReLU takes some of the gradient's "
        f"norm, which layers of norm one cannot give back; between two points, where no kink is needed, the same critic "
        f"reaches 1."
    ),
    run=partial(_run, PROTOCOL),
    minutes=1.5,
)
