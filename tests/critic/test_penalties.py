"""Gradient penalties, one norm per sample: values by hand, second derivatives by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from divkit.critic import R1, Ascent, Clip, Free, GradientPenalty, Kantorovich, Penalty, Perceptron, Variational, perceptron
from divkit.critic.ascent import score
from divkit.critic.penalties import segments, slopes
from divkit.data.measure import Measure, pair

SHAPES = [(1,), (3,), (1, 8, 8), (2, 3, 4)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def value_of(penalty: Penalty, network: nn.Module, x: Measure, y: Measure) -> float:
    return float(penalty(lambda m: score(network, m), x, y, seeded()).detach())


class Linear(nn.Module):
    """Scores of constant slope, along the direction of the first axis or of all ones."""

    def __init__(self, slope: float = 1.0, spread: bool = False) -> None:
        super().__init__()
        self.slope, self.spread = nn.Parameter(torch.tensor(slope, dtype=torch.float64)), spread

    def forward(self, *parts: Tensor) -> Tensor:
        flat = torch.cat([part.flatten(1) for part in parts], 1)
        direction = torch.zeros(flat.shape[1], dtype=flat.dtype)
        if self.spread:
            direction[:] = 1 / math.sqrt(len(direction))
        else:
            direction[0] = 1
        return self.slope * (flat @ direction)


@pytest.mark.parametrize("n", [1, 16, 64, 256])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [GradientPenalty(), GradientPenalty(one_sided=True)])
def test_a_linear_critic_of_unit_slope_has_no_penalty(penalty: GradientPenalty, shape: tuple[int, ...], n: int) -> None:
    """For every batch size and shape, where a norm over the whole batch gave 9, 49 and 225 at 16, 64 and 256."""
    x, y = pair(torch.randn(n, *shape, dtype=torch.float64), torch.randn(n, *shape, dtype=torch.float64))
    critic = Linear()
    assert value_of(penalty, critic, x, y) == 0.0
    tilted = Linear(spread=True)
    assert value_of(penalty, tilted, x, y) < 1e-28


@pytest.mark.parametrize("n", [(7, 12), (12, 7), (5, 5)])
def test_joint_samples_have_one_norm_over_all_parts(n: tuple[int, int]) -> None:
    x, y = pair(*((torch.randn(k, 2, dtype=torch.float64), torch.randn(k, 3, 1, dtype=torch.float64)) for k in n))
    critic = Linear(1.5, spread=True)
    assert value_of(GradientPenalty(3.0), critic, x, y) == pytest.approx(3.0 * 0.25, rel=1e-12)
    assert value_of(R1(3.0), critic, x, y) == pytest.approx(1.5 * 2.25, rel=1e-12)


def test_one_sided_spares_small_slopes() -> None:
    x, y = pair(torch.randn(9, 2, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64))
    flat, steep = Linear(0.5), Linear(2.0)
    assert value_of(GradientPenalty(10.0, one_sided=True), flat, x, y) == 0.0
    assert value_of(GradientPenalty(10.0), flat, x, y) == pytest.approx(2.5)
    assert value_of(GradientPenalty(10.0, one_sided=True), steep, x, y) == pytest.approx(10.0)


def test_interpolates_lie_on_segments_with_one_weight_per_sample() -> None:
    """Between zeros and ones every coordinate of a sample is the same, and samples differ."""
    x, y = pair((torch.zeros(40, 2), torch.zeros(40, 1, 3)), (torch.ones(25, 2), torch.ones(25, 1, 3)))
    found = segments(x, y, seeded())
    assert found.n == 40
    assert bool((found.flat == found.flat[:, :1]).all())
    assert bool(((found.flat >= 0) & (found.flat <= 1)).all())
    assert len(found.flat[:, 0].unique()) == 40


def test_interpolates_of_weighted_samples_avoid_rows_without_weight() -> None:
    weights = torch.tensor([1.0, 0.0, 3.0])
    x, y = pair(Measure(torch.tensor([[0.0], [100.0], [1.0]]), weights), torch.zeros(4000, 1))
    points = segments(x, y, seeded()).flat
    assert float(points.max()) <= 1
    assert float(points.mean()) == pytest.approx(0.375, abs=0.03)  # ¾ of the mass at 1, halved


def test_interpolates_repeat_with_their_generator_only() -> None:
    x, y = pair(torch.randn(8, 2), torch.randn(8, 2))
    state = torch.get_rng_state()
    assert torch.equal(segments(x, y, seeded(1)).flat, segments(x, y, seeded(1)).flat)
    assert not torch.equal(segments(x, y, seeded(1)).flat, segments(x, y, seeded(2)).flat)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("penalty", [GradientPenalty(), GradientPenalty(one_sided=True), R1()])
def test_gradient_in_parameters_is_that_of_finite_differences(penalty: Penalty) -> None:
    x, y = pair(torch.randn(20, 2, dtype=torch.float64), 1 + torch.randn(15, 2, dtype=torch.float64))
    network = Perceptron(nn.Linear, nn.Tanh, hidden=8)(torch.Size([2])).double()
    with torch.no_grad():
        network.body[-1].weight *= 10

    def value() -> Tensor:
        return penalty(lambda m: score(network, m), x, y, seeded())

    parameters = list(network.parameters())
    gradients = torch.autograd.grad(value(), parameters, materialize_grads=True)
    moves = [torch.randn_like(p) for p in parameters]
    ends = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, move in zip(parameters, moves):
                parameter += step * move
        ends.append(float(value().detach()))
    slope = sum(float((g * move).sum()) for g, move in zip(gradients, moves))
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)
    assert abs(slope) > 1e-3


def test_a_constant_critic_has_a_finite_gradient() -> None:
    network = perceptron(hidden=4, layers=1)(torch.Size([2]))
    nn.init.zeros_(network.body[-1].weight)
    x, y = pair(torch.randn(9, 2), torch.randn(9, 2))
    penalty = GradientPenalty()(lambda m: score(network, m), x, y, seeded())
    penalty.backward()  # type: ignore[no-untyped-call]
    assert float(penalty.detach()) == pytest.approx(10.0)
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_slopes_of_a_known_function() -> None:
    m = Measure(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    assert slopes(lambda m: m.flat.square().sum(1), m).tolist() == pytest.approx([10.0, 4.0])


def test_clip_cuts_all_parameters_and_nothing_else_does() -> None:
    network = nn.Linear(3, 2)
    before = [p.detach().clone() for p in network.parameters()]
    for penalty in (Free(), GradientPenalty(), R1()):
        penalty.project(network)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))
    Clip(0.05).project(network)
    assert all(torch.equal(a.clamp(-0.05, 0.05), b) for a, b in zip(before, network.parameters()))
    x, y = pair(torch.randn(3, 3), torch.randn(3, 3))
    assert float(Clip()(lambda m: m.flat[:, 0], x, y, seeded())) == 0.0


@pytest.mark.parametrize("make", [GradientPenalty, R1, Clip])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_weights_and_limits_are_positive(make: type, value: object) -> None:
    with pytest.raises(ValueError, match=r"(weight|limit) must be a positive finite number; got"):
        make(value)


def test_a_penalty_on_slopes_is_in_units_of_the_data_for_the_default_critic() -> None:
    generator = seeded()
    x, y = torch.randn(300, 2, generator=generator), torch.randn(300, 2, generator=generator) + torch.tensor([1.0, 0.0])
    divergence = Variational(Kantorovich(), penalty=GradientPenalty(100.0), ascent=Ascent(seed=1))
    values = [divergence.estimate(scale * x, scale * y).value / scale for scale in (1.0, 20.0)]
    assert values == pytest.approx([1.0, 1.0], abs=0.2)  # slopes of one in standardised coordinates would give 1/20
