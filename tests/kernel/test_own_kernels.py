"""A user's own kernel, of `value` alone, is the library's of the same formula: in value, error, gradient and units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from traits import samples, weights

import divkit as dk
from divkit.core.registry import named
from divkit.kernel import MMD
from divkit.kernel.kernels import (
    IMQ,
    Gaussian,
    Kernel,
    Laplace,
    LaplaceL1,
    Median,
    NegativeDistance,
    Polynomial,
    RationalQuadratic,
)
from divkit.pairs import CityBlock, Form, Product


@dataclass(frozen=True)
class OwnGaussian(Kernel):
    width: float | Median = Median()

    def value(self, s: Tensor) -> Tensor:
        return (s / (-2 * self.width**2)).exp()


@dataclass(frozen=True)
class OwnLaplace(Kernel):
    singular: ClassVar[bool] = True
    width: float | Median = Median()

    def value(self, s: Tensor) -> Tensor:
        return s.sqrt_().div_(-self.width).exp_()


@dataclass(frozen=True)
class OwnLaplaceL1(Kernel):
    form: ClassVar[Form] = CityBlock
    width: float | Median = Median()

    def value(self, s: Tensor) -> Tensor:
        return (s / -self.width).exp()


@dataclass(frozen=True)
class OwnIMQ(Kernel):
    def value(self, s: Tensor) -> Tensor:
        return 2 / (2 + s)


@dataclass(frozen=True)
class OwnRationalQuadratic(Kernel):
    reach: float | Median = Median()

    def value(self, s: Tensor) -> Tensor:
        return (1 + s / (3 * self.reach**2)) ** -1.5


@dataclass(frozen=True)
class OwnPolynomial(Kernel):
    form: ClassVar[Form] = Product

    def value(self, s: Tensor) -> Tensor:
        return (0.5 * s + 1) ** 3


@dataclass(frozen=True)
class OwnDistance(Kernel):
    singular: ClassVar[bool] = True

    def value(self, s: Tensor) -> Tensor:
        return -s.sqrt()


PAIRS = [
    (OwnGaussian(0.7), Gaussian(0.7)),
    (OwnGaussian(), Gaussian()),
    (OwnLaplace(0.7), Laplace(0.7)),
    (OwnLaplace(), Laplace()),
    (OwnLaplaceL1(0.7), LaplaceL1(0.7)),
    (OwnLaplaceL1(), LaplaceL1()),
    (OwnIMQ(), IMQ(2.0)),
    (OwnRationalQuadratic(), RationalQuadratic(1.5)),
    (OwnPolynomial(), Polynomial(3, 0.5, 1.0)),
    (OwnDistance(), NegativeDistance()),
    (OwnGaussian() + OwnLaplace(2.0), Gaussian() + Laplace(2.0)),
    (OwnGaussian(1.0) * OwnIMQ(), Gaussian(1.0) * IMQ(2.0)),
    (OwnLaplaceL1() + OwnLaplaceL1(2.0), LaplaceL1() + LaplaceL1(2.0)),
]


@pytest.mark.parametrize(("own", "ours"), PAIRS, ids=[f"{type(own).__name__}-{k}" for k, (own, _) in enumerate(PAIRS)])
@pytest.mark.parametrize("d", [1, 3, 7])
@pytest.mark.parametrize("scale", [0.03, 1.0, 40.0])
def test_an_own_kernel_is_the_built_in_one(own: Kernel, ours: Kernel, d: int, scale: float) -> None:
    """Points are computed in a frame of another scale, so that a kernel of any form meets `scaled`."""
    x, y = (scale * s for s in samples(20, 25, d))
    x[3] = y[4] = x[5]  # coincident points
    p = dk.Measure(x, weights(20))
    for unbiased in (True, False):
        e, expected = (MMD(kernel, unbiased).estimate(p, y) for kernel in (own, ours))
        assert (e.value, e.stderr, e.second_order) == pytest.approx(
            (expected.value, expected.stderr, expected.second_order), rel=1e-9, abs=1e-12
        )
    if ours.form is not CityBlock:
        x.requires_grad_()
        slopes = [torch.autograd.grad(MMD(kernel).loss(x, y), x)[0] for kernel in (own, ours)]
        assert torch.allclose(*slopes, rtol=1e-8, atol=1e-12 / scale)


def test_a_median_is_found_whatever_its_field_is_called() -> None:
    x, y = samples(20, 25)
    bandwidth = dk.estimate("mmd", x, y).notes["bandwidth"]
    assert dk.estimate(OwnGaussian(), x, y).notes == {"width": bandwidth}
    assert OwnGaussian().medians() == {"width": Median()}
    assert (OwnGaussian() * OwnRationalQuadratic()).medians() == {"0.width": Median(), "1.reach": Median()}
    own, ours = (MMD(kernel).fitted(dk.Measure(x)).kernel for kernel in (OwnRationalQuadratic(), RationalQuadratic()))
    assert own == OwnRationalQuadratic(ours.length)  # type: ignore[attr-defined]


def test_a_kernel_is_a_divergence() -> None:
    x, y = samples(20, 25)
    assert named(IMQ(2.0))[1] == MMD(IMQ(2.0)) == dk.get("mmd", kernel=IMQ(2.0))
    assert dk.estimate(IMQ(2.0), x, y).value == dk.get("mmd", kernel=IMQ(2.0)).estimate(x, y).value


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("mmd", Gaussian()),
        ("mmd:kernel=imq", IMQ()),
        ("mmd:kernel=laplace-l1,bandwidth=2", LaplaceL1(2.0)),
        ("mmd:kernel=gaussian,bandwidth=2", Gaussian(2.0)),
        ("mmd:kernel=polynomial", Polynomial()),
    ],
)
def test_words_for_kernels(name: str, kernel: Kernel) -> None:
    assert dk.get(name) == MMD(kernel)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": "cauchy"}, "unknown kernel 'cauchy'; known are gaussian, laplace, laplace-l1, imq, "),
        ({"kernel": "imq", "bandwidth": 1.0}, "bandwidth is for a kernel named by a word, .* leave it out for 'imq'"),
        ({"kernel": Gaussian(2.0), "bandwidth": 1.0}, "bandwidth is for a kernel named by a word"),
        ({"kernel": 3}, "kernel must be a Kernel such as"),
    ],
)
def test_what_is_no_kernel_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dk.get("mmd", **fields)


def test_a_slope_that_is_infinite_at_coincident_points_pulls_nowhere() -> None:
    x, y = samples(6, 6)
    x[1] = x[0]
    x.requires_grad_()
    own, ours = (
        torch.autograd.grad(MMD(kernel).loss(x, y), x)[0]
        for kernel in (dk.kernels.CustomKernel(lambda s: (-s.sqrt()).exp()), Laplace(1.0))
    )
    assert torch.allclose(own, ours, rtol=1e-8, atol=1e-12)


def test_a_straight_kernel_in_other_units_is_not_straight() -> None:
    """In one dimension −|x − y| is summed by sorting, which knows no factor."""
    x, y = samples(30, 40, 1)
    assert MMD(NegativeDistance()).estimate(8 * x, 8 * y).value == pytest.approx(8 * dk.estimate("energy", x, y).value)
    assert math.isclose(float(NegativeDistance().scaled(3.0).value(torch.full((1, 1), 4.0))), -6.0)
