"""Newton's method on the dual of entropic transport, for plans so sharp that they are sparse."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from divkit.pairs import entries
from divkit.transport.coupling import Coupling

__all__ = ["Point", "newton"]

DROPPED = 1e-7  # of a row's or column's mass: what the Hessian leaves out
DENSE = 128  # entries a row, above which sweeps are the cheaper way
DAMPING = 0.1  # of the marginal error, added to the Hessian: bounds the step where the plan falls apart into pieces
HALVINGS = 8
INNER = 500  # steps of conjugate gradients


class Point(NamedTuple):
    """Potentials after a sweep: g belongs to f, and image is what the next plain sweep would take for f."""

    f: Tensor
    g: Tensor
    image: Tensor
    error: float
    passes: int  # over all pairs, so far

    @classmethod
    def at(cls, problem: Coupling, f: Tensor, g: Tensor, passes: int) -> Point:
        image, g = problem.sweep(f, g)
        return cls(f, g, image, problem.error(f, image), passes + 1)


def newton(problem: Coupling, point: Point, tol: float, passes: int) -> Point:
    """Improve a point until the error is `tol`, no step helps, the plan is dense, or the passes are spent.

    The second potential is eliminated: with columns right, (diag r − P diag(1/b) Pᵀ + μ diag a) δ = ε (a − r), P sparse, by
    conjugate gradients, μ in proportion to the error. A step counts only if the dual value grows, else it is halved.
    Source: the Levenberg–Marquardt form of the semi-dual Newton step; Peyré and Cuturi (2019), §4.
    """
    while tol < point.error < math.inf and point.passes + 2 <= passes:
        step = _direction(problem, point)
        if step is None:
            return point._replace(passes=point.passes + 1)
        value, best, length, spent = problem.dual(point.image, point.g), point, 1.0, point.passes + 1
        for _ in range(HALVINGS):
            if spent >= passes:
                break
            tried = Point.at(problem, point.f + length * step, point.g, spent)
            spent, length = spent + 1, length / (2 if length > 0.2 else 4)
            if tried.error < 2 * point.error and problem.dual(tried.image, tried.g) >= value:
                best = tried
                break
        if best is point:
            return point._replace(passes=spent)
        point = best
    return point


def _direction(problem: Coupling, point: Point) -> Tensor | None:
    x, y = problem.x, problem.y
    a, b = (cloud.weights.numpy(force=True) for cloud in (x, y))
    least = DROPPED / max(a.max(), b.max())
    most = DENSE * max(len(a), len(b))
    found = entries(problem.cost, x.points, y.points, point.f, point.g, problem.epsilon, least=least, most=most)
    if found is None:
        return None
    rows, columns, values = (t.numpy(force=True) for t in found)
    f, image = (t.numpy(force=True) for t in (point.f, point.image))
    plan = csr_array((values * a[rows] * b[columns], (rows, columns)), shape=(len(a), len(b)))
    c = plan.sum(0)
    c[c <= 0] = 1.0
    own = plan.sum(1) + DAMPING * min(1.0, point.error) * a
    own[own <= 0] = 1.0
    diagonal = np.maximum(own - plan.power(2) @ (1 / c), 1e-300)
    hessian = LinearOperator((len(a), len(a)), matvec=lambda z: own * z - plan @ ((z @ plan) / c), dtype=np.float64)
    scaling = LinearOperator((len(a), len(a)), matvec=lambda z: z / diagonal, dtype=np.float64)
    gap = problem.epsilon * a * -np.expm1(np.minimum((f - image) / problem.epsilon, 50.0))
    step, _ = cg(hessian, gap, rtol=min(0.1, point.error), maxiter=INNER, M=scaling)
    return torch.from_numpy(step).to(point.f)
