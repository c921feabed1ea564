"""The skewed law of a U-statistic, whose quantiles are turned into an interval of its expectation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtri

__all__ = ["Skewed"]

PRIOR = 0.3  # weight of κ₀, in units of the error at P = Q; coverage by it: tests/test_honesty.py
NEARLY_NORMAL = 1e6  # shape of a gamma law whose quantiles are a normal law's to three digits


@dataclass(frozen=True)
class Skewed:
    """The law of a U-statistic with expectation E: a shifted gamma law with three matched cumulants (Pearson's type III)."""

    value: float
    second: float  # √V₂
    slope: float  # κ
    growth: float  # κ₀
    noise: float

    @classmethod
    def of(cls, value: float, first: float, second: float, growth: float, noise: float) -> Skewed:
        """With κ the plug-in first-order variance, less twice V₂ by which it is too large, per unit of the value.

        Where the value is no larger than its error at P = Q it says nothing of κ: κ₀ enters with the weight of that error.
        """
        growth = growth or 2 * second
        slope = (max(first**2 - second**2, 0.0) + second * PRIOR * growth) / (max(value, 0.0) + second)
        return cls(value, second, slope, growth, noise)

    def expectation(self, p: float) -> float:
        """The E under which the value is the p-quantile."""
        step = self._deviation(0.0) + self.slope
        inner = self.value - step if p > 0.5 else self.value + step
        while (self._quantile(inner, p) - self.value) * (1 if p > 0.5 else -1) > 0:
            step *= 2
            inner = self.value - step if p > 0.5 else self.value + step
        return float(
            brentq(lambda e: self._quantile(e, p) - self.value, min(inner, self.value), max(inner, self.value), rtol=1e-12)
        )

    def _deviation(self, e: float) -> float:
        return math.sqrt(self.second**2 + self.slope * max(e, 0.0) + self.noise**2)

    def _quantile(self, e: float, p: float) -> float:
        deviation = self._deviation(e)
        third = self.growth * self.second**2 + 1.5 * self.slope**2 * max(e, 0.0)
        shape = 4 * (deviation**3 / third) ** 2 if third > 0 else math.inf
        if p < 0.5 or shape > NEARLY_NORMAL:  # the lower tail is shorter, but by an amount too uncertain to use
            return e + deviation * float(ndtri(p))
        return e + deviation * float(gammaincinv(shape, p) - shape) / math.sqrt(shape)
