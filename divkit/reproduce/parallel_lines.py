"""`parallel-lines`: two lines θ apart, where W₁ is |θ|, JS is log 2 and KL infinite; and what descends."""

from __future__ import annotations

import math
import warnings

import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.core.criterion import Criterion
from divkit.core.divergence import Divergence
from divkit.core.estimate import Estimate
from divkit.core.registry import get
from divkit.critic import Ascent, Kantorovich, Variational, groupsort
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most, near
from divkit.reproduce.drawing import RULE, panels

__all__ = ["PARALLEL_LINES"]

N = 400  # points on each line
APART = (-1.0, -0.25, 0.0, 0.1, 0.5, 2.0)
ERRORS = 4.0  # standard errors allowed: one row in 15 000 would fail by chance
START, RATE, STEPS = 1.0, 0.05, 40
SATURATED = 3.0  # nats: a bound of two samples that share no region is at least this


def line(theta: float | Tensor, z: Tensor) -> Tensor:  # (n,) -> (n, 2)
    """Points (θ, z)."""
    return torch.stack([theta * torch.ones_like(z), z], 1)


def uniform(seed: int, count: int = N) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def _estimate(divergence: Divergence, theta: float, seed: int) -> Estimate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of saturated bounds: that is the point
        return divergence.estimate(line(0.0, uniform(seed)), line(theta, uniform(seed + 1)))


def _rows(theta: float, seed: int) -> list[Row]:
    said = f"θ = {theta:g}"
    z = uniform(seed)
    rows = [
        near(
            f"W₁ of lines with the same heights, {said}", get("w1").estimate(line(0, z), line(theta, z)).value, abs(theta), 1e-6
        )
    ]
    e = _estimate(get("w1-dual", seed=seed), theta, seed)
    allowed = ERRORS * e.stderr + 0.05 * abs(theta) + 0.02
    rows.append(near(f"W₁ by a critic, other heights, {said}", e.value, abs(theta), allowed, stderr=e.stderr))
    e, truth = _estimate(get("js", seed=seed), theta, seed), math.log(2) if theta else 0.0
    rows.append(near(f"JS by a critic, {said}", e.value, truth, ERRORS * e.stderr + 0.02, stderr=e.stderr))
    e = _estimate(get("kl", seed=seed), theta, seed)
    if theta:
        note = "the bound of a finite sample is finite, and says that it is saturated: " + (
            "yes" if "saturated" in e.notes else "no"
        )
        passed = e.value > SATURATED and "saturated" in e.notes
        rows.append(Row(f"KL by a critic, {said}", e.value, math.inf, stderr=e.stderr, passed=passed, note=note))
    else:
        rows.append(near(f"KL by a critic, {said}", e.value, 0.0, ERRORS * e.stderr + 0.02, stderr=e.stderr))
    return rows


def descended(divergence: Divergence, seed: int, steps: int = STEPS, *, solved: bool) -> list[float]:
    """θ along gradient descent; the critic solved anew at each step, or kept warm with five batches a step."""
    criterion = Criterion(divergence)
    theta = torch.tensor(START, requires_grad=True)
    path = [START]
    for step in range(steps):
        x, z = line(0.0, uniform(seed + 2 * step)), uniform(seed + 2 * step + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not solved:
                with criterion.ascending():
                    for _ in range(5):
                        criterion(x, line(theta, z))
            loss = divergence.loss(x, line(theta, z)) if solved else criterion(x, line(theta, z))
        (slope,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= RATE * slope
        path.append(float(theta.detach()))
    return path


def _paths(setup: Setup) -> dict[str, list[float]]:
    seed = 1000 * (setup.seed + 1)
    warm = Variational(Kantorovich(), groupsort(), Ascent(rate=5e-3, doubt=0.0))
    return {
        "W₁, exact": descended(get("w1"), seed, solved=True),
        "W₁, critic kept warm": descended(warm, seed, solved=False),
        "energy": descended(get("energy"), seed, solved=True),
        "JS, critic solved": descended(get("js"), seed, 10, solved=True),
    }


def _run(setup: Setup) -> Outcome:
    rows: list[Row] = []
    with setup.progress("parallel-lines", len(APART) + 1) as done:
        for place, theta in enumerate(APART):
            rows += _rows(theta, 100 * setup.seed + 2 * place)
            done(1)
        paths = _paths(setup)
        done(1)
    for name, path in paths.items():
        if name.startswith("JS"):
            rows.append(
                at_least(f"θ after {len(path) - 1} steps from {START:g}: {name}", path[-1], 0.95, note="no slope, no motion")
            )
        else:
            rows.append(at_most(f"|θ| after {len(path) - 1} steps from {START:g}: {name}", abs(path[-1]), 0.15))
    return Outcome(rows, _figure(rows, paths))


def _figure(rows: list[Row], paths: dict[str, list[float]]) -> Figure:
    figure, axes = panels(columns=2)
    left, right = axes[0]
    ends = (min(APART), max(APART))
    left.plot([ends[0], 0, ends[1]], [-ends[0], 0, ends[1]], color="C0", label="W₁ = |θ|")
    left.plot([ends[0], ends[1]], [math.log(2)] * 2, color="C1", label="JS = log 2, but 0 at θ = 0")
    for place, name in enumerate(("W₁ by a critic", "JS by a critic")):
        ours = [row.ours for row in rows if row.quantity.startswith(name)]
        left.plot(APART, ours, "o", color=f"C{place}", markersize=4.5)
    left.set(xlabel="θ", ylabel="value", title="by critics (dots) and exactly")
    left.legend()
    for name, path in paths.items():
        right.plot(path, label=name)
    right.axhline(0, color=RULE, linewidth=0.8)
    right.set(xlabel=f"step of gradient descent, rate {RATE:g}", ylabel="θ", title="descent from θ = 1")
    right.legend()
    return figure


PARALLEL_LINES = Case(
    name="parallel-lines",
    title="Of two parallel lines W₁ is the distance, JS a constant and KL infinite",
    protocol=(
        f"P = (0, Z), Q = (θ, Z), Z uniform on [0, 1], {N} points each; the default estimators by name. Then θ descends from "
        f"{START:g} by gradient steps of rate {RATE:g}, {STEPS} of them on fresh samples: under exact W₁, under a critic of W₁ "
        f"kept warm (5 extra batches a step), under the energy distance, and 10 under JS with the critic solved each time."
    ),
    run=_run,
    minutes=0.5,
)
