"""First-order errors: what each row, or group of rows, moves, and one total for a sample that contributes in several places."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtri
from torch import Tensor

from divkit.data.measure import Measure

__all__ = ["Score", "Skewed", "apart", "combined", "design_effect", "first_order"]

PRIOR = 0.3  # weight of κ₀, in units of the error at P = Q; coverage by it: tests/test_honesty.py
NEARLY_NORMAL = 1e6  # shape of a gamma law whose quantiles are a normal law's to three digits
ROUNDING = 1e-12  # of an effective number
SMALL = 1e-140  # whose square is far from underflow
SAME = 1e-6  # relative, of second-order parts that two estimates have in common


@dataclass(frozen=True)
class Score:
    """A sample's share in the first-order error: wᵢ(aᵢ − ā) √(g/(g − 1)), g the effective number of its rows or groups."""

    sample: tuple[float, ...]  # by which it is recognised elsewhere
    values: Tensor  # (n,)
    groups: NDArray[Any] | None = None  # (n,)
    own: float = 0.0  # the second-order deviation that lies within this sample

    @classmethod
    def of(cls, measure: Measure, values: Tensor) -> Score:
        values, w = values.detach().double(), measure.weights.detach().double()
        effective = measure.effective
        if measure.groups is not None:
            codes = np.unique(measure.groups, return_inverse=True)[1]
            effective = 1 / float(np.square(np.bincount(codes, w.numpy(force=True))).sum())
        correction = math.sqrt(effective / (effective - 1)) if effective > 1 + ROUNDING else math.nan
        shares = (values - measure.mean(values).detach()).mul_(w).mul_(correction)
        return cls(_fingerprint(measure), shares, measure.groups)

    def times(self, factor: float) -> Score:
        return replace(self, values=self.values * factor, own=self.own * abs(factor))


def design_effect(scores: tuple[Score, ...]) -> float:
    """How much larger the variance is by groups than by rows: the design effect."""
    by_rows = first_order(tuple(replace(score, groups=None) for score in scores))
    return (first_order(scores) / by_rows) ** 2 if by_rows > 0 else 1.0


def first_order(scores: tuple[Score, ...]) -> float:
    """First-order standard deviation: a sample that contributes in several places does so with one total per row.

    Rows of one group, in whatever sample, have one total.
    """
    merged: dict[tuple[float, ...], Score] = {}
    for score in scores:
        held = merged.get(score.sample)
        merged[score.sample] = score if held is None else replace(score, values=held.values + score.values)
    totals = [score.values for score in merged.values() if score.groups is None]
    together = [(score.groups, score.values) for score in merged.values() if score.groups is not None]
    if together:
        codes = np.unique(np.concatenate([groups for groups, _ in together]), return_inverse=True)[1]
        values = torch.cat([values for _, values in together])
        by_group = values.new_zeros(int(codes.max()) + 1)
        totals.append(by_group.index_add(0, torch.from_numpy(codes).to(values.device), values))
    return math.hypot(*(_norm(total) for total in totals))


def apart(second: float, of_one: tuple[Score, ...], of_other: tuple[Score, ...]) -> float:
    """The second-order deviation of a difference, from that of two unrelated estimates.

    What lies within a sample that both have is the same number in both, where it is as large, and cancels; where both samples
    are shared, so does what lies across.
    """
    shared = [
        one.own
        for one in of_one
        for other in of_other
        if one.sample == other.sample and one.own > 0 and math.isclose(one.own, other.own, rel_tol=SAME)
    ]
    if len(shared) == len(of_one) == len(of_other):
        return 0.0
    cancelled = math.sqrt(2) * math.hypot(*shared)
    return second * math.sqrt(max(1 - (cancelled / second) ** 2, 0.0)) if second > 0 else second


def _norm(values: Tensor) -> float:
    """The Euclidean norm, without squares that over- or underflow."""
    plain = float(torch.linalg.vector_norm(values))
    if SMALL < plain < 1 / SMALL:
        return plain
    largest = _largest(values)
    return largest * float(torch.linalg.vector_norm(values / largest)) if largest > 0 else largest


def combined(first: float, second: float, noise: float) -> float:
    """The standard error √(max(V₁ − V₂, V₂) + V₀) of first-order, second-order and other deviations."""
    if math.isnan(first):
        return math.nan
    rest = first * math.sqrt(1 - (second / first) ** 2) if first > second else 0.0
    return math.hypot(max(rest, second), noise)


def _fingerprint(measure: Measure) -> tuple[float, ...]:
    """Recognise a sample that two estimates share."""
    rows = measure.flat.detach()
    largest = _largest(rows)
    n, d = rows.shape
    mix = torch.linspace(0.5, 1.0, d, dtype=rows.dtype, device=rows.device) / d  # of which no sum overflows
    column = (rows @ mix if d > 1 else rows[:, 0]).double()
    order = torch.linspace(1 / n, 2 / n, n, dtype=torch.float64, device=rows.device)
    weights = 0.0 if measure.uniform else float(measure.weights.detach().double() @ order)
    return n, largest, float(column @ order), weights


def _largest(values: Tensor) -> float:
    return max(-float(values.amin()), float(values.amax()))


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
