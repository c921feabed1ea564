"""Newton's method on the dual of entropic transport, for plans so sharp that they are sparse.

The problem and its symbols are those of `problem`: weights a and b, potentials f and g, a plan P. The second potential is
eliminated: g belongs to f, so that columns are right and only the rows' sums r = P 1 are off. A step δ of f solves

    (diag r − P diag(1/b) Pᵀ + μ diag a) δ = ε (a − r)

by conjugate gradients with a sparse P; μ is in proportion to the marginal error and bounds the step where the plan falls apart
into pieces. Source: the Levenberg–Marquardt form of the semi-dual Newton step; Peyré and Cuturi (2019), §4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from divkit.pairs import entries
from divkit.transport.problem import EntropicProblem

__all__ = ["Newton", "Point"]


class Point(NamedTuple):
    """The potentials after a sweep: g belongs to f, and `image` is what the next plain sweep would take for f."""

    f: Tensor
    g: Tensor
    image: Tensor
    error: float
    passes: int  # evaluations of all pairs, so far

    @classmethod
    def at(cls, problem: EntropicProblem, f: Tensor, g: Tensor, passes: int) -> Point:
        """Sweep once from f, with a guess g, after so many passes."""
        image, g = problem.sweep(f, g)
        return cls(f, g, image, problem.error(f, image), passes + 1)


@dataclass(frozen=True)
class Newton:
    """Newton's method with its settings; they change what a solution costs, not what it is.

    Parameters
    ----------
    dropped : float
        Share of a row's or a column's mass below which an entry of the plan is left out of the Hessian.
    dense : int
        Entries a row above which a plan counts as dense, and sweeps are the cheaper way.
    damping : float
        μ over the marginal error.
    halvings : int
        Lengths of a step that are tried before it is given up.
    inner : int
        Steps of conjugate gradients, at most.
    """

    dropped: float = 1e-7
    dense: int = 128
    damping: float = 0.1
    halvings: int = 8
    inner: int = 500

    def improve(self, problem: EntropicProblem, point: Point, tol: float, passes: int) -> Point:
        """Improve a point until the error is `tol`, no step helps, the plan is dense, or the passes are spent.

        A step counts only if the dual value grows, else it is shortened.
        """
        while tol < point.error < math.inf and point.passes + 2 <= passes:
            step = self._direction(problem, point)
            if step is None:
                return point._replace(passes=point.passes + 1)
            value, best, length, count = problem.dual(point.image, point.g), point, 1.0, point.passes + 1
            for _ in range(self.halvings):
                if count >= passes:
                    break
                trial = Point.at(problem, point.f + length * step, point.g, count)
                count, length = count + 1, length / (2 if length > 0.2 else 4)
                if trial.error < 2 * point.error and problem.dual(trial.image, trial.g) >= value:
                    best = trial
                    break
            if best is point:
                return point._replace(passes=count)
            point = best
        return point

    def _direction(self, problem: EntropicProblem, point: Point) -> Tensor | None:
        """Return the step δ of f, or None where the plan is dense."""
        x, y = problem.x, problem.y
        a, b = (cloud.weights.numpy(force=True) for cloud in (x, y))
        least = self.dropped / max(a.max(), b.max())
        most = self.dense * max(len(a), len(b))
        sparse = entries(problem.cost, x.points, y.points, point.f, point.g, problem.epsilon, least=least, most=most)
        if sparse is None:
            return None
        rows, columns, values = (t.numpy(force=True) for t in sparse)
        f, image = (t.numpy(force=True) for t in (point.f, point.image))
        plan = csr_array((values * a[rows] * b[columns], (rows, columns)), shape=(len(a), len(b)))
        c = plan.sum(0)
        c[c <= 0] = 1.0
        r = plan.sum(1) + self.damping * min(1.0, point.error) * a
        r[r <= 0] = 1.0
        diagonal = np.maximum(r - plan.power(2) @ (1 / c), 1e-300)  # a divisor: no smaller, so that 1/diagonal is finite
        hessian = LinearOperator((len(a), len(a)), matvec=lambda z: r * z - plan @ ((z @ plan) / c), dtype=np.float64)
        scaling = LinearOperator((len(a), len(a)), matvec=lambda z: z / diagonal, dtype=np.float64)
        gap = problem.epsilon * a * -np.expm1(np.minimum((f - image) / problem.epsilon, 50.0))
        step, _ = cg(hessian, gap, rtol=min(0.1, point.error), maxiter=self.inner, M=scaling)
        return torch.from_numpy(step).to(point.f)
