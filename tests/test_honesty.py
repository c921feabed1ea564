"""The standard error is the spread of the estimates: Monte-Carlo sd over mean stderr, for every name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable

import numpy as np
import pytest
import torch
from scipy.special import gamma, hyp1f1
from torch import Tensor
from traits import TRAITS

import divkit as dk
from divkit.data.measure import pair

SHORT = 60


def within(ratio: float, runs: int) -> bool:
    """[.8, 1.25], widened by three standard errors of a standard deviation from so many runs."""
    slack = 3 / math.sqrt(2 * runs) if runs < 200 else 0.0
    return 0.8 * (1 - slack) <= ratio <= 1.25 * (1 + slack)


def draw(n: int, m: int, shift: float, scale: float, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 + seed)
    x, y = torch.randn(n, 2, generator=generator), scale * torch.randn(m, 2, generator=generator)
    x[:, 0] += shift
    return x, y


EXACT = [name for name, traits in TRAITS.items() if not traits.learned]
LEARNED = [name for name, traits in TRAITS.items() if traits.learned]


@pytest.mark.parametrize("name", EXACT)
def test_spread_of_the_estimates(name: str) -> None:
    divergence = dk.get(name, **TRAITS[name].fields)
    estimates = [divergence.estimate(*draw(70, 90, 1.0, 1.2, seed)) for seed in range(SHORT)]
    assert within(spread_over_error(estimates), SHORT)
    assert all(e.converged for e in estimates)


def spread_over_error(estimates: list[dk.Estimate]) -> float:
    """The standard deviation of the values over the mean of the standard errors."""
    values, errors = torch.tensor([(e.value, e.stderr) for e in estimates], dtype=torch.float64).T
    return float(values.std() / errors.mean())


def learned(runs: int) -> dict[str, list[dk.Estimate]]:
    estimates: dict[str, list[dk.Estimate]] = {name: [] for name in LEARNED}
    divergences = {name: dk.get(name, **TRAITS[name].fields) for name in LEARNED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(runs):
            x, y = draw(250, 300, 0.5, 1.0, seed)
            solved: dict[Hashable, dk.Solution] = {}
            for name, divergence in divergences.items():
                if divergence.problem not in solved:
                    with torch.no_grad():
                        solved[divergence.problem] = divergence.solve(*pair(x, y))
                estimates[name].append(divergence.estimate(x, y, solution=solved[divergence.problem]))
    return estimates


def judge(estimates: dict[str, list[dk.Estimate]], runs: int) -> dict[str, float]:
    """The names whose ratio lies outside."""
    ratios = {name: spread_over_error(of_name) for name, of_name in estimates.items()}
    return {name: ratio for name, ratio in ratios.items() if not within(ratio, runs)}


def test_spread_of_the_learned_estimates() -> None:
    estimates = learned(30)
    assert judge(estimates, 30) == {}
    assert sum(e.converged for e in estimates["kl"]) >= 28


@pytest.mark.slow
def test_spread_of_the_learned_estimates_over_200_seeds() -> None:
    assert judge(learned(200), 200) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_spread_of_the_estimates_over_200_seeds(name: str) -> None:
    divergence = dk.get(name, **TRAITS[name].fields)
    estimates = [divergence.estimate(*draw(120, 160, 1.0, 1.2, seed)) for seed in range(200)]
    assert within(spread_over_error(estimates), 200)


def energy_of_a_shift(d: int, shift: float) -> float:
    """Of unit normals in d dimensions, by the mean of a noncentral chi law (a confluent hypergeometric function)."""

    def distance(mu: float) -> float:  # E|X − Y|, X − Y ~ N(μ, 2I)
        return 2 * gamma((d + 1) / 2) / gamma(d / 2) * float(hyp1f1(-0.5, d / 2, -(mu**2) / 4))

    return 2 * distance(shift) - 2 * distance(0.0)


def mmd_of_a_shift(d: int, shift: float, width: float) -> float:
    return 2 * (width**2 / (width**2 + 2)) ** (d / 2) * -math.expm1(-(shift**2) / (2 * (width**2 + 2)))


def covered(name: str, d: int, shift: float, runs: int) -> tuple[float, float]:
    """The share of 95 % intervals, n = 150, m = 250, that hold the truth; their median width over that of the estimates."""
    width = 1.2 if d == 1 else 4.5
    truth = energy_of_a_shift(d, shift) if name == "energy" else mmd_of_a_shift(d, shift, width)
    divergence = dk.get(name, **({} if name == "energy" else {"bandwidth": width}))
    values, ends = [], []
    for seed in range(runs):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(150, d, generator=generator), torch.randn(250, d, generator=generator)
        x[:, 0] += shift
        e = divergence.estimate(x, y)
        values.append(e.value)
        ends.append(e.ci())
    low, high = np.array(ends).T
    spread = np.quantile(values, 0.975) - np.quantile(values, 0.025)
    return float(np.mean((low <= truth) & (truth <= high))), float(np.median(high - low) / spread)


@pytest.mark.parametrize(("name", "d", "shift"), [("energy", 1, 0.0), ("mmd", 1, 0.3), ("energy", 1, 0.3), ("mmd", 10, 0.3)])
def test_intervals_cover_the_truth(name: str, d: int, shift: float) -> None:
    """Of 150 intervals at 95 % at most 24 miss: one run in three hundred would at a true coverage of 90 %."""
    share, width = covered(name, d, shift, 150)
    assert share >= 1 - 24 / 150
    assert width <= 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["energy", "mmd"])
@pytest.mark.parametrize("d", [1, 10])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 1.0])
def test_intervals_cover_the_truth_over_400_draws(name: str, d: int, shift: float) -> None:
    share, width = covered(name, d, shift, 400)
    assert share >= 0.9
    assert width <= 1.5


@pytest.mark.parametrize(("shift", "sizes"), [((0.3, 0.5), (60, 80, 100)), ((1.0, 1.0), (80, 60, 40))])
@pytest.mark.parametrize("name", ["energy", "mmd"])
def test_error_of_a_difference(name: str, shift: tuple[float, float], sizes: tuple[int, int, int]) -> None:
    """Two models against the same data, at different sizes: the mean stated error is the spread over 120 draws, within 25 %."""
    values, errors = [], []
    divergence = dk.get(name, **({} if name == "energy" else {"bandwidth": 1.5}))
    for seed in range(120):
        generator = torch.Generator().manual_seed(seed)
        data, a, b = (torch.randn(n, 2, generator=generator) for n in sizes)
        a[:, 0] += shift[0]
        b[:, 1] += shift[1]
        difference = divergence.estimate(data, a) - divergence.estimate(data, b)
        values.append(difference.value)
        errors.append(difference.stderr)
    assert 0.75 <= np.mean(errors) / np.std(values) <= 1.3


def test_error_by_groups() -> None:
    """Rows in fours that nearly repeat each other, then pairs across the samples: the spread over 120 draws, within 30 %."""
    for scheme in ("clusters", "pairs"):
        values, errors, naive = [], [], []
        for seed in range(120):
            generator = torch.Generator().manual_seed(seed)
            if scheme == "clusters":
                x, y = (
                    torch.randn(n, 2, generator=generator).repeat_interleave(4, 0)
                    + 0.1 * torch.randn(4 * n, 2, generator=generator)
                    for n in (30, 40)
                )
                groups = [f"a{i // 4}" for i in range(120)], [f"b{i // 4}" for i in range(160)]
            else:
                common = torch.randn(100, 2, generator=generator)
                x, y = (common + 0.5 * torch.randn(100, 2, generator=generator) for _ in range(2))
                groups = range(100), range(100)
            x[:, 0] += 0.7
            e = dk.estimate("energy", x, y, groups_x=groups[0], groups_y=groups[1])
            values.append(e.value)
            errors.append(e.stderr)
            naive.append(dk.estimate("energy", x, y).stderr)
        ratio = np.mean(errors) / np.std(values)
        assert 0.75 <= ratio <= 1.3, scheme
        assert abs(np.log(ratio)) < abs(np.log(np.mean(naive) / np.std(values)))
