"""Kernels joined and user's, witness, blocks, Fourier features, sliced energy: each against brute force."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import energy_distance
from sklearn.metrics.pairwise import laplacian_kernel
from torch import Tensor
from torch.distributions import Independent, Normal
from traits import samples, weights

import divkit as dk
from divkit.kernel import MMD, BlockMMD, Energy, FourierMMD, SlicedEnergy, slicing
from divkit.kernel.kernels import IMQ, Custom, CustomKernel, Gaussian, Laplace, LaplaceL1, Polynomial

X, Y = samples(20, 25)


@pytest.mark.parametrize("weighted", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("ties", [True, False])
def test_energy_by_sorting_is_that_by_pairs(weighted: tuple[bool, bool], unbiased: bool, ties: bool) -> None:
    """The same numbers in a second, constant dimension are not sorted."""
    x, y = ((s[:, :1] * 2).round() if ties else s[:, :1] for s in (X, Y))
    w, v = (weights(len(s), 3) if held else None for s, held in zip((x, y), weighted))
    divergence, found = Energy(unbiased=unbiased), []
    for wide in (False, True):
        px, py = (torch.cat([s, 0 * s], 1) if wide else s.clone() for s in (x, y))
        px.requires_grad_(), py.requires_grad_()
        p, q = dk.Measure(px, w), dk.Measure(py, v)
        gradients = torch.autograd.grad(divergence.loss(p, q), (px, py))
        by_terms = torch.autograd.grad(divergence.terms(p, q, divergence.solve(p, q)).value(p, q), px)[0]
        e = divergence.estimate(p, q)
        numbers = torch.tensor([e.value, e.stderr, e.second_order], dtype=torch.float64)
        found.append((numbers, *e.influence, *(g[:, 0] for g in (*gradients, by_terms))))
    for sorted_, paired in zip(*found):
        assert torch.allclose(sorted_, paired, rtol=1e-9, atol=1e-12)


def test_energy_in_one_dimension_takes_a_million_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(300_000, generator=generator).double(), torch.randn(200_000, generator=generator).double() + 0.1
    assert Energy(unbiased=False).estimate(x, y).value == pytest.approx(energy_distance(x.numpy(), y.numpy()) ** 2, rel=1e-6)


def test_product_of_kernels_by_brute_force() -> None:
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    kernel = Gaussian(1.0) * Laplace(2.0) * IMQ(3.0)

    def table(a: Tensor, b: Tensor) -> Tensor:
        s = (a[:, None] - b[None]).square().sum(-1) + 1e-300
        return torch.exp(-s / 2) * torch.exp(-s.sqrt() / 2) * 3 / (3 + s)

    truth = table(x, x).mean() + table(y, y).mean() - 2 * table(x, y).mean()
    loss = MMD(kernel, unbiased=False).loss(x, y)
    assert float(loss.detach()) == pytest.approx(float(truth.detach()), rel=1e-10)
    for ours, theirs in zip(torch.autograd.grad(loss, (x, y)), torch.autograd.grad(truth, (x, y))):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_the_laplace_kernel_of_the_l1_distance() -> None:
    """As scikit-learn has it; the median is of L1 distances; a gradient is refused."""
    for x, y in ((X, Y), (X[:, :1], Y[:, :1])):
        table = [laplacian_kernel(a, b, 1 / 1.3) for a, b in ((x, x), (y, y), (x, y))]
        expected = (table[0].sum() - 20) / 380 + (table[1].sum() - 25) / 600 - 2 * table[2].mean()
        assert MMD(LaplaceL1(1.3)).estimate(x, y).value == pytest.approx(expected, rel=1e-12)
        found = MMD(LaplaceL1()).estimate(x, y).notes["bandwidth"]
        assert found == pytest.approx(float(np.median(pdist(torch.cat([x, y]), "cityblock"))), rel=1e-12)
    with pytest.raises(TypeError, match="no gradient here: it is for estimates and tests; train with Laplace"):
        MMD(LaplaceL1(1.3)).loss(X.clone().requires_grad_(), Y).backward()


def test_sums_of_products_fit_their_parts() -> None:
    kernel = Gaussian() * Laplace() + IMQ(1.0)
    e = MMD(kernel).estimate(X, Y)
    bandwidth = dk.estimate("mmd", X, Y).notes["bandwidth"]
    assert e.value == pytest.approx(MMD(Gaussian(bandwidth) * Laplace(bandwidth) + IMQ(1.0)).estimate(X, Y).value, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4])
def test_a_users_function_is_a_kernel(scale: float) -> None:
    c = scale * scale
    own, ours = CustomKernel(lambda s: c / (c + s)), IMQ(c)
    x, y = (scale * X).requires_grad_(), scale * Y
    losses = [MMD(kernel).loss(x, y) for kernel in (own, ours)]
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-10)
    slopes = [torch.autograd.grad(loss, x)[0] * scale for loss in losses]
    assert torch.allclose(*slopes, rtol=1e-8, atol=1e-12)
    assert Custom is CustomKernel
    assert MMD(CustomKernel(torch.ones_like)).loss(x, y).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MMD(CustomKernel(lambda s: s.sum(1))).loss(X, Y), r"kernel CustomKernel.* must return one number per pair"),
        (lambda: MMD(CustomKernel(lambda s: 1.0)).loss(X, Y), "one number per pair, shape .* got float"),
        (lambda: MMD(CustomKernel(lambda s: s.log() * s)).loss(X, Y), r"kernel CustomKernel.* returned NaN or infinity"),
        (lambda: CustomKernel(3), "function must map squared distances to numbers"),
        (lambda: Gaussian(1.0) * Polynomial(), "sum or product of kernels needs parts of one form"),
        (lambda: BlockMMD(block=1), "block must be a whole number of at least 2"),
        (lambda: BlockMMD(Gaussian(1.0)).estimate(dk.Measure(X, weights(20)), Y), "takes no weights: .* resample x"),
        (lambda: BlockMMD(Gaussian(1.0)).estimate(X[:1], Y), "minimum of 2 is required: x for mmd-blocks"),
        (lambda: FourierMMD(IMQ(1.0)), "kernel must be Gaussian or Laplace"),
        (lambda: FourierMMD(frequencies=1), "frequencies must be a whole number of at least 2"),
        (lambda: FourierMMD(Gaussian(1.0)).estimate(X, Y[:1]), "minimum of 2 is required: y for mmd-fourier"),
        (lambda: SlicedEnergy(projections=0), "projections must be a whole number of at least 1"),
        (lambda: SlicedEnergy().estimate(X[:1], Y), "minimum of 2 is required: x for sliced-energy"),
        (lambda: slicing(0), "d must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kernel", [Gaussian(1.0), Polynomial(2, 0.5, 1.0)], ids=["gaussian", "polynomial"])
def test_witness_by_brute_force(kernel: object, weighted: bool) -> None:
    w = weights(20) if weighted else torch.ones(20).double()
    points = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def table(a: Tensor, b: Tensor) -> Tensor:
        if isinstance(kernel, Gaussian):
            return torch.exp(-(a[:, None] - b[None]).square().sum(-1) / 2)
        return (0.5 * a @ b.T + 1) ** 2

    found = MMD(kernel).witness(dk.Measure(X, w), Y, points)  # type: ignore[arg-type]
    w = w / w.sum()
    kx, ky = table(points, X), table(points, Y)
    assert torch.allclose(found.value, kx @ w - ky.mean(1))
    effective = 1 / w.square().sum()
    own = (kx - (kx @ w)[:, None]).square() @ w.square() * effective / (effective - 1)
    assert torch.allclose(found.stderr, (own + ky.var(1) / 25).sqrt())


def test_witness_takes_data_frames() -> None:
    """Columns come in the order of x; categories must be those of x and y."""
    x, y = (pd.DataFrame({"a": s[:, 0], "b": list("uv") * (len(s) // 2)}) for s in samples(20, 24))
    points = pd.DataFrame({"b": ["u", "v"], "a": [0.0, 1.0]})
    witness = MMD(Gaussian(1.0)).witness(x, y[["b", "a"]], points)
    half = 0.5**0.5
    p, q, t = (np.column_stack([s["a"], half * (s["b"] == "u"), half * (s["b"] == "v")]) for s in (x, y, points))
    assert torch.allclose(witness.value, MMD(Gaussian(1.0)).witness(p, q, t).value)
    with pytest.raises(ValueError, match="points has not the categories of x and y"):
        MMD(Gaussian(1.0)).witness(x, y, pd.DataFrame({"a": [0.0], "b": ["w"]}))


def test_blocks_are_the_mean_of_their_statistics() -> None:
    x, y = samples(53, 41)
    e = BlockMMD(Gaussian(1.0), block=10).estimate(x, y)
    parts = [MMD(Gaussian(1.0)).estimate(a, b) for a, b in zip(x.tensor_split(4), y.tensor_split(4))]
    assert e.value == pytest.approx(sum(p.value for p in parts) / 4, rel=1e-12)
    assert e.stderr == pytest.approx(math.sqrt(sum(p.stderr**2 for p in parts)) / 4, rel=0.3)
    px = x.clone().requires_grad_()
    loss = BlockMMD(Gaussian(1.0), block=10).loss(px, y)
    assert float(loss.detach()) == pytest.approx(e.value, rel=1e-12)
    assert float(torch.autograd.grad(loss, px)[0].abs().max()) > 0


def test_error_of_blocks_holds() -> None:
    """Over 200 runs near P = Q: the mean stated variance against the values' own; their ratio has a standard error of .1."""
    generator = torch.Generator().manual_seed(0)
    runs = [
        BlockMMD(Gaussian(1.0), block=20).estimate(*(torch.randn(60, 2, generator=generator) + s for s in (0.0, 0.1)))
        for _ in range(200)
    ]
    ratio = sum(e.stderr**2 for e in runs) / 200 / float(torch.tensor([e.value for e in runs]).var())
    assert 0.7 < ratio < 1.5


@pytest.mark.parametrize("kernel", [Gaussian(1.5), Laplace(1.5)], ids=["gaussian", "laplace"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_fourier_features_find_mmd_within_their_stated_error(kernel: Gaussian | Laplace, unbiased: bool) -> None:
    truth = MMD(kernel, unbiased).estimate(X, Y)
    found = [FourierMMD(kernel, 2000, seed, unbiased).estimate(X, Y) for seed in range(20)]
    z = torch.tensor([(e.value - truth.value) / e.noise for e in found])
    assert abs(float(z.mean())) < 1  # 4.5 of its standard errors
    assert 0.5 < float(z.std()) < 1.6
    first, exact = (math.sqrt(sum(float((s / len(s)).square().sum()) for s in e.influence)) for e in (found[0], truth))
    assert first == pytest.approx(exact, rel=0.1)


def test_fourier_loss_is_the_estimate_and_has_its_gradient() -> None:
    divergence = FourierMMD(Gaussian(1.0), 50)
    w = weights(20)
    x = X.clone().requires_grad_()
    loss = divergence.loss(dk.Measure(x, w), Y)
    assert float(loss.detach()) == pytest.approx(divergence.estimate(dk.Measure(X, w), Y).value, rel=1e-10)
    (slope,) = torch.autograd.grad(loss, x)
    up, down = (float(divergence.loss(dk.Measure(X + t * Y[:20], w), Y)) for t in (1e-5, -1e-5))
    assert float((slope * Y[:20]).sum()) == pytest.approx((up - down) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("unbiased", [True, False])
def test_fourier_features_are_relabelled_at_once(unbiased: bool) -> None:
    """Each value is that of the relabelled samples, solved anew with the pooled bandwidth."""
    divergence = FourierMMD(Gaussian(1.3), 7, unbiased=unbiased)
    pooled = dk.Measure(torch.cat([X, Y]))
    labels = torch.rand(5, 45, generator=torch.Generator().manual_seed(0)) < 0.5
    found = divergence.null(pooled, labels)
    expected = [float(divergence.loss(pooled.points[label], pooled.points[~label])) for label in labels]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert dk.test("mmd-fourier", X, Y + 2, permutations=99).pvalue == 0.01


def test_sliced_energy_times_its_constant_is_the_energy() -> None:
    x, y = samples(300, 400, 4)
    e, truth = dk.estimate("sliced-energy", x, y, projections=2000), dk.estimate("energy", x, y)
    assert abs(e.notes["energy"] - truth.value) < 3 * slicing(4) * e.notes["stderr_of_projections"]
    assert slicing(4) * e.second_order == pytest.approx(truth.second_order, rel=1e-6)  # these few rows are all
    one = dk.estimate("sliced-energy", x[:, :1], y[:, :1])
    assert one.value == pytest.approx(dk.estimate("energy", x[:, :1], y[:, :1]).value, rel=1e-9)
    law = [Independent(Normal(torch.full((4,), m), torch.ones(4)), 1) for m in (0.0, 1.0)]
    assert dk.exact("energy", *law) == pytest.approx(slicing(4) * dk.exact("sliced-energy", *law), rel=1e-9)


def test_sliced_energy_in_training_sees_all_directions() -> None:
    divergence = SlicedEnergy(projections=2)
    p, q = dk.Measure(X), dk.Measure(Y)
    first = divergence.advance(p, q, None)
    second = divergence.advance(p, q, first)
    assert not torch.allclose(first.state["directions"], second.state["directions"])
