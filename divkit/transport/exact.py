"""Exact optimal transport between samples, with a certificate."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.data.measure import Measure, pair
from divkit.lines.coupling import couple
from divkit.support.checks import between, whole
from divkit.transport import certified
from divkit.transport.certified import Answer, ColumnGeneration, Problem
from divkit.transport.costs import Cost, Placed, Power, require_cost
from divkit.transport.rounding import rounded

__all__ = ["Transport", "Wasserstein"]


class _Exact(Divergence):
    """Transport by the cost `_cost`, solved by sorting on a line and by column generation elsewhere."""

    gap: float
    rounds: int
    search: ColumnGeneration

    @property
    @abstractmethod
    def _cost(self) -> Cost:
        """The cost c(x, y)."""

    def __post_init__(self) -> None:
        require_cost(self._cost)
        between("gap", self.gap, 0, 1)
        whole("rounds", self.rounds)

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        at = self._cost.place(x, y)
        on_a_line = self._cost.convex and at.x.shape[1] == 1
        answer = _sorted(self._cost, at, x, y) if on_a_line else self._searched(at, x, y)
        if self._cost.convex and answer.upper == 0:  # zero potentials are feasible; rounding would leave a bound below zero
            answer = answer._replace(u=torch.zeros_like(answer.u), v=torch.zeros_like(answer.v), lower=0.0)
        size, gap = abs(answer.upper), answer.upper - answer.lower
        error = gap / size if size > 1e-14 else abs(gap)  # in the frame smaller costs are rounding
        unsolved = Status.STALLED if answer.solved or answer.rounds < self.rounds else Status.MAX_STEPS
        return Solution(
            state={
                "rows": answer.rows,
                "columns": answer.columns,
                "mass": answer.mass,
                "u": answer.u.mul_(at.unit),
                "v": answer.v.mul_(at.unit),
            },
            status=Status.CONVERGED if error <= self.gap else unsolved,
            steps=answer.rounds,
            error=error,
            lower=answer.lower * at.unit,
            upper=answer.upper * at.unit,
        )

    def _searched(self, at: Placed, x: Measure, y: Measure) -> Answer:
        """Solve by column generation; points of weight zero are left out, and get the largest feasible potential."""
        cost = self._cost
        i, j = (m.weights.detach().nonzero()[:, 0] for m in (x, y))
        if len(i) == x.n and len(j) == y.n:
            return certified.solve(Problem(cost, at.x, at.y, x, y), self.rounds, self.gap, self.search)
        problem = Problem(cost, at.x[i], at.y[j], x.take(i), y.take(j))
        answer = certified.solve(problem, self.rounds, self.gap, self.search)
        v, _ = pairs.minimum(cost, at.y, at.x[i], answer.u)
        v[j] = answer.v
        u, _ = pairs.minimum(cost, at.x, at.y, v)
        return answer._replace(rows=i[answer.rows], columns=j[answer.columns], u=u, v=v)

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
        if solution.upper - solution.lower <= 1e-12 * abs(solution.upper):  # by rounding: u + v is the cost on every arc
            return Terms(solution.state["u"], solution.state["v"])
        return self.terms(x, y, solution)

    def certify(self, x: Any, y: Any, solution: Solution) -> tuple[float, float]:
        """Return the bracket (lower, upper) proved anew from the state alone, whatever has become of it.

        The lower bound is the value of v and its c-transform, the upper one the cost of the plan rounded to the marginals.
        """
        x, y = pair(x, y)
        at, state = self._cost.place(x, y), solution.state
        v = state["v"] / at.unit
        u, _ = pairs.minimum(self._cost, at.x, at.y, v)
        rows, columns, mass = rounded(state["rows"], state["columns"], state["mass"], x, y)
        upper = mass @ self._cost.of_pairs(at.x, at.y, rows, columns)
        return float(x.mean(u) + y.mean(v)) * at.unit, float(upper) * at.unit

    def plan(self, x: Any, y: Any, solution: Solution) -> Tensor:
        """Return the optimal plan, a sparse (n, m) tensor with at most n + m − 1 entries."""
        x, y = pair(x, y)
        index = torch.stack([solution.state["rows"], solution.state["columns"]])
        return torch.sparse_coo_tensor(index, solution.state["mass"], (x.n, y.n), check_invariants=True).coalesce()

    def barycentric(self, x: Any, y: Any, solution: Solution) -> Tensor:
        r"""Return the barycentric map :math:`T(x_i) = \sum_j \pi_{ij} y_j / w_i` (n, d); NaN where a row has no weight."""
        p, q = pair(x, y)
        state, targets = solution.state, q.flat.double()
        moved = targets.new_zeros(p.n, targets.shape[1])
        for k in range(targets.shape[1]):  # one column of all arcs at a time
            moved[:, k].index_add_(0, state["rows"], state["mass"] * targets[:, k][state["columns"]])
        return moved / p.weights.double()[:, None]


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
        The most rounds of the simplex.
    search : ColumnGeneration
        How arcs are chosen; no matter for the value.

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
    search: ColumnGeneration = field(default=ColumnGeneration(), repr=False)

    @property
    def name(self) -> str:
        return f"w{self.p:g}"

    @property
    def _cost(self) -> Power:
        return Power(self.p)


@dataclass(frozen=True)
class Transport(_Exact):
    r"""The optimal transport cost :math:`\min_\pi \int c(x, y) \, d\pi` of any cost, in its units.

    Solved and certified as `Wasserstein` is.

    Parameters
    ----------
    cost : Cost
        Such as ``Power(1.5)`` or ``CustomCost(function)``; the function takes points and broadcasts.
    gap : float
        The relative duality gap above which the problem counts as unsolved.
    rounds : int
        The most rounds of the simplex.
    search : ColumnGeneration
        How arcs are chosen; no matter for the value.

    Examples
    --------
    >>> from divkit.transport import CustomCost, Transport
    >>> city = CustomCost(lambda x, y: (x - y).abs().sum(-1))
    >>> Transport(city).estimate([[0.0, 0.0]], [[1.0, 2.0]]).value
    3.0
    """

    cost: Cost
    gap: float = 1e-6
    rounds: int = 50
    search: ColumnGeneration = field(default=ColumnGeneration(), repr=False)

    @property
    def name(self) -> str:
        return "transport"

    @property
    def _cost(self) -> Cost:
        return self.cost


def _picked(points: Tensor, rows: Tensor) -> Tensor:
    """Return some rows of the points; indexing the one column of a line as a vector is five times as fast."""
    return points[:, 0].index_select(0, rows)[:, None] if points.shape[1] == 1 else points.index_select(0, rows)


def _sorted(cost: Cost, at: Placed, x: Measure, y: Measure) -> Answer:
    """Solve on a line, where the monotone plan is optimal for every convex cost."""
    coupling = couple(at.x.T, at.y.T, x, y)
    u, v, total = (part[0] for part in coupling.solved(cost.of_difference))
    rows, columns, mass = (part[0] for part in coupling.arcs())
    return Answer(rows, columns, mass, u, v, float(x.mean(u) + y.mean(v)), float(total), 1, True)
