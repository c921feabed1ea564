"""Mutual information: values, errors that know of shared rows, who judges whom."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit.critic import Ascent, linear, quadratic
from divkit.fdiv import JS, Bound, DonskerVaradhan, mutual_information
from divkit.fdiv.information import _by_row, _derangement


def correlated(n: int, rho: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x, noise = torch.randn(2, n, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.9])
def test_of_correlated_gaussians(rho: float) -> None:
    e = mutual_information(*correlated(1500, rho, torch.Generator().manual_seed(1)), critic=quadratic)
    assert abs(e.value + 0.5 * math.log(1 - rho**2)) < 4 * e.stderr + 0.005
    assert e.n == e.m == 1500
    assert e.bias is dk.Bias.BELOW


def test_parts_may_have_any_shape_and_another_bound_report() -> None:
    x, y = correlated(1000, 0.8, torch.Generator().manual_seed(2))
    truth = -0.5 * math.log(1 - 0.64)
    wide = torch.stack([y, torch.randn(1000)], 1)[:, None]
    e = mutual_information(x, wide, dual=DonskerVaradhan(), critic=quadratic)
    assert abs(e.value - truth) < 4 * e.stderr
    js = mutual_information(x, wide, dual=Bound(JS), critic=quadratic)
    assert 0 < js.value < truth
    assert js.name == "mutual information (js)"


def test_monte_carlo_scatter_is_the_standard_error() -> None:
    """Eighty samples: the ratio's own standard error is 8 %."""
    generator = torch.Generator().manual_seed(0)
    estimates = [
        mutual_information(*correlated(800, 0.7, generator), critic=quadratic, ascent=Ascent(folds=3), derangements=4)
        for _ in range(80)
    ]
    ratio = torch.tensor([e.value for e in estimates]).std() / torch.tensor([e.stderr for e in estimates]).mean()
    assert 0.75 < ratio < 1.3


def test_no_row_is_its_own_partner_and_partners_share_a_fold() -> None:
    generator = torch.Generator().manual_seed(0)
    folds = torch.arange(17) % 3
    for _ in range(20):
        partner = _derangement(folds, generator)
        assert sorted(partner.tolist()) == list(range(17))
        assert bool((partner != torch.arange(17)).all())
        assert torch.equal(folds[partner], folds)


def test_rows_carry_both_sides_of_their_pairs() -> None:
    row, partner = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    values = torch.tensor([1.0, 10.0, 100.0])
    both = _by_row(values, row, partner, 3)
    assert both.tolist() == pytest.approx([101 - 37, 11 - 37, 110 - 37])
    assert float(both.mean()) == pytest.approx(37)


def test_the_same_seed_gives_the_same_number() -> None:
    x, y = correlated(200, 0.5, torch.Generator().manual_seed(3))
    values = [mutual_information(x, y, critic=linear, ascent=Ascent(seed=seed)).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_refusals() -> None:
    x = torch.randn(20)
    with pytest.raises(ValueError, match="x has 20 rows and y 19; mutual information needs pairs"):
        mutual_information(x, x[1:])
    with pytest.raises(ValueError, match="minimum of 15 is required: x and y for derangements in each of 5 folds"):
        mutual_information(x[:14], x[:14])
    with pytest.raises(ValueError, match="derangements must be a whole number of at least 1"):
        mutual_information(x, x, derangements=0)
    with pytest.raises(ValueError, match="y has weights, of which mutual information takes none"):
        mutual_information(x[:, None], dk.Measure(x[:, None], torch.rand(20)))
    plain = mutual_information(x, x, critic=linear)
    assert mutual_information(dk.Measure(x[:, None]), x, critic=linear).value == plain.value
