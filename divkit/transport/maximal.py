"""The largest sliced transport cost: an optimisation over the sphere whose every iterate is a lower bound.

For a direction θ on the sphere V(θ) is the transport cost of the projections θ·x and θ·y, found by sorting. At a fixed coupling
of the projections it is convex in θ, so that the normalised gradient, which maximises the tangent over the sphere, never lowers
it; coupling anew may, and then the step towards it is halved. Several θ (L, d) ascend at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.data.measure import Measure
from divkit.lines.coupling import couple
from divkit.lines.directions import directions
from divkit.support.checks import positive, whole
from divkit.transport.costs import Power

__all__ = ["MaxSlicedWasserstein", "SphereAscent"]


@dataclass(frozen=True)
class SphereAscent:
    """When the ascent ends.

    Parameters
    ----------
    rise : float
        The relative rise of the value in a step at which a direction is settled.
    steps : int
        The most steps.
    smallest : float
        The part of a whole step at which a direction that has not risen is given up.
    """

    rise: float = 1e-10
    steps: int = 500
    smallest: float = 1e-7

    def __post_init__(self) -> None:
        positive("rise", self.rise)
        whole("steps", self.steps)
        positive("smallest", self.smallest)


@dataclass(frozen=True)
class MaxSlicedWasserstein(Divergence):
    r"""The max-sliced transport cost :math:`\max_{|\theta| = 1} W_p^p(\theta \cdot x, \theta \cdot y)`; no root.

    Projections shorten distances, so that each direction's value bounds the sample problem's :math:`W_p^p` from below:
    `lower` is that certificate. The maximum is sought from several starts at once (the difference of the means, the
    direction in which covariances differ most, random ones); another may lie higher, hence no upper bound. At P = Q it is
    not zero in finite samples (.045 for 3 000 standard normal rows of 50 columns on each side).
    Source: Deshpande et al. (2019).

    Parameters
    ----------
    p : float
        At least 1.
    restarts : int
        Starts besides the two that the moments give.
    seed : int
    ascent : SphereAscent
        When the ascent ends.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> e = dk.estimate("max-sliced-w2", x, x + torch.eye(5)[0])  # a translation is seen whole
    >>> round(e.value, 6), e.converged
    (1.0, True)
    """

    quadratic: ClassVar[bool] = False
    p: float = 2.0
    restarts: int = 8
    seed: int = 0
    ascent: SphereAscent = field(default=SphereAscent(), repr=False)

    def __post_init__(self) -> None:
        Power(self.p)
        whole("restarts", self.restarts)
        whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        return f"max-sliced-w{self.p:g}"

    @property
    def bias(self) -> Bias:
        return Bias.UNKNOWN  # above the population's by the maximum, below it where the search ends early

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        frame = pairs.frame(x, y)
        search = _Search(frame.x.double(), frame.y.double(), x, y, self.p)
        first = self._starts(x, y, frame) if start is None else start.state["direction"].double()[None]
        theta, values, steps, risen = search.ascend(first, self.ascent)
        best = int(values.argmax())
        lower = float(values[best]) * frame.unit(self.p)
        return Solution(
            state={"direction": theta[best].to(x.dtype)},
            status=Status.CONVERGED if risen <= self.ascent.rise else Status.MAX_STEPS,
            steps=steps,
            error=risen,
            lower=lower,
        )

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        frame, theta, cost = pairs.frame(x, y), solution.state["direction"].double(), Power(self.p).of_difference
        px, py, unit = frame.x.double() @ theta, frame.y.double() @ theta, frame.unit(self.p)
        coupling = couple(px[None], py[None], x, y)
        u, v, _ = (part[0] for part in coupling.solved(cost))
        if px.requires_grad or py.requires_grad:
            rows, columns, mass = (part[0] for part in coupling.arcs())
            transported = mass @ cost(px[rows] - py[columns])
            u = u + (transported - transported.detach())
        return Terms(unit * u, unit * v)

    def _starts(self, x: Measure, y: Measure, frame: pairs.Frame) -> Tensor:  # -> (restarts + 2, d)
        """Return the difference of the means, the direction in which covariances differ most, and random directions."""
        (mean_x, at_x), (mean_y, at_y) = (_moments(rows, m) for rows, m in ((frame.x, x), (frame.y, y)))
        values, vectors = torch.linalg.eigh(at_x - at_y)
        widest = vectors[:, values.abs().argmax()]
        gap = mean_x - mean_y
        length = torch.linalg.vector_norm(gap)
        gap = gap / length if float(length) > 0 else widest
        return torch.cat([gap[None], widest[None], directions(self.restarts, len(gap), self.seed, gap)])


def _moments(rows: Tensor, measure: Measure) -> tuple[Tensor, Tensor]:
    """Return mean (d,) and covariance (d, d) of rows under the weights of a measure."""
    w, rows = measure.weights.double(), rows.double()
    mean = w @ rows
    return mean, (rows - mean).T @ (w[:, None] * (rows - mean))


class _Search:
    """The value of directions, and the ascent of it on the sphere."""

    def __init__(self, x: Tensor, y: Tensor, p: Measure, q: Measure, power: float) -> None:
        self.x, self.y, self.p, self.q, self.cost = x, y, p, q, Power(power).of_difference

    def value(self, theta: Tensor) -> tuple[Tensor, Tensor]:  # (L, d) -> (L,), (L, d)
        """Return the transport costs along directions, and their gradients."""
        with torch.enable_grad():
            theta = theta.detach().requires_grad_()
            px, py = theta @ self.x.T, theta @ self.y.T
            arcs = couple(px, py, self.p, self.q).arcs()
            values = (arcs.mass * self.cost(px.gather(1, arcs.rows) - py.gather(1, arcs.columns))).sum(1)
            (slope,) = torch.autograd.grad(values.sum(), theta)
        return values.detach(), slope

    def ascend(self, theta: Tensor, how: SphereAscent) -> tuple[Tensor, Tensor, int, float]:
        """Return the best directions from `theta`, their values, the steps spent and the last relative rise of the best."""
        values, slope = self.value(theta)
        size, risen = torch.ones_like(values), 0.0
        for step in range(1, how.steps + 1):
            target = torch.nn.functional.normalize(slope, dim=1)
            trial = torch.nn.functional.normalize(theta + size[:, None] * (target - theta), dim=1)
            new, new_slope = self.value(trial)
            better, rise = new > values, new - values
            theta, slope = torch.where(better[:, None], trial, theta), torch.where(better[:, None], new_slope, slope)
            values = torch.where(better, new, values)
            size = torch.where(better, (size * 1.5).clamp(max=4.0), size / 2)
            moving = torch.where(better, rise > how.rise * values.max(), size > how.smallest)
            best = int(values.argmax())
            risen = float(rise[best].clamp(min=0) / values[best]) if float(values[best]) > 0 else 0.0
            if not bool(moving.any()):
                return theta, values, step, risen
        return theta, values, how.steps, risen
