"""Cases of Wasserstein distances and their critics, with other seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from divkit.reproduce import CASES, Setup
from divkit.reproduce.bernoulli_bias import LOSSES, bias
from divkit.reproduce.categorical_bias import by_descent, by_search, gap, predicted, samples
from divkit.reproduce.critic_surface import DATA, sides
from divkit.reproduce.parallel_lines import ParallelLines, descended, line
from divkit.transport import Wasserstein


def failed(name: str, seed: int) -> list[str]:
    outcome = CASES[name].run(Setup(seed=seed))
    assert any(row.passed for row in outcome.rows)
    return [row.quantity for row in outcome.rows if row.passed is False]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["bernoulli-bias", "categorical-bias", "parallel-lines", "lipschitz", "critic-surface"])
def test_every_row_holds(name: str, seed: int) -> None:
    assert failed(name, seed) == []


@pytest.mark.parametrize("m", [2, 6])
def test_the_bias_of_coins_is_the_closed_form(m: int) -> None:
    at = 1 - 1 / (3 * m)  # any θ above the coin
    assert bias(LOSSES["W₁"], m, at) == pytest.approx(2 * (1 - 1 / m) ** m, abs=1e-9)
    assert bias(LOSSES["Cramér"], m, at) == pytest.approx(0.0, abs=1e-9)


def test_samples_of_categories_are_all_of_them() -> None:
    every = list(samples(3))
    assert len(every) == len({tuple(sample) for sample in every}) == 20
    assert all(sample.sum() == 3 for sample in every)


def test_minimisers_of_mean_sample_distances() -> None:
    assert np.allclose(by_search(2), predicted(2))
    assert predicted(1).tolist() == [0.0, 1.0, 0.0, 0.0]  # all mass on the median
    assert gap(by_descent(None, 1)) < 1e-5


def test_lines_descend_by_the_exact_distance() -> None:
    z = torch.tensor([0.25, 0.5])
    assert line(2.0, z).tolist() == [[2.0, 0.25], [2.0, 0.5]]
    path = descended(ParallelLines(steps=5), Wasserstein(1.0), 0, solved=True)
    assert path == pytest.approx([1.0 - 0.05 * step for step in range(6)], abs=0.01)


def test_data_of_the_surfaces() -> None:
    for name in DATA:
        x, y = sides(name, 50, torch.Generator().manual_seed(0))
        assert x.shape == y.shape == (50, 2)
        assert not torch.equal(x, y)
