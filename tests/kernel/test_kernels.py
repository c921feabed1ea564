"""Kernels: values and gradients by brute force, bandwidths, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from traits import samples

import divkit as dk
from divkit.kernel import MMD, Energy
from divkit.kernel.kernels import (
    IMQ,
    Gaussian,
    Kernel,
    Laplace,
    Median,
    MultiscaleIMQ,
    NegativeDistance,
    Polynomial,
    RationalQuadratic,
)
from divkit.kernel.two_sample import u_nulls

KERNELS: dict[str, tuple[Kernel, object]] = {
    "gaussian": (Gaussian(0.7), lambda d, _: torch.exp(-d.square() / 2 / 0.49)),
    "laplace": (Laplace(0.7), lambda d, _: torch.exp(-d / 0.7)),
    "imq": (IMQ(2.0), lambda d, _: 2 / (2 + d.square())),
    "rational-quadratic": (RationalQuadratic(1.5, 0.8), lambda d, _: (1 + d.square() / (3 * 0.64)) ** -1.5),
    "polynomial": (Polynomial(2, 0.5, 2.0), lambda _, s: (0.5 * s + 2) ** 2),
    "sum": (
        Gaussian(1.0) + Laplace(2.0) + IMQ(1.0),
        lambda d, _: torch.exp(-d.square() / 2) + torch.exp(-d / 2) + 1 / (1 + d.square()),
    ),
}


def brute(function: object, x: Tensor, y: Tensor) -> Tensor:
    """MMD² of all pairs i ≠ j, dense and by autograd."""

    def table(a: Tensor, b: Tensor) -> Tensor:
        d = ((a[:, None] - b[None]).square().sum(-1) + 1e-300).sqrt()
        return function(d, a @ b.T)  # type: ignore[operator]

    n, m = len(x), len(y)
    own_x, own_y = table(x, x), table(y, y)
    within = (own_x.sum() - own_x.diagonal().sum()) / (n * (n - 1)) + (own_y.sum() - own_y.diagonal().sum()) / (m * (m - 1))
    return within - 2 * table(x, y).mean()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("d", [2, 7])  # by differences, and by a matrix product
def test_value_and_gradient_by_brute_force(name: str, d: int) -> None:
    kernel, function = KERNELS[name]
    x, y = (s.requires_grad_() for s in samples(20, 25, d))
    truth = brute(function, x, y)
    loss = MMD(kernel).loss(x, y)
    assert loss.item() == pytest.approx(truth.item(), rel=1e-10)
    for ours, theirs in zip(torch.autograd.grad(loss, (x, y)), torch.autograd.grad(truth, (x, y))):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_population_values(mu: float) -> None:
    torch.manual_seed(0)
    p, q = Normal(0.0, 1.0), Normal(mu, 1.0)
    x, y = p.sample((4000,)), q.sample((4000,))
    energy = dk.estimate("energy", x, y)
    assert (
        abs(energy.value - (4 / math.sqrt(math.pi) * math.expm1(-(mu**2) / 4) + 2 * mu * math.erf(mu / 2))) < 4 * energy.stderr
    )
    mmd = dk.estimate("mmd", x, y, bandwidth=1.5)
    truth = 2 * math.sqrt(2.25 / 4.25) * -math.expm1(-(mu**2) / (2 * 4.25))
    assert abs(mmd.value - truth) < 4 * mmd.stderr


def test_close_points_far_from_the_origin_keep_their_digits() -> None:
    """Clusters 1e4 apart with distances of 1e-2 within: the matrix product alone loses them in float32."""
    x, y = samples(60, 60, 8)
    far = torch.zeros(60, 8, dtype=torch.float64)
    far[::2, 0] = 1e4
    single = dk.estimate("energy", (far + 1e-2 * x).float(), (far + 1e-2 * y).float()).value
    assert single == pytest.approx(dk.estimate("energy", far + 1e-2 * x, far + 1e-2 * y).value, rel=1e-3, abs=1e-2)
    within = dk.estimate("mmd", (1e-2 * x).float(), (1e-2 * y).float(), bandwidth=0.01).value
    assert within == pytest.approx(dk.estimate("mmd", x, y, bandwidth=1.0).value, rel=1e-3)


def test_median_bandwidth() -> None:
    x, y = samples(15, 20)
    pooled = torch.cat([x, y])
    expected = float(torch.pdist(pooled).quantile(0.5))
    e = dk.estimate("mmd", x, y)
    assert e.notes["bandwidth"] == pytest.approx(expected, rel=1e-12)
    shuffled = pooled[torch.randperm(35)]
    assert dk.estimate("mmd", shuffled[:15], shuffled[15:]).notes["bandwidth"] == pytest.approx(expected, rel=1e-12)
    few, said = Median(rows=10).of(pooled)
    assert few == pytest.approx(expected, rel=0.5)
    assert said is None


def test_median_of_ties() -> None:
    assert Median().of(torch.ones(5, 2)) == (1.0, "all points coincide; the bandwidth was set to 1")
    value, said = Median().of(torch.tensor([[0.0]] * 9 + [[3.0]]))
    assert value == 3.0
    assert "smallest positive distance" in said


def test_the_null_is_the_statistic_of_each_relabelling() -> None:
    x, y = samples(12, 9)
    pooled = dk.Measure(torch.cat([x, y]))
    labels = torch.rand(6, 21, generator=torch.Generator().manual_seed(0)).argsort(1) < 12
    for divergence in (dk.get("energy"), dk.get("mmd", bandwidth=1.0), dk.get("kid"), dk.get("energy", unbiased=False)):
        fast = divergence.null(pooled, labels)
        slow = super(type(divergence), divergence).null(pooled, labels)
        assert torch.allclose(fast, slow, rtol=1e-9)


def test_relabelled_values_in_single_precision() -> None:
    """Large samples are relabelled in float32, with sums in float64."""
    points = torch.cat(samples(40, 30))
    labels = torch.rand(9, 70, generator=torch.Generator().manual_seed(0)).argsort(1) < 40
    kernels = [Gaussian(1.0), Laplace(0.5)]
    double, single = (u_nulls(kernels, points, labels, unbiased=True, single_from=start) for start in (71, 70))
    assert not torch.equal(double[0], single[0])
    for exact, rough in zip((double[0], *double[1]), (single[0], *single[1])):
        assert torch.allclose(exact, rough, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0.0), "bandwidth must be a positive finite number; got 0.0"),
        (lambda: Laplace(-1.0), "bandwidth must be a positive finite number"),
        (lambda: IMQ(float("inf")), "scale must be a positive finite number"),
        (lambda: RationalQuadratic(alpha=0.0), "alpha must be a positive finite number"),
        (lambda: RationalQuadratic(length="long"), "length must be a positive finite number"),
        (lambda: MultiscaleIMQ(sigma=-1.0), "sigma must be a positive finite number"),
        (lambda: NegativeDistance(2.0), "exponent must lie strictly between 0 and 2"),
        (lambda: Energy(exponent=0.0), "exponent must lie strictly between 0 and 2"),
        (lambda: Gaussian(1.0) + Polynomial(), "parts of one form"),
    ],
)
def test_fields_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_unfitted_kernels_say_so() -> None:
    with pytest.raises(TypeError, match="depends on the data"):
        Gaussian().value(torch.ones(2, 2))
    with pytest.raises(TypeError, match="depends on the dimension"):
        MultiscaleIMQ().value(torch.ones(2, 2))
    with pytest.raises(TypeError, match="depends on the dimension"):
        MultiscaleIMQ().value_and_slope(torch.ones(2, 2))


def test_one_sample_is_refused_by_averages_over_pairs() -> None:
    with pytest.raises(ValueError, match="minimum of 2 is required: y for mmd"):
        dk.estimate("mmd", [1.0, 2.0], [1.0])
    assert dk.estimate("energy", [1.0], [3.0], unbiased=False).value == 4.0
