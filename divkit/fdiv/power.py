"""The power (α-) divergences, and those that have names: each is a limit or a multiple of one order.

D_α = (∫ p^α q^{1−α} − 1) / (α(α − 1)). A record's functions take u = p/q, the logit v = log u, or a slope t = f'(u).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from divkit.fdiv.interval import Interval
from divkit.fdiv.records import FDivergence, Formulas
from divkit.fdiv.special import softplus

__all__ = ["KL", "NEYMAN", "PEARSON", "REVERSE_KL", "SQUARED_HELLINGER", "alpha"]

KL = FDivergence(
    name="kl",
    f=lambda u: torch.xlogy(u, u),
    a=lambda v: 1 + v,
    b=torch.exp,
    finite_conjugate=lambda t: torch.exp(t - 1),
    domain=Interval(),
    activation=lambda v: v,
    supremum=math.inf,
    formulas=Formulas("∫ p log(p/q)", "u log u", "1 + log u", "e^{t−1}", "ℝ", "v"),
    source="Kullback, Leibler (1951)",
)

REVERSE_KL = FDivergence(
    name="reverse-kl",
    f=lambda u: -torch.log(u),
    a=lambda v: -torch.exp(-v),
    b=lambda v: v - 1,
    finite_conjugate=lambda t: -1 - torch.log(-t),
    domain=Interval(upper=0.0),
    activation=lambda v: -torch.exp(-v),
    supremum=math.inf,
    formulas=Formulas("∫ q log(q/p)", "−log u", "−1/u", "−1 − log(−t)", "t < 0", "−e^{−v}"),
    source="Kullback, Leibler (1951)",
)

PEARSON = FDivergence(
    name="pearson",
    f=lambda u: (u - 1).square(),
    a=lambda v: 2 * torch.expm1(v),
    b=lambda v: torch.expm1(2 * v),
    finite_conjugate=lambda t: t.clamp(min=-2) * (t.clamp(min=-2) / 4 + 1),
    domain=Interval(),
    activation=lambda v: v,
    supremum=math.inf,
    formulas=Formulas("∫ (p−q)²/q", "(u−1)²", "2(u−1)", "t²/4 + t if t ≥ −2, else −1", "ℝ", "v"),
    source="Pearson (1900)",
)

NEYMAN = FDivergence(
    name="neyman",
    f=lambda u: (1 - u).square() / u,
    a=lambda v: -torch.expm1(-2 * v),
    b=lambda v: -2 * torch.expm1(-v),
    finite_conjugate=lambda t: 2 * t / (1 + torch.sqrt(1 - t)),
    domain=Interval(upper=1.0, upper_closed=True),
    activation=lambda v: -torch.expm1(-v),
    supremum=math.inf,
    formulas=Formulas("∫ (p−q)²/p", "(1−u)²/u", "1 − u^{−2}", "2 − 2√(1−t)", "t ≤ 1", "1 − e^{−v}"),
    source="Neyman (1949)",
)

SQUARED_HELLINGER = FDivergence(
    name="squared-hellinger",
    f=lambda u: (torch.sqrt(u) - 1).square(),
    a=lambda v: -torch.expm1(-v / 2),
    b=lambda v: torch.expm1(v / 2),
    finite_conjugate=lambda t: t / (1 - t),
    domain=Interval(upper=1.0),
    activation=lambda v: -torch.expm1(-v),
    supremum=2.0,
    formulas=Formulas("∫ (√p−√q)²", "(√u−1)²", "1 − u^{−½}", "t/(1−t)", "t < 1", "1 − e^{−v}"),
    source="Hellinger (1909)",
)


def alpha(order: float) -> FDivergence:
    """Return the α-divergence (∫ p^α q^{1−α} − 1) / (α(α − 1)), dimensionless.

    Order 2 is ½ `pearson`, −1 is ½ `neyman`, ½ is 2 `squared-hellinger`; it tends to `kl` as α → 1, to `reverse-kl` as α → 0.
    The pair is computed in float64: αv rounded in float32 would already cost a relative 4e-6 at v = 80.
    Source: Cressie, Read (1984); Cichocki, Amari (2010).

    Parameters
    ----------
    order : float
        α, neither 0 nor 1.

    Raises
    ------
    ValueError
        If the order is 0 or 1, or not finite.

    Examples
    --------
    >>> alpha(2.0).f(torch.tensor([1.0, 3.0])).tolist()
    [0.0, 2.0]
    """
    if not math.isfinite(order) or order in {0, 1}:
        raise ValueError(f"order must be a finite number other than 0 and 1, got {order}: use 'reverse-kl' for 0, 'kl' for 1.")
    return _alpha(float(order))


@lru_cache(maxsize=256)
def _alpha(order: float) -> FDivergence:
    """Return the record of an order, the same object for equal orders."""
    upper = math.inf if order > 1 else 1 / (1 - order)

    def conjugate(t: Tensor) -> Tensor:
        base = t * (order - 1) + 1
        return (base.clamp(min=0).pow(order / (order - 1)) - 1) / order

    return FDivergence(
        name=f"alpha(order={order})",
        f=lambda u: (u.pow(order) - 1 - order * (u - 1)) / (order * (order - 1)),
        a=lambda v: (torch.expm1(v.double() * (order - 1)) / (order - 1)).to(v.dtype),
        b=lambda v: (torch.expm1(v.double() * order) / order).to(v.dtype),
        finite_conjugate=conjugate,
        domain=Interval(upper=upper, upper_closed=order < 0),
        activation=(lambda v: v) if order > 1 else (lambda v: upper - softplus(-v)),
        supremum=1 / (order * (1 - order)) if 0 < order < 1 else math.inf,
        formulas=Formulas(
            integral="(∫ p^α q^{1−α} − 1) / (α(α−1))",
            generator="(u^α − 1 − α(u−1)) / (α(α−1))",
            maximiser="(u^{α−1} − 1) / (α−1)",
            conjugate="(max(t(α−1) + 1, 0)^{α/(α−1)} − 1) / α",
            domain="t < 1/(1−α) if 0 < α < 1, t ≤ 1/(1−α) if α < 0, ℝ if α > 1",
            activation="v if α > 1, else 1/(1−α) − softplus(−v)",
        ),
        source="Cressie, Read (1984)",
    )
