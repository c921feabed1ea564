"""Integrals and distances between two continuous laws on the line."""

from __future__ import annotations

import math

import numpy as np

from .integrals import Integrand
from .lines import Line
from .mixtures import Blend
from .quadrature import FLOOR, Array, Chart, charts, log_integrals

__all__ = ["energy", "log_integral", "wasserstein"]

_MASS = 1e-8  # how far from one the laws' masses on the panels may be
_ROUNDING = 1e-14  # differences of tails below this fraction of the tails are rounding


def log_integral(p: Line, q: Line, integrand: Integrand, what: str) -> float:
    """Return the log of the integral of a function of the two log-densities; +inf where it diverges."""

    def logs(origin: Array, offset: Array) -> Array:
        log_p, log_q = p.log_density(origin, offset), q.log_density(origin, offset)
        # at the floor a density is not known: whether what follows is infinite is told by the growth before it
        known = (np.minimum(log_p, log_q) > FLOOR) | np.isneginf(log_p) | np.isneginf(log_q)
        return np.stack([np.where(known, integrand(log_p, log_q), -np.inf), log_p, log_q])

    value, *masses = log_integrals(logs, _charts(p, q), what)
    if value == math.inf:
        return math.inf
    for law, mass in zip(("p", "q"), masses):
        if not abs(math.expm1(mass)) < _MASS:
            raise ValueError(
                f"{what}: on the quadrature's panels {law} has mass {math.exp(mass):.9f}, wanted 1; give a law with a less "
                "singular density, lighter tails or a less extreme scale"
            )
    return float(value)


def energy(p: Line, q: Line) -> float:
    """2∫(F − G)², which is 2E|X−Y| − E|X−X′| − E|Y−Y′| where the means exist."""
    return 2.0 * _tails(p, q, 2, "energy")


def wasserstein(p: Line, q: Line, power: int) -> float:
    """W_p^p: ∫|F⁻¹ − G⁻¹|^p du, and ∫|F − G| dx for p = 1 where the families differ."""
    if power == 1 and p.key != q.key:
        return _tails(p, q, 1, "w1")
    if mixed := sorted((law for law in (p, q) if isinstance(law.functions, Blend)), key=lambda law: law.spread):
        return _mapped(mixed[0], q if mixed[0] is p else p, power)

    def logs(origin: Array, offset: Array) -> Array:
        return power * np.log(np.abs(_quantile_gap(p, q, origin, offset)))[None]

    return _exp(log_integrals(logs, charts([], 1.0, 0.0, 1.0), f"w{power}")[0])


def _mapped(p: Line, q: Line, power: int) -> float:
    """∫|x − G⁻¹(F(x))|^p dF(x): the law's own line resolves a mixture's peaks, levels u do not."""

    def logs(origin: Array, offset: Array) -> Array:
        x, density = origin + offset, p.log_density(origin, offset)
        lower, upper = p.functions.cdf(x), p.functions.sf(x)
        gap = np.zeros_like(x)
        for below, name, u in [(lower <= upper, "ppf", lower), (lower > upper, "isf", upper)]:
            side = below & (u > 0.0) & (density > -1e4)  # beyond, the level underflows and carries nothing
            if side.any():
                gap[side] = x[side] - getattr(q.functions, name)(u[side])
        return power * np.log(np.abs(gap))[None] + density

    return _exp(log_integrals(logs, _charts(p, q), f"w{power}")[0])


def _tails(p: Line, q: Line, power: int, what: str) -> float:
    def logs(origin: Array, offset: Array) -> Array:
        x = origin + offset
        lower, upper = (p.functions.cdf(x), q.functions.cdf(x)), (p.functions.sf(x), q.functions.sf(x))
        left, right = np.where(lower[0] + lower[1] < upper[0] + upper[1], lower, upper)
        gap = np.abs(left - right)
        return power * np.log(np.where(gap > _ROUNDING * np.maximum(left, right), gap, 0.0))[None]

    return _exp(log_integrals(logs, _charts(p, q), what)[0])


def _quantile_gap(p: Line, q: Line, origin: Array, offset: Array) -> Array:
    """F⁻¹(u) − G⁻¹(u) at u = offset seen from 0, or u = 1 + offset seen from 1."""
    if p.key == q.key and p.scale == q.scale:
        return np.full_like(offset, p.loc - q.loc)
    result = np.empty_like(offset)
    for side, name, u in [(origin == 0.0, "ppf", offset), (origin == 1.0, "isf", -offset)]:
        if not side.any():
            continue
        first, second = getattr(p.functions, name)(u[side]), getattr(q.functions, name)(u[side])
        result[side] = first - second
    return result


def _charts(p: Line, q: Line) -> list[Chart]:
    return charts([*p.points, *q.points], min(p.spread, q.spread))


def _exp(log: float) -> float:
    return math.exp(log) if log < math.inf else math.inf
