r"""The error of an estimate, as one value.

An estimate is :math:`\sum_i w_i a_i + \sum_j v_j b_j` with normalised weights w and v. Its variance is
:math:`\max(V_1 - V_2, V_2) + V_0`:

- V₁, first order: :math:`\sum_i w_i^2 (a_i - \bar a)^2 \, n_e/(n_e - 1)` plus the same for b, with
  :math:`n_e = 1/\sum_i w_i^2`; by groups where rows depend on each other, with one total a group;
- V₂, second order: what is left of a U-statistic where P = Q. The plug-in V₁ is too large by it;
- V₀, noise: what is not a sample, such as projections, random features and trainings.

The code holds standard deviations, since their squares might overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from divkit.core.skewed import Skewed
from divkit.data.measure import Measure
from divkit.support.checks import between

__all__ = ["Remainder", "Share", "Uncertainty", "combined", "covariance", "design_effect", "first_order"]


@dataclass(frozen=True)
class Remainder:
    """The parts of an error that are not first order in the samples, as standard deviations.

    Parameters
    ----------
    second_order : float
        √V₂, all there is at P = Q.
    within : tuple of float
        The part of √V₂ that lies within x, and within y.
    growth : float
        Growth of the variance per unit of the expectation, near P = Q.
    noise : float
        √V₀.
    """

    second_order: float = 0.0
    within: tuple[float, float] = (0.0, 0.0)
    growth: float = 0.0
    noise: float = 0.0

    def times(self, factor: float) -> Remainder:
        """Return the remainder of a positive multiple of the statistic."""
        within = factor * self.within[0], factor * self.within[1]
        return Remainder(factor * self.second_order, within, factor * self.growth, factor * self.noise)

    def and_noise(self, noise: float) -> Remainder:
        """Return the remainder with further, independent noise."""
        return replace(self, noise=math.hypot(self.noise, noise))


@dataclass(frozen=True)
class Share:
    """A sample's share in the first-order error: the numbers wᵢ(aᵢ − ā) √(g/(g − 1)), whose norm is its standard deviation.

    Parameters
    ----------
    sample : tuple of float
        A fingerprint by which the sample is recognised in another estimate.
    values : Tensor (n,)
        One number a row; g is the effective number of rows, or of groups.
    groups : ndarray (n,), optional
    within : float
        The second-order deviation that lies within this sample.
    """

    sample: tuple[float, ...]
    values: Tensor
    groups: NDArray[np.generic] | None = None
    within: float = 0.0

    @classmethod
    def of(cls, measure: Measure, influence: Tensor) -> Share:
        """Return the share of a sample with influence values (n,)."""
        influence, w = influence.detach().double(), measure.weights.detach().double()
        effective = measure.effective
        if measure.groups is not None:
            codes = np.unique(measure.groups, return_inverse=True)[1]
            effective = 1 / float(np.square(np.bincount(codes, w.numpy(force=True))).sum())
        alone = effective <= 1 + 1e-12  # one row with weight, but for the rounding of the weights' squares
        correction = math.nan if alone else math.sqrt(effective / (effective - 1))
        values = (influence - measure.mean(influence).detach()).mul_(w).mul_(correction)
        return cls(_fingerprint(measure), values, measure.groups)

    def times(self, factor: float) -> Share:
        """Return the share in a multiple of the statistic."""
        return replace(self, values=self.values * factor, within=self.within * abs(factor))


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The error of an estimate: its standard error, its interval, and the arithmetic of both.

    Parameters
    ----------
    shares : tuple of Share
        First order: one share for each place where a sample enters.
    second_order, growth, noise : float
        As in `Remainder`.
    signed : bool
        Whether the value is a difference, whose size says nothing of its variance.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> e = dk.estimate("energy", x, x[:50] + 1)
    >>> error = e.uncertainty
    >>> error.stderr == e.stderr, error.times(2.0).stderr == 2 * e.stderr, error.minus(error).stderr
    (True, True, 0.0)
    """

    shares: tuple[Share, ...]
    second_order: float = 0.0
    growth: float = 0.0
    noise: float = 0.0
    signed: bool = False

    @classmethod
    def of(cls, x: tuple[Measure, Tensor], y: tuple[Measure, Tensor], rest: Remainder) -> Uncertainty:
        """Return the error of an estimate with influence values a (n,) on x and b (m,) on y.

        Where rows come in groups, parts of second order grow by the same design effect as those of first order.
        """
        shares = Share.of(*x), Share.of(*y)
        effect = 1.0 if x[0].groups is None and y[0].groups is None else design_effect(shares)
        entered = tuple(replace(share, within=within * effect) for share, within in zip(shares, rest.within))
        return cls(entered, rest.second_order * effect, rest.growth * effect, float(rest.noise))

    @cached_property
    def stderr(self) -> float:
        """The standard error √(max(V₁ − V₂, V₂) + V₀); NaN where a sample has one row with weight."""
        return combined(first_order(self.shares), self.second_order, self.noise)

    def interval(self, value: float, level: float = 0.95) -> tuple[float, float]:
        r"""Return the central confidence interval of the estimator's expectation.

        Normal, :math:`V \pm z s`. Where a second-order variance :math:`V_2` is known, the variance
        :math:`V_2 + \kappa E` grows with the expectation E, and the value is skewed to the right, like a quadratic form: its
        third cumulant is :math:`\kappa_0 V_2 + \tfrac32 \kappa^2 E`. The ends are the E for which the observed value is that
        law's quantile. κ is found from the influence values, or near P = Q is κ₀, that of the direction that varies most.
        """
        between("level", level, 0, 1)
        z = float(ndtri(0.5 + level / 2))
        if self.signed or math.isnan(self.stderr) or not self.second_order > 0:
            return value - z * self.stderr, value + z * self.stderr
        unit = max(abs(value), self.second_order)  # squares are taken of numbers near one
        first = first_order(self.shares)
        law = Skewed.of(value / unit, first / unit, self.second_order / unit, self.growth / unit, self.noise / unit)
        tail = 0.5 - level / 2
        # a statistic with a second order is a squared norm: E is not negative
        low = max(law.expectation(1 - tail), min(law.value, 0.0))
        return low * unit, law.expectation(tail) * unit

    def times(self, factor: float) -> Uncertainty:
        """Return the error of a multiple of the estimate."""
        size = abs(factor)
        return Uncertainty(
            tuple(share.times(factor) for share in self.shares),
            self.second_order * size,
            self.growth * size,
            self.noise * size,
            self.signed or factor < 0,
        )

    def minus(self, other: Uncertainty) -> Uncertainty:
        """Return the error of a difference of estimates; samples that both have are recognised."""
        shares = (*self.shares, *(share.times(-1.0) for share in other.shares))
        second = second_order_of_difference(math.hypot(self.second_order, other.second_order), self.shares, other.shares)
        return Uncertainty(shares, second, self.growth, math.hypot(self.noise, other.noise), signed=True)


def covariance(errors: Sequence[Uncertainty]) -> NDArray[np.float64]:
    r"""Return the joint covariance (k, k) of k estimates, whose samples may be shared.

    .. math:: C_{ij} = \tfrac12 (s_i^2 + s_j^2 - s_{i-j}^2)

    with s the standard errors and :math:`s_{i-j}` that of the difference, so that variances of differences agree with
    `Uncertainty.minus`.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x, y, z = torch.randn(3, 200, 2, generator=torch.Generator().manual_seed(0))
    >>> errors = [dk.estimate("w2", x, sample).uncertainty for sample in (y, z, y)]
    >>> c = covariance(errors)
    >>> bool(np.isclose(c[0, 2], c[0, 0])), bool(0 < c[0, 1] < c[0, 0])  # the same estimate, and one of the same x
    (True, True)
    """
    k = len(errors)
    stderr = np.array([error.stderr for error in errors])
    unit = float(np.nanmax(stderr, initial=0.0)) or 1.0  # squares are taken of numbers near one
    of_difference = np.zeros((k, k))
    for i in range(k):
        for j in range(i):
            of_difference[i, j] = of_difference[j, i] = errors[i].minus(errors[j]).stderr
    variance = np.square(stderr / unit)
    joint: NDArray[np.float64] = (variance[:, None] + variance - np.square(of_difference / unit)) / 2 * unit**2
    return joint


def first_order(shares: Sequence[Share]) -> float:
    """Return the first-order standard deviation √V₁.

    A sample that enters in several places does so with one total a row; rows of one group, in whatever sample, have one total.
    """
    by_sample: dict[tuple[float, ...], Share] = {}
    for share in shares:
        before = by_sample.get(share.sample)
        by_sample[share.sample] = share if before is None else replace(share, values=before.values + share.values)
    totals = [share.values for share in by_sample.values() if share.groups is None]
    grouped = [(share.groups, share.values) for share in by_sample.values() if share.groups is not None]
    if grouped:
        codes = np.unique(np.concatenate([groups for groups, _ in grouped]), return_inverse=True)[1]
        values = torch.cat([values for _, values in grouped])
        by_group = values.new_zeros(int(codes.max()) + 1)
        totals.append(by_group.index_add(0, torch.from_numpy(codes).to(values.device), values))
    return math.hypot(*(_norm(total) for total in totals))


def combined(first: float, second: float, noise: float) -> float:
    """Return the standard error √(max(V₁ − V₂, V₂) + V₀) of deviations √V₁, √V₂ and √V₀."""
    if math.isnan(first):
        return math.nan
    rest = first * math.sqrt(1 - (second / first) ** 2) if first > second else 0.0
    return math.hypot(max(rest, second), noise)


def design_effect(shares: Sequence[Share]) -> float:
    """Return the design effect: how much larger the variance is by groups than by rows."""
    by_rows = first_order([replace(share, groups=None) for share in shares])
    return (first_order(shares) / by_rows) ** 2 if by_rows > 0 else 1.0


def second_order_of_difference(second: float, of_one: Sequence[Share], of_other: Sequence[Share]) -> float:
    """Return √V₂ of a difference of two estimates, given that of two unrelated ones.

    The part that lies within a sample of both is the same number in both, where it is as large, and cancels; where both
    samples are shared, so does what lies across.
    """
    shared = [
        a.within
        for a in of_one
        for b in of_other
        if a.sample == b.sample and a.within > 0 and math.isclose(a.within, b.within, rel_tol=1e-6)  # equal but for rounding
    ]
    if len(shared) == len(of_one) == len(of_other):
        return 0.0
    cancelled = math.sqrt(2) * math.hypot(*shared)
    return second * math.sqrt(max(1 - (cancelled / second) ** 2, 0.0)) if second > 0 else second


def _norm(values: Tensor) -> float:
    """Return the Euclidean norm of (n,) values, whose squares may over- or underflow."""
    plain = float(torch.linalg.vector_norm(values))
    if 1e-140 < plain < 1e140:  # squares of such numbers are far from the ends of float64
        return plain
    largest = _largest(values)
    return largest * float(torch.linalg.vector_norm(values / largest)) if largest > 0 else largest


def _largest(values: Tensor) -> float:
    """Return the largest absolute value."""
    return max(-float(values.amin()), float(values.amax()))


def _fingerprint(measure: Measure) -> tuple[float, ...]:
    """Return a few numbers by which a sample is recognised: its size, and mixtures of its coordinates and weights."""
    rows = measure.flat.detach()
    largest = _largest(rows)
    n, d = rows.shape
    mix = torch.linspace(0.5, 1.0, d, dtype=rows.dtype, device=rows.device) / d  # of which no sum overflows
    column = (rows @ mix if d > 1 else rows[:, 0]).double()
    order = torch.linspace(1 / n, 2 / n, n, dtype=torch.float64, device=rows.device)
    weights = 0.0 if measure.uniform else float(measure.weights.detach().double() @ order)
    return n, largest, float(column @ order), weights
