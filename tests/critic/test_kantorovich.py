"""Critics of W₁: what they reach, what they certify, and what they do not claim."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import divkit as dk
from divkit.critic import (
    Adam,
    Ascent,
    Clip,
    GradientPenalty,
    Kantorovich,
    LogitNetwork,
    RMSProp,
    Variational,
    groupsort,
    mlp,
    perceptron,
    spectral,
)
from divkit.data.measure import pair

QUICK = Ascent(folds=2, rate=1e-2, doubt=0.0)
KINDS = {
    "groupsort": Variational(Kantorovich(), groupsort(), QUICK),
    "spectral": Variational(Kantorovich(), spectral(16, 2), QUICK),
    "penalty": Variational(Kantorovich(), perceptron(16, 2), QUICK, GradientPenalty()),
    "one-sided": Variational(Kantorovich(), perceptron(16, 2), QUICK, GradientPenalty(one_sided=True)),
    "clip": Variational(Kantorovich(), perceptron(16, 2), QUICK, Clip(0.2)),
}


def shifted(n: int, m: int, shift: float, d: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=dtype)
    x[:, 0] += shift
    return x, torch.randn(m, d, generator=generator, dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_the_certified_bound_is_below_the_exact_distance(kind: str) -> None:
    """For every kind of critic, also where the value itself is no bound."""
    x, y = shifted(150, 170, 1.0, 2)
    e, exact = KINDS[kind].estimate(x, y), dk.estimate("w1", x, y).value
    assert e.solution.lower is not None
    assert 0.92 * exact < e.solution.lower <= exact * (1 + 1e-9)
    assert e.converged
    assert e.bias is (dk.Bias.BELOW if kind in ("groupsort", "spectral") else dk.Bias.UNKNOWN)
    slope = float(e.notes["lipschitz"])
    assert slope <= 1 + 1e-5 if e.bias is dk.Bias.BELOW else slope > 0


@pytest.mark.parametrize(("d", "shift"), [(1, 1.0), (2, 1.0), (2, 3.0), (3, 2.0)])
def test_the_default_reaches_the_population_value(d: int, shift: float) -> None:
    """W₁ of a shifted law is the shift; the cross-fitted value lies below it but for noise, and not far."""
    x, y = shifted(400, 500, shift, d)
    e = dk.estimate("w1-dual", x, y, folds=2)
    assert e.value < shift + 3 * e.stderr
    assert e.value > 0.9 * shift - 3 * e.stderr
    exact = dk.estimate("w1", x, y).value
    assert e.solution.lower is not None
    assert 0.97 * exact < e.solution.lower <= exact * (1 + 1e-9)


def test_two_point_masses() -> None:
    x, y = torch.zeros(20, 2), torch.tensor([[3.0, 4.0]]).expand(30, 2)
    e = dk.estimate("w1-dual", x, y)
    assert e.value == pytest.approx(5.0, rel=1e-3)
    assert e.solution.lower == pytest.approx(5.0, rel=1e-6)
    assert e.stderr < 1e-2


def test_equal_laws_are_near_zero() -> None:
    found = [dk.estimate("w1-dual", *shifted(100, 100, 0.0, 2, seed), folds=2) for seed in range(5)]
    assert abs(sum(e.value for e in found)) < 3 * math.hypot(*(e.stderr for e in found))


class Steep(nn.Module):
    """A critic of slope fifty that nobody constrained."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(50 * torch.ones(shape.numel()))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight + 10 * torch.sin(30 * x[:, 0])


def test_any_function_certifies_and_only_the_built_in_are_believed() -> None:
    x, y = shifted(60, 80, 1.0, 2, dtype=torch.float64)
    steep = Variational(Kantorovich(), Steep, Ascent(folds=2, steps=1))
    with pytest.warns(dk.ConvergenceWarning):
        e = steep.estimate(x, y)
    exact = dk.estimate("w1", x, y).value
    assert e.bias is dk.Bias.UNKNOWN
    assert e.value > 2 * exact
    assert float(e.notes["lipschitz"]) > 50
    assert e.solution.lower is not None
    assert 0 < e.solution.lower <= exact * (1 + 1e-12)
    for critic in (mlp, LogitNetwork):
        assert Variational(Kantorovich(), critic).bias is dk.Bias.UNKNOWN


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e6])
def test_value_and_bound_scale_with_the_data(scale: float) -> None:
    x, y = shifted(60, 80, 1.0, 2, dtype=torch.float64)
    quick = dk.get("w1-dual", folds=2, steps=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dk.ConvergenceWarning)
        one, other = quick.estimate(x, y), quick.estimate(scale * x, scale * y)
    assert other.value == pytest.approx(scale * one.value, rel=1e-4)
    assert other.stderr == pytest.approx(scale * one.stderr, rel=1e-4)
    assert other.solution.lower == pytest.approx(scale * one.solution.lower, rel=1e-4)


def test_rows_without_weight_are_absent_from_the_bound() -> None:
    x, y = shifted(60, 80, 1.0, 2, dtype=torch.float64)
    outlier = torch.cat([x, torch.full((10, 2), 0.5, dtype=torch.float64)])
    weights = torch.cat([torch.ones(60), torch.zeros(10)])
    e = dk.estimate("w1-dual", outlier, y, weights_x=weights, folds=2)
    exact = dk.estimate("w1", x, y).value
    assert e.solution.lower is not None
    assert 0.95 * exact < e.solution.lower <= exact * (1 + 1e-9)


def test_joint_samples_are_flattened_together() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, generator=generator), torch.randn(80, 1, 2, generator=generator)
    y = torch.randn(90, 2, generator=generator) + 2, torch.randn(90, 1, 2, generator=generator)
    e, exact = dk.estimate("w1-dual", x, y, folds=2), dk.estimate("w1", x, y)
    assert e.solution.lower is not None
    assert 0.9 * exact.value < e.solution.lower <= exact.value * (1 + 1e-6)


def test_a_step_limit_is_no_convergence_and_brackets_still() -> None:
    x, y = shifted(60, 80, 2.0, 2)
    with pytest.warns(dk.ConvergenceWarning, match="step limit"):
        e = dk.estimate("w1-dual", x, y, steps=3)
    assert not e.converged
    assert e.solution.lower is not None
    assert e.solution.lower <= dk.estimate("w1", x, y).value * (1 + 1e-9)


def test_problems_are_told_apart() -> None:
    assert KINDS["penalty"].problem != KINDS["one-sided"].problem
    assert len({hash(kind.problem) for kind in KINDS.values()}) == len(KINDS)
    assert dk.get("w1-dual").problem == dk.get("w1-dual").problem
    assert dk.get("w1-dual").quadratic
    assert not dk.get("kl").quadratic
    settings = KINDS["penalty"].settings
    assert settings["penalty"] == "GradientPenalty(weight=10.0, one_sided=False)"
    assert settings["ascent.optimiser"].startswith("Adam(moments=")


def test_two_points_under_a_penalty_have_the_papers_slope() -> None:
    """max over slopes k of ka − λ(k − 1)²: k = 1 + a/2λ."""
    x, y = torch.full((64, 1), 2.0), torch.zeros(64, 1)
    for weight in (2.0, 10.0):
        divergence = Variational(Kantorovich(), Line, Ascent(folds=2, rate=0.02, steps=600), GradientPenalty(weight))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dk.ConvergenceWarning)
            e = divergence.estimate(x, y)
        slope = 1 + 2.0 / (2 * weight)
        assert e.notes["lipschitz"] == pytest.approx(slope, rel=1e-2)
        assert e.value == pytest.approx(2 * slope, rel=1e-2)
        assert e.solution.lower == pytest.approx(2.0, rel=1e-6)


class Line(nn.Module):
    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x[:, 0]


LOOPS: dict[str, Variational] = {
    "default": replace(dk.get("w1-dual"), ascent=Ascent(warm=2, rate=1e-2)),
    "wgan-gp": Variational(Kantorovich(), mlp, Ascent(warm=5, rate=2e-3, optimiser=Adam((0.0, 0.9))), GradientPenalty()),
    "wgan": Variational(Kantorovich(), mlp, Ascent(warm=5, rate=2e-3, optimiser=RMSProp()), Clip(0.1)),
    "spectral": Variational(Kantorovich(), spectral(16, 2), Ascent(warm=2, rate=1e-2)),
}


def location(criterion: dk.Criterion, mean: Tensor, first: int, last: int, rate: float = 0.1) -> list[float]:
    """A location model's steps under a critic kept warm."""
    values = []
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(64, 2, generator=generator) + torch.tensor([2.0, -1.0])
        loss = criterion(x, mean + torch.randn(64, 2, generator=generator))
        (gradient,) = torch.autograd.grad(loss, mean)
        with torch.no_grad():
            mean -= rate * gradient / gradient.norm().clamp(min=1.0)
        values.append(float(loss.detach()))
    return values


@pytest.mark.parametrize("kind", LOOPS)
def test_a_location_model_learns(kind: str) -> None:
    mean = torch.zeros(2, requires_grad=True)
    criterion = dk.Criterion(LOOPS[kind])
    with criterion.ascending():
        for step in range(20):
            generator = torch.Generator().manual_seed(1000 + step)
            x = torch.randn(64, 2, generator=generator) + torch.tensor([2.0, -1.0])
            criterion(x, torch.randn(64, 2, generator=generator))
    rate = 0.3 if kind == "wgan" else 0.05  # a clipped critic is less steep
    first = location(criterion, mean, 0, 80, rate)[0]
    path = []
    for step in range(80, 120):
        last = location(criterion, mean, step, step + 1, rate)[0]
        path.append(mean.detach().clone())
    assert torch.allclose(torch.stack(path).mean(0), torch.tensor([2.0, -1.0]), atol=0.3)
    assert abs(last) < 0.5 * first


@pytest.mark.parametrize("kind", LOOPS)
def test_training_continues_to_the_bit_from_a_state_without_pickle(kind: str) -> None:
    mean = torch.zeros(2, requires_grad=True)
    criterion = dk.Criterion(LOOPS[kind])
    location(criterion, mean, 0, 3)
    file = io.BytesIO()
    torch.save(criterion.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    at = mean.detach().clone().requires_grad_()
    onwards = location(criterion, mean, 3, 6)
    again = dk.Criterion(LOOPS[kind])
    again.load_state_dict(state)
    assert location(again, at, 3, 6) == onwards
    assert torch.equal(at, mean)


def test_clipped_weights_stay_clipped_in_a_training_loop() -> None:
    criterion = dk.Criterion(LOOPS["wgan"])
    location(criterion, torch.zeros(2, requires_grad=True), 0, 3)
    assert criterion.solution is not None
    assert max(float(w.abs().max()) for w in criterion.solution.state["critics"][0].values()) <= 0.1 + 1e-8


def test_a_solution_is_saved_without_pickle() -> None:
    x, y = shifted(40, 40, 1.0, 2)
    divergence = replace(dk.get("w1-dual"), ascent=QUICK)
    with torch.no_grad():
        solution = divergence.solve(*pair(x, y))
    file = io.BytesIO()
    torch.save(dict(solution.state), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    again = divergence.estimate(x, y, solution=dk.Solution(state, lower=solution.lower, notes=solution.notes))
    assert again.value == divergence.estimate(x, y, solution=solution).value
    assert "lipschitz" in again.notes
