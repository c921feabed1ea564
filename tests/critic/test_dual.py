"""Tests of duals: what a user's own needs, and what `Variational` asks of those that can do more."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import divkit as dk
from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Note, Notes
from divkit.critic import Ascent, CramerSurrogate, Dual, Featured, Kantorovich, Variational
from divkit.critic.abilities import Bounded, Calibrated, Certifying, CriticBiased, Rescaled, ScorePair
from divkit.critic.dual import diagnosed
from divkit.data.measure import Measure


@dataclass(frozen=True)
class Logistic(Dual):
    """Twice the Jensen–Shannon divergence less log 4, with no more than a dual needs."""

    name = "logistic"

    @property
    def problem(self) -> Hashable:
        return self

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return Terms(torch.nn.functional.logsigmoid(s), torch.nn.functional.logsigmoid(-t))


@dataclass(frozen=True)
class Counted(Logistic):
    """A dual with a diagnosis."""

    def diagnose(self, s: Tensor, t: Tensor, x: Measure, y: Measure, terms: Terms, cut: ScorePair) -> Notes:
        return {Note.CLIPPED_SHARE: float((cut[0] != 0).double().mean())}


def samples() -> tuple[Tensor, Tensor]:
    """Unit Gaussians one apart."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(300, 1, generator=generator) + 1, torch.randn(300, 1, generator=generator)


def test_a_dual_is_a_name_a_problem_and_an_ascent() -> None:
    """Such a dual stands wherever a divergence's name does, and its value is that of the table's record."""
    x, y = samples()
    e = dk.estimate(Logistic(), x, y)
    assert e.name == "logistic" and e.bias is Bias.BELOW
    assert abs(e.value - dk.estimate("gan", x, y).value) < 2 * e.stderr
    assert float(Variational(Logistic(), ascent=Ascent(folds=2, steps=25)).loss(x, y)) < 0


def test_terms_are_pure_and_the_diagnosis_is_added() -> None:
    """The notes of a diagnosis stand beside the terms, which have none of their own."""
    x, y = (Measure(points) for points in samples())
    s, t = x.flat[:, 0], y.flat[:, 0]
    assert not Counted().terms(s, t, x, y).notes
    assert diagnosed(Counted(), s, t, x, y).notes == {Note.CLIPPED_SHARE: 0.0}
    assert diagnosed(Counted(), s, t, x, y, (torch.ones_like(s), t)).notes == {Note.CLIPPED_SHARE: 1.0}
    assert not dk.fdiv.Bound(dk.fdiv.KL).terms(s, t, x, y).notes


@pytest.mark.parametrize(
    ("dual", "abilities"),
    [
        (Logistic(), set()),
        (dk.fdiv.Adversarial(dk.fdiv.KL), set()),
        (dk.fdiv.Bound(dk.fdiv.KL), {Calibrated, Bounded}),
        (dk.fdiv.DonskerVaradhan(), {Calibrated}),
        (dk.fdiv.GammaBound(dk.fdiv.KL), {Calibrated, Rescaled}),
        (Kantorovich(), {Calibrated, CriticBiased, Certifying}),
        (CramerSurrogate(dk.get("energy")), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_abilities(dual: Dual, abilities: set[type]) -> None:
    """Each dual has the abilities that it declares, and no others."""
    protocols = (Calibrated, Bounded, Rescaled, CriticBiased, Certifying)
    assert {protocol for protocol in protocols if isinstance(dual, protocol)} == abilities


def test_only_a_dual_that_certifies_looks_at_all_pairs() -> None:
    """A plan of a run counts n·m for them alone."""
    assert Variational(Kantorovich()).quadratic
    assert not Variational(Logistic()).quadratic


def test_learned_features_need_a_critic_and_are_no_divergence_by_themselves() -> None:
    with pytest.raises(TypeError, match=r"needs a critic with several outputs: write Variational\(dual, critic\)"):
        dk.estimate(Featured(dk.get("energy")), *samples())
