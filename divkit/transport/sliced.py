"""Sliced optimal transport: the average over directions of one-dimensional transport costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Terms
from divkit.core.notes import Note, Notes
from divkit.core.uncertainty import Remainder
from divkit.data.measure import Measure
from divkit.lines.coupling import couple
from divkit.lines.directions import directions, too_few
from divkit.support.checks import whole
from divkit.transport.costs import Power

__all__ = ["SlicedWasserstein"]

CHUNK = 1 << 22  # projected numbers in memory at once, 16 to 32 MB: bounds what many directions take


@dataclass(frozen=True)
class SlicedWasserstein(Divergence):
    r"""The sliced transport cost :math:`E_\theta W_p^p(\theta \cdot x, \theta \cdot y)`, θ uniform on the sphere; no root.

    The standard error holds both the sampling noise and that of the projections; `notes` has the latter apart. In one
    dimension it is `Wasserstein(p)`. Source: Bonneel et al. (2015).

    Parameters
    ----------
    p : float
        At least 1.
    projections : int
        Orthogonal within groups of d.
    seed : int

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    >>> e = dk.estimate("sliced-w2", x, x + 1.0)  # |shift|²/d
    >>> abs(e.value - 1.0) < 4 * e.stderr + 1e-6
    True
    """

    quadratic: ClassVar[bool] = False
    p: float = 2.0
    projections: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        Power(self.p)
        whole("projections", self.projections)
        whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        return f"sliced-w{self.p:g}"

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        d = x.flat.shape[1]
        return Solution(state={"directions": directions(self.projections if d > 1 else 1, d, self.seed, x.flat)})

    def advance(self, x: Measure, y: Measure, solution: Solution | None) -> Solution:
        """Draw fresh directions each step, so that training sees all of them."""
        step = 0 if solution is None else solution.steps + 1
        d = x.flat.shape[1]
        fresh = directions(self.projections if d > 1 else 1, d, self.seed + step, x.flat)
        return Solution(state={"directions": fresh}, steps=step)

    def _slices(self, x: Measure, y: Measure, frame: pairs.Frame, theta: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield for each chunk of L directions, in the frame, values (L,) and potentials (n,), (m,) summed over the chunk."""
        cost = Power(self.p).of_difference
        for part in theta.tensor_split(1 + len(theta) * (x.n + y.n) // CHUNK):
            px, py = part @ frame.x.T, part @ frame.y.T  # (L, n), (L, m)
            coupling = couple(px, py, x, y)
            u, v, _ = coupling.solved(cost)
            values = u @ x.weights.detach().double() + v @ y.weights.detach().double()
            if px.requires_grad or py.requires_grad:
                arcs = coupling.arcs()
                transported = (arcs.mass * cost(px.gather(1, arcs.rows) - py.gather(1, arcs.columns)).double()).sum(1)
                values = values + (transported - transported.detach())
            yield values, u.sum(0), v.sum(0)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        theta, frame = solution.state["directions"], pairs.frame(x, y)
        unit = frame.unit(self.p)
        values, us, vs = zip(*self._slices(x, y, frame, theta))
        each = torch.cat(values)
        u, v = sum(us) / len(theta), sum(vs) / len(theta)
        moved = each.mean() - each.detach().mean()  # zero, with the gradient of the transported costs
        d = frame.x.shape[1]
        missing = too_few(len(theta), d)
        noise = math.nan if missing else unit * _noise(each.detach(), d)
        reasons: dict[str, str] = {Note.STDERR: missing} if missing else {}
        notes: Notes = {Note.PROJECTIONS: len(theta), Note.STDERR_OF_PROJECTIONS: noise, **reasons}
        return Terms(unit * (u + moved), unit * v, Remainder(noise=noise), notes)


def _noise(values: Tensor, d: int) -> float:
    """Return the standard error of the mean over directions: of groups of d orthogonal ones, if there are eight."""
    groups = len(values) // d
    if groups >= 8:
        values = values[: groups * d].view(groups, d).mean(1)  # a group that is not full varies more
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
