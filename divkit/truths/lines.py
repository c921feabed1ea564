"""Continuous laws on the line: log-densities that stay exact next to the support's ends, distribution functions, quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.distributions as td
from scipy import special, stats

from divkit.truths.quadrature import FLOOR, Array

__all__ = ["LINES", "Family", "Getter", "Line", "line"]

Getter = Callable[[str], float]  # a parameter of a law by its name
Tail = Callable[[tuple[float, ...], Array, bool], Array]  # (shapes, u, upper) -> standard quantile, NaN where scipy's will do

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Line:
    """A law on the line.

    `log_density` takes (origin, offset) and gives log density at origin + offset, so that a point next to an end of the
    support keeps all its digits. `functions` has cdf, sf, ppf and isf. Laws with the same `key` differ only by `loc`
    and `scale`. `points` are the support's ends, kinks and centres; `spread` is the smallest scale.
    """

    log_density: Callable[[Array, Array], Array]
    functions: Any
    points: tuple[float, ...]
    spread: float
    mean: float
    variance: float
    key: object
    loc: float
    scale: float


@dataclass(frozen=True)
class Family:
    """A location-scale family: shape, location and scale from a torch law, and the standard log-density.

    `log_density(shapes, z, w)` is taken at z; w = 1 − z carries the digits that z loses next to 1.
    `tail` gives the extreme quantiles that scipy does not.
    """

    standard: Any
    parameters: Callable[[Getter], tuple[tuple[float, ...], float, float]]
    log_density: Callable[[tuple[float, ...], Array, Array], Array]
    tail: Tail = lambda shapes, u, upper: np.full_like(u, np.nan)


@dataclass(frozen=True)
class Quantiles:
    """Distribution functions by scipy, with the family's own quantiles far out, where scipy's inversions give out."""

    frozen: Any
    tail: Callable[[Array, bool], Array]

    def cdf(self, x: Array) -> Array:
        result: Array = self.frozen.cdf(x)
        return result

    def sf(self, x: Array) -> Array:
        result: Array = self.frozen.sf(x)
        return result

    def ppf(self, u: Array) -> Array:
        return self._merge(u, self.frozen.ppf, upper=False)

    def isf(self, u: Array) -> Array:
        return self._merge(u, self.frozen.isf, upper=True)

    def _merge(self, u: Array, inner: Callable[[Array], Array], upper: bool) -> Array:
        """Return the family's own quantiles, and scipy's where it has none."""
        far = self.tail(u, upper)
        return np.where(np.isnan(far), inner(np.where(np.isnan(far), u, 0.5)), far)


def _student_tail(shapes: tuple[float, ...], u: Array, upper: bool) -> Array:
    """Return quantiles of Student's law from the first term of its tail, NaN where that is not enough."""
    (df,) = shapes
    z = np.exp(((df / 2 - 1) * math.log(df) - special.betaln(df / 2, 0.5) - np.log(u)) / df)
    # the next term of the tail is smaller by the square of this
    return np.where(z > 1e9 * (1.0 + df), z if upper else -z, np.nan)


def _beta_tail(shapes: tuple[float, ...], u: Array, upper: bool) -> Array:
    """Return quantiles of the beta law from the first term of its density at an end, NaN where that is not enough."""
    a, b = shapes[::-1] if upper else shapes
    z = np.exp((np.log(u) + math.log(a) + special.betaln(a, b)) / a)
    return np.where(z * (1.0 + b) < 1e-9, 1.0 - z if upper else z, np.nan)


LINES: dict[type[td.Distribution], Family] = {
    td.Normal: Family(stats.norm, lambda g: ((), g("loc"), g("scale")), lambda s, z, w: -(z**2 + _LOG_2PI) / 2),
    td.Laplace: Family(stats.laplace, lambda g: ((), g("loc"), g("scale")), lambda s, z, w: -np.abs(z) - math.log(2)),
    td.Cauchy: Family(
        stats.cauchy, lambda g: ((), g("loc"), g("scale")), lambda s, z, w: -2 * np.log(np.hypot(1, z)) - math.log(math.pi)
    ),
    td.StudentT: Family(
        stats.t,
        lambda g: ((g("df"),), g("loc"), g("scale")),
        lambda s, z, w: -(s[0] + 1) * np.log(np.hypot(1, z / s[0] ** 0.5)) - special.betaln(0.5, s[0] / 2) - math.log(s[0]) / 2,
        _student_tail,
    ),
    td.Gumbel: Family(stats.gumbel_r, lambda g: ((), g("loc"), g("scale")), lambda s, z, w: -z - np.exp(-z)),
    td.Uniform: Family(stats.uniform, lambda g: ((), g("low"), g("high") - g("low")), lambda s, z, w: np.zeros_like(z)),
    td.Exponential: Family(stats.expon, lambda g: ((), 0.0, 1 / g("rate")), lambda s, z, w: -z),
    td.Gamma: Family(  # Chi2 is its subclass
        stats.gamma,
        lambda g: ((g("concentration"),), 0.0, 1 / g("rate")),
        lambda s, z, w: (s[0] - 1) * np.log(z) - z - special.gammaln(s[0]),
    ),
    td.InverseGamma: Family(
        stats.invgamma,
        lambda g: ((g("concentration"),), 0.0, g("rate")),
        lambda s, z, w: -(s[0] + 1) * np.log(z) - 1 / z - special.gammaln(s[0]),
    ),
    td.Weibull: Family(
        stats.weibull_min,
        lambda g: ((g("concentration"),), 0.0, g("scale")),
        lambda s, z, w: (s[0] - 1) * np.log(z) - np.exp(s[0] * np.log(z)) + math.log(s[0]),
    ),
    td.LogNormal: Family(
        stats.lognorm,
        lambda g: ((g("scale"),), 0.0, math.exp(g("loc"))),
        lambda s, z, w: -((np.log(z) / s[0]) ** 2 + _LOG_2PI) / 2 - np.log(z) - math.log(s[0]),
    ),
    td.Pareto: Family(
        stats.pareto,
        lambda g: ((g("alpha"),), 0.0, g("scale")),
        lambda s, z, w: math.log(s[0]) - (s[0] + 1) * np.log(z),
    ),
    td.HalfNormal: Family(
        stats.halfnorm, lambda g: ((), 0.0, g("scale")), lambda s, z, w: -(z**2 + _LOG_2PI) / 2 + math.log(2)
    ),
    td.HalfCauchy: Family(
        stats.halfcauchy, lambda g: ((), 0.0, g("scale")), lambda s, z, w: math.log(2 / math.pi) - 2 * np.log(np.hypot(1, z))
    ),
    td.Beta: Family(
        stats.beta,
        lambda g: ((g("concentration1"), g("concentration0")), 0.0, 1.0),
        lambda s, z, w: (s[0] - 1) * np.log(z) + (s[1] - 1) * np.log(w) - special.betaln(*s),
        _beta_tail,
    ),
}


def line(family: Family, getter: Getter) -> Line:
    """Return the law of the family that has these parameters."""
    shapes, loc, scale = family.parameters(getter)
    frozen = family.standard(*shapes, loc=loc, scale=scale)
    low, high = (float(end) for end in frozen.support())

    def log_density(origin: Array, offset: Array) -> Array:
        left, right = (origin - low) + offset, (high - origin) - offset
        z, w = ((origin - loc) + offset) / scale, ((loc + scale - origin) - offset) / scale
        density = np.maximum(family.log_density(shapes, z, w) - math.log(scale), FLOOR)
        return np.where((left > 0) & (right > 0), density, -np.inf)

    points = tuple(x for x in (low, float(frozen.median()), high) if math.isfinite(x))
    spread = float(frozen.ppf(0.75) - frozen.ppf(0.25))
    mean, variance = (float(moment) for moment in frozen.stats("mv"))
    functions = Quantiles(frozen, lambda u, upper: loc + scale * family.tail(shapes, u, upper))
    return Line(log_density, functions, points, spread, mean, variance, (family.standard.name, shapes), loc, scale)
