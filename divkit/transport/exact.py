"""Exact optimal transport between samples, with a certificate."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.data.measure import Measure
from divkit.lines.coupling import couple
from divkit.support.checks import between, whole
from divkit.transport import certified
from divkit.transport.certified import Answer, Problem
from divkit.transport.costs import Custom, Placed, Power
from divkit.transport.rounding import rounded

__all__ = ["Transport", "Wasserstein"]

NOTHING = 1e-14  # in the frame: costs below are rounding, and gaps absolute
TIGHT = 1e-12  # a relative gap that is rounding: u + v is the cost on every arc


@dataclass(frozen=True)
class _Exact(Divergence):
    """What transport by any cost shares."""

    @property
    @abstractmethod
    def _cost(self) -> Power | Custom:
        """The cost c(x, y)."""

    @property
    @abstractmethod
    def _limits(self) -> tuple[float, int]:
        """The wanted relative gap, and the rounds to spend on it."""

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        cost, (wanted, rounds) = self._cost, self._limits
        at = cost.place(x, y)
        if isinstance(cost, Power) and at.x.shape[1] == 1:
            found = _sorted(cost, at, x, y)
        else:
            found = _solved(cost, at, x, y, rounds, wanted)
        if isinstance(cost, Power) and found.upper == 0:  # of which rounding would leave something below zero
            found = found._replace(u=torch.zeros_like(found.u), v=torch.zeros_like(found.v), lower=0.0)
        size = abs(found.upper)
        gap = (found.upper - found.lower) / size if size > NOTHING else abs(found.upper - found.lower)
        unsolved = Status.STALLED if found.solved or found.rounds < rounds else Status.MAX_STEPS
        return Solution(
            state={
                "rows": found.rows,
                "columns": found.columns,
                "mass": found.mass,
                "u": found.u.mul_(at.unit),
                "v": found.v.mul_(at.unit),
            },
            status=Status.CONVERGED if gap <= wanted else unsolved,
            steps=found.rounds,
            error=gap,
            lower=found.lower * at.unit,
            upper=found.upper * at.unit,
        )

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at, state = self._cost.place(x, y), solution.state
        rows, columns, v = state["rows"], state["columns"], state["v"]
        costs = self._cost.along(_picked(at.x, rows), _picked(at.y, columns)) * at.unit
        shares = (costs - v.index_select(0, columns)).mul_(state["mass"])
        moved = torch.zeros_like(state["u"]).scatter_add_(0, rows, shares)
        if x.uniform:
            return Terms(moved.mul_(x.n), v)
        w = x.weights.detach()  # where it is zero the plan has no row, and the dual says what a little mass would cost
        return Terms(torch.where(w > 0, moved / torch.where(w > 0, w, 1.0), state["u"]), v)

    def settled(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        assert solution.lower is not None
        assert solution.upper is not None
        if solution.upper - solution.lower <= TIGHT * abs(solution.upper):
            return Terms(solution.state["u"], solution.state["v"])
        return self.terms(x, y, solution)

    def certify(self, x: Measure, y: Measure, solution: Solution) -> tuple[float, float]:
        """The bracket (lower, upper) proved anew from the state alone, whatever has become of it.

        The lower bound is the value of v and its c-transform, the upper one the cost of the plan rounded to the marginals.
        """
        at, state = self._cost.place(x, y), solution.state
        v = state["v"] / at.unit
        u, _ = pairs.minimum(self._cost, at.x, at.y, v)
        rows, columns, mass = rounded(state["rows"], state["columns"], state["mass"], x, y)
        upper = mass @ certified.along(self._cost, at.x, at.y, rows, columns)
        return float(x.mean(u) + y.mean(v)) * at.unit, float(upper) * at.unit

    def plan(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        """The optimal plan, a sparse (n, m) tensor with at most n + m − 1 entries."""
        index = torch.stack([solution.state["rows"], solution.state["columns"]])
        return torch.sparse_coo_tensor(index, solution.state["mass"], (x.n, y.n), check_invariants=True).coalesce()

    def barycentric(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        r"""The barycentric map :math:`T(x_i) = \sum_j \pi_{ij} y_j / w_i` (n, d); NaN where a row has no weight."""
        state, targets = solution.state, y.flat.double()
        moved = targets.new_zeros(x.n, targets.shape[1])
        for k in range(targets.shape[1]):  # one column of all arcs at a time
            moved[:, k].index_add_(0, state["rows"], state["mass"] * targets[:, k][state["columns"]])
        return moved / x.weights.double()[:, None]


@dataclass(frozen=True)
class Wasserstein(_Exact):
    r"""The optimal transport cost :math:`W_p^p = \min_\pi \int |x - y|^p \, d\pi`, the p-th power without root and without ½.

    One-dimensional samples are solved by sorting, others in float64 by the network simplex on few arcs, all of whose other
    reduced costs are then checked: memory O(n + m). The state holds the sparse plan (`rows`, `columns`, `mass`) and the dual
    potentials `u`, `v`; `lower` is the value of v and its c-transform, `upper` the plan's, and they bracket the sample
    problem's value wherever the solver stops. The interval of an estimate covers the expectation of the plug-in, which lies
    above the population's value; see `Extrapolated`. Units of the data to the power p; `Estimate.root(p)` gives :math:`W_p`.
    Source: Kantorovich (1942); Peyré and Cuturi (2019).

    Parameters
    ----------
    p : float
        At least 1.
    gap : float
        The relative duality gap above which the problem counts as unsolved.
    rounds : int
        Of the simplex, at most.

    Examples
    --------
    >>> import divkit as dk
    >>> e = dk.estimate("w2", [[0.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [1.0, 3.0]])
    >>> e.value, e.solution.lower, e.solution.upper
    (9.0, 9.0, 9.0)
    """

    p: float = 2.0
    gap: float = 1e-6
    rounds: int = 50

    def __post_init__(self) -> None:
        Power(self.p)
        _check(self.gap, self.rounds)

    @property
    def name(self) -> str:
        return f"w{self.p:g}"

    @property
    def _cost(self) -> Power:
        return Power(self.p)

    @property
    def _limits(self) -> tuple[float, int]:
        return self.gap, self.rounds


@dataclass(frozen=True)
class Transport(_Exact):
    r"""The optimal transport cost :math:`\min_\pi \int c(x, y) \, d\pi` of a user's cost, in its units.

    Solved and certified as `Wasserstein` is.

    Parameters
    ----------
    cost : Custom or Power
    gap : float
        The relative duality gap above which the problem counts as unsolved.
    rounds : int
        Of the simplex, at most.

    Examples
    --------
    >>> from divkit.transport import Custom, Transport
    >>> city = Custom(lambda x, y: (x - y).abs().sum(-1))
    >>> Transport(city).estimate([[0.0, 0.0]], [[1.0, 2.0]]).value
    3.0
    """

    cost: Power | Custom
    gap: float = 1e-6
    rounds: int = 50

    def __post_init__(self) -> None:
        if not isinstance(self.cost, Power | Custom):
            raise TypeError(f"cost must be a Power or a Custom(function); got {self.cost!r}.")
        _check(self.gap, self.rounds)

    @property
    def name(self) -> str:
        return "transport"

    @property
    def _cost(self) -> Power | Custom:
        return self.cost

    @property
    def _limits(self) -> tuple[float, int]:
        return self.gap, self.rounds


def _picked(points: Tensor, rows: Tensor) -> Tensor:
    """Some rows; of a single column, that of a line, five times as fast."""
    return points[:, 0].index_select(0, rows)[:, None] if points.shape[1] == 1 else points.index_select(0, rows)


def _check(gap: float, rounds: int) -> None:
    between("gap", gap, 0, 1)
    whole("rounds", rounds)


def _sorted(cost: Power, at: Placed, x: Measure, y: Measure) -> Answer:
    coupling = couple(at.x.T, at.y.T, x, y)
    u, v, total = (part[0] for part in coupling.solved(cost.of_difference))
    rows, columns, mass = (part[0] for part in coupling.arcs())
    return Answer(rows, columns, mass, u, v, float(x.mean(u) + y.mean(v)), float(total), 1, True)


def _solved(cost: Power | Custom, at: Placed, x: Measure, y: Measure, rounds: int, gap: float) -> Answer:
    """Points of weight zero are left out, and get the largest feasible dual."""
    i, j = (m.weights.detach().nonzero()[:, 0] for m in (x, y))
    if len(i) == x.n and len(j) == y.n:
        return certified.solve(Problem(cost, at.x, at.y, x, y), rounds, gap)
    found = certified.solve(Problem(cost, at.x[i], at.y[j], x.take(i), y.take(j)), rounds, gap)
    v, _ = pairs.minimum(cost, at.y, at.x[i], found.u)
    v[j] = found.v
    u, _ = pairs.minimum(cost, at.x, at.y, v)
    return found._replace(rows=i[found.rows], columns=j[found.columns], u=u, v=v)
