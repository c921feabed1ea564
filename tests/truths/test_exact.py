"""The door of `exact`: names, fields, shapes, and every refusal in words."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
import torch.distributions as td

import divkit.truths
from divkit.truths import exact, names

from .conftest import f64, law

P, Q = law(td.Normal, 1, 1), law(td.Normal, 0, 1)
PLANE = law(td.MultivariateNormal, [0, 0], [[1, 0.5], [0.5, 1]])
OTHER = law(td.MultivariateNormal, [0, 0], [[2, 0], [0, 3]])


def test_nothing_else_of_the_library_is_imported() -> None:
    for path in Path(divkit.truths.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
            assert all(f"{module}.".startswith("divkit.truths.") for module in modules if module.startswith("divkit"))


def test_aliases() -> None:
    pairs = [("kl-dv", "kl"), ("kl-knn", "kl"), ("pearson-hcr", "pearson"), ("js-classifier", "js"), ("w1-dual", "w1")]
    for alias, name in pairs:
        assert exact(alias, P, Q) == exact(name, P, Q)
    assert exact("renyi-knn", P, Q, order=2) == exact("renyi", P, Q, order=2) == pytest.approx(1.0)
    assert exact("alpha-classifier", P, Q, order=0.5) == exact("alpha", P, Q, order=0.5)


def test_names_are_known() -> None:
    fields = {"order": 0.5, "weight": 0.3, "bandwidth": 1.0, "epsilon": 0.5}
    takes = {"alpha": "order", "renyi": "order", "weighted-js": "weight", "mmd": "bandwidth", "mmd-laplace": "bandwidth"}
    takes |= {"entropic-ot": "epsilon", "sinkhorn": "epsilon"}
    for name in names():
        chosen = {takes[name]: fields[takes[name]]} if name in takes else {}
        assert math.isfinite(exact(name, P, Q, **chosen))


def test_float32_parameters_and_logits() -> None:
    assert exact("js", td.Normal(1.0, 1.0), td.Normal(0.0, 1.0)) == exact("js", P, Q)
    coin = td.Bernoulli(logits=torch.tensor(20.0))
    assert exact("kl", coin, law(td.Bernoulli, 0.5)) == pytest.approx(math.log(2) - 21 * math.exp(-20), rel=1e-9)
    factor = td.LowRankMultivariateNormal(f64([0.0, 0.0]), f64([[0.5], [0.5]]), f64([0.75, 0.75]))
    square = law(td.MultivariateNormal, [0, 0], [[1, 0.25], [0.25, 1]])
    assert exact("kl", factor, PLANE) == pytest.approx(exact("kl", square, PLANE), rel=1e-12)
    root = td.MultivariateNormal(f64([0.0, 0.0]), scale_tril=torch.linalg.cholesky(square.covariance_matrix))
    assert exact("kl", root, square) == pytest.approx(0.0, abs=1e-12)


def test_event_shapes_of_more_axes() -> None:
    wide = td.Independent(law(td.Laplace, [[0, 1], [2, 3]], [[1, 1], [1, 1]]), 2)
    flat = td.Independent(law(td.Laplace, [[0, 0], [0, 0]], [[1, 1], [1, 1]]), 2)
    expected = sum(exact("kl", law(td.Laplace, k, 1), law(td.Laplace, 0, 1)) for k in range(4))
    assert exact("kl", wide, flat) == pytest.approx(expected)


REFUSALS = [  # name, p, q, fields, words
    ("kk", P, Q, {}, "no exact value is known by the name 'kk'; known are alpha, .*w2"),
    ("KL", P, Q, {}, r"did you mean kl\?"),
    ("squared-helinger", P, Q, {}, "did you mean squared-hellinger"),
    ("js", P, Q, {"order": 2.0}, "does not know the field 'order'; it takes no field"),
    ("skew-kl", P, Q, {"wieght": 0.3}, "it takes weight"),
    ("alpha", P, Q, {}, "needs the field order"),
    ("mmd", P, Q, {}, "needs the field bandwidth"),
    ("renyi", P, Q, {"order": 1.0}, "order 1 is kl"),
    ("renyi", P, Q, {"order": -1.0}, "must be positive"),
    ("alpha", P, Q, {"order": math.nan}, "order must be a finite number, got nan"),
    ("weighted-js", P, Q, {"weight": 0.0}, "between 0 and 1, got 0.0"),
    ("skew-kl", P, Q, {"weight": 1.0}, "below 1, got 1.0"),
    ("sinkhorn", P, Q, {"epsilon": 0.0}, "positive and finite, got 0.0"),
    ("kl", law(td.Normal, [0, 1], [1, 1]), Q, {}, r"p is a batch .*\(2,\).*Independent"),
    ("kl", P, law(td.Normal, [0, 1], [1, 1]), {}, "q is a batch"),
    ("kl", PLANE, Q, {}, r"same event shape, got \(2,\) and \(\)"),
    ("kl", law(td.VonMises, 0, 1), Q, {}, "VonMises is not known here; wanted one of Bernoulli"),
    ("kl", law(td.Poisson, 1), Q, {}, "kl: no closed form is known here for Lattice against Line"),
    ("js", PLANE, OTHER, {}, "js between Gaussians in 2 dimensions is known where they differ along one direction"),
    (
        "js",
        law(td.Dirichlet, [1, 2, 3]),
        law(td.Dirichlet, [2, 2, 2]),
        {},
        "js between Dirichlet laws is known for two",
    ),
    ("w1", PLANE, OTHER, {}, "known for equal covariances only"),
    ("w1", law(td.Poisson, 1), Q, {}, "w1: no closed form"),
    ("w2", law(td.Dirichlet, [1, 2]), PLANE, {}, "w2: no closed form"),
    ("energy", law(td.Poisson, 1), Q, {}, "energy: no closed form"),
    ("mmd", law(td.Laplace, 0, 1), Q, {"bandwidth": 1.0}, "mmd: no closed form is known here for Line"),
    ("entropic-ot", law(td.Laplace, 0, 1), Q, {"epsilon": 1.0}, "entropic-ot: no closed form"),
    ("gaussian-w2", law(td.Cauchy, 0, 1), Q, {}, "finite means and covariances"),
    ("pearson", law(td.Normal, 40, 1), Q, {}, "too large for float64 .*1600"),
    ("pearson", law(td.Laplace, 1000, 1), law(td.Laplace, 0, 1), {}, "too large for float64"),
    ("kl", law(td.StudentT, 2.01), Q, {}, "falls too slowly"),
    ("js", law(td.Gamma, 0.02, 1), law(td.Gamma, 1, 1), {}, "js: .*falls too slowly"),
    ("kl", law(td.Gamma, 0.02, 1), law(td.Gamma, 0.02, 1), {}, "p has mass 0.99999.*wanted 1"),
    ("js", law(td.Laplace, 1e-10, 1), law(td.Laplace, 0, 1), {}, "relative error of"),
    ("kl", law(td.Poisson, 1e9), law(td.Poisson, 2e9), {}, "reach to 2e.09, wanted at most 4194304"),
    ("w1", law(td.Poisson, 1e9), law(td.Poisson, 2e9), {}, "reach to 2e.09"),
    ("js", law(td.Laplace, 0, 1e-150), Q, {}, "scales, 1.39e-150 and 1.35, are too far apart"),
    ("kl", law(td.Normal, 0, 1e-200), Q, {}, "positive definite in float64"),
]


@pytest.mark.parametrize("name, p, q, fields, words", REFUSALS, ids=[f"{r[0]}-{k}" for k, r in enumerate(REFUSALS)])
def test_refusals(name: str, p: td.Distribution, q: td.Distribution, fields: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        exact(name, p, q, **fields)


def test_refusals_in_more_dimensions() -> None:
    solid = law(td.MultivariateNormal, [0, 0, 0], [[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    with pytest.raises(ValueError, match="sliced-w2 between Gaussians in 3 dimensions is known for proportional"):
        exact("sliced-w2", solid, law(td.MultivariateNormal, [0, 0, 0], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    needle = law(td.MultivariateNormal, [0, 0], [[1, 0], [0, 1e-14]])
    with pytest.raises(ValueError, match="average over angles did not converge"):
        exact("sliced-w2", needle, PLANE)
    counts = td.MixtureSameFamily(law(td.Categorical, [0.5, 0.5]), law(td.Poisson, [1, 2]))
    with pytest.raises(ValueError, match="mixture of discrete laws"):
        exact("kl", counts, law(td.Poisson, 1))


@pytest.mark.parametrize("name, p, q, fields, words", [
    ("kl", [0.0, 1.0], Q, {}, "p must be a torch.distributions.Distribution, got list"),
    ("kl", P, torch.zeros(3), {}, "q must be a torch.distributions.Distribution, got Tensor"),
    ("alpha", P, Q, {"order": "2"}, "order must be a number, got '2'"),
])  # fmt: skip
def test_wrong_types(name: str, p: td.Distribution, q: td.Distribution, fields: dict[str, float], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        exact(name, p, q, **fields)
