"""Nonlinear bounds: their values, orientation, normalisation, errors; the linearisation they share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import divkit as dk
from divkit.core.estimate import Terms
from divkit.core.registry import named
from divkit.critic import Shrunk, Variational, groupsort
from divkit.fdiv import KL, TABLE, Bound, ConjugateRenyi, DensityRatio, DonskerVaradhan, GammaBound, Given, Renyi

WIDE, NARROW = Normal(0.3, 1.8), Normal(0.0, 1.0)
ORDERS = (0.3, 0.5, 2.0)


def drawn(p: Normal, q: Normal, n: int, m: int) -> tuple[Tensor, Tensor]:
    return p.sample((n, 1)), q.sample((m, 1))


def known(p: Normal, q: Normal) -> DensityRatio:
    return DensityRatio.of_log_densities(lambda x: p.log_prob(x)[:, 0], lambda x: q.log_prob(x)[:, 0])


@pytest.mark.parametrize("form", [Renyi, ConjugateRenyi])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("swap", [False, True], ids=["narrow|wide", "wide|narrow"])
def test_renyi_has_the_standard_order_and_orientation(form: type[Renyi], order: float, swap: bool) -> None:
    """Both forms of the true logit, between unequal variances; at order 2 of the wide one its moments would not exist."""
    if swap and order == 2.0:
        return
    p, q = (WIDE, NARROW) if swap else (NARROW, WIDE)
    x, y = drawn(p, q, 20_000, 25_000)
    e = Given(form(order), known(p, q).logit).estimate(x, y)
    truth = dk.exact("renyi", p, q, order=order)
    assert abs(e.value - truth) < 4 * e.stderr
    assert abs(e.value - dk.exact("renyi", q, p, order=order)) > 4 * e.stderr or order == 0.5


@pytest.mark.parametrize("order", ORDERS)
def test_renyi_of_a_trained_logit_between_gaussians_one_apart(order: float) -> None:
    p, q = Normal(1.0, 1.0), Normal(0.0, 1.0)
    x, y = drawn(p, q, 2000, 2500)
    solution = dk.get("kl").estimate(x, y).solution
    for dual in (Renyi(order), ConjugateRenyi(order)):
        e = Variational(dual).estimate(x, y, solution=solution)
        assert abs(e.value - order / 2) < 4 * e.stderr + 0.03 * order / 2


@pytest.mark.filterwarnings("ignore::divkit.UnreliableEstimate")
@pytest.mark.parametrize(("name", "like"), [("kl-dv", "kl"), ("pearson-hcr", "pearson")])
def test_the_tighter_bounds_of_kl_and_chi_squared(name: str, like: str) -> None:
    p, q = Normal(0.5, 1.0), Normal(0.0, 1.0)
    x, y = drawn(p, q, 3000, 2000)
    solution = dk.get(like).estimate(x, y).solution
    e = dk.get(name).estimate(x, y, solution=solution)
    assert abs(e.value - dk.exact(name, p, q)) < 4 * e.stderr
    shifted = DensityRatio(lambda points: known(p, q).logit(points) + 0.7)  # costs the plain bound, not the tighter one
    assert shifted.divergence(name).estimate(x, y).value == pytest.approx(
        known(p, q).divergence(name).estimate(x, y).value, rel=1e-5 if name == "kl-dv" else 0.02
    )
    assert shifted.divergence(like).estimate(x, y).value < known(p, q).divergence(like).estimate(x, y).value


def test_a_critic_that_says_nothing_has_value_zero() -> None:
    x, y = drawn(NARROW, NARROW, 50, 60)
    for name in ("kl-dv", "pearson-hcr"):
        e = DensityRatio(lambda points: torch.zeros(len(points))).divergence(name).estimate(x, y)
        assert e.value == pytest.approx(0, abs=1e-12)
        assert e.stderr < 1e-12


@pytest.mark.parametrize("name", ["kl-dv", "renyi:order=.5", "renyi:order=2", "pearson-hcr"])
def test_monte_carlo_scatter_is_the_standard_error(name: str) -> None:
    """A hundred and fifty samples: the ratio's own standard error is 6 %."""
    p, q = Normal(0.5, 1.0), Normal(0.0, 1.0)
    divergence = known(p, q).divergence(name)
    estimates = [divergence.estimate(*drawn(p, q, 400, 300)) for _ in range(150)]
    sd = torch.tensor([e.value for e in estimates]).std()
    assert 0.8 < sd / torch.tensor([e.stderr for e in estimates]).mean() < 1.25


def test_linearised_terms_have_the_gradient_of_the_functional() -> None:
    x, y = torch.randn(20, 1, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    w = (0.2 + torch.rand(20, dtype=torch.float64)).requires_grad_()
    px = x.clone().requires_grad_()

    def functional(left: Tensor, right: Tensor) -> Tensor:
        return left[1] / right[0] - left[0].square()

    def features(points: Tensor) -> Tensor:
        return torch.cat([points, points.exp()], 1)

    p, q = dk.Measure(px, w), dk.Measure(y)
    value = Terms.of_means(functional, (p, features(px)), (q, features(y)[:, 1:])).value(p, q)
    share = w / w.sum()
    direct = functional(share @ features(px), features(y)[:, 1:].mean(0))
    assert value.item() == pytest.approx(direct.item(), rel=1e-12)
    for ours, truth in zip(torch.autograd.grad(value, (px, w)), torch.autograd.grad(direct, (px, w))):
        assert torch.allclose(ours, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [1.0, 0.0, -1.0, float("inf"), float("nan")])
def test_orders_without_a_renyi_divergence_are_refused(order: float) -> None:
    for name in ("renyi", "renyi-knn"):
        with pytest.raises(ValueError, match="order must be a positive"):
            dk.get(name, order=order)
    if order == 1.0:
        with pytest.raises(ValueError, match="whose Rényi divergence is 'kl'"):
            dk.get("renyi", order=order)


def test_all_are_read_from_one_logit() -> None:
    names = ("kl", "kl-dv", "renyi:order=.5", "renyi:order=2", "pearson-hcr", "js")
    assert len({dk.get(name).problem for name in names}) == 1
    assert Bound(KL).problem == Renyi(2.0).problem


def test_a_record_and_a_dual_stand_where_a_name_does() -> None:
    for name, record in TABLE.items():
        assert named(record)[1] == named(Bound(record))[1] == dk.get(name)
    assert named(DonskerVaradhan())[1] == dk.get("kl-dv")
    assert named(Renyi(0.5))[1] == dk.get("renyi:order=.5")
    assert named(GammaBound(KL))[1].critic == Shrunk(groupsort())
    ratio = DensityRatio(lambda points: points[:, 0] - 0.5)
    x, y = drawn(Normal(1.0, 1.0), NARROW, 50, 50)
    assert dk.estimate(ratio, x, y).value == dk.estimate(ratio.divergence("kl"), x, y).value
