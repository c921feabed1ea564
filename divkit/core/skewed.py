"""The skewed law of a U-statistic, whose quantiles are turned into an interval of its expectation.

With E the expectation, V₂ the second-order variance and V₀ that of noise, the variance is V₂ + κE + V₀ and the third cumulant
κ₀V₂ + 3κ²E/2; κ₀ is κ near P = Q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtri

__all__ = ["Skewed"]


@dataclass(frozen=True)
class Skewed:
    """The law of a U-statistic with expectation E: a shifted gamma law with three matched cumulants (Pearson's type III).

    Parameters
    ----------
    value : float
        The observed value.
    second : float
        √V₂.
    slope : float
        κ: the variance is V₂ + κE + V₀.
    growth : float
        κ₀, which is κ near P = Q.
    noise : float
        √V₀.
    """

    value: float
    second: float
    slope: float
    growth: float
    noise: float

    @classmethod
    def of(cls, value: float, first: float, second: float, growth: float, noise: float, prior: float = 0.3) -> Skewed:
        """Return the law with κ the plug-in V₁, less twice V₂ by which it is too large, per unit of the value.

        Where the value is no larger than its error at P = Q it says nothing of κ: κ₀ enters with the weight of that error,
        times `prior`, which coverage over many seeds set.
        """
        growth = growth or 2 * second
        slope = (max(first**2 - second**2, 0.0) + second * prior * growth) / (max(value, 0.0) + second)
        return cls(value, second, slope, growth, noise)

    def expectation(self, p: float) -> float:
        """Return the E under which the observed value is the p-quantile."""
        step = self._deviation(0.0) + self.slope
        inner = self.value - step if p > 0.5 else self.value + step
        while (self._quantile(inner, p) - self.value) * (1 if p > 0.5 else -1) > 0:
            step *= 2
            inner = self.value - step if p > 0.5 else self.value + step
        low, high = min(inner, self.value), max(inner, self.value)
        return float(brentq(lambda e: self._quantile(e, p) - self.value, low, high, rtol=1e-12))

    def _deviation(self, e: float) -> float:
        """Return the standard deviation where the expectation is e."""
        return math.sqrt(self.second**2 + self.slope * max(e, 0.0) + self.noise**2)

    def _quantile(self, e: float, p: float) -> float:
        """Return the p-quantile where the expectation is e."""
        deviation = self._deviation(e)
        third = self.growth * self.second**2 + 1.5 * self.slope**2 * max(e, 0.0)
        shape = 4 * (deviation**3 / third) ** 2 if third > 0 else math.inf
        # the lower tail is shorter, but by an amount too uncertain to use; at a shape of 1e6 quantiles are normal to 3 digits
        if p < 0.5 or shape > 1e6:
            return e + deviation * float(ndtri(p))
        return e + deviation * float(gammaincinv(shape, p) - shape) / math.sqrt(shape)
