"""Classifiers as logits: values, weights, calibration, refusals."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.distributions import Normal

import divkit as dk
from divkit.fdiv import JS, KL, TABLE, Classifier


def shifted(n: int, m: int, shift: float = 1.0, d: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator)
    x[:, 0] += shift
    return x, torch.randn(m, d, generator=generator)


def test_one_boosted_logit_serves_the_whole_table() -> None:
    """Twelve values within four standard errors and 3 % of the truth, which none exceeds by more."""
    x, y = shifted(1500, 2000)
    assert len({dk.get(f"{name}-classifier").problem for name in TABLE}) == 1
    solution = None
    for name in TABLE:
        if name in ("pearson", "neyman"):
            continue  # whose error at this distance is not normal
        e = dk.get(f"{name}-classifier").estimate(x, y, solution=solution)
        solution = e.solution
        truth = dk.exact(name, Normal(1.0, 1.0), Normal(0.0, 1.0))
        assert e.name == f"{name}-classifier"
        assert abs(e.value - truth) < 4 * e.stderr + 0.03 * abs(truth)


def test_boosting_is_indifferent_to_the_columns_scales() -> None:
    x, y = shifted(600, 600, d=3)
    scale = torch.tensor([1e-6, 1.0, 1e6])
    plain, scaled = (dk.estimate("js-classifier", a, b).value for a, b in ((x, y), (x * scale, y * scale)))
    assert scaled == pytest.approx(plain, abs=0.02)  # bins are cut by rounded thresholds


def test_any_classifier_with_probabilities() -> None:
    x, y = shifted(1000, 800)
    for classifier in (LogisticRegression(), KNeighborsClassifier(50)):
        e = Classifier(KL, classifier).estimate(x, y)
        assert abs(e.value - 0.5) < 4 * e.stderr + 0.015
        assert type(classifier).__name__ in e.settings["classifier"]
        assert not hasattr(classifier, "classes_")  # it was cloned


def test_weights_are_importance_weights() -> None:
    x, y = shifted(3000, 3000, 0.0)
    weights = torch.exp(0.5 * x[:, 0] - 0.125)
    e = Classifier(KL, LogisticRegression()).estimate(dk.Measure(x, weights), y)
    assert abs(e.value - 0.125) < 4 * e.stderr
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no weights"):
        Classifier(KL, KNeighborsClassifier()).estimate(dk.Measure(x, weights), y)


def test_the_same_seed_gives_the_same_number() -> None:
    x, y = shifted(200, 200)
    values = [dk.get("js-classifier", seed=seed).estimate(x, y).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_p_values_hold_their_level_and_have_power() -> None:
    """Forty tests at P = Q: more than nine below .1 would happen once in a thousand runs."""
    quick = Classifier(JS, LogisticRegression())
    below = sum(dk.test(quick, *shifted(40, 40, 0.0, seed=seed), permutations=39).pvalue < 0.1 for seed in range(40))
    assert below <= 9
    assert dk.test(quick, *shifted(60, 60, 2.0), permutations=99).pvalue == 0.01


def test_refusals() -> None:
    for wrong in (LinearSVC(), LogisticRegression, "logistic"):
        with pytest.raises(TypeError, match="scikit-learn classifier with predict_proba"):
            Classifier(KL, wrong)
    with pytest.raises(ValueError, match="folds must be a whole number of at least 2"):
        Classifier(KL, folds=1)
    x, y = shifted(30, 30)
    with pytest.raises(ValueError, match="js-classifier has no gradient in the points; use js"):
        dk.get("js-classifier").loss(x.requires_grad_(), y)
    with pytest.raises(ValueError, match="minimum of 10 is required"):
        dk.estimate("kl-classifier", x.detach()[:8], y)
