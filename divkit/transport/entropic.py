"""Solvers of the entropic transport problem: potentials to a stated marginal error, in the log domain."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.transport.coupling import Cloud, Coupling
from divkit.transport.newton import Point, newton

__all__ = ["Potentials", "matching", "rounding", "solve_pair", "solve_self"]

DEPTH = 8  # of Anderson mixing: over-relaxation needed up to six times as many sweeps where one mode is slow
PATIENCE = 12  # sweeps after which a slow problem is tried by Newton's method
TRACKED = 64  # times ε: below it annealing follows the solution, since a sharp plan is hard to find from afar
AVERAGED = 0.1  # of an exponent's rounding is what a row's sum of many has
NEAR = 0.4  # the error up to which coarse potentials, extended to all points, are a start
ENOUGH = 200  # passes over coarse clouds
COARSE = 2e-3  # the error to which they are solved: what is slow to converge is then nearly right on all points
RELAXED = 2 / 3  # of a self update: the residual then shrinks threefold whatever the spectrum, which lies in [0, 1]
LOOSE = 0.05  # the error to which it is followed


class Potentials(NamedTuple):
    """Dual potentials, the marginal error measured at them, and the passes over all pairs spent."""

    f: Tensor  # (n,) float64
    g: Tensor  # (m,) float64
    image: Tensor  # (n,) what the next sweep would take for f
    error: float
    sweeps: int


def matching(x: Cloud, y: Cloud) -> Tensor | None:  # -> (m,) rows of x
    """Where both clouds are the same but for the order of their rows: the row of x that each row of y is."""
    if x.points.shape != y.points.shape:
        return None
    mix = torch.linspace(1.0, 2.0, x.points.shape[1], dtype=torch.float64, device=x.points.device)
    # summed elementwise: a matrix product rounds a row by its place
    order_x, order_y = (((c.points * mix).sum(1) + c.log_weights).argsort(stable=True) for c in (x, y))
    rows = torch.empty_like(order_x)
    rows[order_y] = order_x
    same = torch.equal(x.points[rows], y.points) and torch.equal(x.log_weights[rows], y.log_weights)
    return rows if same else None


def solve_pair(problem: Coupling, tol: float, sweeps: int, start: tuple[Tensor, Tensor] | None = None) -> Potentials:
    """Solve until the plan's first marginal is right to `tol`; the second always is.

    Sweeps with Anderson mixing; where they are slow and the plan is sparse, Newton's method.
    """
    f, g, spent = (*start, 0) if start is not None else _anneal(problem, sweeps)
    mixing, errors = _Anderson(problem.x.weights.sqrt()), list[float]()
    tried, floor = False, rounding(problem)
    while True:
        point = Point.at(problem, f, g, spent)
        if not tried and _slow(errors, point.error, tol) and problem.rho == math.inf:
            point, tried = newton(problem, point, tol, sweeps), True
            mixing = _Anderson(problem.x.weights.sqrt())
        f, g, error, spent = point.f, point.g, point.error, point.passes
        errors.append(error)
        if error <= max(tol, floor) or not math.isfinite(error) or spent >= sweeps:
            return Potentials(f, g, point.image, error, spent)
        f = mixing.step(f, point.image, error)


def solve_self(problem: Coupling, tol: float, sweeps: int, start: Tensor | None = None) -> Potentials:
    """Solve OT_ε(x, x), whose two potentials are one, by averaged updates."""
    p, spent = start, 0
    if p is None:
        coarse = problem.coarse
        if coarse.x is problem.x:
            p, levels = problem.zero()[0], _levels(problem)
            for level in levels:
                p = (p + level.reflection(p)) / 2
            spent = len(levels)
        else:
            p = coarse.extend(problem.x.points, solve_self(coarse, COARSE, ENOUGH).f)
    mixing, floor = _Anderson(problem.x.weights.sqrt()), rounding(problem)
    while True:
        image, spent = problem.reflection(p), spent + 1
        error = problem.error(p, image)
        if error <= max(tol, floor) or not math.isfinite(error) or spent >= sweeps:
            return Potentials(p, p, image, error, spent)
        p = mixing.step(p, p + RELAXED * (image - p), error)


class _Anderson:
    """Anderson mixing of a fixed-point iteration g ← T(g): it takes out the few slow modes that plain sweeps crawl along.

    The next iterate is the combination of the last ones whose residual T(g) − g is least; where the error grows, the memory is
    dropped and a plain step taken. Source: Anderson (1965); Walker and Ni (2011).
    """

    def __init__(self, metric: Tensor) -> None:
        self.metric, self.least = metric, math.inf
        self.images: list[Tensor] = []
        self.residuals: list[Tensor] = []

    def step(self, g: Tensor, image: Tensor, error: float) -> Tensor:
        self.least = min(self.least, error)
        if error > 3 * self.least:
            self.images, self.residuals, self.least = [], [], math.inf
            return image
        self.images = [*self.images[-DEPTH:], image]
        self.residuals = [*self.residuals[-DEPTH:], (image - g) * self.metric]
        if len(self.images) == 1:
            return image
        changes = torch.stack(self.residuals).diff(dim=0)
        gram = changes @ changes.T
        gram = gram + 1e-10 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        share = torch.linalg.solve_ex(gram, changes @ self.residuals[-1])[0]  # lstsq differs from run to run in the last digits
        mixed = image - share @ torch.stack(self.images).diff(dim=0)
        return mixed if bool(mixed.isfinite().all()) else image


def _anneal(problem: Coupling, passes: int) -> tuple[Tensor, Tensor, int]:
    """Potentials from large ε to small, on coarse clouds as long as they extend; and the passes spent over all points."""
    coarse = problem.coarse
    levels = _levels(coarse)
    if coarse.x is problem.x and coarse.y is problem.y:
        *_, last = _followed(levels, Point.at(levels[0], *coarse.zero(), 0), passes)
        return last.image, last.g, last.passes
    states = [point[:2] for point in _followed(levels, Point.at(levels[0], *coarse.zero(), 0), ENOUGH)]
    spent = 0
    for k in range(len(levels) - 1, -1, -2):
        found = solve_pair(levels[k], COARSE, ENOUGH, start=states[k])
        f = levels[k].extend(problem.x.points, found.g)
        g = levels[k].transposed().extend(problem.y.points, found.f)
        finer = [problem._replace(epsilon=level.epsilon) for level in levels[k:]]
        point = Point.at(finer[0], f, g, spent)
        spent = point.passes
        if point.error < NEAR or k < 2:
            *_, point = _followed(finer, point, passes)
            return point.image, point.g, point.passes
    return f, g, spent


def _followed(levels: list[Coupling], point: Point, passes: int) -> Iterator[Point]:
    """The solution as ε falls, roughly: two sweeps a level, and Newton's steps where the plan gets sharp."""
    for level in levels:
        point = Point.at(level, point.image, point.g, point.passes)
        if point.error > LOOSE and level.epsilon < TRACKED * levels[-1].epsilon and level.rho == math.inf:
            point = newton(level, point, LOOSE, min(passes, point.passes + 20))
        else:
            point = Point.at(level, point.image, point.g, point.passes)
        yield point


def _levels(problem: Coupling) -> list[Coupling]:
    """The problem with ε from the largest cost down to its own, by factors of two, and of four far above it."""
    x, y = problem.x.points, problem.y.points
    corner = torch.maximum(x.amax(0), y.amax(0)) - torch.minimum(x.amin(0), y.amin(0))
    largest = float(problem.cost.value(corner.square().sum()[None].clone())[0])
    levels, factor = [problem], 1.0
    while factor * problem.epsilon < largest:
        factor *= 2 if factor < TRACKED else 4
        levels.append(problem._replace(epsilon=factor * problem.epsilon))
    return levels[::-1]


def _slow(errors: list[float], error: float, tol: float) -> bool:
    """Whether at the rate of the last sweeps more than `PATIENCE` are to come."""
    if len(errors) <= PATIENCE // 2 or not tol < error < math.inf:
        return False
    rate = (error / errors[-PATIENCE // 2]) ** (1 / (PATIENCE // 2))
    return rate >= 1 or math.log(tol / error) / math.log(rate) > PATIENCE


def rounding(problem: Coupling) -> float:
    """The marginal error that rounding of the exponents c/ε leaves."""
    x, y = problem.x.points.detach(), problem.y.points.detach()
    largest = 2 * (x.square().sum(1).max() + y.square().sum(1).max())
    return AVERAGED * torch.finfo(x.dtype).eps * (1 + float(problem.cost.value(largest[None])[0]) / problem.epsilon)
