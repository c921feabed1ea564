"""The contract of every f-divergence record, against brute force, quadrature and 120-digit arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple

import mpmath
import pytest
import scipy.special
import torch
from torch import Tensor

from divkit.fdiv.interval import Interval
from divkit.fdiv.legendre import legendre
from divkit.fdiv.records import BoundPair
from divkit.fdiv.special import log_wright_omega, softplus, tree
from divkit.fdiv.table import (
    FGAN_JS,
    GAN,
    JEFFREYS,
    JS,
    KL,
    LE_CAM,
    LIN_K,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    SQUARED_HELLINGER,
    TABLE,
    TV,
    FDivergence,
    alpha,
    from_generator,
    perspective,
    relative_pearson,
    skew_kl,
    weighted_js,
)

mpf, log = mpmath.mpf, mpmath.log
Real = Callable[[mpmath.mpf], mpmath.mpf]


def mixed(u: mpmath.mpf, weight: float) -> mpmath.mpf:
    return mpf(weight) * u + 1 - mpf(weight)


def power_generator(order: float) -> Real:
    return lambda u: (u ** mpf(order) - 1 - mpf(order) * (u - 1)) / (mpf(order) * (mpf(order) - 1))


def js_generator(w: float) -> Real:
    return lambda u: mpf(w) * u * log(u) - mixed(u, w) * log(mixed(u, w))


EXACT: dict[str, Real] = {  # generators once more, as the literature prints them
    "kl": lambda u: u * log(u),
    "reverse-kl": lambda u: -log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "neyman": lambda u: (1 - u) ** 2 / u,
    "squared-hellinger": lambda u: (mpmath.sqrt(u) - 1) ** 2,
    "jeffreys": lambda u: (u - 1) * log(u),
    "js": lambda u: (u * log(u) - (u + 1) * log((u + 1) / 2)) / 2,
    "fgan-js": lambda u: u * log(u) - (u + 1) * log((u + 1) / 2),
    "gan": lambda u: u * log(u) - (u + 1) * log(u + 1),
    "tv": lambda u: abs(u - 1) / 2,
    "le-cam": lambda u: (u - 1) ** 2 / (u + 1),
    "lin-k": lambda u: u * log(2 * u / (1 + u)),
}
CASES: list[tuple[FDivergence, Real]] = [
    *((record, EXACT[name]) for name, record in TABLE.items()),
    *((alpha(order), power_generator(order)) for order in (-1, -0.7, 0.3, 0.5, 0.9, 2, 3)),
    *((weighted_js(w), js_generator(w)) for w in (0.1, 0.3, 0.9)),
    *((skew_kl(w), lambda u, w=w: u * log(u / mixed(u, w))) for w in (0.1, 0.5, 0.9)),
    *((relative_pearson(w), lambda u, w=w: (1 - mpf(w)) ** 2 * (u - 1) ** 2 / mixed(u, w) / 2) for w in (0.1, 0.5, 0.9)),
]
RECORDS = [record for record, _ in CASES] + [
    *(perspective(record) for record in (KL, PEARSON, TV, GAN, alpha(0.3), skew_kl(0.3), relative_pearson(0.3))),
    from_generator(lambda u: u * torch.log(u), "user-kl"),
    from_generator(lambda u: u * torch.log(u) - (u + 1) * torch.log((u + 1) / 2), "user-fgan-js"),
]
every_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
V = torch.linspace(-4, 4, 80, dtype=torch.float64)  # no zero, where tv jumps


def close(actual: Tensor, expected: Tensor | float, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype).expand_as(actual), rtol=rtol, atol=atol)


def slope(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    point = at.clone().requires_grad_()
    return torch.autograd.grad(function(point).sum(), point)[0]


def test_the_table_names_every_record_in_order() -> None:
    assert " ".join(TABLE) == "kl reverse-kl pearson neyman squared-hellinger jeffreys js fgan-js gan tv le-cam lin-k"
    assert all(TABLE[name].name == name for name in TABLE)
    assert TABLE["fgan-js"] is FGAN_JS
    with pytest.raises(TypeError):
        TABLE["kl"] = JS  # type: ignore[index]


@every_record
def test_generator_slope_and_minimum(record: FDivergence) -> None:
    one = torch.ones((), dtype=torch.float64)
    close(record.f(one), record.minimum)
    assert record.minimum == pytest.approx(-2 * math.log(2) if "gan" in record.name and "js" not in record.name else 0)
    close(record.derivative(V.exp()), slope(record.f, V.exp()), rtol=1e-8, atol=1e-9)
    assert record.slope_at_one == pytest.approx(float(record.derivative(one)))


@pytest.mark.parametrize(
    ("record", "expected"),
    [(KL, 1), (REVERSE_KL, -1), (GAN, -math.log(2)), (LIN_K, 0.5), (skew_kl(0.3), 0.7), (JEFFREYS, 0), (LE_CAM, 0)],
)
def test_slope_at_one(record: FDivergence, expected: float) -> None:
    assert record.slope_at_one == pytest.approx(expected)


@every_record
def test_fenchel_young_and_the_canonical_pair(record: FDivergence) -> None:
    u = V.exp()
    t = slope(record.f, u)
    close(record.a(V), t, rtol=1e-8, atol=1e-9)
    close(record.conjugate(record.a(V)), u * t - record.f(u), rtol=1e-8, atol=1e-8)
    close(record.b(V), record.conjugate(record.a(V)), rtol=1e-8, atol=1e-9)
    close(slope(record.b, V), u * slope(record.a, V), rtol=1e-8, atol=1e-9)
    if record.smooth == BoundPair(record.a, record.b):
        close(slope(record.conjugate, record.a(V)), u, rtol=1e-6)  # the maximiser; tv's conjugate has a kink there


@every_record
def test_conjugate_is_the_supremum_and_its_conjugate_is_f(record: FDivergence) -> None:
    u = torch.linspace(-25, 15, 20001, dtype=torch.float64).exp()
    ends = max(-9.0, float(record.a(V[0])) - 2), min(9.0, float(record.a(V[-1])))
    t = torch.linspace(*ends, 40, dtype=torch.float64)
    brute = (u * t[:, None] - record.f(u)).amax(1)
    close(record.conjugate(t), brute, rtol=1e-5, atol=1e-5)
    upper = min(record.domain.upper, 400.0)
    ts = torch.cat([torch.linspace(-60, upper, 20001, dtype=torch.float64), record.a(torch.linspace(-6, 6, 5001).double())])
    few = torch.linspace(0.2, 5, 25, dtype=torch.float64)
    close((few[:, None] * ts - record.conjugate(ts)).amax(1), record.f(few), rtol=1e-5, atol=1e-5)


@every_record
def test_conjugate_is_infinite_outside_the_domain_only(record: FDivergence) -> None:
    upper = record.domain.upper
    assert record.domain.lower == -math.inf
    if math.isinf(upper):
        return
    for dtype in (torch.float32, torch.float64):
        near = torch.tensor([upper - 10.0, upper - 0.1], dtype=dtype, requires_grad=True)
        values = record.conjugate(near)
        assert values.isfinite().all()
        assert torch.autograd.grad(values.sum(), near)[0].isfinite().all()
        beyond = torch.tensor([upper + 1e-3, upper + 50], dtype=dtype, requires_grad=True)
        assert record.conjugate(beyond).isposinf().all()
        assert torch.equal(torch.autograd.grad(record.conjugate(beyond).sum(), beyond)[0], torch.zeros_like(beyond))
        ends = torch.tensor([upper - 1e-6, upper], dtype=dtype)
        assert not record.conjugate(torch.cat([ends, ends.nextafter(-ends.abs() - 1)])).isnan().any()
    end = record.conjugate(torch.tensor(upper, dtype=torch.float64))
    assert bool(end.isfinite()) == record.domain.upper_closed


@every_record
def test_activation_increases_into_the_domain(record: FDivergence) -> None:
    t = record.activation(torch.linspace(-8, 8, 100, dtype=torch.float64))
    assert (t.diff() > 0).all()
    assert record.domain.contains(t).all()
    assert record.conjugate(t).isfinite().all()


@pytest.mark.parametrize(("record", "exact"), CASES, ids=[record.name for record, _ in CASES])
def test_pairs_are_stable_in_both_precisions(record: FDivergence, exact: Real) -> None:
    """Relative 1e-6 (float32) and 1e-12 (float64) against f alone, differenced with 120 digits."""
    edges = torch.tensor([-80.0, -40.9, -20.1, 16.7, 17.4, 20.1, 40.9, 80.0, 1e-3, -1e-3, 1e-6, -1e-6])
    v = torch.cat([torch.linspace(-80, 80, 33), torch.linspace(-4.1, 4.1, 20), edges])
    v = v[(v.abs() <= record.limit(torch.float32)) & (v != 0)]
    with mpmath.workdps(120):
        reference: list[tuple[mpmath.mpf, mpmath.mpf]] = []
        for x in v.tolist():
            u = mpmath.exp(mpf(x))
            step = u * mpf(10) ** -40
            first = (exact(u + step) - exact(u - step)) / (2 * step)
            reference.append((first, u * first - exact(u)))
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        tiny = torch.finfo(dtype).tiny
        for function, column in ((record.a, 0), (record.b, 1)):
            values = function(v.to(dtype))
            assert values.dtype == dtype
            for x, value, row in zip(v.tolist(), values.tolist(), reference, strict=True):
                expected = float(row[column])
                room = tolerance if column == 0 and record.slope_at_one else 0.0  # a root away from 0 is ill conditioned
                assert abs(value - expected) <= tolerance * abs(expected) + room + tiny, (x, value, expected)


@every_record
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_at_the_limit_values_and_slopes_are_finite(record: FDivergence, dtype: torch.dtype) -> None:
    clip = min(record.limit(dtype), 1e3)
    v = torch.tensor([-clip, clip], dtype=dtype)
    for function in (record.a, record.b, record.smooth.a, record.smooth.b):
        assert function(v).isfinite().all()
        assert slope(function, v).isfinite().all()


def test_limits() -> None:
    assert 80 < KL.limit(torch.float32) < 88.8 and 690 < KL.limit(torch.float64) < 709.8
    assert 40 < PEARSON.limit(torch.float32) < 44.4
    assert all(math.isinf(record.limit(torch.float32)) for record in (JS, FGAN_JS, GAN, TV, LE_CAM, LIN_K))
    beyond = torch.tensor(PEARSON.limit(torch.float32) + 8)
    assert PEARSON.b(beyond).isinf()


def test_bounded_pairs() -> None:
    bounded = {record.name for record in RECORDS if record.bounded}
    assert bounded >= {"tv", "le-cam", "relative-pearson(weight=0.5)", "perspective(tv)"}
    assert not bounded & {"kl", "js", "gan", "squared-hellinger", "lin-k", "user-kl"}
    assert TV.span() == (1.0, 1.0)
    assert KL.span(2.0) == pytest.approx((4, 2 * math.sinh(2)))


@every_record
def test_supremum_is_the_value_at_singular_measures(record: FDivergence) -> None:
    far = torch.tensor(300.0, dtype=torch.float64)
    limit = float(record.derivative(far.exp()) + record.f((-far).exp()))
    if math.isinf(record.supremum):
        assert limit > 250
    else:
        assert limit == pytest.approx(record.supremum, rel=1e-9, abs=1e-9)
    if math.isinf(record.reach):
        end = torch.tensor(math.inf, dtype=torch.float64)
        assert float(record.a(end) - record.b(-end)) == pytest.approx(record.supremum)


X = torch.arange(-14, 16, 1e-3, dtype=torch.float64) + 5e-4  # midpoints about 1/2, where p = q
P, Q = (torch.exp(-((X - mean) ** 2) / 2) / math.sqrt(2 * math.pi) * 1e-3 for mean in (1, 0))
LOGIT = X - 0.5


def bound(record: FDivergence, logit: Tensor) -> float:
    return float((P * record.a(logit) - Q * record.b(logit)).sum())


@every_record
def test_the_bound_of_the_log_ratio_is_the_divergence(record: FDivergence) -> None:
    value = float((Q * record.f(P / Q)).sum())
    assert bound(record, LOGIT) == pytest.approx(value, rel=1e-9)
    assert bound(record, LOGIT + 0.3) < value
    assert max(bound(record, other) for other in (0.7 * LOGIT, torch.tanh(LOGIT))) < value + 1e-12  # tv reads signs only
    assert record.minimum < value < record.supremum


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (KL, 0.5),
        (REVERSE_KL, 0.5),
        (JEFFREYS, 1.0),
        (PEARSON, math.e - 1),
        (NEYMAN, math.e - 1),
        (SQUARED_HELLINGER, 2 * (1 - math.exp(-1 / 8))),
        (TV, math.erf(0.5 / math.sqrt(2))),
        (JS, 0.111421),
        (FGAN_JS, 2 * 0.111421),
        (GAN, 2 * 0.111421 - math.log(4)),
        *((alpha(order), math.expm1(order * (order - 1) / 2) / (order * (order - 1))) for order in (-1, 0.3, 0.5, 2, 3)),
    ],
)
def test_unit_gaussians_one_apart(record: FDivergence, expected: float) -> None:
    assert bound(record, LOGIT) == pytest.approx(expected, rel=1e-5)


def same(left: FDivergence, right: FDivergence, factor: float = 1.0, rtol: float = 1e-8) -> None:
    """left = factor · right in pair and conjugate."""
    for function, other in ((left.a, right.a), (left.b, right.b)):
        close(function(V), factor * other(V), rtol=rtol, atol=1e-8)
    t = torch.linspace(-5, min(5.0, left.domain.upper - 1e-3), 50, dtype=torch.float64)
    close(left.conjugate(t), factor * right.conjugate(t / factor), rtol=rtol, atol=1e-8)
    assert left.domain.upper == pytest.approx(factor * right.domain.upper)
    assert left.domain.upper_closed == right.domain.upper_closed
    assert left.supremum == pytest.approx(factor * right.supremum)


def test_relations() -> None:
    same(alpha(2), PEARSON, 0.5)
    same(alpha(-1), NEYMAN, 0.5)
    same(alpha(0.5), SQUARED_HELLINGER, 2.0)
    same(FGAN_JS, JS, 2.0)
    same(JS, weighted_js(0.5))
    same(LIN_K, skew_kl(0.5))
    for order, limit in ((1 + 1e-9, KL), (1 - 1e-9, KL), (1e-9, REVERSE_KL)):
        assert bound(alpha(order), LOGIT) == pytest.approx(bound(limit, LOGIT), rel=1e-6)
        close(slope(alpha(order).a, V), slope(limit.a, V), rtol=1e-6)
    assert bound(skew_kl(1e-9), LOGIT) == pytest.approx(0.5, rel=1e-6)
    assert bound(relative_pearson(1e-9), LOGIT) == pytest.approx((math.e - 1) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("record", "swapped"),
    [
        (KL, REVERSE_KL),
        (REVERSE_KL, KL),
        (PEARSON, NEYMAN),
        (NEYMAN, PEARSON),
        (alpha(0.3), alpha(0.7)),
        (weighted_js(0.3), weighted_js(0.7)),
        *((record, record) for record in (SQUARED_HELLINGER, JEFFREYS, JS, FGAN_JS, GAN, TV, LE_CAM)),
    ],
    ids=lambda record: record.name,
)
def test_perspective_swaps(record: FDivergence, swapped: FDivergence) -> None:
    other = perspective(record)
    u = V.exp()
    linear = swapped.slope_at_one - other.slope_at_one  # generators are unique up to a multiple of u − 1
    close(other.f(u), swapped.f(u) - linear * (u - 1), atol=1e-9)
    assert bound(other, LOGIT) == pytest.approx(bound(swapped, LOGIT))
    assert other.supremum == pytest.approx(swapped.supremum)
    if linear == 0:
        same(other, swapped)


@pytest.mark.parametrize("record", [*TABLE.values(), skew_kl(0.3), relative_pearson(0.3)], ids=lambda record: record.name)
def test_perspective_twice_is_the_record(record: FDivergence) -> None:
    twice = perspective(perspective(record))
    same(twice, record)
    close(twice.f(V.exp()), record.f(V.exp()), atol=1e-10)
    close(twice.smooth.a(V), record.smooth.a(V))
    zero = torch.zeros((), dtype=torch.float64)
    close(twice.f(zero), record.f(zero))


def test_total_variation_descends_a_surrogate_with_a_gradient() -> None:
    assert torch.equal(slope(TV.a, V), torch.zeros_like(V))
    assert (slope(TV.smooth.a, V) > 0).all() and (slope(perspective(TV).smooth.b, V) > 0).all()
    close(TV.smooth.a(V), torch.tanh(V) / 2)
    assert KL.smooth == (KL.a, KL.b)


def test_a_users_generator() -> None:
    record = from_generator(lambda u: u * torch.log(u), "mine")
    assert record.name == "mine" and record.domain == KL.domain and math.isinf(record.supremum)
    same(record, KL)
    close(record.a(V.float()), KL.a(V.float()), rtol=1e-6, atol=1e-6)
    naive = from_generator(lambda u: u * torch.log(u) - (u + 1) * torch.log((u + 1) / 2), "naive")
    assert naive.domain.upper == pytest.approx(math.log(2)) and naive.supremum == pytest.approx(2 * math.log(2))
    assert 15 < naive.limit(torch.float32) == naive.reach < 30  # u f' − f cancels beyond
    v = torch.linspace(-naive.reach, naive.reach, 100, dtype=torch.float64)
    close(naive.b(v), FGAN_JS.b(v), rtol=1e-6)
    assert from_generator(lambda u: (u - 1).abs() / 2, "mine").supremum == pytest.approx(1)
    close(slope(record.b, V), V.exp())


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (lambda u: u * torch.log(u) + 1, r"f\(1\) must be 0, got 1"),
        (lambda u: -((u - 1) ** 2), "f must be convex"),
        (lambda u: torch.sin(u - 1), "f must be convex"),
        (lambda u: torch.relu(u - 1) - torch.relu(u - 2), "f must be convex"),
        (lambda u: torch.log(u - 0.5), "finite"),
        (lambda u: torch.floor(u - 1), "f must be convex"),
        (lambda u: (u - 1).detach() ** 2, "no gradient"),
        (lambda u: ((u - 1) ** 2).sum(), "same shape"),
        (lambda u: 3.0, "same shape"),
    ],
)
def test_a_bad_generator_is_refused(generator: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_generator(generator, "mine")


@pytest.mark.parametrize("order", [0, 1, 1.0, math.nan, math.inf])
def test_a_bad_order_is_refused(order: float) -> None:
    with pytest.raises(ValueError, match=r"order must be a finite number other than 0 and 1.*'kl'"):
        alpha(order)


@pytest.mark.parametrize("make", [weighted_js, skew_kl, relative_pearson])
@pytest.mark.parametrize("weight", [0, 1, -0.1, math.nan])
def test_a_bad_weight_is_refused(make: Callable[[float], FDivergence], weight: float) -> None:
    with pytest.raises(ValueError, match="weight must lie strictly between 0 and 1"):
        make(weight)


def test_records_are_values() -> None:
    assert alpha(2) is alpha(order=2.0) and perspective(KL) is perspective(KL)
    assert len(set(RECORDS)) == len(RECORDS) and KL != JS
    assert repr(KL).startswith("FDivergence(name='kl'")
    for record in RECORDS:
        assert all(astuple(record.formulas)) and record.source


def test_intervals() -> None:
    assert [str(record.domain) for record in (KL, GAN, TV, perspective(GAN))] == ["(-∞, ∞)", "(-∞, 0)", "(-∞, 0.5]", "(-∞, 0)"]
    assert Interval(0, 1, lower_closed=True).contains(torch.tensor([0.0, 0.5, 1.0])).tolist() == [True, True, False]


def test_special_functions() -> None:
    z = torch.linspace(-60, 300, 2001, dtype=torch.float64)
    close(log_wright_omega(z).exp(), torch.as_tensor(scipy.special.wrightomega(z.numpy())), rtol=1e-13)
    assert log_wright_omega(torch.tensor([-1e4, 1e30])).isfinite().all()
    z = torch.cat(
        [torch.linspace(-50, -1.01, 2001, dtype=torch.float64), -1 - torch.logspace(-12, -2, 50, dtype=torch.float64)]
    )
    s = tree(z)
    close(torch.log(s) - s, z, rtol=1e-14)
    close(s[:2001], torch.as_tensor(-scipy.special.lambertw(-z[:2001].exp().numpy()).real), rtol=1e-12)
    assert float(softplus(torch.tensor(21.0, dtype=torch.float64))) == pytest.approx(21 + math.exp(-21), rel=1e-15)


def test_numerical_legendre_transform() -> None:
    t = torch.linspace(-3, 3, 30, dtype=torch.float64, requires_grad=True)
    value = legendre(BoundPair(KL.a, KL.b))(t)
    close(value.detach(), (t.detach() - 1).exp())
    close(torch.autograd.grad(value.sum(), t)[0], (t.detach() - 1).exp())
