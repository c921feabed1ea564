"""Mixtures of laws on the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from divkit.truths.lines import Line
from divkit.truths.quadrature import Array

__all__ = ["Blend", "blend"]


@dataclass(frozen=True)
class Blend:
    """Distribution functions of a mixture; its quantiles lie between those of the components."""

    weights: Array  # (k,)
    parts: tuple[Any, ...]

    def cdf(self, x: Array) -> Array:
        return np.tensordot(self.weights, np.stack([part.cdf(x) for part in self.parts]), 1)

    def sf(self, x: Array) -> Array:
        return np.tensordot(self.weights, np.stack([part.sf(x) for part in self.parts]), 1)

    def ppf(self, u: Array) -> Array:
        near, far = (np.stack([part.ppf(level) for part, level in self._levels(u, scaled)]) for scaled in (False, True))
        return _invert(self.cdf, u, near.min(axis=0), np.minimum(near.max(axis=0), far.min(axis=0)))

    def isf(self, u: Array) -> Array:
        near, far = (np.stack([part.isf(level) for part, level in self._levels(u, scaled)]) for scaled in (False, True))
        return _invert(self.sf, u, np.maximum(near.min(axis=0), far.max(axis=0)), near.max(axis=0))

    def _levels(self, u: Array, scaled: bool) -> list[tuple[Any, Array]]:
        """Return the parts with their levels: u, or u/w, which as F ≥ wᵢFᵢ bounds the quantile from the other side."""
        return [(part, np.minimum(u / weight, 1.0) if scaled else u) for weight, part in zip(self.weights, self.parts)]


def _invert(function: Callable[[Array], Array], u: Array, low: Array, high: Array) -> Array:
    # a hair wider, because the components' quantiles are rounded
    """Return the points between the bounds at which a monotone function has the values u."""
    ends = (low - 1e-12 * np.abs(low) - 1e-300, high + 1e-12 * np.abs(high) + 1e-300)
    result: Array = elementwise.find_root(lambda x, v: function(x) / v - 1, ends, args=(u,)).x
    return result


def blend(weights: Array, parts: tuple[Line, ...]) -> Line:
    """Return the mixture of laws on the line."""
    logs = np.log(weights)

    def log_density(origin: Array, offset: Array) -> Array:
        terms = [log + part.log_density(origin, offset) for log, part in zip(logs, parts)]
        result: Array = np.logaddexp.reduce(np.stack(terms), axis=0)
        return result

    means, variances = (np.array([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
    mean = float(weights @ means)
    return Line(
        log_density=log_density,
        functions=Blend(weights, tuple(part.functions for part in parts)),
        points=tuple(sorted({x for part in parts for x in part.points})),
        spread=min(part.spread for part in parts),
        mean=mean,
        variance=float(weights @ (variances + (means - mean) ** 2)),
        key=object(),  # equal to no other: a mixture is not treated as a location-scale family
        loc=0.0,
        scale=1.0,
    )
