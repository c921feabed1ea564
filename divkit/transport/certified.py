"""Exact transport by column generation: few arcs, all reduced costs checked, a bracket at every stop.

The problem is min Σ cᵢⱼ πᵢⱼ over plans π ≥ 0 with the marginals a (n,) and b (m,). Its dual is max Σ aᵢ uᵢ + Σ bⱼ vⱼ over
potentials u and v with no negative reduced cost cᵢⱼ − uᵢ − vⱼ. An arc is a pair (i, j) that may carry mass.

1. Rough potentials v (`rough`) say which pairs may matter: those of least reduced cost of every row and column become arcs.
2. The network simplex (`simplex`) solves the problem of these arcs alone; its plan costs `upper`.
3. Every reduced cost is computed, by tiles. The c-transform uᵢ = minⱼ cᵢⱼ − vⱼ makes (u, v) feasible; its value is `lower`.
   Where none is negative the plan is optimal among all pairs; else the worst pairs become arcs, and the simplex goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.lines.coupling import couple
from divkit.transport import simplex
from divkit.transport.costs import Cost
from divkit.transport.rough import dual

__all__ = ["Answer", "ColumnGeneration", "Problem", "solve"]


@dataclass(frozen=True)
class ColumnGeneration:
    """Settings of the rounds; they change how long a solution takes, not what is proved of it.

    Parameters
    ----------
    dense : int
        Pairs up to which the simplex takes all as arcs at once, which is then no slower than rounds.
    nearest : int
        First arcs of every row and column: with 5 there are twice as many rounds, with 24 the simplex is slower.
    worst : int
        Violating arcs of a row that join in a round.
    patience : int
        Rounds after which twice as many join, up to 32 times as many: points that lie together violate together.
    slack : float
        How negative a reduced cost may stay, as a share of the gap asked for.
    """

    dense: int = 700 * 700
    nearest: int = 12
    worst: int = 5
    patience: int = 2
    slack: float = 1e-3


@dataclass(frozen=True)
class Problem:
    """The transport of weighted points, every weight positive."""

    cost: Cost
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
    """A plan as a list of arcs, with dual feasible potentials: `lower` and `upper` bracket the optimum."""

    rows: Tensor
    columns: Tensor
    mass: Tensor
    u: Tensor  # the c-transform of v
    v: Tensor
    lower: float
    upper: float
    rounds: int
    solved: bool  # no reduced cost is negative beyond the slack


def solve(problem: Problem, rounds: int, gap: float, how: ColumnGeneration = ColumnGeneration()) -> Answer:
    """Solve the problem to less than the relative duality gap `gap`, or until `rounds` are spent.

    The points are taken in random order, so that any first part of them is a sample of all.
    """
    n, m = len(problem.x), len(problem.y)
    if n * m <= how.dense:
        return _dense(problem)
    generator = torch.Generator(device="cpu").manual_seed(0)
    i, j = (torch.randperm(k, generator=generator, device="cpu").to(problem.x.device) for k in (n, m))
    answer = _generate(problem.permuted(i, j), rounds, gap, how)
    u, v = torch.empty_like(answer.u), torch.empty_like(answer.v)
    u[i], v[j] = answer.u, answer.v
    return answer._replace(rows=i[answer.rows], columns=j[answer.columns], u=u, v=v)


def _dense(problem: Problem) -> Answer:
    """Solve by the simplex with every pair as an arc."""
    flow = simplex.dense(problem.cost.evaluate(problem.x, problem.y), problem.a, problem.b)
    u, _ = pairs.minimum(problem.cost, problem.x, problem.y, flow.v)
    return _answer(problem, flow, u, problem.cost.of_pairs(problem.x, problem.y, flow.rows, flow.columns), 1)


def _answer(problem: Problem, flow: simplex.Flow, u: Tensor, costs: Tensor, rounds: int) -> Answer:
    """Put a flow, the c-transform u of its v and the costs of its arcs together, with the bracket they prove."""
    lower, upper = float(problem.a @ u + problem.b @ flow.v), float(flow.mass @ costs)
    solved = flow.code is simplex.Code.OPTIMAL
    return Answer(flow.rows, flow.columns, flow.mass, u, flow.v, lower, upper, rounds, solved)


def _generate(problem: Problem, rounds: int, gap: float, how: ColumnGeneration) -> Answer:
    """Alternate between the simplex on some arcs and the search for pairs of negative reduced cost."""
    cost, x, y = problem.cost, problem.x, problem.y
    v = dual(cost, x, y, problem.a, problem.b)
    u, _ = pairs.minimum(cost, x, y, v)
    arcs = _Arcs(problem, *pairs.cheapest(cost, x.float(), y.float(), u, v, how.nearest))
    arcs.add(*_in_order(problem)[:2])
    best: Answer | None = None
    for count in range(1, rounds + 1):
        flow = simplex.sparse(arcs.all(), problem.a, problem.b, (u, v))
        if flow.code is not simplex.Code.OPTIMAL:
            return best or _fallback(problem, v, count)
        costs = cost.of_pairs(x, y, flow.rows, flow.columns)
        upper = float(flow.mass @ costs)
        tolerance = max(how.slack * gap * abs(upper), 1e-12 * arcs.largest)  # at least what the simplex leaves by rounding
        check = pairs.violations(cost, x, y, flow.u, flow.v, tolerance, how.worst << min(count // how.patience, 5))
        answer = _answer(problem, flow, check.minimum, costs, count)
        if best is not None and best.lower > answer.lower:  # a bound once proved stays
            answer = answer._replace(lower=best.lower, u=best.u, v=best.v)
        best = answer._replace(solved=len(check.rows) == 0)
        if best.solved:
            break
        u, v = flow.u, flow.v
        arcs.add(check.rows, check.columns)
    return best  # type: ignore[return-value]


def _in_order(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Return the monotone plan along the widest coordinate: with its arcs a problem always has a solution."""
    axis = int(problem.x.var(0, correction=0).argmax())
    rows, columns, mass = (
        part[0] for part in couple(problem.x[:, axis][None], problem.y[:, axis][None], problem.p, problem.q).arcs()
    )
    return rows, columns, mass


def _fallback(problem: Problem, v: Tensor, rounds: int) -> Answer:
    """Return what is known where the simplex fails: the monotone plan and the potential at hand, which bracket the value."""
    rows, columns, mass = _in_order(problem)
    u, _ = pairs.minimum(problem.cost, problem.x, problem.y, v)
    flow = simplex.Flow(rows, columns, mass, u, v, simplex.Code.INFEASIBLE)
    return _answer(problem, flow, u, problem.cost.of_pairs(problem.x, problem.y, rows, columns), rounds)


class _Arcs:
    """A growing set of arcs with their costs, each computed once."""

    def __init__(self, problem: Problem, rows: Tensor, columns: Tensor) -> None:
        self.problem, self.m = problem, len(problem.y)
        self.key = rows * self.m + columns
        self.costs = problem.cost.of_pairs(problem.x, problem.y, rows, columns)

    def add(self, rows: Tensor, columns: Tensor) -> None:
        fresh = torch.unique(rows * self.m + columns)
        fresh = fresh[~torch.isin(fresh, self.key)]
        p = self.problem
        self.costs = torch.cat([self.costs, p.cost.of_pairs(p.x, p.y, fresh // self.m, fresh % self.m)])
        self.key = torch.cat([self.key, fresh])

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.key // self.m, self.key % self.m, self.costs

    @property
    def largest(self) -> float:
        return float(self.costs.abs().max())
