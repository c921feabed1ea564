"""Kernels of one formula each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit.kernel.kernel import Kernel, Sum
from divkit.kernel.median import Median
from divkit.pairs import CityBlock, Form, Product
from divkit.support.checks import at_least, between, positive, whole

__all__ = [
    "IMQ",
    "Gaussian",
    "Laplace",
    "LaplaceL1",
    "MultiscaleIMQ",
    "NegativeDistance",
    "Polynomial",
    "RationalQuadratic",
]

LOG2E = math.log2(math.e)
FLOOR = -126.0  # the exponent below which exp2 of float32 is 40 times slower
STEEP = 1e18  # times 2^FLOOR a slope of 1e-20 of the frame's unit, which nobody sees
NEAR = torch.finfo(torch.float64).eps  # a squared distance below which a slope of 1/d stops growing
LEAST = 1e-300  # and its reciprocal are representable


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
        narrowness = 1 / _number(self.bandwidth) ** 2
        return _exp2(s.mul_(-_held(LOG2E / 2 * narrowness, s)), narrowness)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k, -_held(1 / _number(self.bandwidth) ** 2, s)

    def scaled(self, factor: float) -> Kernel:
        return Gaussian(_divided(_number(self.bandwidth), factor, 2))


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
        narrowness = 1 / _number(self.bandwidth)
        return _exp2(d * -_held(LOG2E * narrowness, d), narrowness)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        d = s.sqrt_()
        k = self._of_distance(d)
        return k, k * _reciprocal(d), -_held(1 / _number(self.bandwidth), s)

    def scaled(self, factor: float) -> Kernel:
        return Laplace(_divided(_number(self.bandwidth), factor, 1))


@dataclass(frozen=True)
class LaplaceL1(Kernel):
    """The product over coordinates of Laplace kernels, k = exp(−‖x − y‖₁/σ), scikit-learn's `laplacian_kernel`.

    For estimates and tests: it has no gradient.
    """

    form: ClassVar[Form] = CityBlock
    bandwidth: float | Median = Median()

    def __post_init__(self) -> None:
        _positive("bandwidth", self.bandwidth)

    def value(self, s: Tensor) -> Tensor:
        narrowness = 1 / _number(self.bandwidth)
        return _exp2(s.mul_(-_held(LOG2E * narrowness, s)), narrowness)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k, -_held(1 / _number(self.bandwidth), k)

    def scaled(self, factor: float) -> Kernel:
        return LaplaceL1(_divided(_number(self.bandwidth), factor, 1))


@dataclass(frozen=True)
class IMQ(Kernel):
    """The inverse multiquadric k = c/(c + d²), c the `scale` in squared units of the data."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    def value(self, s: Tensor) -> Tensor:
        return s.mul_(_held(1 / self.scale, s)).add_(1).reciprocal_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        k = self.value(s)
        return k, k.square(), -_held(2 / self.scale, s)

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
        return s.mul_(_held(1 / (2 * self.alpha * _number(self.length) ** 2), s)).add_(1)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        base = self._base(s)
        k = base.pow(-self.alpha)
        return k, k / base, -_held(1 / _number(self.length) ** 2, s)

    def scaled(self, factor: float) -> Kernel:
        return RationalQuadratic(self.alpha, _divided(_number(self.length), factor, 2))


@dataclass(frozen=True)
class Polynomial(Kernel):
    """The polynomial kernel k = (γ x·y + c)^degree; γ = 1/d where `gamma` is None (the KID's: degree 3, c = 1)."""

    form: ClassVar[Form] = Product
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
        return s.mul_(_number(self.gamma)).add_(self.offset).pow_(self.degree)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        base = s.mul_(_number(self.gamma)).add_(self.offset)
        return base.pow(self.degree), base.pow(self.degree - 1), self.degree * _number(self.gamma)


@dataclass(frozen=True)
class NegativeDistance(Kernel):
    """The energy distance's k = −d^β, 0 < β < 2: conditionally positive definite, which is all that differences need."""

    singular: ClassVar[bool] = True
    exponent: float = 1.0

    def __post_init__(self) -> None:
        between("exponent", self.exponent, 0, 2)

    @property
    def straight(self) -> bool:  # type: ignore[override]
        return self.exponent == 1

    def value(self, s: Tensor) -> Tensor:
        return (s.sqrt_() if self.exponent == 1 else s.pow_(self.exponent / 2)).neg_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        if self.exponent == 1:
            slope = s.clamp(min=NEAR).rsqrt_().neg_()
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

    def fitted(self, found: Mapping[str, float]) -> Kernel:
        return Sum(tuple(IMQ(2 * found["dimension"] * self.sigma**2 * s) for s in self.scales))

    def value(self, s: Tensor) -> Tensor:
        raise TypeError("MultiscaleIMQ depends on the dimension: fit it first.")

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        raise TypeError("MultiscaleIMQ depends on the dimension: fit it first.")


def _number(value: float | Median | None) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} depends on the data: fit the kernel first.")
    return value


def _positive(name: str, value: float | Median) -> None:
    if not isinstance(value, Median):
        positive(name, value)


def _divided(length: float, factor: float, power: int) -> float:
    """A length over the scale of the data, kept where its `power` is representable."""
    least = math.pow(LEAST, 1 / power)
    return min(max(length / factor, least), 1 / least)


def _held(coefficient: float, s: Tensor) -> float:
    """A coefficient as large as the dtype admits: at that size its kernel is constant or a spike either way."""
    return min(coefficient, torch.finfo(s.dtype).max)


def _exp2(exponent: Tensor, narrowness: float) -> Tensor:
    """2^exponent, in place; what lies below the floor is zero where a steep slope would show it."""
    k = exponent.clamp_(min=FLOOR).exp2_()
    return k.masked_fill_(k <= 2.0**FLOOR, 0.0) if narrowness > STEEP else k


def _reciprocal(d: Tensor) -> Tensor:
    """1/d, bounded near zero: there the gradient is x − y over a constant, zero at coincident points."""
    return d.clamp(min=NEAR**0.5).reciprocal_()
