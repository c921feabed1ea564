"""Integrals and distances between two continuous laws on the line."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from divkit.truths.integrals import Integrand
from divkit.truths.lines import Line
from divkit.truths.mixtures import Blend
from divkit.truths.quadrature import FLOOR, NEAR, Array, Chart, charts, log_integrals

__all__ = ["energy", "log_integral", "wasserstein"]

_MASS = 1e-8  # how far from one the laws' masses on the panels may be
_OUTER = 1e-6  # the levels beyond which quantiles are compared directly
_SCALES = 1e100  # largest ratio of scales at which squares still fit in float64
_ROUNDING = 1e-14  # differences of tails below this fraction of the tails are rounding


def log_integral(p: Line, q: Line, integrand: Integrand, what: str) -> float:
    """Return the log of the integral of a function of the two log-densities; +inf where it diverges."""

    def logs(origin: Array, offset: Array) -> Array:
        log_p, log_q = p.log_density(origin, offset), q.log_density(origin, offset)
        value = integrand(log_p, log_q)
        unknown = _unknown(integrand, log_p, log_q, value)
        rows = np.stack([np.where(unknown, -np.inf, value), log_p, log_q])
        return np.where((rows <= FLOOR) & ~unknown, -np.inf, rows)

    value, *masses = log_integrals(logs, _charts(p, q), what)
    if value == math.inf:
        return math.inf
    for law, mass in zip(("p", "q"), masses):
        if not abs(math.expm1(mass)) < _MASS:
            raise ValueError(
                f"{what}: on the quadrature's panels {law} has mass {math.exp(mass):.9f}, wanted 1; give a law with a less "
                "singular density, lighter tails or a less extreme scale."
            )
    return float(value)


def _unknown(integrand: Integrand, log_p: Array, log_q: Array, value: Array) -> NDArray[np.bool_]:
    """Tell where the integrand depends on how far below its floor a density is.

    It counts as nothing there; whether it is infinite from there on is told by its growth before.
    """
    low_p, low_q = ((log <= FLOOR) & np.isfinite(log) for log in (log_p, log_q))
    unknown = low_p & low_q
    some = (low_p | low_q) & ~unknown
    if some.any():
        deeper = integrand(*(np.where(low, 2.0 * log, log)[some] for low, log in ((low_p, log_p), (low_q, log_q))))
        unknown[some] = ~np.isclose(value[some], deeper, rtol=0.0, atol=1e-12)
    return unknown


def energy(p: Line, q: Line) -> float:
    """Return 2∫(F − G)², which is 2E|X−Y| − E|X−X′| − E|Y−Y′| where the means exist."""
    return 2.0 * _tails(p, q, 2, "energy")


def wasserstein(p: Line, q: Line, power: int) -> float:
    """Return W_p^p: ∫|F⁻¹ − G⁻¹|^p du, and ∫|F − G| dx for p = 1 where the families differ."""
    if power == 1 and p.key != q.key:
        return _tails(p, q, 1, "w1")
    if mixed := sorted((law for law in (p, q) if isinstance(law.functions, Blend)), key=lambda law: law.spread):
        first, second = mixed[0], q if mixed[0] is p else p
        tails = _levels(first, second, power, _OUTER)
        return tails if tails == math.inf else tails + _mapped(first, second, power)
    return _levels(p, q, power, 0.5)


def _levels(p: Line, q: Line, power: int, outer: float) -> float:
    """Return ∫|F⁻¹ − G⁻¹|^p du over the levels up to `outer` and from 1 − `outer`."""

    def logs(origin: Array, offset: Array) -> Array:
        return power * np.log(np.abs(_quantile_gap(p, q, origin, offset)))[None]

    start, stop = NEAR, math.log(outer)
    ends = [Chart(0.0, 1.0, start, stop, False), Chart(1.0, -1.0, start, stop, False)]
    return _exp(log_integrals(logs, ends, f"w{power}")[0])


def _mapped(p: Line, q: Line, power: int) -> float:
    """Return ∫|x − G⁻¹(F(x))|^p dF(x) over the other levels: a mixture's peaks are resolved on its line."""

    def logs(origin: Array, offset: Array) -> Array:
        x = origin + offset
        lower, upper = p.functions.cdf(x), p.functions.sf(x)
        images = np.where(lower <= upper, q.functions.ppf(lower), q.functions.isf(upper))
        rows: Array = power * np.log(np.abs(x - images))[None] + p.log_density(origin, offset)
        return rows

    low, high = (float(quantile(np.array(_OUTER))) for quantile in (p.functions.ppf, p.functions.isf))
    inside = charts([x for x in p.points if low < x < high], (1.0, 1.0), low, high)
    return _exp(log_integrals(logs, inside, f"w{power}")[0])


def _tails(p: Line, q: Line, power: int, what: str) -> float:
    """Return ∫|F − G|^p dx, p the power."""

    def logs(origin: Array, offset: Array) -> Array:
        x = origin + offset
        lower, upper = (p.functions.cdf(x), q.functions.cdf(x)), (p.functions.sf(x), q.functions.sf(x))
        left, right = np.where(lower[0] + lower[1] < upper[0] + upper[1], lower, upper)
        gap = np.abs(left - right)
        return power * np.log(np.where(gap > _ROUNDING * np.maximum(left, right), gap, 0.0))[None]

    return _exp(log_integrals(logs, _charts(p, q), what)[0])


def _quantile_gap(p: Line, q: Line, origin: Array, offset: Array) -> Array:
    """Return F⁻¹(u) − G⁻¹(u) at u = offset seen from 0, or u = 1 + offset seen from 1."""
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
    """Return the charts of the line for two laws, whose scales must fit together."""
    scales = sorted((p.spread, q.spread))
    if not scales[1] < _SCALES * scales[0]:
        raise ValueError(f"the laws' scales, {scales[0]:.3g} and {scales[1]:.3g}, are too far apart; give less extreme ones.")
    return charts([*p.points, *q.points], (scales[0], scales[1]))


def _exp(log: float) -> float:
    """Return the exponential, of infinity too."""
    return math.exp(log) if log < math.inf else math.inf
