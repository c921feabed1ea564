"""What other libraries answer wrongly in silence about exact and sliced transport, asked of divkit."""

from __future__ import annotations

import math

import pytest
import torch
from traits import samples

import divkit as dk
from divkit.critic import GradientPenalty

F64 = torch.float64
NAMES = ("w1", "w2", "sliced-w1", "sliced-w2", "max-sliced-w2", "gaussian-w2")


def cloud(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_cost_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    """`ot.emd2` returns 0.0 with a warning, or a plausible number without one."""
    x, y = samples()
    x[3, 1] = bad
    with pytest.raises(ValueError, match="row 3, column 1"):
        dk.estimate(name, x, y)


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_weight_and_an_empty_sample_are_refused(name: str) -> None:
    """`ot.emd2` takes the first, and the process dies of the second."""
    x, y = samples()
    weight = torch.ones(30)
    weight[0] = -1
    with pytest.raises(ValueError, match="must not be negative"):
        dk.estimate(name, x, y, weights_x=weight)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        dk.estimate(name, x[:0], y)


@pytest.mark.parametrize("name", ["w1", "w2", "sliced-w2"])
@pytest.mark.parametrize("scale", [1e-30, 1e-14, 1e30])
def test_costs_of_any_scale(name: str, scale: float) -> None:
    """`ot.emd2` of costs times 1e-14 is 21 % off; GeomLoss stops at 1e30 and 1e-30."""
    x, y = samples()
    power = 1 if name == "w1" else 2
    expected = dk.estimate(name, x, y).value
    assert dk.estimate(name, scale * x, scale * y).value / scale**power == pytest.approx(expected, rel=1e-9)


def test_no_step_limit_is_met_in_silence() -> None:
    """`ot.emd2` at its default numItermax is .31 % too high for 2 500 points of ten columns."""
    x, y = cloud(2500, 10, 0), cloud(2500, 10, 1)
    e = dk.estimate("w2", x, y)
    assert e.converged
    lower, upper = dk.get("w2").certify(dk.Measure(x), dk.Measure(y), e.solution)
    assert lower <= upper <= lower * (1 + 1e-9)
    assert e.value == pytest.approx(upper, rel=1e-9)


def test_large_samples_have_a_gradient() -> None:
    """`ot.solve_sample(lazy=True)` has none with respect to the points."""
    x = cloud(1200, 3, 0).requires_grad_()
    dk.get("w2").loss(x, cloud(900, 3, 1)).backward()
    assert x.grad is not None
    assert float(x.grad.square().sum()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_clouds_far_from_the_origin_in_float32(name: str) -> None:
    """GeomLoss loses 35 % of clouds shifted by 1 000; what the data's own rounding leaves is 5e-3."""
    x, y = (s.float() for s in samples(200, 300, 3))
    expected = dk.estimate(name, x, y).value
    assert dk.estimate(name, x + 1000, y + 1000).value == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_identical_points(name: str) -> None:
    """GeomLoss: “Maximum allowed size exceeded”."""
    assert dk.estimate(name, torch.ones(20, 3), torch.ones(30, 3)).value == 0.0


def test_a_maximum_over_directions_is_not_one_over_random_ones() -> None:
    """POT's max-sliced distance of 50 columns, shifted by one along the first, is .436 where .938 is certain."""
    x, y = cloud(3000, 50, 0), cloud(3000, 50, 1)
    x[:, 0] += 1
    assert dk.get("max-sliced-w2", restarts=2).estimate(x, y).value > 0.9


def test_more_than_five_thousand_rows_need_no_other_package() -> None:
    """GeomLoss stops with a NameError beyond 5 000 rows where KeOps is missing."""
    x, y = cloud(5100, 2, 0).float().requires_grad_(), cloud(300, 2, 1).float() + 1
    value = dk.get("sinkhorn", epsilon=0.5).loss(x, y)
    value.backward()
    assert float(value.detach()) == pytest.approx(2.0, abs=0.4)
    assert x.grad is not None
    assert float(x.grad.sum(0)[0]) == pytest.approx(-2.0, abs=0.3)  # of |x − y|² moved as a whole


def test_a_perfect_critic_pays_no_penalty_whatever_the_batch() -> None:
    """torchgan's penalty of a linear critic of unit slope is 9, 49, 225 at batches of 16, 64, 256."""
    for n in (16, 64, 256):
        x, y = (dk.Measure(cloud(n, 3, seed)) for seed in (0, 1))
        found = GradientPenalty()(lambda m: m.flat[:, 0], x, y, torch.Generator().manual_seed(0))
        assert float(found) == pytest.approx(0.0, abs=1e-20)
