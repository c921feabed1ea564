"""Solvers of the entropic transport problem: potentials to a stated marginal error, in the log domain.

The problem and its symbols (potentials f and g, image, ε, ρ) are those of `problem`.

1. ε falls by halves from the largest cost to its own, on coarse clouds as long as their potentials extend to all points.
2. Sweeps f ← image follow, with Anderson mixing.
3. Where sweeps are slow and the plan is sparse, Newton's method takes over.

Where both clouds are one, so are f and g: p ← p + ⅔ (image − p) solves it with half of the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.transport.newton import Newton, Point
from divkit.transport.problem import Cloud, EntropicProblem

__all__ = ["Potentials", "Solver", "matching", "rounding"]


class Potentials(NamedTuple):
    """The dual potentials, the marginal error measured at them, and the passes over all pairs spent."""

    f: Tensor  # (n,) float64
    g: Tensor  # (m,) float64
    image: Tensor  # (n,) what the next sweep would take for f
    error: float
    sweeps: int


@dataclass(frozen=True)
class Solver:
    """The solver with its settings; those after `sweeps` change what a solution costs, not what it is.

    Parameters
    ----------
    tol : float
        The L₁ error of the first marginal at which it stops; the second marginal always is right.
    sweeps : int
        Passes over all pairs at which it stops anyway.
    depth : int
        Earlier iterates that Anderson mixing combines: with plain over-relaxation one slow mode took six times as many sweeps.
    patience : int
        Sweeps that may be to come before Newton's method is tried.
    tracked : float
        Annealing follows the solution for ε below this multiple of its own: a sharp plan is hard to find from afar.
    loose : float
        The error to which annealing follows the solution.
    coarse_tol : float
        The error to which coarse clouds are solved: what is slow to converge is then nearly right on all points.
    coarse_sweeps : int
        Passes over coarse clouds, at most.
    near : float
        The error up to which coarse potentials, extended to all points, are a start there.
    newton : Newton
        Newton's method, for sparse plans.
    """

    tol: float
    sweeps: int
    depth: int = 8
    patience: int = 12
    tracked: float = 64
    loose: float = 0.05
    coarse_tol: float = 2e-3
    coarse_sweeps: int = 200
    near: float = 0.4
    newton: Newton = field(default=Newton())

    @property
    def coarse(self) -> Solver:
        """The solver of coarse clouds."""
        return replace(self, tol=self.coarse_tol, sweeps=self.coarse_sweeps)

    def pair(self, problem: EntropicProblem, start: tuple[Tensor, Tensor] | None = None) -> Potentials:
        """Solve OT_ε(x, y), from the potentials `start` or by annealing."""
        f, g, passes = (*start, 0) if start is not None else self._anneal(problem)
        mixing, errors = _Anderson(problem.x.weights.sqrt(), self.depth), list[float]()
        sharpened, floor = False, rounding(problem)
        while True:
            point = Point.at(problem, f, g, passes)
            if not sharpened and self._slow(errors, point.error) and problem.rho == math.inf:
                point, sharpened = self.newton.improve(problem, point, self.tol, self.sweeps), True
                mixing = _Anderson(problem.x.weights.sqrt(), self.depth)
            f, g, error, passes = point.f, point.g, point.error, point.passes
            errors.append(error)
            if error <= max(self.tol, floor) or not math.isfinite(error) or passes >= self.sweeps:
                return Potentials(f, g, point.image, error, passes)
            f = mixing.step(f, point.image, error)

    def itself(self, problem: EntropicProblem, start: Tensor | None = None) -> Potentials:
        """Solve OT_ε(x, x), whose two potentials are one, by averaged updates.

        The residual shrinks threefold in each whatever the spectrum of the update, which lies in [0, 1] for a power of the
        distance.
        """
        p, passes = start, 0
        if p is None:
            coarse = problem.coarse
            if coarse.x is problem.x:
                p, levels = problem.zero()[0], self._levels(problem)
                for level in levels:
                    p = (p + level.reflection(p)) / 2
                passes = len(levels)
            else:
                p = coarse.extend(problem.x.points, self.coarse.itself(coarse).f)
        mixing, floor = _Anderson(problem.x.weights.sqrt(), self.depth), rounding(problem)
        while True:
            image, passes = problem.reflection(p), passes + 1
            error = problem.error(p, image)
            if error <= max(self.tol, floor) or not math.isfinite(error) or passes >= self.sweeps:
                return Potentials(p, p, image, error, passes)
            p = mixing.step(p, p + 2 / 3 * (image - p), error)

    def _anneal(self, problem: EntropicProblem) -> tuple[Tensor, Tensor, int]:
        """Return potentials found from large ε to small, and the passes over all points that were spent."""
        coarse = problem.coarse
        levels = self._levels(coarse)
        first = Point.at(levels[0], *coarse.zero(), 0)
        if coarse.x is problem.x and coarse.y is problem.y:
            *_, last = self._followed(levels, first, self.sweeps)
            return last.image, last.g, last.passes
        states, passes = [point[:2] for point in self._followed(levels, first, self.coarse_sweeps)], 0
        for k in range(len(levels) - 1, -1, -2):
            solution = self.coarse.pair(levels[k], states[k])
            f = levels[k].extend(problem.x.points, solution.g)
            g = levels[k].transposed().extend(problem.y.points, solution.f)
            finer = [problem._replace(epsilon=level.epsilon) for level in levels[k:]]
            point = Point.at(finer[0], f, g, passes)
            passes = point.passes
            if point.error < self.near or k < 2:
                *_, point = self._followed(finer, point, self.sweeps)
                return point.image, point.g, point.passes
        return f, g, passes

    def _followed(self, levels: list[EntropicProblem], point: Point, passes: int) -> Iterator[Point]:
        """Yield a rough solution at each ε: two sweeps a level, and Newton's steps where the plan gets sharp."""
        for level in levels:
            point = Point.at(level, point.image, point.g, point.passes)
            sharp = level.epsilon < self.tracked * levels[-1].epsilon and level.rho == math.inf
            if point.error > self.loose and sharp:
                point = self.newton.improve(level, point, self.loose, min(passes, point.passes + 20))
            else:
                point = Point.at(level, point.image, point.g, point.passes)
            yield point

    def _levels(self, problem: EntropicProblem) -> list[EntropicProblem]:
        """Return the problem with ε from the largest cost down to its own, by factors of two, and of four far above it."""
        x, y = problem.x.points, problem.y.points
        corner = torch.maximum(x.amax(0), y.amax(0)) - torch.minimum(x.amin(0), y.amin(0))
        largest = problem.cost.largest(x, y, corner.square().sum())
        levels, factor = [problem], 1.0
        while factor * problem.epsilon < largest:
            factor *= 2 if factor < self.tracked else 4
            levels.append(problem._replace(epsilon=factor * problem.epsilon))
        return levels[::-1]

    def _slow(self, errors: list[float], error: float) -> bool:
        """Say whether at the rate of the last sweeps more than `patience` are to come."""
        half = self.patience // 2
        if len(errors) <= half or not self.tol < error < math.inf:
            return False
        rate = (error / errors[-half]) ** (1 / half)
        return rate >= 1 or math.log(self.tol / error) / math.log(rate) > self.patience


class _Anderson:
    """Anderson mixing of a fixed-point iteration g ← T(g), which takes out the few slow modes of plain sweeps.

    The next iterate is the combination of the last ones whose residual T(g) − g is least; where the error grows, the memory is
    dropped and a plain step taken. Source: Anderson (1965); Walker and Ni (2011).
    """

    def __init__(self, metric: Tensor, depth: int) -> None:  # metric: (n,) factors under which residuals are measured
        self.metric, self.depth, self.least = metric, depth, math.inf
        self.images: list[Tensor] = []
        self.residuals: list[Tensor] = []

    def step(self, g: Tensor, image: Tensor, error: float) -> Tensor:
        """Return the next iterate after g, whose image T(g) and marginal error are given."""
        self.least = min(self.least, error)
        if error > 3 * self.least:
            self.images, self.residuals, self.least = [], [], math.inf
            return image
        self.images = [*self.images[-self.depth :], image]
        self.residuals = [*self.residuals[-self.depth :], (image - g) * self.metric]
        if len(self.images) == 1:
            return image
        changes = torch.stack(self.residuals).diff(dim=0)
        gram = changes @ changes.T
        gram = gram + 1e-10 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        share = torch.linalg.solve_ex(gram, changes @ self.residuals[-1])[0]  # lstsq differs from run to run in the last digits
        mixed = image - share @ torch.stack(self.images).diff(dim=0)
        return mixed if bool(mixed.isfinite().all()) else image


def matching(x: Cloud, y: Cloud) -> Tensor | None:  # -> (m,) rows of x
    """Return the row of x that each row of y is, or None where the clouds are not the same but for the order of rows."""
    if x.points.shape != y.points.shape:
        return None
    mix = torch.linspace(1.0, 2.0, x.points.shape[1], dtype=torch.float64, device=x.points.device)
    # summed elementwise: a matrix product rounds a row by its place
    order_x, order_y = (((c.points * mix).sum(1) + c.log_weights).argsort(stable=True) for c in (x, y))
    rows = torch.empty_like(order_x)
    rows[order_y] = order_x
    same = torch.equal(x.points[rows], y.points) and torch.equal(x.log_weights[rows], y.log_weights)
    return rows if same else None


def rounding(problem: EntropicProblem) -> float:
    """Return the marginal error that rounding of the exponents c/ε leaves: in a row's sum a tenth of that of one exponent."""
    x, y = problem.x.points.detach(), problem.y.points.detach()
    square = 2 * (x.square().sum(1).max() + y.square().sum(1).max())
    return 0.1 * torch.finfo(x.dtype).eps * (1 + problem.cost.largest(x, y, square) / problem.epsilon)
