"""Parts of the learned cases that need no training: laws, quadrature, judgements."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from divkit.models import load
from divkit.reproduce import CASES, Setup, eight_schools, four_points, perform, toys, wae_any

FOUR, SCHOOLS = four_points.FourPoints(), eight_schools.EightSchools()


def test_the_best_model_of_four_points() -> None:
    """A decoder that gives each quadrant of the plane to one point reaches −log 4, and nothing else more."""
    model = FOUR.vae()

    class Quadrants(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
            return 1e3 * (z.sign() @ signs.T - 1)

    model.decoder = Quadrants()
    assert FOUR.log_likelihood(model) == pytest.approx(-math.log(4), abs=0.05)  # nodes on the axes fall between


def test_misfit_of_the_prior_itself_is_small() -> None:
    z = torch.randn(4, 10_000, 2, generator=torch.Generator().manual_seed(0))
    assert abs(four_points.misfit(z)) < 0.005
    assert four_points.misfit(z * 0.1) > 1


def test_the_bound_by_histograms_is_that_of_a_normal_encoder() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = FOUR.vae()
        with torch.no_grad():
            model.encoder[-1].weight.mul_(5)  # type: ignore[operator, index, union-attr]
            loss = float(model.loss(four_points.points(40_000)))
            assert four_points.bound(model, FOUR.codes(model)) == pytest.approx(-loss, abs=0.05)
            assert four_points.bound(model, FOUR.codes(model)) < FOUR.log_likelihood(model)


def test_the_posterior_of_eight_schools_by_importance() -> None:
    """Quadrature over (μ, τ) against weights of the whole model's prior draws."""
    generator = torch.Generator().manual_seed(0)
    exact, density = SCHOOLS.posterior(4000, generator)
    assert float(density.sum()) == pytest.approx(1)
    z = torch.randn(100_000, eight_schools.LATENT, generator=generator)
    weights = torch.softmax(eight_schools.Schools()(z, eight_schools.Effects()(z)), 0).double()
    for power in (1, 2):
        moments = (weights[:, None] * z[:, :2].double() ** power).sum(0)
        assert torch.allclose(moments, (exact**power).mean(0), atol=0.12)
    assert float((exact[:, 1] < 0).double().mean()) == pytest.approx(0.5, abs=0.04)


def test_the_critic_of_eight_schools_keeps_up_with_squares() -> None:
    """Twice as far out it says four times as much, as the log density of a normal contrast does."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        critic, far = eight_schools.Squares(torch.Size([3])), 1e3 * torch.randn(200, 3)
        start = critic(torch.zeros(1, 3))
        ratio = (critic(2 * far) - start) / (critic(far) - start)
    assert float(ratio.median()) == pytest.approx(4, abs=0.1)


def test_a_normal_guides_bound_is_below_the_evidence() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        guide = eight_schools.NormalGuide(full=True)
        x = torch.zeros(2000, 1)
        constant = 0.5 * eight_schools.LATENT  # entropy of a standard normal less the prior's constant
        bound = float(-guide.loss(x).detach()) + constant
        z = torch.randn(200_000, eight_schools.LATENT)
        evidence = float(torch.logsumexp(eight_schools.Schools()(z, eight_schools.Effects()(z)), 0)) - math.log(len(z))
    assert bound < evidence


@pytest.mark.parametrize("name", ["ring8", "swiss-roll"])
def test_toys_report(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of the data themselves find all modes; the rows say so, and the protocol the steps of each loss."""
    given: dict[int, set[str]] = {}

    def perfect(protocol: toys.Toy, data: str, loss: toys.Loss, steps: int, seed: int) -> dict[str, Any]:
        given.setdefault(steps, set()).add(next(name for name in toys.LOSSES if toys.LOSSES[name] is loss))
        x = load(data, seed + 1).test
        found: dict[str, Any] = {"energy": 0.0, "w2": 0.0, "points": x.tolist()}
        return found | ({"modes": 8, "quality": 0.99, "reverse": 0.0} if data == "ring8" else {})

    monkeypatch.setattr(toys, "_one", perfect)
    case = CASES[name]
    rows = case.run(Setup(full=True)).rows
    judged = [row for row in rows if row.passed is not None]
    assert len(judged) == (3 if name == "ring8" else 0)
    assert all(row.passed for row in judged)
    assert case.full_minutes is not None
    usual, own = sorted(given)
    assert given[own] == {"WGAN-GP"}
    assert f"{usual:,} steps, WGAN-GP {own:,}, " in case.stated(full=True)
    given.clear()
    case.run(Setup())
    assert list(given) == [400]
    assert "400 steps, " in case.stated(full=False)


def test_a_toys_part_is_of_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one loss gets other settings, the kept parts of the others stay what they are, and its own does not."""
    made: list[str] = []

    def one(protocol: toys.Toy, data: str, loss: toys.Loss, steps: int, seed: int) -> dict[str, Any]:
        made.append(next(name for name in toys.LOSSES if toys.LOSSES[name] is loss))
        if len(made) in (len(toys.SHORT), len(toys.SHORT) + 2):
            raise KeyboardInterrupt
        return {}

    monkeypatch.setattr(toys, "_one", one)
    for rate in (2e-3, 1e-3):
        loss = toys.LOSSES["WGAN-GP"]
        monkeypatch.setitem(toys.LOSSES, "WGAN-GP", replace(loss, training=replace(loss.training, rate=rate)))
        with pytest.raises(KeyboardInterrupt):
            perform(CASES["ring8"], Setup(), tmp_path)
    assert made == [*toys.SHORT, "WGAN-GP", toys.SHORT[-1]]


@pytest.mark.slow
def test_one_toy_is_trained() -> None:
    protocol = toys.Toy(3, 3, compared=100)
    for loss in toys.LOSSES.values():
        found = toys._one(protocol, "ring8", replace(loss, training=replace(loss.training, batch=32)), steps=3, seed=0)
        assert math.isfinite(found["energy"])


@pytest.mark.slow
def test_wae_any_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    part = wae_any._one(wae_any.WAEAny(), 2, "energy", 0)
    assert 0.5 < part["c2st"] <= 1
    monkeypatch.setattr(wae_any, "_one", lambda *_: part)
    rows = wae_any._run(wae_any.WAEAny(), Setup()).rows
    assert {row.passed for row in rows if "over the plain" in row.quantity} == {True}
    assert all(row.passed is False for row in rows if "C2ST" in row.quantity and row.passed is not None)
