"""Converters of kernel distances against the packages themselves, and against numbers their manuals print."""

from __future__ import annotations

import math
from collections.abc import Callable

import geomloss
import numpy as np
import pytest
import scipy.stats
import torch
from plain_dcor import dcor
from sklearn.datasets import load_iris
from sklearn.metrics.pairwise import euclidean_distances, polynomial_kernel, rbf_kernel

import divkit as dk
from divkit.kernel.conventions import TABLE, convert, restore

_rng = np.random.default_rng(0)
X, Y = _rng.normal(size=(40, 3)), _rng.normal(size=(50, 3)) + 0.5
LINE = X[:, :1], Y[:, :1]
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)


def e_statistic(x: np.ndarray, y: np.ndarray) -> float:
    """R energy's manual: nm/(n+m) (2 mean |x−y| − mean |x−x′| − mean |y−y′|)."""
    n, m = len(x), len(y)
    across, own_x, own_y = (euclidean_distances(a, b).mean() for a, b in ((x, y), (x, x), (y, y)))
    return float(n * m / (n + m) * (2 * across - own_x - own_y))


def disco(x: np.ndarray, y: np.ndarray) -> float:
    """Rizzo and Székely (2010): total dispersion less within, by g(A, B) = mean |a−b|."""
    pooled = np.concatenate([x, y])
    total = len(pooled) / 2 * euclidean_distances(pooled, pooled).mean()
    return float(total - sum(len(s) / 2 * euclidean_distances(s, s).mean() for s in (x, y)))


def unbiased(kernel: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    kx, ky, n, m = kernel(x, x), kernel(y, y), len(x), len(y)
    return float((kx.sum() - np.trace(kx)) / n / (n - 1) + (ky.sum() - np.trace(ky)) / m / (m - 1) - 2 * kernel(x, y).mean())


def biased(kernel: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


def loss(name: str) -> float:
    return float(geomloss.SamplesLoss(name, blur=0.7)(TX, TY))


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return polynomial_kernel(x, y, degree=3, gamma=1 / 3, coef0=1)


CASES: dict[str, tuple[Callable[[], float], dict[str, float], float]] = {
    "scipy": (lambda: scipy.stats.energy_distance(*(s[:, 0] for s in LINE)), {}, 1e-9),
    "dcor": (lambda: dcor.energy_distance(X, Y), {}, 1e-9),
    "dcor-u": (lambda: dcor.energy_distance(X, Y, estimation_stat="u_statistic"), {}, 1e-9),
    "dcor-test": (lambda: float(dcor.homogeneity.energy_test_statistic(X, Y)), {}, 1e-9),
    "r-energy": (lambda: e_statistic(X, Y), {}, 1e-9),
    "r-disco": (lambda: disco(X, Y), {}, 1e-9),
    "r-cramer": (lambda: e_statistic(X, Y) / 2, {}, 1e-9),
    "geomloss-energy": (lambda: loss("energy"), {}, 1e-4),
    "geomloss-gaussian": (lambda: loss("gaussian"), {"bandwidth": 0.7}, 2e-4),
    "geomloss-laplacian": (lambda: loss("laplacian"), {"bandwidth": 0.7}, 2e-4),
    "kid": (lambda: unbiased(cubic, X, Y), {}, 1e-9),
    "kid-1000": (lambda: 1000 * unbiased(cubic, X, Y), {}, 1e-9),
    "cmmd": (lambda: 1000 * biased(lambda a, b: rbf_kernel(a, b, gamma=1 / 200), X, Y), {}, 1e-9),
    "ignite": (lambda: math.sqrt(unbiased(lambda a, b: rbf_kernel(a, b, gamma=0.5), X, Y)), {}, 1e-9),
    "mmd": (lambda: math.sqrt(biased(lambda a, b: rbf_kernel(a, b, gamma=0.5), X, Y)), {"bandwidth": 1.0}, 1e-9),
}


@pytest.mark.parametrize("key", TABLE)
def test_each_convention_is_its_packages_and_back(key: str) -> None:
    x, y = LINE if key == "scipy" else (X, Y)
    if key == "pted":
        pted = pytest.importorskip("pted", reason="pted is in the extra 'bench'")
        theirs, fields, tolerance = float(pted.pted(X, Y, permutations=20, return_all=True)[0]), {}, 1e-6
    else:
        function, fields, tolerance = CASES[key]
        theirs = function()
    ours = TABLE[key].divergence(**fields).estimate(x, y).value
    assert convert(key, ours, 40, 50) == pytest.approx(theirs, rel=tolerance)
    assert restore(key, theirs, 40, 50) == pytest.approx(ours, rel=2 * tolerance)


def test_dcors_manual() -> None:
    a = np.arange(1.0, 17.0).reshape(4, 4)
    b = np.array([[1, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1.0]])
    for exponent, printed in ((1.0, 20.5780594), (1.5, 99.7863955)):
        ours = dk.get("energy", exponent=exponent, unbiased=False).estimate(a, b).value
        assert ours == pytest.approx(printed, abs=1e-7)
        assert ours == pytest.approx(dcor.energy_distance(a, b, exponent=exponent), rel=1e-12)


def test_scipys_manual() -> None:
    for x, y, w, v, printed in (
        ([0], [2], None, None, 2.0),
        ([0, 8], [0, 8], [3, 1], [2, 2], 1.0),
        ([0.7, 7.4, 2.4, 6.8], [1.4, 8.0], [2.1, 4.2, 7.4, 8.0], [7.6, 8.8], 0.88003340976158217),
    ):
        p, q = (dk.Measure(np.array(s, dtype=float), t) for s, t in ((x, w), (y, v)))
        value = TABLE["scipy"].divergence().estimate(p, q).value
        assert convert("scipy", value, len(x), len(y)) == pytest.approx(printed, rel=1e-12)


def test_r_energys_manual() -> None:
    """``edist(iris[,1:4], c(50,50,50))``."""
    flowers = load_iris().data
    for i, j, printed in ((0, 1, 123.55381), (0, 2, 195.30396), (1, 2, 38.85415)):
        x, y = (flowers[50 * k : 50 * k + 50] for k in (i, j))
        value = TABLE["r-energy"].divergence().estimate(x, y).value
        assert convert("r-energy", value, 50, 50) == pytest.approx(printed, abs=5e-6)


def test_ignites_manual() -> None:
    """Printed from float32."""
    x = [
        [-0.80324818, -0.95768364, -0.03807209],
        [-0.11059691, -0.38230813, -0.4111988],
        [-0.8864329, -0.02890403, -0.60119252],
        [-0.68732452, -0.12854739, -0.72095073],
        [-0.62604613, -0.52368328, -0.24112842],
    ]
    y = [
        [0.0686768, 0.80502737, 0.53321717],
        [0.83849465, 0.59099726, 0.76385441],
        [0.68688272, 0.56833803, 0.98100778],
        [0.55267761, 0.13084654, 0.45382906],
        [0.0754253, 0.70317304, 0.4756805],
    ]
    value = TABLE["ignite"].divergence().estimate(x, y).value
    assert convert("ignite", value, 5, 5) == pytest.approx(1.072697639465332, rel=2e-7)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown convention 'sas'; known are scipy, dcor"):
        convert("sas", 1.0, 2, 2)
    with pytest.raises(ValueError, match="is a root and cannot be -1"):
        restore("scipy", -1.0, 2, 2)
    with pytest.raises(ValueError, match="n must be a whole number of at least 1; got 0"):
        convert("scipy", 1.0, 0, 2)
    assert convert("scipy", -1e-9, 2, 2) == 0.0
