"""`parallel-lines`: two lines θ apart, where W₁ is |θ|, JS is log 2 and KL infinite; and what descends.

P = (0, Z) and Q = (θ, Z) with Z uniform on [0, 1].
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.core.criterion import Criterion
from divkit.core.divergence import Divergence
from divkit.core.registry import get
from divkit.critic import Ascent, Kantorovich, Variational, groupsort
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most, near
from divkit.reproduce.drawing import RULE, panels

__all__ = ["PARALLEL_LINES", "ParallelLines"]


@dataclass(frozen=True)
class ParallelLines:
    """The protocol of `parallel-lines`."""

    n: int = 400  # points on each line
    thetas: tuple[float, ...] = (-1.0, -0.25, 0.0, 0.1, 0.5, 2.0)
    errors: float = 4.0  # standard errors allowed: one row in 15,000 would fail by chance
    saturated: float = 3.0  # nats that a bound of two samples without a common region must pass
    start: float = 1.0  # θ before the descent
    rate: float = 0.05  # of the descent
    steps: int = 40

    def heights(self, seed: int) -> Tensor:
        """Draw Z for each point of a line."""
        return torch.rand(self.n, generator=torch.Generator().manual_seed(seed))


def line(theta: float | Tensor, z: Tensor) -> Tensor:  # (n,) -> (n, 2)
    """Return points (θ, z)."""
    return torch.stack([theta * torch.ones_like(z), z], 1)


def _rows(protocol: ParallelLines, theta: float, seed: int) -> list[Quantity]:
    """Judge W₁, JS and KL of lines θ apart."""
    z, other, where = protocol.heights(seed), protocol.heights(seed + 1), f"θ = {theta:g}"
    e = get("w1").estimate(line(0, z), line(theta, z))
    rows = [near(f"W₁ of lines with the same heights, {where}", e.value, abs(theta), 1e-6)]
    w1, js, kl = (get(name, seed=seed).estimate(line(0.0, z), line(theta, other)) for name in ("w1-dual", "js", "kl"))
    allowed = protocol.errors * w1.stderr + 0.05 * abs(theta) + 0.02
    rows.append(near(f"W₁ by a critic, other heights, {where}", w1.value, abs(theta), allowed, stderr=w1.stderr))
    truth, allowed = math.log(2) if theta else 0.0, protocol.errors * js.stderr + 0.02
    rows.append(near(f"JS by a critic, {where}", js.value, truth, allowed, stderr=js.stderr))
    title = f"KL by a critic, {where}"
    if theta:
        saturated = "saturated" in kl.notes
        note = f"the bound of a finite sample is finite, and says that it is saturated: {'yes' if saturated else 'no'}"
        passed = kl.value > protocol.saturated and saturated
        return [*rows, Quantity(title, kl.value, math.inf, stderr=kl.stderr, passed=passed, note=note)]
    return [*rows, near(title, kl.value, 0.0, protocol.errors * kl.stderr + 0.02, stderr=kl.stderr)]


def descended(protocol: ParallelLines, divergence: Divergence, seed: int, *, solved: bool) -> list[float]:
    """Return θ along gradient descent; the critic is solved anew at each step, or kept warm with five batches a step."""
    criterion = Criterion(divergence)
    theta = torch.tensor(protocol.start, requires_grad=True)
    path = [protocol.start]
    for step in range(protocol.steps):
        x, z = line(0.0, protocol.heights(seed + 2 * step)), protocol.heights(seed + 2 * step + 1)
        if not solved:
            with criterion.ascending():
                for _ in range(5):
                    criterion(x, line(theta, z))
        loss = divergence.loss(x, line(theta, z)) if solved else criterion(x, line(theta, z))
        (slope,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= protocol.rate * slope
        path.append(float(theta.detach()))
    return path


def _run(protocol: ParallelLines, setup: Setup) -> Outcome:
    rows: list[Quantity] = []
    seed, few = 1000 * (setup.seed + 1), replace(protocol, steps=protocol.steps // 4)
    warm = Variational(Kantorovich(), groupsort(), Ascent(rate=5e-3, doubt=0.0))
    with setup.progress("parallel-lines", len(protocol.thetas) + 1) as done, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of saturated bounds: that is the point
        for place, theta in enumerate(protocol.thetas):
            rows += _rows(protocol, theta, 100 * setup.seed + 2 * place)
            done(1)
        paths = {
            "W₁, exact": descended(protocol, get("w1"), seed, solved=True),
            "W₁, critic kept warm": descended(protocol, warm, seed, solved=False),
            "energy": descended(protocol, get("energy"), seed, solved=True),
            "JS, critic solved": descended(few, get("js"), seed, solved=True),
        }
        done(1)
    for name, path in paths.items():
        title = f"after {len(path) - 1} steps from {protocol.start:g}: {name}"
        if name.startswith("JS"):
            rows.append(at_least(f"θ {title}", path[-1], 0.95, note="no slope, no motion"))
        else:
            rows.append(at_most(f"|θ| {title}", abs(path[-1]), 0.15))
    return Outcome(rows, _figure(protocol, rows, paths))


def _figure(protocol: ParallelLines, rows: list[Quantity], paths: dict[str, list[float]]) -> Figure:
    figure, axes = panels(columns=2)
    left, right = axes[0]
    ends = (min(protocol.thetas), max(protocol.thetas))
    left.plot([ends[0], 0, ends[1]], [-ends[0], 0, ends[1]], color="C0", label="W₁ = |θ|")
    left.plot([ends[0], ends[1]], [math.log(2)] * 2, color="C1", label="JS = log 2, but 0 at θ = 0")
    for place, name in enumerate(("W₁ by a critic", "JS by a critic")):
        ours = [row.ours for row in rows if row.quantity.startswith(name)]
        left.plot(protocol.thetas, ours, "o", color=f"C{place}", markersize=4.5)
    left.set(xlabel="θ", ylabel="value", title="by critics (dots) and exactly")
    left.legend()
    for name, path in paths.items():
        right.plot(path, label=name)
    right.axhline(0, color=RULE, linewidth=0.8)
    right.set(xlabel=f"step of gradient descent, rate {protocol.rate:g}", ylabel="θ", title="descent from θ = 1")
    right.legend()
    return figure


PROTOCOL = ParallelLines()
PARALLEL_LINES = Case(
    name="parallel-lines",
    title="Of two parallel lines W₁ is the distance, JS a constant and KL infinite",
    protocol=(
        f"P = (0, Z), Q = (θ, Z), Z uniform on [0, 1], {PROTOCOL.n} points each; the default estimators by name. Then θ "
        f"descends from {PROTOCOL.start:g} by gradient steps of rate {PROTOCOL.rate:g}, {PROTOCOL.steps} of them on fresh "
        f"samples: under exact W₁, under a critic of W₁ kept warm (5 extra batches a step), under the energy distance, and 10 "
        f"under JS with the critic solved each time."
    ),
    run=partial(_run, PROTOCOL),
    minutes=0.5,
)
