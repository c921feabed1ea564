"""Learned features before closed forms: Cramér GAN, MMD GAN."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import divkit as dk
from divkit.critic import (
    R1,
    Ascent,
    Clip,
    CramerSurrogate,
    Featured,
    GradientPenalty,
    Variational,
    groupsort,
    perceptron,
)
from divkit.data.measure import Measure, pair

QUICK = Ascent(folds=2, steps=60, rate=1e-2, doubt=0.0)
KINDS = {
    "energy": Variational(Featured(dk.get("energy")), groupsort(outputs=4), QUICK),
    "mmd": Variational(Featured(dk.get("mmd", bandwidth=1.0)), groupsort(outputs=4), QUICK),
    "mmd, clipped": Variational(Featured(dk.get("mmd")), perceptron(outputs=4), QUICK, Clip(0.1)),
    "cramer": Variational(CramerSurrogate(dk.get("energy")), perceptron(outputs=4), QUICK, GradientPenalty()),
}
CENTRE = torch.tensor([2.0, -1.0])


class Identity(nn.Module):
    """Features that are the points, times a weight of one."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.one * x.flatten(1)


def shifted(n: int, m: int, shift: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    x[:, 0] += shift
    return x, torch.randn(m, 2, generator=generator, dtype=torch.float64)


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_features_that_are_the_points_give_the_closed_form_of_each_fold() -> None:
    x, y = shifted(41, 61, 1.0)
    plain = dk.get("energy")
    learned = Variational(Featured(plain), Identity, Ascent(folds=2, steps=1, rate=1e-12))
    e = learned.estimate(x, y)
    folds = [e.solution.state[f"fold_{side}"] for side in "xy"]
    parts = [plain.estimate(x[folds[0] == k], y[folds[1] == k]) for k in range(2)]
    shares = [float((folds[0] == k).double().mean()) for k in range(2)]
    assert e.value == pytest.approx(sum(share * part.value for share, part in zip(shares, parts)), rel=1e-6)
    assert e.stderr == pytest.approx(math.hypot(*(s * p.stderr for s, p in zip(shares, parts))), rel=0.1)
    assert e.name == "featured-energy"


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_weights_reach_the_closed_form() -> None:
    x, y = shifted(40, 60, 1.0)
    w = torch.linspace(0.5, 2.0, 40, dtype=torch.float64)
    learned = Variational(Featured(dk.get("energy", unbiased=False)), Identity, Ascent(folds=2, steps=1, rate=1e-12))
    e = learned.estimate(Measure(x, w), y)
    fold_x, fold_y = e.solution.state["fold_x"], e.solution.state["fold_y"]
    parts = [dk.get("energy", unbiased=False).estimate(Measure(x[fold_x == k], w[fold_x == k]), y[fold_y == k]) for k in (0, 1)]
    shares = [float(w[fold_x == k].sum() / w.sum()) for k in (0, 1)]
    assert e.value == pytest.approx(sum(s * p.value for s, p in zip(shares, parts)), rel=1e-6)
    assert e.bias is dk.Bias.UNKNOWN


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_far_laws_are_told_apart_and_equal_ones_are_not(kind: str) -> None:
    far, near = (KINDS[kind].estimate(*shifted(100, 120, shift)) for shift in (3.0, 0.0))
    assert far.value > 5 * far.stderr
    assert abs(near.value) < 5 * near.stderr
    if kind == "energy":
        assert far.bias is dk.Bias.BELOW
        exact = dk.estimate("w1", *shifted(100, 120, 3.0))
        assert far.value < 2 * exact.value + 3 * far.stderr


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_learned_features_see_more_than_the_plain_distance() -> None:
    """Two rings against the one between: 1-Lipschitz features raise the energy distance over that of the points."""
    generator = torch.Generator().manual_seed(0)
    angle = 6.283 * torch.rand(200, 1, generator=generator)
    x = torch.cat([angle.cos(), angle.sin()], 1) * (1 + (torch.rand(200, 1, generator=generator) < 0.5))
    angle = 6.283 * torch.rand(200, 1, generator=generator)
    y = torch.cat([angle.cos(), angle.sin()], 1) * 1.5
    learned = Variational(Featured(dk.get("energy")), groupsort(outputs=4), Ascent(folds=2, steps=150, rate=1e-2, doubt=0.0))
    e, plain = learned.estimate(x, y), dk.estimate("energy", x, y)
    assert e.value - 2 * e.stderr > plain.value + 2 * plain.stderr


def test_the_surrogates_are_the_papers_formulas() -> None:
    """By hand, on three real and three generated points, with each generated point's partner the next."""
    x, y = shifted(3, 3, 0.5)
    p, q = pair(x, y)
    dual, other = CramerSurrogate(dk.get("energy")), y[[1, 2, 0]]
    h = lambda a: torch.linalg.vector_norm(a, dim=1)  # noqa: E731
    generator = (h(x - y) + h(x - other) - h(y - other)).mean()
    assert float(dual.descend(x, y, p, q)) == pytest.approx(float(generator), rel=1e-12)
    f_real, f_fake = h(x - other) - h(x), h(y - other) - h(y)
    assert float(dual.ascend(x, y, p, q).value(p, q)) == pytest.approx(float((f_real - f_fake).mean()), rel=1e-12)
    witness = dual.witness(Identity(torch.Size([2])).double(), q)
    assert torch.allclose(witness(p), f_real)


def test_the_surrogate_is_the_energy_distance_without_the_real_term() -> None:
    """In expectation: over pairs of 20 000 points, within its error of the U-statistic."""
    x, y = shifted(20_000, 20_000, 1.0)
    p, q = pair(x, y)
    dual = CramerSurrogate(dk.get("energy"))
    half = torch.linalg.vector_norm(x[:10_000] - x[10_000:], dim=1).mean()
    value = float(dual.descend(x, y, p, q) - half)
    truth = dk.exact(
        "energy",
        torch.distributions.Independent(torch.distributions.Normal(torch.tensor([1.0, 0.0]).double(), 1.0), 1),
        torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2).double(), 1.0), 1),
    )
    assert value == pytest.approx(truth, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_a_location_model_learns_by_features(kind: str) -> None:
    divergence = KINDS[kind]
    criterion = dk.Criterion(divergence)
    mean = torch.zeros(2, requires_grad=True)
    path = []
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(64, 2, generator=generator) + CENTRE
        loss = criterion(x, mean + torch.randn(64, 2, generator=generator))
        (gradient,) = torch.autograd.grad(loss, mean)
        with torch.no_grad():
            mean -= 0.1 * gradient / gradient.norm().clamp(min=0.1)
        path.append(mean.detach().clone())
    assert torch.allclose(torch.stack(path[-20:]).mean(0), CENTRE, atol=0.4)


def test_state_is_saved_without_pickle() -> None:
    criterion = dk.Criterion(KINDS["cramer"])
    x, y = shifted(20, 20, 1.0)
    criterion(x, y)
    file = io.BytesIO()
    torch.save(criterion.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    again = dk.Criterion(KINDS["cramer"])
    again.load_state_dict(state)
    assert float(again(x, y)) == float(criterion(x, y))


@pytest.mark.filterwarnings("ignore::divkit.ConvergenceWarning")
def test_p_values_by_features() -> None:
    quick = Variational(Featured(dk.get("energy")), groupsort(outputs=4), Ascent(steps=25, rate=1e-2, doubt=0.0))
    assert dk.test(quick, *shifted(60, 60, 2.0), permutations=99).pvalue == 0.01


def test_refusals() -> None:
    x, y = shifted(20, 20, 1.0)
    with pytest.raises(ValueError, match="featured-energy has no one function of a point for a gradient penalty"):
        Variational(Featured(dk.get("energy")), groupsort(outputs=4), QUICK, R1()).estimate(x, y)

    class Square(nn.Module):
        def __init__(self, shape: torch.Size) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return (self.one * x)[:, :, None] * x[:, None]

    with pytest.raises(ValueError, match=r"one row of features per point, shape \(2, k\); got \(2, 2, 2\)"):
        Variational(Featured(dk.get("energy")), Square, QUICK).estimate(x, y)
