"""The semi-dual of optimal transport with any cost: a potential as a network, its partner by c-transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.critic import Perceptron, perceptron
from divkit.critic.ascent import score
from divkit.critic.networks import Factory, build
from divkit.critic.optimisers import ADAM
from divkit.critic.staged import Staged
from divkit.data.measure import Measure
from divkit.support.checks import positive, whole
from divkit.transport import certified
from divkit.transport.costs import Custom, Placed, Power
from divkit.transport.rounding import rounded

__all__ = ["SemiDual"]

BATCH = 256  # rows of x a step: each is compared with all of y
LOOK = 50  # steps between values on all rows
PATIENCE = 6  # looks without a gain after which the potential is settled
POTENTIAL = perceptron()
ROWS = 1000  # of each sample, whose mean cost is the unit of the potential


@dataclass(frozen=True)
class SemiDual(Divergence):
    r"""A lower bound of the transport cost :math:`\min_\pi \int c(x, y)\, d\pi` of the samples, by a learned potential.

    .. math:: \sup_v \; E_P \min_j [c(x, y_j) - v(y_j)] + E_Q v(y)

    The minimum, over all of y, is the c-transform of v: no constraint is left, whatever the cost, and no penalty. A network v
    is trained on batches of x; of its values on the samples, transformed once more, the returned `u` and `v` are feasible in
    exact arithmetic of every pair. So the value is a certified lower bound of the samples' transport cost, wherever training
    stops; `upper` is the cost of the plan to each row's minimiser, rounded to the marginals. `Transport` is exact, for samples
    of any usual size faster, and the yardstick; a potential that is a function of the point serves where it is to be compared
    with a critic, or smooth. Of the laws' cost the value is no bound: the samples' lies above it.
    Source: Villani (2003), §2; Genevay, Cuturi, Peyré, Bach (2016).

    Parameters
    ----------
    cost : Power or Custom
        Its values' units are those of the result.
    critic : callable
        From the event shape to a module that returns one number per point.
    steps : int
        At most.
    rate : float
        The learning rate, in units of the mean cost.
    tol : float
        Relative gain over several looks below which the potential is settled; `Solution.error` is the last one.
    seed : int

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from divkit.transport import Power, SemiDual
    >>> x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> e = SemiDual(Power(2.0)).estimate(x, x + 1.0)
    >>> e.solution.lower <= 2.0, e.value > 1.9, e.solution.lower <= e.solution.upper
    (True, True, True)
    """

    cost: Power | Custom
    critic: Factory | Perceptron = POTENTIAL
    steps: int = 3000
    rate: float = 3e-3
    tol: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.cost, Power | Custom):
            raise TypeError(f"cost must be a Power or a Custom(function); got {self.cost!r}.")
        whole("steps", self.steps)
        positive("rate", self.rate)
        positive("tol", self.tol)

    @property
    def name(self) -> str:
        return "semi-dual"

    @property
    def bias(self) -> Bias:
        return Bias.UNKNOWN

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        at = self.cost.place(x, y)
        i, j = ((m.weights.detach() > 0).nonzero()[:, 0] for m in (x, y))
        near = Placed(at.x.detach()[i], at.y.detach()[j], at.unit)
        v, steps, gain = self._trained(near, x.take(i), y.take(j))
        u, _ = pairs.minimum(self.cost, near.x, near.y, v)
        v, _ = pairs.minimum(self.cost, at.y.detach(), near.x, u)  # of every row, and no less than before
        u, nearest = pairs.minimum(self.cost, at.x.detach(), at.y.detach(), v)
        arcs = rounded(torch.arange(x.n, device=nearest.device), nearest, x.weights.detach().double(), x, y)
        upper = float(arcs[2] @ certified.along(self.cost, at.x.detach(), at.y.detach(), *arcs[:2]))
        lower = float(x.mean(u) + y.mean(v))
        return Solution(
            {"u": u * at.unit, "v": v * at.unit, "nearest": nearest},
            Status.CONVERGED if gain <= self.tol else Status.MAX_STEPS,
            steps,
            gain,
            lower=lower * at.unit,
            upper=upper * at.unit,
        )

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at, (v, nearest) = self.cost.place(x, y), (solution.state[key] for key in ("v", "nearest"))
        return Terms(self.cost.along(at.x, at.y.index_select(0, nearest)) * at.unit - v[nearest], v)

    def _trained(self, at: Placed, x: Measure, y: Measure) -> tuple[Tensor, int, float]:
        """The best potential on y (m,), the steps spent, and the relative gain of the last looks."""
        generator = torch.Generator().manual_seed(self.seed)
        p, q = Measure._of(at.x, None), Measure._of(at.y, None)
        network = build(self.critic, q, self.seed)
        if isinstance(network, Staged):
            network.standardise(p, q)
        some = (t[torch.randperm(len(t), generator=generator)[:ROWS].to(t.device)] for t in (at.x, at.y))
        unit = float(self.cost.evaluate(*some).abs().mean()) or 1.0
        optimiser = ADAM(network.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps, self.rate / 100)
        best, values = torch.zeros(len(at.y), dtype=torch.float64, device=at.y.device), list[float]()
        with torch.enable_grad():
            for step in range(self.steps + 1):
                v = unit * score(network, q).double()
                if step % LOOK == 0 or step == self.steps:
                    values.append(self._value(at, v.detach(), x, y))
                    if values[-1] == max(values):
                        best = v.detach()
                    if len(values) > PATIENCE and _gain(values) <= self.tol:
                        break
                rows = torch.randperm(x.n, generator=generator)[:BATCH].to(at.x.device)
                _, nearest = pairs.minimum(self.cost, at.x[rows], at.y, v.detach())
                w = x.weights.detach()[rows].double()
                optimiser.zero_grad()
                loss = ((w @ v[nearest]) / w.sum() - y.weights.detach().double() @ v) / unit
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
        return best, step, _gain(values)

    def _value(self, at: Placed, v: Tensor, x: Measure, y: Measure) -> float:
        u, _ = pairs.minimum(self.cost, at.x, at.y, v)
        return float(x.mean(u) + y.mean(v))


def _gain(values: list[float]) -> float:
    """Of the best value within the last looks, over the best before them, relative."""
    if len(values) <= PATIENCE:
        return torch.inf
    before, now = max(values[:-PATIENCE]), max(values)
    return (now - before) / abs(now) if now > before else 0.0
