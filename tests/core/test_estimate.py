"""Estimates: their intervals, roots and differences, and what of them ends in a file."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearson3
from torch import Tensor

import divkit as dk
from divkit.core.estimate import Bias, Estimate, Solution, Status, Terms
from divkit.core.uncertainty import Remainder, covariance
from divkit.data.measure import Measure


def normal(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SOLVED = Solution()


def made(x: Measure, y: Measure, bias: Bias = Bias.NONE, solution: Solution = SOLVED, **terms: Any) -> Estimate:
    """The estimate of E x − E y of first coordinates."""
    found = Terms(x.flat[:, 0], -y.flat[:, 0], Remainder(**terms))
    return Estimate.of("gap", x, y, found, solution, bias=bias, settings={})


def test_stderr_is_the_formula_of_a_difference_of_means() -> None:
    x, y = normal(30), normal(20, seed=1)
    e = made(Measure(x), Measure(y), noise=0.3)
    expected = float(x[:, 0].var() / 30 + y[:, 0].var() / 20 + 0.09) ** 0.5
    assert e.value == pytest.approx(float(x[:, 0].mean() - y[:, 0].mean()))
    assert e.stderr == pytest.approx(expected, rel=1e-12)
    assert e.ci(0.6826894921370859) == pytest.approx((e.value - expected, e.value + expected))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_stderr_has_no_scale(scale: float) -> None:
    x, y = normal(30), normal(20, seed=1)
    assert made(Measure(scale * x), Measure(scale * y)).stderr == pytest.approx(scale * made(Measure(x), Measure(y)).stderr)


@pytest.mark.parametrize("change", ["order", "weights"])
def test_rows_in_another_order_or_weighted_otherwise_are_another_sample(change: str) -> None:
    x, y, w = normal(30), normal(20, seed=1), torch.linspace(1, 2, 30)
    other = Measure(x.flip(0), w) if change == "order" else Measure(x, w.flip(0))
    first, second = made(Measure(x, w), Measure(y)), made(other, Measure(y))
    alone = [float(torch.linalg.vector_norm(e.uncertainty.shares[0].values)) for e in (first, second)]
    assert (first - second).stderr == pytest.approx(math.hypot(*alone))  # y is shared, and cancels


def test_weighted_stderr_is_that_of_kish() -> None:
    """Twice a row is not half a weight: importance weights of two equal halves leave the effective size."""
    x, y = normal(30), normal(20, seed=1)
    w = torch.cat([torch.full((15,), 3.0), torch.zeros(15)]).double()
    weighted, dropped = made(Measure(x, w), Measure(y)), made(Measure(x[:15]), Measure(y))
    assert weighted.stderr == pytest.approx(dropped.stderr, rel=1e-12)


def test_second_order_takes_over_where_the_first_vanishes() -> None:
    x, y = Measure(normal(30)), Measure(normal(20, seed=1))
    first = made(x, y).stderr
    assert made(x, y, second_order=first / 2).stderr == pytest.approx(first * math.sqrt(0.75))
    assert made(x, y, second_order=2 * first).stderr == pytest.approx(2 * first)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("second", [0.05, 0.5])
def test_interval_inverts_its_test(second: float, scale: float) -> None:
    """Each end is the E whose law has the value at a tail: E's upper quantile by scipy's Pearson III, E's lower one normal."""
    x, y = Measure(normal(30, shift=1.0)), Measure(normal(20, seed=1))
    plain = made(x, y)
    first, value, growth, z = plain.stderr, plain.value, 0.3, 1.959963984540054
    e = made(Measure(scale * x.flat), Measure(scale * y.flat), second_order=scale * second, growth=scale * growth)
    low, high = (end / scale for end in e.ci())
    kappa = (max(first**2 - second**2, 0) + 0.3 * growth * second) / (value + second)
    assert high - value == pytest.approx(z * math.sqrt(kappa * high + second**2), rel=1e-9)
    if second > first:  # too near zero to exclude it
        assert low == 0.0
        return
    deviation = math.sqrt(kappa * low + second**2)
    skew = (growth * second**2 + 1.5 * kappa**2 * low) / deviation**3
    assert low + deviation * pearson3.ppf(0.975, skew) == pytest.approx(value, rel=1e-9)


def test_interval_knows_that_a_squared_norm_is_not_negative() -> None:
    x, y = Measure(normal(30)), Measure(normal(20, seed=1))
    above, below = (made(a, b, second_order=1.0) for a, b in ((x, y), (y, x)))
    above, below = sorted((above, below), key=lambda e: -e.value)
    assert above.ci()[0] == 0.0
    assert below.ci()[0] == below.value < 0 < below.ci()[1]


def test_levels() -> None:
    e = made(Measure(normal(30)), Measure(normal(20, seed=1)))
    assert e.ci(0.99)[0] < e.ci()[0] < e.value < e.ci()[1] < e.ci(0.99)[1]
    for level in (0, 1, 95, -0.5, math.nan, "high"):
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            e.ci(level)  # type: ignore[arg-type]


def test_root() -> None:
    e = dk.estimate("w2", normal(40), normal(30, seed=1, shift=1.0))
    root = e.root()
    assert root.name == "w2^(1/2)"
    assert root.value == pytest.approx(math.sqrt(e.value))
    assert root.stderr == pytest.approx(e.stderr / 2 / root.value)
    assert root.ci() == pytest.approx([math.sqrt(end) for end in e.ci()])
    assert root.bias is Bias.ABOVE
    assert e.root(1).value == e.value
    energy = dk.estimate("energy", normal(200), normal(200, seed=1))
    assert energy.ci()[0] == 0.0
    assert energy.root().ci()[0] == 0.0
    assert energy.root().bias is Bias.UNKNOWN
    below = made(Measure([0.0, 1.0]), Measure([4.0, 5.0]), bias=Bias.BELOW).root()
    assert (below.value, below.bias) == (0.0, Bias.BELOW)
    assert math.isnan(below.stderr)
    for p in (0.5, 0, -1, math.nan, "two"):
        with pytest.raises(ValueError, match="p must be a finite number of at least 1"):
            e.root(p)  # type: ignore[arg-type]


@pytest.mark.parametrize("shared", ["both", "x", "none"])
def test_difference_knows_shared_samples(shared: str) -> None:
    """The mean stated error against the spread over 300 draws: within 15 %, four standard errors of such a ratio."""
    values, errors, apart = [], [], []
    for seed in range(300):
        g = torch.Generator().manual_seed(seed)
        x, y, z, u = (torch.randn(40, 1, generator=g, dtype=torch.float64) for _ in range(4))
        other = {"both": (x, y), "x": (x, z), "none": (u, z)}[shared]
        first, second = dk.estimate("w2", x + 3, y), dk.estimate("w1", other[0] + 3, other[1])
        difference = first - second
        values.append(difference.value)
        errors.append(difference.stderr)
        apart.append(math.hypot(first.stderr, second.stderr))
    ratio = float(np.mean(errors) / np.std(values))
    assert abs(ratio - 1) < 0.15
    assert (np.mean(errors) < 0.95 * np.mean(apart)) == (shared != "none")


def test_difference_of_itself_is_nothing() -> None:
    x, y = normal(40), normal(30, seed=1, shift=1.0)
    zero = dk.estimate("w2", x, y) - dk.estimate("w2", x.clone(), y.clone())
    assert (zero.value, zero.stderr) == (0.0, 0.0)
    assert zero.name == "w2 − w2"
    # nor do huge samples pass for the same one
    apart = dk.estimate("w1", x * 1e307, y * 1e307) - dk.estimate("w1", x.flip(1) * 1e307, y * 1e307)
    assert apart.stderr > 0


@pytest.mark.parametrize("name", ["energy", "mmd:bandwidth=1.5", "sliced-energy:projections=5"])
def test_what_lies_within_a_shared_sample_cancels_in_a_difference(name: str) -> None:
    """At P = Q the variances within x, within y and across are 2/n² + 2/m² + 4/nm; that within x is in both."""
    (n, x), m = (50, normal(50)), 200
    a, b = (dk.estimate(name, x, normal(m, seed=seed)) for seed in (1, 2))
    apart, unrelated = (a - b).second_order, math.hypot(a.second_order, b.second_order)
    expected = (2 / m**2 + 4 / (n * m)) / (2 / n**2 + 2 / m**2 + 4 / (n * m))
    assert (apart / unrelated) ** 2 == pytest.approx(expected, rel=0.15)
    swapped = dk.estimate(name, normal(m, seed=1), x) - dk.estimate(name, normal(m, seed=2), x)
    assert swapped.second_order == pytest.approx(apart, rel=1e-6)
    other = dk.estimate(name, normal(n, seed=3), normal(m, seed=2))
    assert (a - other).second_order == pytest.approx(math.hypot(a.second_order, other.second_order), rel=1e-12)
    assert (a - a).stderr == pytest.approx(a.noise * math.sqrt(2), rel=1e-6, abs=1e-9)


def test_difference_in_words() -> None:
    x, y = Measure(normal(40)), Measure(normal(30, seed=1))
    unsolved = made(x, y, solution=Solution(status=Status.MAX_STEPS))
    assert not (made(x, y) - unsolved).converged
    assert not (unsolved - made(x, y)).converged
    assert (made(x, y) - made(y, x)).bias is Bias.NONE
    assert (made(x, y) - made(x, y, Bias.ABOVE)).bias is Bias.UNKNOWN
    second = made(x, y, second_order=1.0) - made(y, x)
    assert second.ci() == pytest.approx((second.value - 1.959964 * second.stderr, second.value + 1.959964 * second.stderr))
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = made(x, y) - 1.0


def test_one_sample_has_no_error_and_says_so() -> None:
    for x in (Measure([[1.0]]), Measure([[1.0], [2.0]], [1.0, 0.0])):
        e = made(x, Measure(normal(5)))
        assert math.isnan(e.stderr)
        assert e.notes["stderr"].startswith("no standard error from 1 sample with weight; a minimum of 2")
        assert all(math.isnan(end) for end in (*e.ci(), *e.root().ci()))


def test_masses_that_differ_are_noted() -> None:
    x, y = normal(4), normal(3)
    assert made(Measure(x, np.full(4, 2.0)), Measure(y)).notes["mass"] == (
        "the weights sum to 8 and 1; both were normalised to one"
    )
    off = torch.full((4,), 0.25) * (1 + 1e-6)
    assert "mass" not in made(Measure(x, off), Measure(y)).notes


def test_to_dict_is_valid_json() -> None:
    x, y = normal(1), normal(5, seed=1)
    record = json.loads(json.dumps(dk.estimate("w2", x, y).to_dict(), allow_nan=False))
    assert record["stderr"] is None
    assert record["ci"] == [None, None]
    assert record["notes"]["stderr"].startswith("no standard error")
    assert record["bias"] == Bias.ABOVE.value
    assert (record["n"], record["m"], record["converged"]) == (1, 5, True)
    assert record["lower"] == pytest.approx(record["value"])
    broken = made(Measure(normal(3)), Measure(y), solution=Solution(status=Status.NONFINITE, error=math.inf, upper=math.nan))
    record = json.loads(json.dumps(broken.to_dict(), allow_nan=False))
    assert (record["error"], record["upper"], record["lower"]) == (None, None, None)
    assert record["status"] == Status.NONFINITE.value
    for name in ("energy", "mmd", "sinkhorn", "sliced-w2", "kl-knn"):
        json.dumps(dk.estimate(name, normal(20), normal(20, seed=1)).to_dict(), allow_nan=False)


def test_influence_adds_up() -> None:
    e = dk.estimate("energy", normal(20), normal(30, seed=1))
    assert [len(part) for part in e.influence] == [20, 30]
    assert float(sum(part.mean() for part in e.influence)) == pytest.approx(e.value)


def test_shown_in_few_words() -> None:
    """A solved problem's tensors are no answer; what marks the value is part of it."""
    x, y = Measure(normal(30)), Measure(normal(20, seed=1))
    state = {"critic": torch.arange(1000.0)}
    e = made(x, y, Bias.BELOW, Solution(state=state, status=Status.MAX_STEPS, steps=3))
    assert str(e) == f"gap = {e.value:.4g} ± {e.stderr:.2g}, a lower bound in expectation, {Status.MAX_STEPS.value}"
    assert len(repr(e)) < 500
    assert Status.MAX_STEPS.value in repr(e)


def test_joint_covariance_of_estimates_that_share_samples() -> None:
    """Against the spread over draws: a bound at four standard errors of a covariance of 400 draws."""
    values, predicted = [], []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        x, y, z = (torch.randn(60, 1, generator=generator, dtype=torch.float64) + shift for shift in (0.0, 1.0, 2.0))
        pair = [made(Measure(x), Measure(other)) for other in (y, z)]
        values.append([e.value for e in pair])
        predicted.append(covariance([e.uncertainty for e in pair]))
    found, wanted = np.cov(np.array(values).T), np.mean(predicted, 0)
    assert np.abs(found - wanted).max() < 4 * math.sqrt(2 / 400) * wanted.max()
    assert wanted[0, 1] == pytest.approx(1 / 60, rel=0.05)  # the variance of the shared mean


def test_joint_covariance_agrees_with_differences() -> None:
    x, y, z = (normal(40, seed=seed) for seed in range(3))
    estimates = [dk.estimate(name, x, other) for name in ("energy", "w1") for other in (y, z)]
    joint = covariance([e.uncertainty for e in estimates])
    assert np.sqrt(joint.diagonal()) == pytest.approx([e.stderr for e in estimates])
    for i, j in ((0, 1), (0, 2), (1, 3)):
        difference = (estimates[i] - estimates[j]).stderr
        assert joint[i, i] + joint[j, j] - 2 * joint[i, j] == pytest.approx(difference**2)


def test_a_multiple_of_an_estimate_has_a_multiple_of_its_error() -> None:
    x, y = normal(50, shift=0.5), normal(40, seed=1)
    error = dk.estimate("energy", x, y).uncertainty
    for factor in (3.0, 0.25):
        low, high = error.interval(1.0, 0.9)
        assert error.times(factor).stderr == pytest.approx(factor * error.stderr, rel=1e-12)
        assert error.times(factor).interval(factor, 0.9) == pytest.approx((factor * low, factor * high), rel=1e-9)
    assert error.times(-1.0).stderr == error.stderr


def test_parts_of_the_error_may_be_given_by_keyword() -> None:
    a, b = torch.ones(3), torch.zeros(2)
    rest = Remainder(second_order=0.5, within=(0.3, 0.2), growth=2.0, noise=0.1)
    terms = Terms(a, b, second_order=0.5, own=(0.3, 0.2), growth=2.0, noise=0.1)
    assert terms.rest == rest
    assert isinstance(terms._replace(notes={"mass": "said"}), Terms)
    with pytest.raises(TypeError, match="noise are parts of rest"):
        Terms(a, b, rest, noise=0.1)
