"""The permutation test: its level, its p-values on paper, what it refuses, what it leaves alone."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit.core.estimate import Bias, Solution, Terms
from divkit.data.measure import Measure
from divkit.testing.labels import Relabelling
from divkit.testing.permutation import Draws, PermutationSettings, permutation_test


def normal(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class MeanGap(dk.Divergence):
    """Difference of means, signed: a statistic one can work out on paper, by the default loop over relabellings."""

    broken: bool = False

    @property
    def bias(self) -> Bias:
        return Bias.NONE

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        sign = math.nan if self.broken else 1.0
        return Terms(sign * x.flat[:, 0].double(), -y.flat[:, 0].double())


@pytest.mark.parametrize("name", ["energy", "mmd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_level_with_ties(name: str, dtype: torch.dtype) -> None:
    """Bernoulli(.05), n = m = 15: at most 5 % + 2 s.e. of rejections. The seeds are fixed."""
    seeds, rejected = 200, 0
    generator = torch.Generator().manual_seed(1)
    for seed in range(seeds):
        x, y = ((torch.rand(15, 1, generator=generator) < 0.05).to(dtype) for _ in range(2))
        rejected += dk.test(name, x, y, permutations=99, seed=seed).pvalue <= 0.05
    assert rejected / seeds <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / seeds)


def test_level_without_ties() -> None:
    """200 normal pairs, α = .1: between 10 % − 3 s.e. and 10 % + 3 s.e. of rejections."""
    seeds = 200
    rejected = sum(
        dk.test("energy", normal(12, seed=2 * s), normal(9, seed=2 * s + 1), permutations=99, seed=s).pvalue <= 0.1
        for s in range(seeds)
    )
    assert abs(rejected / seeds - 0.1) <= 3 * math.sqrt(0.1 * 0.9 / seeds)


def test_power() -> None:
    assert dk.test("energy", normal(40), normal(40, seed=1, shift=1.0)).pvalue == 0.001


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["energy", "mmd", "w2", "sliced-w2"])
def test_equal_points_give_one(name: str, dtype: torch.dtype) -> None:
    x = torch.full((8, 3), 0.3, dtype=dtype)
    assert dk.test(name, x, x[:5], permutations=20).pvalue == 1.0


def test_discrete_pvalue_is_hypergeometric() -> None:
    """Of 0/1 data in float32 the statistic depends on the count alone, so that every tie must be seen as one."""
    x, y = torch.zeros(8, 1), torch.zeros(7, 1)
    x[:5], y[:2] = 1.0, 1.0
    observed = dk.test("mmd", x, y, permutations=10_000)
    pooled = torch.cat([x, y])[:, 0].numpy()
    # the statistic from scratch, in exact arithmetic up to rounding at 1e-12
    values = np.array([_mmd_of_counts(pooled[list(rows)].sum(), pooled.sum(), 8, 7) for rows in combinations(range(15), 8)])
    assert observed.exhaustive
    assert observed.permutations + 1 == math.comb(15, 8)
    assert observed.pvalue == (values >= values[0] - 1e-12).mean()


def _mmd_of_counts(ones_x: float, ones: float, n: int, m: int) -> float:
    ones_y, k = ones - ones_x, math.exp(-0.5)  # the median distance is 1
    own = [(c * (c - 1) + (s - c) * (s - c - 1) + 2 * c * (s - c) * k) / (s * (s - 1)) for c, s in ((ones_x, n), (ones_y, m))]
    cross = (ones_x * ones_y + (n - ones_x) * (m - ones_y) + k * (ones_x * (m - ones_y) + ones_y * (n - ones_x))) / (n * m)
    return float(sum(own) - 2 * cross)


def test_exhaustive_by_hand() -> None:
    """{3, 4} against {1, 2}: the largest of six gaps of means."""
    with pytest.warns(UserWarning, match=r"no p-value below 0.167 is possible with 6 relabellings; more samples are needed"):
        result = dk.test(MeanGap(), [3.0, 4.0], [1.0, 2.0])
    assert (result.pvalue, result.permutations, result.exhaustive, result.statistic) == (1 / 6, 5, True, 2.0)
    assert result.notes == ("no p-value below 0.167 is possible with 6 relabellings, all that the samples admit",)
    with pytest.warns(UserWarning, match="no p-value below 0.05 "):
        assert dk.test("energy", normal(3), normal(3, seed=1)).exhaustive


def test_few_permutations_warn() -> None:
    with pytest.warns(UserWarning, match=r"no p-value below 0.1 is possible with 10 relabellings; raise permutations"):
        result = dk.test("energy", normal(20), normal(20, seed=1), permutations=9)
    assert (result.exhaustive, result.notes) == (False, ())


def test_default_loop_agrees_with_the_streamed_product() -> None:
    x, y = normal(14), normal(11, seed=1, shift=0.5)

    class Slow(type(dk.get("energy"))):  # type: ignore[misc]
        null = dk.Divergence.null

    assert dk.test(Slow(), x, y, permutations=60).pvalue == dk.test("energy", x, y, permutations=60).pvalue


@pytest.mark.parametrize("labels", [1, 30 * 7, 1 << 22])
def test_batches_change_nothing(labels: int) -> None:
    x, y = Measure(normal(16)), Measure(normal(14, seed=1, shift=0.3))
    whole = dk.test("energy", x, y, permutations=50)
    draws = Draws(50, settings=PermutationSettings(labels=labels))
    parts = permutation_test("energy", dk.get("energy"), x, y, Relabelling.of(x, y), draws)
    assert parts.pvalue == whole.pvalue
    assert parts.statistic == pytest.approx(whole.statistic, rel=1e-12)
    assert dk.test("energy", x, y, permutations=50, seed=1) != whole


def test_memory_is_bounded() -> None:
    """A billion permutations start at once: labels come in batches, and progress can stop them."""

    class Enough(Exception):
        pass

    def stop(done: int) -> None:
        assert done <= PermutationSettings().labels // 1200
        raise Enough

    with pytest.raises(Enough):
        dk.test("energy", normal(600), normal(600, seed=1), permutations=10**9, progress=stop)


def test_progress_adds_up() -> None:
    done: list[int] = []
    dk.test(MeanGap(), normal(30), normal(30, seed=1), permutations=70, progress=done.append)
    assert done == [32, 32, 6]


def test_state_is_left_alone() -> None:
    x = normal(20).requires_grad_()
    before = x.detach().clone()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with torch.inference_mode():
        inside = dk.test("energy", x.detach(), normal(20, seed=1), permutations=20)
    assert dk.test("energy", x, normal(20, seed=1), permutations=20) == inside
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(x.detach(), before)
    assert x.grad is None


def test_default_device_and_dtype() -> None:
    x, y = normal(12), normal(12, seed=1)
    plain = [dk.test(d, x, y, permutations=20) for d in ("energy", MeanGap())]
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        assert [dk.test(d, x, y, permutations=20) for d in ("energy", MeanGap())] == plain
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": normal(1)}, r"Found array with 1 sample\(s\) while a minimum of 2 is required: x for a test"),
        ({"y": normal(1)}, r"a minimum of 2 is required: y"),
        ({"x": Measure([1.0, 2.0, 3.0], [1, 2, 3]), "y": [1.0, 2.0]}, "x has weights: weighted rows are not exchangeable"),
        ({"permutations": 0}, "permutations must be a whole number of at least 1; got 0"),
        ({"permutations": -5}, "permutations must be a whole number"),
        ({"permutations": 2.5}, "permutations must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"divergence": MeanGap(broken=True)}, r"MeanGap is NaN under 21 of 21 relabellings; no p-value can be had"),
        ({"divergence": "enrgy"}, "unknown divergence 'enrgy'; did you mean energy"),
        ({"divergence": "Adaptiv"}, "unknown test 'Adaptiv'; did you mean adaptive"),
        ({"divergence": "adaptive:width=3"}, "test 'adaptive' has no option width; it has bandwidths, sharpness."),
        ({"divergence": "c2st:blocks"}, "in 'c2st:blocks' the option 'blocks' has no value"),
        ({"divergence": "c2st:blocks=1"}, "blocks must be a whole number of at least 2; got 1"),
        ({"divergence": 3}, "a record, dual or kernel that makes one; got int"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    call = {"divergence": "w2", "x": normal(9), "y": normal(9, seed=1), "permutations": 20, **arguments}
    with pytest.raises((ValueError, TypeError), match=message):
        dk.test(call.pop("divergence"), call.pop("x"), call.pop("y"), **call)


def test_sentence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = dk.test("energy", normal(30), normal(20, seed=1), permutations=99)
    sentence = result.sentence()
    assert str(result) == sentence
    assert sentence.startswith("energy = ")
    assert "between 30 and 20 samples" in sentence
    assert "100 relabellings" in sentence
