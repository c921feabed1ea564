"""Solvers of the entropic transport problem: potentials to a stated marginal error, in the log domain."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.pairs import PairFunction, softmin

__all__ = ["Cloud", "Potentials", "extend", "matching", "solve_pair", "solve_self"]

COARSE = 1000  # annealing happens on at most so many points; their potentials extend to all by one softmin
DEPTH = 8  # of Anderson mixing: over-relaxation needed up to six times as many sweeps where one mode is slow


class Cloud(NamedTuple):
    """Weighted points in the frame of `pairs.frame`."""

    points: Tensor  # (n, d)
    log_weights: Tensor  # (n,) float64

    @property
    def weights(self) -> Tensor:
        return self.log_weights.exp()

    def coarse(self) -> Cloud:
        """Some of the points, evenly over a random order fixed once for all."""
        n = len(self.points)
        if n <= COARSE:
            return self
        kept = torch.randperm(n, generator=torch.Generator(device="cpu").manual_seed(0), device="cpu")[:COARSE].to(
            self.points.device
        )
        log_weights = self.log_weights[kept]
        if not bool(log_weights.isfinite().any()):
            return self
        return Cloud(self.points[kept], log_weights - log_weights.logsumexp(0))


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


class Potentials(NamedTuple):
    """Dual potentials with the marginal error measured at them, and the softmins (of full size) spent."""

    f: Tensor  # (n,) float64
    g: Tensor  # (m,) float64
    error: float
    sweeps: int


def extend(c: PairFunction, x: Tensor, y: Cloud, g: Tensor, epsilon: float, guess: Tensor | None = None) -> Tensor:
    """The potential at new points x of the potential g on y: one softmin."""
    return softmin(c, x, y.points, g + epsilon * y.log_weights, epsilon, guess)


def solve_pair(
    c: PairFunction, x: Cloud, y: Cloud, epsilon: float, *, tol: float, sweeps: int, start: tuple[Tensor, Tensor] | None = None
) -> Potentials:
    """Solve OT_ε(x, y) until the plan's second marginal is right to `tol` in total variation (L₁); the first always is."""
    f, g = start if start is not None else _anneal(c, x.coarse(), y.coarse(), epsilon, (x, y))
    mixing, w, error = _Anderson(y.weights.sqrt()), y.weights, math.inf
    for sweep in range(1, sweeps + 1):
        f = extend(c, x.points, y, g, epsilon, f)
        g_new = extend(c, y.points, x, f, epsilon, g)
        error = _marginal_error(w, g, g_new, epsilon)
        if error <= tol or not math.isfinite(error):
            return Potentials(f, g_new, error, sweep)
        g = mixing.step(g, g_new, error)
    return Potentials(f, g, error, sweeps)


def solve_self(
    c: PairFunction, x: Cloud, epsilon: float, *, tol: float, sweeps: int, start: Tensor | None = None
) -> Potentials:
    """Solve OT_ε(x, x), whose two potentials are one, by averaged updates."""
    p = start
    if p is None:
        coarse = x.coarse()
        p = torch.zeros(len(coarse.points), dtype=torch.float64, device=x.points.device)
        for level in _levels(c, coarse, coarse, epsilon):
            p = (p + extend(c, coarse.points, coarse, p, level, p)) / 2
        p = extend(c, x.points, coarse, p, epsilon, p if coarse is x else None)
    w, error = x.weights, math.inf
    for sweep in range(1, sweeps + 1):
        p_new = extend(c, x.points, x, p, epsilon, p)
        error = _marginal_error(w, p, p_new, epsilon)
        p = (p + p_new) / 2
        if error <= tol or not math.isfinite(error):
            return Potentials(p, p, error, sweep)
    return Potentials(p, p, error, sweeps)


class _Anderson:
    """Anderson mixing of a fixed-point iteration g ← T(g): it takes out the few slow modes that plain sweeps crawl along.

    The next iterate is the combination of the last ones whose residual T(g) − g is least; where the error grows, the memory is
    dropped and a plain step taken. Source: Anderson (1965); Walker and Ni (2011).
    """

    def __init__(self, metric: Tensor) -> None:
        self.metric, self.images, self.residuals, self.least = metric, [], [], math.inf  # type: ignore[var-annotated]

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


def _anneal(c: PairFunction, x: Cloud, y: Cloud, epsilon: float, full: tuple[Cloud, Cloud]) -> tuple[Tensor, Tensor]:
    f = torch.zeros(len(x.points), dtype=torch.float64, device=x.points.device)
    g = torch.zeros(len(y.points), dtype=torch.float64, device=x.points.device)
    for level in _levels(c, x, y, epsilon):
        for _ in range(2):
            f = extend(c, x.points, y, g, level, f)
            g = extend(c, y.points, x, f, level, g)
    if x is not full[0] or y is not full[1]:
        coarse = solve_pair(c, x, y, epsilon, tol=0.02, sweeps=200, start=(f, g))
        f, g = extend(c, full[0].points, y, coarse.g, epsilon), extend(c, full[1].points, x, coarse.f, epsilon)
    return f, g


def _levels(c: PairFunction, x: Cloud, y: Cloud, epsilon: float) -> list[float]:
    """From the largest cost down to ε by factors of two."""
    corner = torch.stack([x.points.amax(0), y.points.amax(0)]).amax(0) - torch.stack([x.points.amin(0), y.points.amin(0)]).amin(
        0
    )
    largest = float(c.value(corner.square().sum()[None].clone())[0])
    count = max(0, math.ceil(math.log2(largest / epsilon))) if largest > epsilon else 0
    return [epsilon * 2.0**k for k in range(count, -1, -1)]


def _marginal_error(weights: Tensor, old: Tensor, new: Tensor, epsilon: float) -> float:
    """Σ wᵢ |exp((oldᵢ − newᵢ)/ε) − 1|, the L₁ distance of the plan's marginal from the weights."""
    change = ((old - new) / epsilon).clamp(max=50.0)
    return float(torch.where(weights > 0, weights * torch.expm1(change).abs(), 0.0).sum())
