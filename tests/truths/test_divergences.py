"""f-divergences against closed forms, dense grids written independently, and their inequalities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy.special import erf

from divkit.truths import exact

from .conftest import f64, law

ORACLE = [  # N(δ, 1) against N(0, 1), to the digits published
    (1, {"kl": 0.5, "js": 0.111421, "squared-hellinger": 0.235006, "pearson": 1.71828, "tv": 0.382925}),
    (2, {"kl": 2.0, "js": 0.336831}),
    (3, {"kl": 4.5, "js": 0.526777}),
]


@pytest.mark.parametrize("delta, values", ORACLE)
def test_published_values(delta: float, values: dict[str, float]) -> None:
    for name, value in values.items():
        assert exact(name, law(td.Normal, delta, 1), law(td.Normal, 0, 1)) == pytest.approx(value, abs=6e-6)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("delta", [0.01, 1.0, 3.0])
def test_equal_covariances(d: int, delta: float) -> None:
    root = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(d)))[0]
    covariance = root @ torch.diag(torch.arange(1.0, d + 1, dtype=torch.float64)) @ root.T
    shift = torch.linalg.cholesky(covariance) @ (delta * torch.ones(d, dtype=torch.float64) / d**0.5)
    p, q = td.MultivariateNormal(shift, covariance), td.MultivariateNormal(torch.zeros_like(shift), covariance)
    a = 0.3
    truth = {
        "kl": delta**2 / 2,
        "reverse-kl": delta**2 / 2,
        "jeffreys": delta**2,
        "squared-hellinger": -2 * math.expm1(-(delta**2) / 8),
        "tv": erf(delta / 2**1.5),
        "pearson": math.expm1(delta**2),
        "neyman": math.expm1(delta**2),
    }
    for name, value in truth.items():
        assert exact(name, p, q) == pytest.approx(value, rel=1e-10)
    assert exact("alpha", p, q, order=a) == pytest.approx(math.expm1(a * (a - 1) * delta**2 / 2) / (a * (a - 1)), rel=1e-10)
    assert exact("renyi", p, q, order=a) == pytest.approx(a * delta**2 / 2, rel=1e-10)
    line = (law(td.Normal, delta, 1), law(td.Normal, 0, 1))
    assert exact("le-cam", p, q) == pytest.approx(exact("le-cam", *line), rel=1e-9)


# the integrals of f(p/q) q, plainly, on a dense grid
PLAIN = {
    "kl": lambda p, q: p * np.log(p / q),
    "reverse-kl": lambda p, q: q * np.log(q / p),
    "jeffreys": lambda p, q: (p - q) * np.log(p / q),
    "js": lambda p, q: (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2,
    "fgan-js": lambda p, q: p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)),
    "gan": lambda p, q: p * np.log(p / (p + q)) + q * np.log(q / (p + q)),
    "lin-k": lambda p, q: p * np.log(2 * p / (p + q)),
    "squared-hellinger": lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2,
    "le-cam": lambda p, q: (p - q) ** 2 / (p + q),
    "tv": lambda p, q: np.abs(p - q) / 2,
    "pearson": lambda p, q: (p - q) ** 2 / q,
    "neyman": lambda p, q: (p - q) ** 2 / p,
}
FIELDS = [
    ("alpha", {"order": 0.4}, lambda p, q: (p**0.4 * q**0.6 - 0.4 * p - 0.6 * q) / (0.4 * -0.6)),
    ("alpha", {"order": 1.5}, lambda p, q: (p**1.5 * q**-0.5 - 1.5 * p + 0.5 * q) / 0.75),
    ("alpha", {"order": -0.5}, lambda p, q: (p**-0.5 * q**1.5 + 0.5 * p - 1.5 * q) / 0.75),
    ("skew-kl", {"weight": 0.2}, lambda p, q: p * np.log(p / (0.2 * p + 0.8 * q))),
    ("relative-pearson", {"weight": 0.2}, lambda p, q: 0.32 * (p - q) ** 2 / (0.2 * p + 0.8 * q)),
    (
        "weighted-js",
        {"weight": 0.3},
        lambda p, q: 0.3 * p * np.log(p / (0.3 * p + 0.7 * q)) + 0.7 * q * np.log(q / (0.3 * p + 0.7 * q)),
    ),
]
ALL = [(name, {}, f) for name, f in PLAIN.items()] + FIELDS


@pytest.mark.parametrize("name, fields, integrand", ALL, ids=[f"{n}-{k}" for n, k, _ in ALL])
def test_mixture_against_a_grid(
    name: str, fields: dict[str, float], integrand: Callable[[np.ndarray, np.ndarray], np.ndarray], fgan: td.Distribution
) -> None:
    q = law(td.Normal, 1.0, 1.6)
    x = np.linspace(-24, 26, 1_000_001)
    p_x, q_x = (torch.exp(each.log_prob(f64(x))).numpy() for each in (fgan, q))
    keep = (p_x > 1e-290) & (q_x > 1e-290)
    expected = np.sum(integrand(p_x[keep], q_x[keep])) * (x[1] - x[0])
    tolerance = 1e-8 if name == "tv" else 1e-10  # the grid's own error at the kinks
    assert exact(name, fgan, q, **fields) == pytest.approx(expected, rel=tolerance)


CATEGORIES = (law(td.Categorical, [0.2, 0.3, 0.5]), law(td.Categorical, [0.4, 0.35, 0.25]))


@pytest.mark.parametrize("name, fields, integrand", ALL, ids=[f"{n}-{k}" for n, k, _ in ALL])
def test_categories_are_plain_sums(
    name: str, fields: dict[str, float], integrand: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    expected = np.sum(integrand(*(each.probs.numpy() for each in CATEGORIES)))
    assert exact(name, *CATEGORIES, **fields) == pytest.approx(expected, rel=1e-12)


CLOSED = [  # name, p, q, fields, value
    ("kl", law(td.Laplace, 1, 1), law(td.Laplace, 0, 1), {}, math.exp(-1)),
    ("kl", law(td.Laplace, 1e-4, 1), law(td.Laplace, 0, 1), {}, 0.5e-8 - 1e-12 / 6 + 1e-16 / 24),
    ("kl", law(td.Exponential, 2), law(td.Exponential, 3), {}, math.log(2 / 3) + 3 / 2 - 1),
    ("pearson", law(td.Exponential, 2), law(td.Exponential, 3), {}, 4 / (3 * (2 * 2 - 3)) - 1),
    ("kl", law(td.Cauchy, 0, 1e-6), law(td.Cauchy, 1, 2), {}, math.log(((2 + 1e-6) ** 2 + 1) / 8e-6)),
    ("pearson", law(td.Cauchy, 0, 1), law(td.Cauchy, 1, 2), {}, 0.5),
    ("kl", law(td.Gamma, 0.1, 1), law(td.Gamma, 0.1, 2), {}, 0.1 - 0.1 * math.log(2)),
    ("kl", law(td.Uniform, 0, 1), law(td.Beta, 2, 3), {}, 3 - math.log(12)),
    ("kl", law(td.Pareto, 1, 3), law(td.Pareto, 1, 2), {}, math.log(3 / 2) + 2 / 3 - 1),
    ("js", law(td.Uniform, 0, 1), law(td.Uniform, 0.5, 1.5), {}, math.log(2) / 2),
    ("pearson", law(td.LogNormal, 0.3, 0.8), law(td.LogNormal, 0, 0.8), {}, math.expm1((0.3 / 0.8) ** 2)),
    ("kl", law(td.Poisson, 3), law(td.Poisson, 5), {}, 3 * math.log(3 / 5) + 2),
    ("pearson", law(td.Poisson, 20), law(td.Poisson, 10), {}, math.expm1(10)),
    ("renyi", law(td.Poisson, 100), law(td.Poisson, 1), {"order": 2.0}, 100**2 - 200 + 1),
    ("pearson", law(td.Geometric, 0.3), law(td.Geometric, 0.5), {}, 8.0),
    ("kl", law(td.Bernoulli, 0.2), law(td.Bernoulli, 0.7), {}, 0.2 * math.log(2 / 7) + 0.8 * math.log(8 / 3)),
    ("js", law(td.Normal, 0, 1e-90), law(td.Normal, 0, 1), {}, math.log(2)),
    ("tv", law(td.Cauchy, 0, 1), law(td.Gumbel, 0, 1), {}, 0.24521186055052635),  # by the crossings and cdfs of scipy
    ("renyi", law(td.Laplace, 1000, 1), law(td.Laplace, 0, 1), {"order": 2.0}, 1000 + math.log(2 / 3)),
    ("renyi", law(td.Laplace, 200, 1), law(td.Laplace, 0, 1), {"order": 0.5}, 200 - 2 * math.log(101)),
]


@pytest.mark.parametrize("name, p, q, fields, value", CLOSED, ids=range(len(CLOSED)))
def test_closed_forms(name: str, p: td.Distribution, q: td.Distribution, fields: dict[str, float], value: float) -> None:
    assert exact(name, p, q, **fields) == pytest.approx(value, rel=1e-10)


PAIRS = [
    (law(td.Beta, 0.3, 2), law(td.Beta, 0.5, 0.5)),
    (law(td.Gamma, 0.4, 1), law(td.Gamma, 2, 3)),
    (law(td.Gumbel, 0, 1), law(td.Gumbel, 1, 2)),
    (law(td.Laplace, 0, 1), law(td.Normal, 1, 2)),
    (law(td.Uniform, 1, 2), law(td.Uniform, 0, 3)),
    (law(td.Binomial, 7, 0.3), law(td.Binomial, 7, 0.6)),
    (law(td.Dirichlet, [1, 2, 3]), law(td.Dirichlet, [2, 1, 0.5])),
    (
        law(td.MultivariateNormal, [0, 1], [[2, 0.5], [0.5, 1]]),
        law(td.MultivariateNormal, [1, 0], [[1, -0.3], [-0.3, 1.5]]),
    ),
]


@pytest.mark.parametrize("p, q", PAIRS, ids=[type(p).__name__ for p, _ in PAIRS])
def test_kl_agrees_with_torch(p: td.Distribution, q: td.Distribution) -> None:
    assert exact("kl", p, q) == pytest.approx(float(td.kl_divergence(p, q)), rel=1e-10)
    assert exact("reverse-kl", q, p) == exact("kl", p, q)


def test_gaussian_power_divergences_by_quadrature() -> None:
    """The closed form of unequal variances against the same laws as one-part mixtures, which are integrated."""
    p, q = law(td.Normal, 0.5, 1.2), law(td.Normal, 0, 1)
    one = td.Categorical(f64([1.0]))
    mixed = [td.MixtureSameFamily(one, td.Normal(each.loc[None], each.scale[None])) for each in (p, q)]
    for name, fields in [("renyi", {"order": 0.3}), ("renyi", {"order": 2.5}), ("alpha", {"order": -0.7}), ("pearson", {})]:
        assert exact(name, p, q, **fields) == pytest.approx(exact(name, *mixed, **fields), rel=1e-10)
    for name in ("kl", "reverse-kl", "neyman", "squared-hellinger", "jeffreys"):
        assert exact(name, p, q) == pytest.approx(exact(name, *mixed), rel=1e-10)


def test_gaussians_in_two_dimensions_against_a_grid() -> None:
    p, q = PAIRS[-1]
    x = torch.linspace(-25, 25, 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(x, x)
    log_p, log_q = p.log_prob(grid).numpy(), q.log_prob(grid).numpy()
    area = float(x[1] - x[0]) ** 2
    for order in (0.5, 1.3):
        expected = np.log(np.sum(np.exp(order * log_p + (1 - order) * log_q)) * area) / (order - 1)
        assert exact("renyi", p, q, order=order) == pytest.approx(expected, rel=1e-10)
    squares = np.sum((np.exp(log_p / 2) - np.exp(log_q / 2)) ** 2) * area
    assert exact("squared-hellinger", p, q) == pytest.approx(squares, rel=1e-10)


def test_gaussians_that_differ_in_one_direction() -> None:
    wide = law(td.MultivariateNormal, [0, 0], [[1, 0.5], [0.5, 2]])
    shear = f64([[1.0, 0.0], [0.5, 1.0]])
    p = td.MultivariateNormal(shear @ f64([1.0, 0.0]), shear @ torch.diag(f64([3.0, 1.75])) @ shear.T)
    reference = exact("js", law(td.Normal, 1, 3**0.5), law(td.Normal, 0, 1))
    assert exact("js", p, wide) == pytest.approx(reference, rel=1e-9)


def test_products_add() -> None:
    p = td.Independent(law(td.Laplace, [0, 1], [1, 2]), 1)
    q = td.Independent(law(td.Normal, [0, 0], [1, 3]), 1)
    parts = [(law(td.Laplace, 0, 1), law(td.Normal, 0, 1)), (law(td.Laplace, 1, 2), law(td.Normal, 0, 3))]
    for name, fields in [("kl", {}), ("reverse-kl", {}), ("jeffreys", {}), ("renyi", {"order": 0.4}), ("w2", {})]:
        assert exact(name, p, q, **fields) == pytest.approx(sum(exact(name, a, b, **fields) for a, b in parts), rel=1e-10)
    affinities = [1 - exact("squared-hellinger", a, b) / 2 for a, b in parts]
    assert exact("squared-hellinger", p, q) == pytest.approx(2 - 2 * affinities[0] * affinities[1], rel=1e-10)


INFINITE = [
    ("kl", law(td.Cauchy, 0, 1), law(td.Normal, 0, 1), {}),
    ("kl", law(td.StudentT, 2), law(td.Normal, 0, 1), {}),
    ("kl", law(td.Laplace, 0, 1), law(td.Exponential, 1), {}),
    ("kl", law(td.Uniform, 0, 3), law(td.Uniform, 1, 2), {}),
    ("kl", law(td.Uniform, 1, 2), law(td.Beta, 2, 2), {}),
    ("kl", law(td.HalfCauchy, 1), law(td.Weibull, 1, 5), {}),
    ("kl", law(td.Categorical, [0.5, 0.5]), law(td.Categorical, [1, 0]), {}),
    ("kl", law(td.Poisson, 2), law(td.Binomial, 5, 0.3), {}),
    ("reverse-kl", law(td.Exponential, 1), law(td.Normal, 0, 1), {}),
    ("jeffreys", law(td.Uniform, 0, 1), law(td.Uniform, 0, 2), {}),
    ("pearson", law(td.Normal, 0, 2), law(td.Normal, 0, 1), {}),
    ("pearson", law(td.Laplace, 0, 2), law(td.Laplace, 0, 1), {}),
    ("pearson", law(td.Exponential, 1), law(td.Exponential, 2), {}),
    ("pearson", law(td.Gamma, 0.3, 1), law(td.Normal, 0, 1), {}),
    ("pearson", law(td.Normal, 0, 1), law(td.Gumbel, 0, 1), {}),
    ("pearson", law(td.Geometric, 0.2), law(td.Geometric, 0.5), {}),
    ("pearson", law(td.Geometric, 0.3), law(td.Poisson, 2), {}),
    ("pearson", law(td.Dirichlet, [1, 2]), law(td.Dirichlet, [2, 1]), {}),
    ("neyman", law(td.Uniform, 0, 1), law(td.Uniform, 0, 2), {}),
    ("alpha", law(td.Normal, 0, 1), law(td.Normal, 0, 2), {"order": -1.0}),
    ("renyi", law(td.Normal, 0, 2), law(td.Normal, 0, 1), {"order": 3.0}),
    ("renyi", law(td.Uniform, 0, 1), law(td.Uniform, 2, 3), {"order": 0.5}),
]


@pytest.mark.parametrize("name, p, q, fields", INFINITE, ids=range(len(INFINITE)))
def test_infinite(name: str, p: td.Distribution, q: td.Distribution, fields: dict[str, float]) -> None:
    assert exact(name, p, q, **fields) == math.inf


def test_suprema_at_disjoint_supports() -> None:
    p, q = law(td.Uniform, 0, 1), law(td.Uniform, 2, 3)
    suprema = {"js": math.log(2), "fgan-js": 2 * math.log(2), "gan": 0, "tv": 1, "squared-hellinger": 2, "le-cam": 2}
    for name, value in (suprema | {"lin-k": math.log(2)}).items():
        assert exact(name, p, q) == pytest.approx(value, abs=1e-12)
    assert exact("skew-kl", p, q, weight=0.2) == pytest.approx(math.log(5))
    assert exact("relative-pearson", p, q, weight=0.2) == pytest.approx(0.8 / 0.4)
    assert exact("alpha", p, q, order=0.3) == pytest.approx(1 / 0.21)
    assert exact("weighted-js", p, q, weight=0.3) == pytest.approx(-0.3 * math.log(0.3) - 0.7 * math.log(0.7))


@pytest.mark.parametrize("p, q", PAIRS[:6], ids=[type(p).__name__ for p, _ in PAIRS[:6]])
def test_inequalities_and_identities(p: td.Distribution, q: td.Distribution) -> None:
    def d(name: str, **fields: float) -> float:
        return exact(name, p, q, **fields)

    hellinger, tv = d("squared-hellinger"), d("tv")
    slack = 1 + 1e-9
    assert hellinger / 2 <= tv * slack <= math.sqrt(hellinger * (1 - hellinger / 4)) * slack**2
    assert tv <= math.sqrt(d("kl") / 2)
    assert d("js") <= math.log(2) * tv
    assert d("kl") <= math.log1p(d("pearson"))
    assert d("le-cam") / 2 <= hellinger <= d("le-cam")
    assert d("alpha", order=2.0) == pytest.approx(d("pearson") / 2)
    assert d("alpha", order=-1.0) == pytest.approx(d("neyman") / 2)
    assert d("alpha", order=0.5) == pytest.approx(2 * hellinger)
    assert d("alpha", order=1.0) == pytest.approx(d("kl")) == pytest.approx(d("alpha", order=1 - 1e-9), rel=1e-7)
    assert d("alpha", order=0.0) == pytest.approx(d("reverse-kl"))
    assert d("jeffreys") == pytest.approx(d("kl") + d("reverse-kl"))
    assert d("weighted-js", weight=0.5) == pytest.approx(d("js"))
    assert d("skew-kl", weight=0.0) == pytest.approx(d("kl"))
    assert d("gan") == pytest.approx(d("fgan-js") - math.log(4))
    for order in (0.5, 2.0):
        assert d("renyi", order=order) == pytest.approx(math.log1p(order * (order - 1) * d("alpha", order=order)) / (order - 1))


def test_invariance_and_data_processing() -> None:
    p, q = law(td.Normal, 0.5, 1), law(td.Normal, 0, 1.3)
    for name in ("js", "tv", "pearson"):
        logs = exact(name, law(td.LogNormal, 0.5, 1), law(td.LogNormal, 0, 1.3))
        assert exact(name, p, q) == pytest.approx(logs, rel=1e-10)
    coin = [law(td.Bernoulli, float(each.cdf(f64(0.2)))) for each in (p, q)]
    assert exact("js", *coin) < exact("js", p, q)


@pytest.mark.parametrize("name", ["kl", "js", "tv", "energy", "w1", "w2", "lin-k"])
def test_zero_at_equality(name: str) -> None:
    for kind, *parameters in [(td.Laplace, 0, 1), (td.Gamma, 0.5, 2), (td.Poisson, 3), (td.Normal, 1, 2)]:
        assert exact(name, law(kind, *parameters), law(kind, *parameters)) == 0.0


@pytest.mark.parametrize("name", ["js", "tv", "le-cam", "lin-k", "jeffreys"])
def test_a_dirichlet_law_of_two_is_a_beta_law(name: str) -> None:
    dirichlets = law(td.Dirichlet, [0.5, 2]), law(td.Dirichlet, [1.5, 1])
    betas = law(td.Beta, 0.5, 2), law(td.Beta, 1.5, 1)
    assert exact(name, *dirichlets) == pytest.approx(exact(name, *betas), rel=1e-8)
