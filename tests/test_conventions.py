"""Every factor that docs/conventions.rst states against another library, checked against that library."""

from __future__ import annotations

import math
from typing import Any

import geomloss
import numpy as np
import ot
import pytest
import scipy.spatial.distance
import scipy.stats
import torch
from plain_dcor import dcor
from sklearn.metrics.pairwise import laplacian_kernel, polynomial_kernel, rbf_kernel
from torch.distributions import Categorical, MultivariateNormal, Normal

import divkit as dk

_rng = np.random.default_rng(0)
X, Y = _rng.normal(size=(40, 3)), _rng.normal(size=(50, 3)) + 0.5
A, B = np.full(40, 1 / 40), np.full(50, 1 / 50)
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)
P, Q = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.25, 0.25])
EPSILON = 2.0


def ours(name: str, x: Any = X, y: Any = Y, **fields: Any) -> float:
    return dk.get(name, **fields).estimate(x, y).value


def exact(name: str, **fields: float) -> float:
    return dk.exact(name, Categorical(torch.from_numpy(P)), Categorical(torch.from_numpy(Q)), **fields)


def squared(kernel: Any, *, unbiased: bool, **fields: float) -> float:
    """MMD² of a scikit-learn kernel."""
    xx, yy, xy = kernel(X, X, **fields), kernel(Y, Y, **fields), kernel(X, Y, **fields)
    if not unbiased:
        return float(xx.mean() + yy.mean() - 2 * xy.mean())
    n, m = len(X), len(Y)
    return float((xx.sum() - np.trace(xx)) / n / (n - 1) + (yy.sum() - np.trace(yy)) / m / (m - 1) - 2 * xy.mean())


def pot_entropic(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> Any:
    return ot.solve(ot.dist(x, y), a, b, reg=EPSILON, reg_type="KL", tol=1e-9, max_iter=10_000)


class TestTransport:
    def test_w2_is_pots_emd2_of_the_squared_distance(self) -> None:
        assert ours("w2") == pytest.approx(ot.emd2(A, B, ot.dist(X, Y)), rel=1e-9)

    def test_w1_is_pots_emd2_of_the_distance_and_scipys(self) -> None:
        assert ours("w1") == pytest.approx(ot.emd2(A, B, ot.dist(X, Y, "euclidean")), rel=1e-9)
        assert ours("w1", X[:, 0], Y[:, 0]) == pytest.approx(scipy.stats.wasserstein_distance(X[:, 0], Y[:, 0]), rel=1e-9)

    def test_entropic_is_pots_value_and_not_its_linear_part(self) -> None:
        theirs = pot_entropic(X, Y, A, B)
        value = ours("entropic-ot", epsilon=EPSILON, tol=1e-8)
        assert value == pytest.approx(theirs.value, rel=1e-6)
        assert ot.sinkhorn2(A, B, ot.dist(X, Y), EPSILON) == pytest.approx(theirs.value_linear, rel=1e-6)
        assert value > 1.1 * theirs.value_linear

    def test_sinkhorn_is_pots_value_debiased(self) -> None:
        across, own_x, own_y = pot_entropic(X, Y, A, B), pot_entropic(X, X, A, A), pot_entropic(Y, Y, B, B)
        theirs = across.value - own_x.value / 2 - own_y.value / 2
        assert ours("sinkhorn", epsilon=EPSILON, tol=1e-8) == pytest.approx(theirs, rel=1e-6)

    def test_sinkhorn_is_twice_geomlosss_at_p_2(self) -> None:
        """GeomLoss's cost is ½|x−y|² and its ε is blur²: here ε = 2·blur²."""
        theirs = geomloss.SamplesLoss("sinkhorn", p=2, blur=math.sqrt(EPSILON / 2), scaling=0.99)(TX, TY)
        assert ours("sinkhorn", epsilon=EPSILON, tol=1e-8) == pytest.approx(2 * float(theirs), rel=1e-3)

    def test_sinkhorn_is_geomlosss_at_p_1(self) -> None:
        theirs = geomloss.SamplesLoss("sinkhorn", p=1, blur=0.5, scaling=0.99)(TX, TY)
        assert ours("sinkhorn", epsilon=0.5, p=1.0, tol=1e-8) == pytest.approx(float(theirs), rel=1e-3)

    def test_sliced_is_pots_to_the_power_p(self) -> None:
        """On one and the same set of directions."""
        for p in (1, 2):
            divergence = dk.get(f"sliced-w{p}", projections=20)
            solution = divergence.solve(dk.Measure(X), dk.Measure(Y))
            directions = solution.state["directions"].numpy().T
            theirs = ot.sliced_wasserstein_distance(X, Y, p=p, projections=directions)
            assert divergence.estimate(X, Y, solution=solution).value == pytest.approx(theirs**p, rel=1e-9)


class TestKernels:
    def test_energy_is_dcors(self) -> None:
        assert ours("energy", unbiased=False) == pytest.approx(dcor.energy_distance(X, Y), rel=1e-9)
        assert ours("energy") == pytest.approx(dcor.energy_distance(X, Y, estimation_stat="u_statistic"), rel=1e-9)

    def test_energy_is_scipys_squared(self) -> None:
        theirs = scipy.stats.energy_distance(X[:, 0], Y[:, 0])
        assert ours("energy", X[:, 0], Y[:, 0], unbiased=False) == pytest.approx(theirs**2, rel=1e-9)

    def test_cramer_is_geomlosss_energy(self) -> None:
        theirs = float(geomloss.SamplesLoss("energy")(TX, TY))
        assert ours("cramer", unbiased=False) == pytest.approx(theirs, rel=1e-4)
        assert ours("energy", unbiased=False) == pytest.approx(2 * theirs, rel=1e-4)

    def test_mmd_is_twice_geomlosss(self) -> None:
        for name, theirs in (("mmd", "gaussian"), ("mmd-laplace", "laplacian")):
            loss = float(geomloss.SamplesLoss(theirs, blur=0.7)(TX, TY))
            assert ours(name, bandwidth=0.7, unbiased=False) == pytest.approx(
                2 * loss, rel=2e-4
            )  # theirs adds a constant under the root

    def test_mmd_is_that_of_scikit_learns_kernel(self) -> None:
        for unbiased in (True, False):
            theirs = squared(rbf_kernel, unbiased=unbiased, gamma=1 / (2 * 0.7**2))
            assert ours("mmd", bandwidth=0.7, unbiased=unbiased) == pytest.approx(theirs, rel=1e-9)

    def test_mmd_laplace_is_not_that_of_scikit_learns_kernel(self) -> None:
        """Theirs is of the L₁ distance."""
        theirs = squared(laplacian_kernel, unbiased=False, gamma=1 / 0.7)
        assert abs(ours("mmd-laplace", bandwidth=0.7, unbiased=False) - theirs) > 0.05 * theirs

    def test_kid_is_the_cubic_kernels(self) -> None:
        assert ours("kid") == pytest.approx(squared(polynomial_kernel, unbiased=True, degree=3, gamma=1 / 3, coef0=1), rel=1e-9)

    def test_mmd_imq_is_the_sum_of_seven(self) -> None:
        distances = {"xx": ot.dist(X, X), "yy": ot.dist(Y, Y), "xy": ot.dist(X, Y)}
        scales = [2 * 3 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        k = {key: sum(c / (c + d) for c in scales) for key, d in distances.items()}
        theirs = k["xx"].mean() + k["yy"].mean() - 2 * k["xy"].mean()
        assert ours("mmd-imq", unbiased=False) == pytest.approx(theirs, rel=1e-9)

    def test_pteds_statistic_is_the_unbiased_energy_distance_times_nm_over_n_plus_m(self) -> None:
        pted = pytest.importorskip("pted", reason="pted is in the extra 'bench'")
        statistic = float(pted.pted(X, Y, permutations=20, return_all=True)[0])
        assert statistic == pytest.approx(ours("energy") * 40 * 50 / 90, rel=1e-6)

    @pytest.mark.filterwarnings("ignore")
    def test_hyppos_energy_is_neither(self) -> None:
        ksample = pytest.importorskip("hyppo.ksample", reason="hyppo is in the extra 'bench'")
        theirs = float(ksample.Energy().statistic(X, Y))
        for unbiased in (True, False):
            assert abs(theirs - ours("energy", unbiased=unbiased)) > 1e-3


class TestFDivergences:
    """On two categorical laws, where a divergence is a sum of three terms."""

    def test_kl_is_scipys_entropy_in_nats(self) -> None:
        assert exact("kl") == pytest.approx(scipy.stats.entropy(P, Q), rel=1e-12)
        assert exact("reverse-kl") == pytest.approx(scipy.stats.entropy(Q, P), rel=1e-12)
        assert exact("jeffreys") == pytest.approx(scipy.stats.entropy(P, Q) + scipy.stats.entropy(Q, P), rel=1e-12)

    def test_js_is_scipys_jensenshannon_squared(self) -> None:
        theirs = scipy.spatial.distance.jensenshannon(P, Q)
        assert exact("js") == pytest.approx(theirs**2, rel=1e-12)
        assert exact("fgan-js") == pytest.approx(2 * theirs**2, rel=1e-12)
        assert exact("gan") == pytest.approx(2 * theirs**2 - math.log(4), rel=1e-12)

    def test_pearson_is_scipys_chi_square_per_observation(self) -> None:
        assert exact("pearson") == pytest.approx(scipy.stats.chisquare(100 * P, 100 * Q).statistic / 100, rel=1e-12)
        assert exact("neyman") == pytest.approx(scipy.stats.chisquare(100 * Q, 100 * P).statistic / 100, rel=1e-12)

    def test_power_divergences(self) -> None:
        """Cressie and Read's λ is α − 1; their factor is ours times two."""
        for order in (0.5, 3.0):
            theirs = scipy.stats.power_divergence(100 * P, 100 * Q, lambda_=order - 1).statistic / 100
            assert exact("alpha", order=order) == pytest.approx(theirs / 2, rel=1e-12)

    def test_the_others_are_their_sums(self) -> None:
        assert exact("tv") == pytest.approx(np.abs(P - Q).sum() / 2, rel=1e-12)
        assert exact("squared-hellinger") == pytest.approx(np.square(np.sqrt(P) - np.sqrt(Q)).sum(), rel=1e-12)
        assert exact("le-cam") == pytest.approx(((P - Q) ** 2 / (P + Q)).sum(), rel=1e-12)
        assert exact("lin-k") == pytest.approx(scipy.stats.entropy(P, (P + Q) / 2), rel=1e-12)
        assert exact("skew-kl", weight=0.3) == pytest.approx(scipy.stats.entropy(P, 0.3 * P + 0.7 * Q), rel=1e-12)
        mixed = 0.3 * P + 0.7 * Q
        assert exact("relative-pearson", weight=0.3) == pytest.approx((mixed * (P / mixed - 1) ** 2).sum() / 2, rel=1e-12)
        js = 0.3 * scipy.stats.entropy(P, mixed) + 0.7 * scipy.stats.entropy(Q, mixed)
        assert exact("weighted-js", weight=0.3) == pytest.approx(js, rel=1e-12)

    def test_renyi_is_the_standard_one_of_its_order(self) -> None:
        for order in (0.5, 2.0):
            assert exact("renyi", order=order) == pytest.approx(
                np.log((P**order * Q ** (1 - order)).sum()) / (order - 1), rel=1e-12
            )

    def test_kl_is_torchs(self) -> None:
        p, q = Normal(0.5, 2.0), Normal(0.0, 1.0)
        assert dk.exact("kl", p, q) == pytest.approx(float(torch.distributions.kl_divergence(p, q)), rel=1e-6)


def test_gaussian_w2_is_pots_bures_distance_squared() -> None:
    covariance = torch.tensor([[1.0, 0.3], [0.3, 2.0]], dtype=torch.float64)
    mean, eye = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    value = dk.exact("gaussian-w2", MultivariateNormal(mean, covariance), MultivariateNormal(0 * mean, eye))
    theirs = ot.gaussian.bures_wasserstein_distance(mean, 0 * mean, covariance, eye)
    assert value == pytest.approx(float(theirs) ** 2, rel=1e-9)
