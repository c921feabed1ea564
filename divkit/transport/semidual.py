"""The semi-dual of optimal transport with any cost: a potential as a network, its partner by c-transform.

A potential v (m,) on the rows of y has the c-transform uᵢ = minⱼ c(xᵢ, yⱼ) − vⱼ, the largest u with uᵢ + vⱼ ≤ c(xᵢ, yⱼ) for
all pairs. So Σ aᵢ uᵢ + Σ bⱼ vⱼ is a lower bound of the transport cost, a and b being the weights; its gradient in v is taken
at the minimisers j.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from divkit.data.sampling import random_rows
from divkit.support.checks import positive, whole
from divkit.transport.costs import Cost, Placed, require_cost
from divkit.transport.rounding import rounded

__all__ = ["PotentialTraining", "SemiDual"]

POTENTIAL = perceptron()


@dataclass(frozen=True)
class PotentialTraining:
    """Settings of the training of the potential.

    Parameters
    ----------
    batch : int
        Rows of x a step; each is compared with all of y.
    every : int
        Steps between evaluations on all rows.
    patience : int
        Evaluations without a gain after which the potential is settled.
    rows : int
        Rows of each sample whose mean cost is the unit of the potential.
    """

    batch: int = 256
    every: int = 50
    patience: int = 6
    rows: int = 1000


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
    cost : Cost
        Its values' units are those of the result.
    critic : callable
        From the event shape to a module that returns one number per point.
    steps : int
        At most.
    rate : float
        The learning rate, in units of the mean cost.
    tol : float
        Relative gain over several evaluations below which the potential is settled; `Solution.error` is the last one.
    seed : int
    training : PotentialTraining

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from divkit.transport import Power, SemiDual
    >>> x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> e = SemiDual(Power(2.0)).estimate(x, x + 1.0)
    >>> e.solution.lower <= 2.0, e.value > 1.9, e.solution.lower <= e.solution.upper
    (True, True, True)
    """

    cost: Cost
    critic: Factory | Perceptron = POTENTIAL
    steps: int = 3000
    rate: float = 3e-3
    tol: float = 1e-3
    seed: int = 0
    training: PotentialTraining = field(default=PotentialTraining(), repr=False)

    def __post_init__(self) -> None:
        require_cost(self.cost)
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
        upper = float(arcs[2] @ self.cost.of_pairs(at.x.detach(), at.y.detach(), *arcs[:2]))
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
        """Return the best potential on y (m,), the steps spent, and the relative gain of the last evaluations."""
        how = self.training
        generator = torch.Generator().manual_seed(self.seed)
        p, q = Measure._of(at.x, None), Measure._of(at.y, None)
        network = build(self.critic, q, self.seed)
        if isinstance(network, Staged):
            network.standardise(p, q)
        some = (t[random_rows(len(t), how.rows, generator, t.device)] for t in (at.x, at.y))
        unit = float(self.cost.evaluate(*some).abs().mean()) or 1.0
        optimiser = ADAM(network.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps, self.rate / 100)
        best, values = torch.zeros(len(at.y), dtype=torch.float64, device=at.y.device), list[float]()
        with torch.enable_grad():
            for step in range(self.steps + 1):
                v = unit * score(network, q).double()
                if step % how.every == 0 or step == self.steps:
                    values.append(self._value(at, v.detach(), x, y))
                    if values[-1] == max(values):
                        best = v.detach()
                    if _gain(values, how.patience) <= self.tol:
                        break
                rows = random_rows(x.n, how.batch, generator, at.x.device)
                _, nearest = pairs.minimum(self.cost, at.x[rows], at.y, v.detach())
                w = x.weights.detach()[rows].double()
                optimiser.zero_grad()
                loss = ((w @ v[nearest]) / w.sum() - y.weights.detach().double() @ v) / unit
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
        return best, step, _gain(values, how.patience)

    def _value(self, at: Placed, v: Tensor, x: Measure, y: Measure) -> float:
        """Return the lower bound that a potential v on y proves."""
        u, _ = pairs.minimum(self.cost, at.x, at.y, v)
        return float(x.mean(u) + y.mean(v))


def _gain(values: list[float], last: int) -> float:
    """Return the relative gain of the best value over the best before the `last` ones; infinite where there is none before."""
    if len(values) <= last:
        return torch.inf
    before, now = max(values[:-last]), max(values)
    return (now - before) / abs(now) if now > before else 0.0
