"""The standard error is the spread of the estimates: Monte-Carlo sd over mean stderr, for every name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable

import pytest
import torch
from torch import Tensor
from traits import TRAITS

import divkit as dk
from divkit.measure import pair

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
    divergence = dk.get(name)
    found = [divergence.estimate(*draw(70, 90, 1.0, 1.2, seed)) for seed in range(SHORT)]
    spread = torch.tensor([e.value for e in found]).double().std()
    assert within(float(spread / torch.tensor([e.stderr for e in found]).mean()), SHORT)
    assert all(e.converged for e in found)


def learned(runs: int) -> dict[str, list[dk.Estimate]]:
    found: dict[str, list[dk.Estimate]] = {name: [] for name in LEARNED}
    made = {name: dk.get(name, **TRAITS[name].fields) for name in LEARNED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(runs):
            x, y = draw(250, 300, 0.5, 1.0, seed)
            solved: dict[Hashable, dk.Solution] = {}
            for name, divergence in made.items():
                if divergence.problem not in solved:
                    with torch.no_grad():
                        solved[divergence.problem] = divergence.solve(*pair(x, y))
                found[name].append(divergence.estimate(x, y, solution=solved[divergence.problem]))
    return found


def judge(found: dict[str, list[dk.Estimate]], runs: int) -> dict[str, float]:
    """The names whose ratio lies outside."""
    bad = {}
    for name, estimates in found.items():
        spread = torch.tensor([e.value for e in estimates]).double().std()
        ratio = float(spread / torch.tensor([e.stderr for e in estimates]).mean())
        if not within(ratio, runs):
            bad[name] = ratio
    return bad


def test_spread_of_the_learned_estimates() -> None:
    found = learned(30)
    assert judge(found, 30) == {}
    assert sum(e.converged for e in found["kl"]) >= 28


@pytest.mark.slow
def test_spread_of_the_learned_estimates_over_200_seeds() -> None:
    assert judge(learned(200), 200) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_spread_of_the_estimates_over_200_seeds(name: str) -> None:
    found = [dk.get(name).estimate(*draw(120, 160, 1.0, 1.2, seed)) for seed in range(200)]
    spread = torch.tensor([e.value for e in found]).double().std()
    assert within(float(spread / torch.tensor([e.stderr for e in found]).mean()), 200)


@pytest.mark.parametrize("name", ["energy", "mmd"])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_intervals_cover_the_truth(name: str, shift: float) -> None:
    """Of 150 intervals at 95 % at most 24 miss: one run in three hundred would at a true coverage of 90 %."""
    fields = {"bandwidth": 1.2} if name == "mmd" else {}
    p, q = torch.distributions.Normal(shift, 1.0), torch.distributions.Normal(0.0, 1.0)
    truth = dk.exact(name, p, q, **fields)
    misses = 0
    for seed in range(150):
        torch.manual_seed(seed)
        low, high = dk.get(name, **fields).estimate(p.sample((150, 1)), q.sample((250, 1))).ci()
        misses += not low <= truth <= high
    assert misses <= 24
