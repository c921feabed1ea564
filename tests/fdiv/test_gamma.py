"""(f, Γ)-divergences: point masses, the shift, the two divergences between which they lie."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize_scalar

import divkit as dk
from divkit.critic import Ascent, GradientPenalty, Shrunk, Variational, groupsort, mlp
from divkit.fdiv import JS, KL, TABLE, GammaBound
from divkit.fdiv.gamma import best_shift

QUICK = Ascent(folds=2, rate=0.01, doubt=0.0)
ATOM = torch.zeros(20, 1)


@pytest.mark.parametrize(("distance", "lipschitz"), [(0.5, 3.0)])
def test_kl_between_point_masses_is_their_distance(distance: float, lipschitz: float) -> None:
    divergence = Variational(GammaBound(KL, lipschitz), critic=Shrunk(groupsort()), ascent=QUICK)
    e = divergence.estimate(ATOM, ATOM + distance)
    assert e.value == pytest.approx(lipschitz * distance, rel=1e-3)
    assert e.value <= lipschitz * distance + 1e-5
    assert e.converged


@pytest.mark.parametrize("lipschitz", [1.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_it_lies_below_the_divergence_and_below_the_distance(lipschitz: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = 1 + torch.randn(600, 1, generator=generator), torch.randn(300, 1, generator=generator)
    e = Variational(GammaBound(JS, lipschitz), critic=Shrunk(groupsort()), ascent=QUICK).estimate(x, y)
    assert 0.05 < e.value < min(0.1114, lipschitz) + 3 * e.stderr


def test_with_a_penalty_slopes_exceed_one_by_little() -> None:
    divergence = Variational(GammaBound(KL), critic=mlp, penalty=GradientPenalty(10.0, one_sided=True), ascent=QUICK)
    assert divergence.estimate(ATOM, ATOM + 2).value == pytest.approx(2.0, abs=0.5)  # slope 1 + |a|/2λ is 1.1


@pytest.mark.parametrize("record", TABLE.values(), ids=TABLE)
def test_the_shift_is_the_minimiser(record: dk.fdiv.FDivergence) -> None:
    h = torch.randn(50, dtype=torch.float64)
    weights = torch.rand(50, dtype=torch.float64)
    y = dk.Measure(h, weights)

    def objective(shift: float) -> float:
        return min(shift + float(y.mean(record.conjugate(h - shift))), 1e6)

    low, high = float(h.max()) - min(record.domain.upper, 50.0), float(h.max()) - record.slope_at_one
    brute = minimize_scalar(objective, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).fun
    assert objective(best_shift(record, h, y)) == pytest.approx(brute, abs=1e-7)


def test_the_shift_of_kl_is_the_logarithm_of_a_mean() -> None:
    h = torch.linspace(-3, 2, 9, dtype=torch.float64)
    shift = best_shift(KL, h, dk.Measure(h))
    assert shift + float(KL.conjugate(h - shift).mean()) == pytest.approx(float(h.exp().mean().log()), abs=1e-9)


def test_a_constant_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="lipschitz must be a positive finite number"):
        GammaBound(KL, lipschitz=0.0)
