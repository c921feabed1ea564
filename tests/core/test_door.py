"""What is accepted where a divergence is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import divkit as dk

X = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1

NAMED = {
    "record": (lambda: dk.fdiv.KL, "kl"),
    "record with a parameter": (lambda: dk.fdiv.weighted_js(0.3), "weighted-js:weight=.3"),
    "dual": (lambda: dk.fdiv.Bound(dk.fdiv.JS), "js"),
    "dual with a parameter": (lambda: dk.fdiv.Renyi(0.5), "renyi:order=.5"),
    "dual with critics of its own": (lambda: dk.critic.Kantorovich(), "w1-dual"),
    "kernel": (lambda: dk.kernels.Gaussian(), "mmd"),
    "divergence": (lambda: dk.get("w2"), "w2"),
}


@pytest.mark.parametrize("kind", list(NAMED))
def test_what_makes_a_divergence_is_taken_for_one(kind: str) -> None:
    make, name = NAMED[kind]
    assert dk.estimate(make(), X, Y).value == dk.estimate(name, X, Y).value
    assert float(dk.Criterion(make())(X, Y)) == float(dk.Criterion(name)(X, Y))


@pytest.mark.parametrize("kind", ["record", "kernel", "divergence"])
def test_tests_and_comparisons_take_it_too(kind: str) -> None:
    make, name = NAMED[kind]
    assert dk.test(make(), X, Y, permutations=39).pvalue == dk.test(name, X, Y, permutations=39).pvalue
    rows = [dk.compare(X, Y, [divergence]).rows[0] for divergence in (make(), name)]
    assert rows[0].estimate is not None and rows[1].estimate is not None
    assert rows[0].estimate.value == rows[1].estimate.value
    assert dk.closer(make(), X, Y, X + 0.1).verdict() == dk.closer(name, X, Y, X + 0.1).verdict()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dk.estimate(dk.fdiv.Renyi, X, Y), r"a record, dual or kernel that makes one; got \w+\."),
        (lambda: dk.estimate(dk.fdiv.KL, X, Y, folds=3), r"fields \(folds\) go with a name"),
        (lambda: dk.estimate(dk.Criterion("kl"), X, Y), "that makes one; got Criterion"),
        (lambda: dk.get("mmd:kernel=gauss"), "kernel"),
        (lambda: dk.get("mmd:bandwidth=wide"), "option value 'wide' is neither a number"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_an_estimate_is_a_number_where_one_is_wanted() -> None:
    assert float(dk.estimate("w2", [0.0, 1.0], [1.0, 2.0])) == 1.0
