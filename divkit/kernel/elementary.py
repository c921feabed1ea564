"""Kernels of one formula each.

Written with d = |x − y|, s = d² where not said otherwise. `value` is k of s, and `value_and_slope` also gives 2 dk/ds as a
tensor times a number. Both take tiles of s that they may overwrite, and bounded numbers: a coefficient beyond the dtype would
make 0 · ∞ of a kernel that is constant or a spike anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit.kernel.kernel import Kernel, Sum
from divkit.kernel.median import Median
from divkit.pairs import CityBlock, Form, InnerProduct
from divkit.support.checks import at_least, between, positive, whole

__all__ = [
    "IMQ", "Gaussian", "Laplace", "LaplaceL1", "MultiscaleIMQ", "NegativeDistance", "Polynomial", "RationalQuadratic",
]


@dataclass(frozen=True)
class Gaussian(Kernel):
    """The Gaussian kernel k = exp(−d²/2σ²).

    Examples
    --------
    >>> import divkit as dk
    >>> from divkit.kernel import MMD
    >>> round(MMD(dk.kernels.Gaussian(1.0), unbiased=False).estimate([0.0, 0.0], [1.0, 1.0]).value, 6)
    0.786939
    """

    bandwidth: float | Median = Median()

    def __post_init__(self) -> None:
        _positive("bandwidth", self.bandwidth)

    def value(self, s: Tensor) -> Tensor:
        narrowness = 1 / _fitted_number(self.bandwidth) ** 2
        return _exp2(s.mul_(-_bounded(math.log2(math.e) / 2 * narrowness, s)), narrowness)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k, -_bounded(1 / _fitted_number(self.bandwidth) ** 2, s)

    def scaled(self, factor: float) -> Kernel:
        return Gaussian(_divided(_fitted_number(self.bandwidth), factor, 2))


@dataclass(frozen=True)
class Laplace(Kernel):
    """The Laplace kernel k = exp(−d/σ)."""

    singular: ClassVar[bool] = True
    bandwidth: float | Median = Median()

    def __post_init__(self) -> None:
        _positive("bandwidth", self.bandwidth)

    def value(self, s: Tensor) -> Tensor:
        return self._of_distance(s.sqrt_())

    def _of_distance(self, d: Tensor) -> Tensor:
        """Evaluate k of a tile of distances."""
        narrowness = 1 / _fitted_number(self.bandwidth)
        return _exp2(d * -_bounded(math.log2(math.e) * narrowness, d), narrowness)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        d = s.sqrt_()
        k = self._of_distance(d)
        return k, k * _reciprocal(d), -_bounded(1 / _fitted_number(self.bandwidth), s)

    def scaled(self, factor: float) -> Kernel:
        return Laplace(_divided(_fitted_number(self.bandwidth), factor, 1))


@dataclass(frozen=True)
class LaplaceL1(Kernel):
    """The product over coordinates of Laplace kernels, k = exp(−s/σ) with s = ‖x − y‖₁, scikit-learn's `laplacian_kernel`.

    It serves estimates and tests: it has no gradient.
    """

    form: ClassVar[Form] = CityBlock
    bandwidth: float | Median = Median()

    def __post_init__(self) -> None:
        _positive("bandwidth", self.bandwidth)

    def value(self, s: Tensor) -> Tensor:
        narrowness = 1 / _fitted_number(self.bandwidth)
        return _exp2(s.mul_(-_bounded(math.log2(math.e) * narrowness, s)), narrowness)

    def scaled(self, factor: float) -> Kernel:
        return LaplaceL1(_divided(_fitted_number(self.bandwidth), factor, 1))


@dataclass(frozen=True)
class IMQ(Kernel):
    """The inverse multiquadric k = c/(c + d²), c the `scale` in squared units of the data."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    def value(self, s: Tensor) -> Tensor:
        return s.mul_(_bounded(1 / self.scale, s)).add_(1).reciprocal_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k.square(), -_bounded(2 / self.scale, s)

    def scaled(self, factor: float) -> Kernel:
        return IMQ(_divided(self.scale / factor, factor, 1))


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    """The rational quadratic kernel k = (1 + d²/2αl²)^−α."""

    alpha: float = 1.0
    length: float | Median = Median()

    def __post_init__(self) -> None:
        _positive("alpha", self.alpha)
        _positive("length", self.length)

    def value(self, s: Tensor) -> Tensor:
        return self._base(s).pow_(-self.alpha)

    def _base(self, s: Tensor) -> Tensor:
        """Evaluate 1 + s/2αl², overwriting s."""
        return s.mul_(_bounded(1 / (2 * self.alpha * _fitted_number(self.length) ** 2), s)).add_(1)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        base = self._base(s)
        k = base.pow(-self.alpha)
        return k, k / base, -_bounded(1 / _fitted_number(self.length) ** 2, s)

    def scaled(self, factor: float) -> Kernel:
        return RationalQuadratic(self.alpha, _divided(_fitted_number(self.length), factor, 2))


@dataclass(frozen=True)
class Polynomial(Kernel):
    """The polynomial kernel k = (γ x·y + c)^degree; γ = 1/d where `gamma` is None (the KID's: degree 3, c = 1)."""

    form: ClassVar[Form] = InnerProduct
    degree: int = 3
    gamma: float | None = None
    offset: float = 1.0

    def __post_init__(self) -> None:
        whole("degree", self.degree)
        if self.gamma is not None:
            positive("gamma", self.gamma)
        at_least("offset", self.offset, 0)

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        return ({"gamma": 1.0 / pooled.shape[1]} if self.gamma is None else {}), None

    def value(self, s: Tensor) -> Tensor:
        return s.mul_(_fitted_number(self.gamma)).add_(self.offset).pow_(self.degree)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        base = s.mul_(_fitted_number(self.gamma)).add_(self.offset)
        return base.pow(self.degree), base.pow(self.degree - 1), self.degree * _fitted_number(self.gamma)


@dataclass(frozen=True)
class NegativeDistance(Kernel):
    """The energy distance's k = −d^β, 0 < β < 2: conditionally positive definite, which is all that differences need."""

    exponent: float = 1.0

    def __post_init__(self) -> None:
        between("exponent", self.exponent, 0, 2)

    @property
    def monomial(self) -> tuple[float, float]:
        return -1.0, self.exponent

    def value(self, s: Tensor) -> Tensor:
        return (s.sqrt_() if self.exponent == 1 else s.pow_(self.exponent / 2)).neg_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        if self.exponent == 1:
            slope = s.clamp(min=torch.finfo(torch.float64).eps).rsqrt_().neg_()
            return s.mul_(slope), slope, 1.0
        d = s.sqrt_()
        power = d.pow(self.exponent)
        return power.neg(), power.mul(_reciprocal(d).square_()), -self.exponent


@dataclass(frozen=True)
class MultiscaleIMQ(Kernel):
    """WAE's sum of seven inverse multiquadrics, c = 2 d σ² s for s in .1, .2, .5, 1, 2, 5, 10 (Tolstikhin et al., 2018)."""

    sigma: float = 1.0
    scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        for scale in self.scales:
            positive("scales", scale)

    def fit(self, pooled: Tensor) -> tuple[dict[str, float], str | None]:
        return {"dimension": float(pooled.shape[1])}, None

    def fitted(self, numbers: Mapping[str, float]) -> Kernel:
        return Sum(tuple(IMQ(2 * numbers["dimension"] * self.sigma**2 * s) for s in self.scales))

    def value(self, s: Tensor) -> Tensor:
        raise TypeError("MultiscaleIMQ depends on the dimension: fit it first.")


def _fitted_number(value: float | Median | None) -> float:
    """Return a parameter's number; refuse one that is still to be set from the data."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} depends on the data: fit the kernel first.")
    return value


def _positive(name: str, value: float | Median) -> None:
    """Refuse a parameter that is neither positive nor left to the data."""
    if not isinstance(value, Median):
        positive(name, value)


def _divided(length: float, factor: float, power: int) -> float:
    """Return length/factor, between bounds whose `power` and its reciprocal are representable."""
    least = math.pow(1e-300, 1 / power)
    return min(max(length / factor, least), 1 / least)


def _bounded(coefficient: float, s: Tensor) -> float:
    """Return the coefficient, at most the largest number of the dtype."""
    return min(coefficient, torch.finfo(s.dtype).max)


def _exp2(exponent: Tensor, narrowness: float) -> Tensor:
    """Evaluate 2^exponent in place, at least the smallest normal number of float32, as smaller ones are 40 times slower.

    It is zero instead where the slope, k times the `narrowness`, would be seen: from 1e18 on that is 1e-20 of the frame's unit.
    """
    least = torch.finfo(torch.float32).tiny
    k = exponent.clamp_(min=math.log2(least)).exp2_()
    return k.masked_fill_(k <= least, 0.0) if narrowness > 1e18 else k


def _reciprocal(d: Tensor) -> Tensor:
    """Return 1/d, bounded near zero: there the gradient is x − y over a constant, zero at coincident points."""
    return d.clamp(min=torch.finfo(torch.float64).eps ** 0.5).reciprocal_()
