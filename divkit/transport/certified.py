"""Exact transport by column generation: few arcs, all reduced costs checked, a bracket at every stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.lines.coupling import couple
from divkit.pairs import PairFunction
from divkit.transport import simplex
from divkit.transport.rough import dual

__all__ = ["Answer", "Problem", "along", "solve"]

DENSE = 700 * 700  # pairs up to which the simplex on all of them takes no longer than rounds on few
NEAREST = 12  # candidate arcs of every row and column; with 5 twice as many rounds, with 24 a slower simplex
WORST = 5  # violating arcs of a row that join in a round
PATIENCE = 2  # rounds after which twice as many join, up to 32 times: points that lie together violate together
SLACK = 1e-3  # of the wanted gap: how negative a reduced cost may stay
ROUNDING = 1e-12  # of the largest cost: what the simplex leaves
GATHERED = 1 << 22  # coordinates of pairs held at once


@dataclass(frozen=True)
class Problem:
    """The transport of weighted points, every weight positive."""

    cost: PairFunction
    x: Tensor  # (n, d) float64
    y: Tensor  # (m, d) float64
    p: Measure
    q: Measure

    @property
    def a(self) -> Tensor:
        return self.p.weights.detach().double()

    @property
    def b(self) -> Tensor:
        return self.q.weights.detach().double()

    def permuted(self, i: Tensor, j: Tensor) -> Problem:
        return Problem(self.cost, self.x[i], self.y[j], self.p.take(i), self.q.take(j))


class Answer(NamedTuple):
    """A plan with potentials that are dual feasible, so that `lower` and `upper` bracket the optimum."""

    rows: Tensor
    columns: Tensor
    mass: Tensor
    u: Tensor  # the c-transform of v
    v: Tensor
    lower: float
    upper: float
    rounds: int
    solved: bool  # no reduced cost is negative beyond the slack


def solve(problem: Problem, rounds: int, gap: float) -> Answer:
    """Solve, in a random order of the points, to a hundredth of the wanted gap or until `rounds` are spent."""
    n, m = len(problem.x), len(problem.y)
    if n * m <= DENSE:
        return _dense(problem)
    generator = torch.Generator(device="cpu").manual_seed(0)
    i, j = (torch.randperm(k, generator=generator, device="cpu").to(problem.x.device) for k in (n, m))
    found = _generate(problem.permuted(i, j), rounds, gap)
    u, v = torch.empty_like(found.u), torch.empty_like(found.v)
    u[i], v[j] = found.u, found.v
    return found._replace(rows=i[found.rows], columns=j[found.columns], u=u, v=v)


def along(cost: PairFunction, x: Tensor, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:  # -> (K,)
    """Costs of pairs, a bounded number at a time."""
    parts = 1 + len(rows) * x.shape[1] // GATHERED
    pieces = zip(rows.tensor_split(parts), columns.tensor_split(parts))
    return torch.cat([cost.along(x[i], y[j]) for i, j in pieces])  # type: ignore[attr-defined]


def _dense(problem: Problem) -> Answer:
    flow = simplex.dense(problem.cost.evaluate(problem.x, problem.y), problem.a, problem.b)
    u, _ = pairs.minimum(problem.cost, problem.x, problem.y, flow.v)
    return _answer(problem, flow, u, along(problem.cost, problem.x, problem.y, flow.rows, flow.columns), 1)


def _answer(problem: Problem, flow: simplex.Flow, u: Tensor, costs: Tensor, rounds: int) -> Answer:
    lower, upper = float(problem.a @ u + problem.b @ flow.v), float(flow.mass @ costs)
    solved = flow.code is simplex.Code.OPTIMAL
    return Answer(flow.rows, flow.columns, flow.mass, u, flow.v, lower, upper, rounds, solved)


def _generate(problem: Problem, rounds: int, gap: float) -> Answer:
    cost, x, y = problem.cost, problem.x, problem.y
    v = dual(cost, x, y, problem.a, problem.b)
    u, _ = pairs.minimum(cost, x, y, v)
    arcs = _Arcs(problem, *pairs.cheapest(cost, x.float(), y.float(), u, v, NEAREST))
    arcs.add(*_in_order(problem)[:2])
    best: Answer | None = None
    for spent in range(1, rounds + 1):
        flow = simplex.sparse(arcs.all(), problem.a, problem.b, (u, v))
        if flow.code is not simplex.Code.OPTIMAL:
            return best or _fallback(problem, v, spent)
        costs = along(cost, x, y, flow.rows, flow.columns)
        upper = float(flow.mass @ costs)
        tolerance = max(SLACK * gap * abs(upper), ROUNDING * arcs.largest)
        check = pairs.violations(cost, x, y, flow.u, flow.v, tolerance, WORST << min(spent // PATIENCE, 5))
        answer = _answer(problem, flow, check.minimum, costs, spent)
        if best is not None and best.lower > answer.lower:  # a bound once proved stays
            answer = answer._replace(lower=best.lower, u=best.u, v=best.v)
        best = answer._replace(solved=len(check.rows) == 0)
        if best.solved:
            break
        u, v = flow.u, flow.v
        arcs.add(check.rows, check.columns)
    return best  # type: ignore[return-value]


def _in_order(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """A plan, the monotone one along the widest coordinate: its arcs make any set of arcs feasible."""
    axis = int(problem.x.var(0, correction=0).argmax())
    rows, columns, mass = (
        part[0] for part in couple(problem.x[:, axis][None], problem.y[:, axis][None], problem.p, problem.q).arcs()
    )
    return rows, columns, mass


def _fallback(problem: Problem, v: Tensor, rounds: int) -> Answer:
    """Where the simplex fails, a plan in order and the potential at hand still bracket the value."""
    rows, columns, mass = _in_order(problem)
    u, _ = pairs.minimum(problem.cost, problem.x, problem.y, v)
    flow = simplex.Flow(rows, columns, mass, u, v, simplex.Code.INFEASIBLE)
    return _answer(problem, flow, u, along(problem.cost, problem.x, problem.y, rows, columns), rounds)


class _Arcs:
    """A growing set of arcs with their costs, each computed once."""

    def __init__(self, problem: Problem, rows: Tensor, columns: Tensor) -> None:
        self.problem, self.m = problem, len(problem.y)
        self.key = rows * self.m + columns
        self.costs = along(problem.cost, problem.x, problem.y, rows, columns)

    def add(self, rows: Tensor, columns: Tensor) -> None:
        fresh = torch.unique(rows * self.m + columns)
        fresh = fresh[~torch.isin(fresh, self.key)]
        p = self.problem
        self.costs = torch.cat([self.costs, along(p.cost, p.x, p.y, fresh // self.m, fresh % self.m)])
        self.key = torch.cat([self.key, fresh])

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.key // self.m, self.key % self.m, self.costs

    @property
    def largest(self) -> float:
        return float(self.costs.abs().max())
