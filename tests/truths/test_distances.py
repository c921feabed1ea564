"""Distances against closed forms, dense grids and a discretised Sinkhorn written here."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import stats
from scipy.special import erf, logsumexp

from divkit.truths import exact

from .conftest import f64, law

P2 = law(td.MultivariateNormal, [0, 1], [[2, 0.5], [0.5, 1]])
Q2 = law(td.MultivariateNormal, [1, 0], [[1, -0.3], [-0.3, 1.5]])


@pytest.mark.parametrize("mu", [1e-3, 0.5, 2.0, 50.0])
def test_energy_of_a_shift(mu: float) -> None:
    expected = 4 / math.sqrt(math.pi) * math.expm1(-(mu**2) / 4) + 2 * mu * erf(mu / 2)
    assert exact("energy", law(td.Normal, mu, 1), law(td.Normal, 0, 1)) == pytest.approx(expected, rel=1e-9)
    assert exact("cramer", law(td.Normal, mu, 1), law(td.Normal, 0, 1)) == pytest.approx(expected / 2, rel=1e-9)


def test_energy_of_a_scale() -> None:
    s = 2.5
    expected = 2 * math.sqrt(2 / math.pi) * math.sqrt(1 + s**2) - 2 * (1 + s) / math.sqrt(math.pi)
    assert exact("energy", law(td.Normal, 0, 1), law(td.Normal, 0, s)) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("a", [0.1, 0.9])
def test_cramer_of_uniforms(a: float) -> None:
    assert exact("cramer", law(td.Uniform, 0, 1), law(td.Uniform, a, 1 + a)) == pytest.approx(a**2 - a**3 / 3, rel=1e-11)


def test_energy_in_more_dimensions_reduces_to_the_line() -> None:
    line = exact("energy", law(td.Normal, 0.7, 1), law(td.Normal, 0, 2))
    thin = [law(td.MultivariateNormal, [m, 0], [[s**2, 0], [0, 1e-18]]) for m, s in ((0.7, 1), (0, 2))]
    assert exact("energy", *thin) == pytest.approx(line, rel=1e-8)


def test_energy_and_mmd_of_gaussians_by_monte_carlo() -> None:
    """Seeded; means of 4e5 draws, wanted within 4.5 standard errors (fails for 1 seed in 1e5)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 400_000, 2, dtype=torch.float64, generator=generator)
    x, x2 = (P2.mean + each @ P2.scale_tril.T for each in noise[:2])
    y, y2 = (Q2.mean + each @ Q2.scale_tril.T for each in noise[2:])
    draws = {
        "energy": lambda z: z.norm(dim=1),
        "mmd": lambda z: -torch.exp(-z.square().sum(1) / (2 * 0.8**2)),
    }
    for name, g in draws.items():
        values = (g(x - y) + g(x2 - y2) - g(x - x2) - g(y - y2)).numpy()
        fields = {"bandwidth": 0.8} if name == "mmd" else {}
        assert abs(values.mean() - exact(name, P2, Q2, **fields)) < 4.5 * values.std() / math.sqrt(len(values))


def test_mmd_of_a_shift() -> None:
    d, s, mu = 3, 1.7, f64([1.0, -2.0, 0.5])
    p, q = (td.Independent(td.Normal(each, torch.ones_like(mu)), 1) for each in (torch.zeros_like(mu), mu))
    expected = -2 * (s**2 / (s**2 + 2)) ** (d / 2) * math.expm1(-float(mu @ mu) / (2 * (s**2 + 2)))
    assert exact("mmd", p, q, bandwidth=s) == pytest.approx(expected, rel=1e-12)


def test_mixtures_of_gaussians(fgan: td.Distribution) -> None:
    q = law(td.Normal, 1.0, 1.6)
    x = np.linspace(-20, 22, 4001)
    difference = (torch.exp(fgan.log_prob(f64(x))) - torch.exp(q.log_prob(f64(x)))).numpy() * (x[1] - x[0])
    kernel = np.exp(-((x[:, None] - x) ** 2) / (2 * 0.5**2))
    assert exact("mmd", fgan, q, bandwidth=0.5) == pytest.approx(difference @ kernel @ difference, rel=1e-9)
    parts = td.Independent(td.Normal(f64([[-1.0, 3.0], [2.0, 3.0]]), f64([[0.5, 1.0], [1.0, 1.0]])), 1)
    mixture = td.MixtureSameFamily(td.Categorical(f64([0.33, 0.67])), parts)
    mean, covariance = f64([-0.33 + 1.34, 3.0]), f64([[0.33 * 0.25 + 0.67 + 0.33 * 0.67 * 9, 0.0], [0.0, 1.0]])
    expected = exact("w2", td.MultivariateNormal(mean, covariance), P2)
    assert exact("gaussian-w2", mixture, P2) == pytest.approx(expected, rel=1e-12)


WASSERSTEIN = [  # name, p, q, value
    ("w1", law(td.Cauchy, 0, 1), law(td.Cauchy, 0.3, 1), 0.3),
    ("w2", law(td.Cauchy, 0, 1), law(td.Cauchy, 0.3, 1), 0.09),
    ("w1", law(td.Cauchy, 0, 1), law(td.Cauchy, 0, 2), math.inf),
    ("w2", law(td.Cauchy, 0, 1), law(td.Normal, 0, 1), math.inf),
    ("w2", law(td.StudentT, 2), law(td.Normal, 0, 1), math.inf),
    ("w1", law(td.Exponential, 1), law(td.Exponential, 2), 0.5),
    ("w2", law(td.Exponential, 1), law(td.Exponential, 2), 0.5),
    ("w1", law(td.Normal, 0, 1), law(td.Normal, 0, 3), 2 * math.sqrt(2 / math.pi)),
    ("w2", law(td.Laplace, 1, 1), law(td.Laplace, 0, 3), 1 + 2 * 4),
    ("w2", law(td.StudentT, 3, 1, 2), law(td.StudentT, 3, 0, 1), 1 + 3),
    ("w2", law(td.Uniform, 0, 1), law(td.Uniform, 2, 5), 4 + 4 + 4 / 3),  # ∫(2 + 2u)² du
    ("w1", law(td.Uniform, 0, 1), law(td.Beta, 2, 1), 1 / 6),
    ("w2", law(td.Uniform, 0, 1), law(td.Beta, 2, 1), 1 / 3 + 1 / 2 - 2 * 2 / 5),
    ("w1", law(td.Poisson, 3), law(td.Poisson, 4), 1.0),
    ("w2", law(td.Bernoulli, 0.2), law(td.Bernoulli, 0.7), 0.5),
    ("w1", law(td.Binomial, 3, 0.5), law(td.Categorical, [0.125, 0.375, 0.375, 0.125]), 0.0),
]


@pytest.mark.parametrize("name, p, q, value", WASSERSTEIN, ids=range(len(WASSERSTEIN)))
def test_wasserstein_on_the_line(name: str, p: td.Distribution, q: td.Distribution, value: float) -> None:
    assert exact(name, p, q) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_wasserstein_of_mixtures_against_a_grid(fgan: td.Distribution) -> None:
    q = law(td.Normal, 1.0, 1.6)
    weights, places, scales = (0.33, 0.67), (-1.0, 2.0), (0.065**0.5, 2**0.5)
    x = np.linspace(-20, 22, 400_001)
    cdf, sf, pdf = (
        sum(w * getattr(stats.norm, f)(x, m, s) for w, m, s in zip(weights, places, scales)) for f in ("cdf", "sf", "pdf")
    )
    images = 1.0 + 1.6 * np.where(cdf < sf, stats.norm.ppf(cdf), stats.norm.isf(sf))
    keep = pdf > 1e-60
    step = x[1] - x[0]
    assert exact("w2", fgan, q) == pytest.approx(np.sum(((x - images) ** 2 * pdf)[keep]) * step, rel=1e-9)
    assert exact("w2", q, fgan) == exact("w2", fgan, q)
    assert exact("w1", fgan, q) == pytest.approx(np.sum((np.abs(x - images) * pdf)[keep]) * step, rel=1e-7)
    assert exact("energy", fgan, q) == pytest.approx(2 * np.sum((cdf - stats.norm.cdf(x, 1, 1.6)) ** 2) * step, rel=1e-10)


def test_mixtures_with_heavy_tails_and_singular_parts() -> None:
    half = td.Categorical(f64([0.5, 0.5]))
    heavy = td.MixtureSameFamily(half, td.StudentT(f64(2.0), f64([0.0, 1.0]), f64([1.0, 1.0])))
    assert exact("w2", heavy, law(td.Normal, 0, 1)) == math.inf
    light = td.MixtureSameFamily(half, td.Normal(f64([0.0, 3.0]), f64([1.0, 1.0])))
    for other in (law(td.StudentT, 2), law(td.Cauchy, 0, 1), heavy):
        assert exact("w2", light, other) == math.inf
    assert exact("w2", light, law(td.Laplace, 0, 1)) < 6
    boxes = td.MixtureSameFamily(half, td.Uniform(f64([0.0, 2.0]), f64([1.0, 3.0])))
    assert exact("kl", boxes, law(td.Uniform, 0, 3)) == pytest.approx(math.log(1.5), rel=1e-10)
    assert exact("kl", law(td.Uniform, 0, 3), boxes) == math.inf
    assert exact("w2", boxes, law(td.Uniform, 0, 1)) == pytest.approx(19 / 12, rel=1e-9)
    assert exact("w1", boxes, law(td.Uniform, 0, 1)) == pytest.approx(1.0, rel=1e-10)


def test_wasserstein_of_gaussians() -> None:
    root = torch.linalg.cholesky(P2.covariance_matrix)
    cross = torch.linalg.eigvalsh(root.T @ Q2.covariance_matrix @ root).sqrt().sum()
    expected = 2 + P2.covariance_matrix.trace() + Q2.covariance_matrix.trace() - 2 * cross
    assert exact("w2", P2, Q2) == pytest.approx(float(expected), rel=1e-12)
    moved = td.MultivariateNormal(P2.mean + f64([3.0, 4.0]), P2.covariance_matrix)
    assert exact("w1", P2, moved) == pytest.approx(5.0)
    assert exact("w2", P2, moved) == pytest.approx(25.0)
    assert exact("sliced-w1", P2, moved) == pytest.approx(5 * 2 / math.pi)  # E|cos| on the circle
    assert exact("max-sliced-w2", P2, moved) == pytest.approx(25.0)
    assert exact("sliced-w2", P2, moved) == pytest.approx(12.5)


def test_slices() -> None:
    angles = np.linspace(0, np.pi, 4001)[:-1]
    directions = f64(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    means = directions @ (P2.mean - Q2.mean)
    scales = [torch.einsum("ki,ij,kj->k", directions, each.covariance_matrix, directions).sqrt() for each in (P2, Q2)]
    assert exact("sliced-w2", P2, Q2) == pytest.approx(float((means**2 + (scales[0] - scales[1]) ** 2).mean()), rel=1e-11)
    few = range(0, 4000, 100)
    slices = [exact("energy", td.Normal(means[k], scales[0][k]), td.Normal(0 * means[k], scales[1][k])) for k in few]
    assert exact("sliced-energy", P2, Q2) == pytest.approx(np.mean(slices), rel=1e-9)
    ball, wider = (td.Independent(law(td.Normal, [m] * 4, [s] * 4), 1) for m, s in ((1, 2), (0, 3)))
    assert exact("sliced-w2", ball, wider) == pytest.approx(1 + 1)


def test_moments_of_other_laws() -> None:
    p, q = law(td.Dirichlet, [1, 2, 3]), law(td.Dirichlet, [2, 2, 2])
    gap = float((p.mean - q.mean).square().sum())
    assert gap < exact("gaussian-w2", p, q) < gap + float(p.variance.sum() + q.variance.sum())
    line = exact("gaussian-w2", law(td.Gamma, 4, 2), law(td.Laplace, 1, 3))
    assert line == pytest.approx(1 + (1 - math.sqrt(18)) ** 2)


def _sinkhorn(a: np.ndarray, b: np.ndarray, x: np.ndarray, epsilon: float) -> float:
    """Entropic transport on a grid in the log domain: dual value after the potentials stand still."""
    cost, f, g = (x[:, None] - x) ** 2, np.zeros_like(x), np.zeros_like(x)
    for _ in range(3000):
        last, f = f, -epsilon * logsumexp((g - cost) / epsilon + np.log(b), axis=1)
        g = -epsilon * logsumexp((f[:, None] - cost) / epsilon + np.log(a)[:, None], axis=0)
        if np.abs(f - last).max() < 1e-11:
            break
    return a @ f + b @ g


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 5.0])
def test_entropic_transport_against_a_grid(epsilon: float) -> None:
    x = np.linspace(-8, 8, 201)
    p, q = law(td.Normal, 0.5, 0.7), law(td.Normal, -1, 1.1)
    a, b = ((lambda w: w / w.sum())(torch.exp(each.log_prob(f64(x))).numpy()) for each in (p, q))
    assert exact("entropic-ot", p, q, epsilon=epsilon) == pytest.approx(_sinkhorn(a, b, x, epsilon), rel=1e-8)
    own = (_sinkhorn(a, a, x, epsilon) + _sinkhorn(b, b, x, epsilon)) / 2
    assert exact("sinkhorn", p, q, epsilon=epsilon) == pytest.approx(_sinkhorn(a, b, x, epsilon) - own, rel=1e-8)


def test_entropic_limits() -> None:
    assert exact("entropic-ot", P2, Q2, epsilon=1e-9) == pytest.approx(exact("w2", P2, Q2), rel=1e-6)
    independent = 2 + float(P2.covariance_matrix.trace() + Q2.covariance_matrix.trace())
    assert exact("entropic-ot", P2, Q2, epsilon=1e9) == pytest.approx(independent, rel=1e-8)
    assert exact("sinkhorn", P2, Q2, epsilon=1e9) == pytest.approx(2.0, rel=1e-6)
    small = exact("sinkhorn", P2, Q2, epsilon=0.3)
    wide = [td.MultivariateNormal(3 * each.mean, 9 * each.covariance_matrix) for each in (P2, Q2)]
    assert exact("sinkhorn", *wide, epsilon=2.7) == pytest.approx(9 * small, rel=1e-11)


def _points(law_: td.Distribution, n: int, generator: torch.Generator) -> torch.Tensor:
    return law_.mean + torch.randn(n, 2, dtype=torch.float64, generator=generator) @ law_.scale_tril.T


@pytest.mark.parametrize(
    ("name", "fields", "kernel"),
    [
        ("mmd-laplace", {"bandwidth": 0.8}, lambda x, y: torch.exp(-(x - y).norm(dim=1) / 0.8)),
        (
            "mmd-imq",
            {"sigma": 0.7},
            lambda x, y: sum(
                c / (c + (x - y).square().sum(1)) for c in (2 * 2 * 0.49 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))
            ),
        ),
        ("kid", {}, lambda x, y: ((x * y).sum(1) / 2 + 1) ** 3),
    ],
)
def test_kernel_distances_by_monte_carlo(
    name: str, fields: dict[str, float], kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> None:
    """Seeded; means of 4e5 draws, wanted within 4.5 standard errors (fails for 1 seed in 1e5)."""
    generator = torch.Generator().manual_seed(1)
    x, x2, y, y2 = (_points(law_, 400_000, generator) for law_ in (P2, P2, Q2, Q2))
    values = kernel(x, x2) + kernel(y, y2) - kernel(x, y) - kernel(x2, y2)
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - exact(name, P2, Q2, **fields)) < 4.5 * error


@pytest.mark.parametrize("d", [1, 3])
def test_kernel_distances_are_scale_mixtures(d: int) -> None:
    """A Laplace kernel on the line in closed form, and mixtures by linearity of the mean embedding."""
    mu, s = 1.3, 1 / 0.6
    p, q = (td.MultivariateNormal(f64([m] + [0] * (d - 1)), torch.eye(d, dtype=torch.float64)) for m in (0, mu))
    if d == 1:  # E exp(−s|Z|), Z ~ N(m, 2)

        def mean(m: float) -> float:
            from scipy.special import erfcx

            v = math.sqrt(2)
            return sum(erfcx((s * v**2 + sign * m) / (v * math.sqrt(2))) for sign in (1, -1)) * math.exp(-(m**2) / 2 / v**2) / 2

        assert exact("mmd-laplace", p, q, bandwidth=0.6) == pytest.approx(2 * mean(0.0) - 2 * mean(mu), rel=1e-9)
    half = td.MixtureSameFamily(
        td.Categorical(f64([0.5, 0.5])),
        td.MultivariateNormal(torch.stack([p.mean, q.mean]), torch.eye(d, dtype=torch.float64)),
    )
    for name, fields in (("mmd-laplace", {"bandwidth": 0.6}), ("mmd-imq", {}), ("kid", {})):
        whole = exact(name, p, q, **fields)
        assert exact(name, half, q, **fields) == pytest.approx(whole / 4, rel=1e-8)  # the embedding is half way


def test_kid_refuses_too_many_dimensions() -> None:
    p = law(td.MultivariateNormal, torch.zeros(201), torch.eye(201))
    with pytest.raises(ValueError, match="kid: third moments in 201 dimensions are too many; give laws in at most 200"):
        exact("kid", p, p)
