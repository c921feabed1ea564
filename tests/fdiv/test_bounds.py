"""What a bound says of itself: lower confidence bounds, the plug-in reading, tails; choices of critics; images."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

import divkit as dk
from divkit.critic import Ascent, Choice, LogitNetwork, Variational, linear, quadratic
from divkit.critic.splits import bernstein
from divkit.fdiv import JS, KL, TABLE, Bound, DensityRatio, Given, Tightened
from divkit.fdiv.calibration import believable
from divkit.fdiv.tails import pareto_index

SHIFT = DensityRatio(lambda points: points[:, 0] - 0.5)  # of N(1, 1) over N(0, 1)


def drawn(p: Normal, q: Normal, n: int, m: int) -> tuple[Tensor, Tensor]:
    return p.sample((n, 1)), q.sample((m, 1))


def shifted(n: int, m: int) -> tuple[Tensor, Tensor]:
    return drawn(Normal(1.0, 1.0), Normal(0.0, 1.0), n, m)


def test_a_light_bound_has_nothing_to_warn_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        e = dk.estimate("js", *shifted(600, 700))
    assert not {"heavy_tail", "unreliable", "disagreement", "saturated"} & set(e.notes)
    assert e.notes["plug_in"] == pytest.approx(e.value, abs=4 * e.stderr)
    assert e.notes["tail_index"] < 0.5
    assert e.notes["lower_confidence"] == pytest.approx(e.value - 1.6448536 * e.stderr)
    assert 0 <= e.notes["lower_finite_sample"] < e.notes["lower_confidence"]


def test_the_plug_in_of_kl_is_the_mean_logit() -> None:
    x, y = shifted(500, 500)
    e = SHIFT.divergence("kl").estimate(x, y)
    assert e.notes["plug_in"] == pytest.approx(float(x.mean() - 0.5), rel=1e-5)


def test_infinite_variance_is_said() -> None:
    """reverse-kl of N(0, 1) and N(1, 2²): E_P (q/p)² does not exist, the tail's index is ¾."""
    p, q = Normal(0.0, 1.0), Normal(1.0, 2.0)
    known = DensityRatio.of_log_densities(lambda x: p.log_prob(x)[:, 0], lambda x: q.log_prob(x)[:, 0])
    divergence = known.divergence("reverse-kl")
    warned = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            notes = divergence.estimate(*drawn(p, q, 4000, 4000)).notes
            warned += "heavy_tail" in notes or "unreliable" in notes
    assert warned >= 18
    light = known.divergence("kl").estimate(*drawn(p, q, 4000, 4000))
    assert light.notes["tail_index"] < 0.5


def test_no_verdict_on_terms_that_have_a_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """js and squared-hellinger have one for every P and Q, whatever an index fitted to few of their terms is."""
    monkeypatch.setattr("divkit.fdiv.diagnoses.pareto_index", lambda values: 0.8)
    x, y = shifted(500, 500)
    for name in ("js", "squared-hellinger", "tv", "le-cam"):
        notes = SHIFT.divergence(name).estimate(x, y).notes
        assert notes["tail_index"] == 0.8
        assert "unreliable" not in notes
    with pytest.warns(dk.UnreliableEstimate):
        SHIFT.divergence("kl").estimate(x, y)
    with pytest.warns(dk.UnreliableEstimate):  # weights may be heavy themselves
        SHIFT.divergence("js").estimate(dk.Measure(x, torch.rand(500)), y)


@pytest.mark.filterwarnings("ignore::divkit.SaturatedBound")
def test_a_divergence_that_cannot_be_estimated_warns() -> None:
    x, y = drawn(Normal(3.0, 1.0), Normal(0.0, 1.0), 2000, 2000)
    known = DensityRatio(lambda points: 3 * points[:, 0] - 4.5)
    with pytest.warns(dk.UnreliableEstimate, match="terms of y have a heavy tail"):
        e = known.divergence("pearson").estimate(x, y)
    assert e.notes["tail_index"] > 1


@pytest.mark.filterwarnings("ignore::divkit.UnreliableEstimate", "ignore::divkit.SaturatedBound")
def test_a_logit_that_is_no_log_ratio_disagrees_with_itself() -> None:
    x, y = shifted(2000, 2000)
    steep = DensityRatio(lambda points: 3 * (points[:, 0] - 0.5))
    for name in ("js", "lin-k", "le-cam"):
        assert "disagreement" in steep.divergence(name).estimate(x, y).notes
        assert "disagreement" not in SHIFT.divergence(name).estimate(x, y).notes
    with pytest.warns(dk.UnreliableEstimate, match="no log density ratio; try another critic"):
        steep.divergence("js").estimate(x, y)


def test_logits_are_cut_where_less_than_two_fifths_of_a_row_are_expected_on_the_other_side() -> None:
    ones = torch.ones(100), torch.ones(60)
    for size, expected in ((30.0, (-math.log(250), math.log(150))), (-1.0, (0, 0)), (2.0, (-2, 2))):  # no larger than they are
        assert believable((torch.full((100,), size), torch.full((60,), -size)), ones) == pytest.approx(expected)
    s, t = 6 * torch.rand(1000).double(), -torch.rand(50).double()
    for mass in (torch.ones(1000), torch.rand(1000)):
        high = believable((s, t), (mass, torch.ones(50)))[1]
        for c, believed in ((high - 1e-3, True), (high + 0.02, False)):
            assert (50 * float(mass[s >= c].sum() / mass.sum()) * math.exp(-c) >= 0.4) == believed


def test_a_logit_that_grows_too_fast_is_not_believed() -> None:
    """Where only x has rows a regression may be as steep as it likes; of a hundred samples of y some have a row out there."""
    p, q = torch.distributions.Exponential(1.0), torch.distributions.Exponential(1.6)
    x, y = p.sample((500, 1)), q.sample((500, 1))
    dual, fit, held = Bound(KL), (dk.Measure(x[:400]), dk.Measure(y[:400])), (dk.Measure(x[400:]), dk.Measure(y[400:]))

    def logit(m: dk.Measure) -> Tensor:  # right up to 4, where 98 % of the rows of x are
        points = m.flat[:, 0]
        return math.log(1 / 1.6) + 0.6 * points + 5 * (points - 4).relu()

    calibration = dual.calibrate(logit, fit, held)
    worst = [
        float(dual.terms(calibration(logit(dk.Measure(x))), calibration(logit(m)), dk.Measure(x), m).value(dk.Measure(x), m))
        for m in (dk.Measure(q.sample((500, 1))) for _ in range(100))
    ]
    assert min(worst) > -0.1


def test_cut_logits_are_counted_and_said_where_they_matter() -> None:
    """χ² of unit Gaussians three apart is 8102, of which a thousand rows see little; js loses nothing."""
    x, y = drawn(Normal(3.0, 1.0), Normal(0.0, 1.0), 1000, 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pearson, js, dv, disjoint = (
            dk.estimate(name, p, q) for name, p, q in (("pearson", x, y), ("js", x, y), ("kl-dv", x, y), ("js", x + 20, y))
        )
    assert pearson.value < 2000
    assert pearson.notes["saturated"].endswith("the divergence may be far above this bound.")
    assert pearson.notes["clipped_share"] == js.notes["clipped_share"] == dv.notes["clipped_share"] > 0.01
    assert not {"saturated"} & {*js.notes, *disjoint.notes}
    assert dk.estimate("kl", *shifted(1000, 1000)).notes.keys().isdisjoint({"saturated"})


@pytest.mark.filterwarnings("ignore::divkit.UnreliableEstimate", "ignore::divkit.SaturatedBound")
def test_mass_where_the_other_sample_has_no_rows_is_said() -> None:
    """A tenth of P four away, of which a logit that is cut at 2 knows no more: kl is far above, js is not."""
    p = MixtureSameFamily(Categorical(torch.tensor([0.9, 0.1])), Normal(torch.tensor([0.0, 4.0]), torch.tensor([1.0, 0.5])))
    x, y = p.sample((1000, 1)), torch.randn(1000, 1)
    cut = DensityRatio(lambda points: torch.where(points[:, 0] > 3, 2.0, math.log(0.9)))
    turned = DensityRatio(lambda points: -cut.logit(points))
    for name, opposite in (("kl", "reverse-kl"), ("pearson", "neyman")):
        with pytest.warns(dk.SaturatedBound, match="of the law of x lies where y has next to no rows"):
            cut.divergence(name).estimate(x, y)
        with pytest.warns(dk.SaturatedBound, match="of the law of y lies where x has next to no rows"):
            turned.divergence(opposite).estimate(y, x)
    for name in ("js", "tv", "reverse-kl", "neyman"):
        assert "saturated" not in cut.divergence(name).estimate(x, y).notes
    for name in ("kl", "jeffreys"):
        assert not any("saturated" in SHIFT.divergence(name).estimate(*shifted(500, 500)).notes for _ in range(40))


@pytest.mark.parametrize("index", [0.25, 0.5, 1.0])
def test_the_index_of_an_exact_pareto_tail(index: float) -> None:
    """Forty fits to some 190 exceedances each, whose standard error is (1 + k)/√190."""
    indices = [pareto_index(torch.rand(4000, dtype=torch.float64) ** -index) for _ in range(40)]
    assert torch.tensor(indices).mean() == pytest.approx(index, abs=0.08)


def test_the_index_of_light_tails_and_of_none() -> None:
    assert pareto_index(torch.rand(4000)) < 0
    assert pareto_index(torch.randn(4000)) < 0.3
    assert pareto_index(torch.ones(100)) == 0
    assert pareto_index(torch.randn(20)) == 0
    assert pareto_index(torch.sign(torch.randn(500))) == 0
    steps = torch.cat([torch.zeros(500), torch.ones(400), torch.tensor([1.001] * 40 + [1.01] * 20 + [1.03] * 3)])
    assert pareto_index(steps) <= 0  # cut logits of several folds


def test_the_finite_sample_bound_holds_and_is_of_use() -> None:
    truth = dk.exact("tv", Normal(1.0, 1.0), Normal(0.0, 1.0))
    bounds = []
    for _ in range(200):
        x, y = shifted(400, 400)
        terms = Bound(TABLE["tv"]).terms(SHIFT.logit(x), SHIFT.logit(y), dk.Measure(x), dk.Measure(y))
        bounds.append(bernstein(terms.x, None, 1.0) + bernstein(terms.y, None, 1.0))
    assert max(bounds) < truth
    assert min(bounds) > 0
    assert bernstein(torch.ones(5), torch.tensor([0, 0, 0, 0, 1]), 1.0) == -math.inf  # one row bounds nothing


def test_a_choice_takes_the_simplest_that_is_as_good() -> None:
    critic = Choice(linear, quadratic)
    x, y = shifted(800, 800)
    moved = Variational(Bound(KL), critic=critic).estimate(x, y)
    assert sum(moved.solution.state["choice"]) <= 1
    scaled = Variational(Bound(KL), critic=critic).estimate(*drawn(Normal(0.0, 1.0), Normal(0.0, 2.0), 800, 800))
    assert sum(scaled.solution.state["choice"]) == 5
    assert abs(scaled.value - dk.exact("kl", Normal(0.0, 1.0), Normal(0.0, 2.0))) < 4 * scaled.stderr
    assert moved.settings["critic"] == "linear | quadratic"
    assert Variational(Bound(KL), critic=critic).problem == Variational(Bound(JS), critic=Choice(linear, quadratic)).problem


def test_a_choice_needs_a_critic_and_rows_to_choose_by() -> None:
    with pytest.raises(ValueError, match="a Choice needs at least one critic"):
        Choice()
    with pytest.raises(ValueError, match="a training loop's batches cannot choose"):
        dk.Criterion(Variational(Bound(KL), critic=Choice(linear, quadratic)))(*shifted(20, 20))


def test_images_are_judged_by_convolutions() -> None:
    network = LogitNetwork(torch.Size([1, 8, 8]))
    assert any(isinstance(module, nn.Conv2d) for module in network.modules())
    assert not any(isinstance(module, nn.Conv2d) for module in LogitNetwork(torch.Size([64])).modules())
    assert LogitNetwork(torch.Size([3, 9, 11]))(torch.randn(5, 3, 9, 11)).shape == (5,)
    assert LogitNetwork(torch.Size([12, 12]))(torch.randn(5, 12, 12)).shape == (5,)
    x, y = torch.randn(400, 1, 8, 8), torch.randn(400, 1, 8, 8)
    x[:, :, :4, :4] += 0.5
    e = Variational(Bound(JS), ascent=Ascent(folds=2)).estimate(x, y)
    assert 0.1 < e.value < dk.exact("js", Normal(2.0, 1.0), Normal(0.0, 1.0))


def test_bends_follow_a_kink_that_no_square_does() -> None:
    """|x| as a logit: the regression alone, without its network, is near it everywhere."""
    p, q = torch.distributions.Laplace(0.0, 1.0), torch.distributions.Normal(0.0, 1.5)
    x, y = p.sample((6000, 1)), q.sample((6000, 1))
    network = LogitNetwork(torch.Size([1]))
    fit, held = (dk.Measure(x[:5000]), dk.Measure(y[:5000])), (dk.Measure(x[5000:]), dk.Measure(y[5000:]))
    network.start(fit, held)
    points = torch.linspace(-2.5, 2.5, 11)[:, None]
    truth = p.log_prob(points) - q.log_prob(points)
    assert bool(network.slopes.any())
    assert float((network(points).detach() - truth[:, 0]).abs().max()) < 0.35


@pytest.mark.filterwarnings("ignore::divkit.UnreliableEstimate")
def test_tightening_repairs_a_logit_of_the_wrong_shift_and_scale() -> None:
    """The logit ½v + .7 of the truth v: the plain bounds lose a third and more, the tightened ones are at the truth."""
    wrong = DensityRatio(lambda points: 0.5 * (points[:, 0] - 0.5) + 0.7)
    x, y = shifted(3000, 2500)
    for name in ("kl", "js", "squared-hellinger", "le-cam"):
        truth = dk.exact(name, Normal(1.0, 1.0), Normal(0.0, 1.0))
        plain, tight = (Given(dual(TABLE[name]), wrong.logit).estimate(x, y) for dual in (Bound, Tightened))
        assert plain.value < 0.7 * truth
        assert abs(tight.value - truth) < 4 * tight.stderr
        right = Given(Tightened(TABLE[name]), SHIFT.logit).estimate(x, y)
        assert right.value == pytest.approx(SHIFT.divergence(name).estimate(x, y).value, abs=right.stderr / 3)
