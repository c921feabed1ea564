"""f-divergences as records of data, from which every estimator takes the parts that it needs.

The symbols are u = p/q ≥ 0, the logit v = log u, a slope t = f'(u), and f* the convex conjugate of f.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor

from divkit.fdiv.interval import Interval

if TYPE_CHECKING:
    pass

__all__ = ["FARTHEST_LOGIT", "BoundPair", "FDivergence", "Formulas", "Function", "Pair"]

Function: TypeAlias = Callable[[Tensor], Tensor]  # elementwise: any shape in, the same shape out

FARTHEST_LOGIT = 300.0  # the largest |v| at which a record is probed: e^300 can still be squared in float64


class BoundPair(NamedTuple):
    """The two functions of a variational bound E_P a(v) − E_Q b(v) in a critic's logit v ≈ log p/q."""

    a: Function
    b: Function


Pair = BoundPair  # its older name


@dataclass(frozen=True)
class Formulas:
    """The formulas of a record as plain text, for `divkit list --formulas` and the documentation."""

    integral: str
    generator: str
    maximiser: str  # T = f'(u)
    conjugate: str
    domain: str
    activation: str


@dataclass(frozen=True)
class FDivergence:
    """An f-divergence D(P‖Q) = ∫ q f(p/q), f convex, with all that its variational bound E_P T − E_Q f*(T) needs; nats.

    A critic's logit v ≈ log p/q enters by the canonical pair a(v) = f'(eᵛ), b(v) = f*(f'(eᵛ)) = eᵛ f'(eᵛ) − f(eᵛ):
    E_P a(v) − E_Q b(v) ≤ D for every v, with equality at v = log p/q whichever f. Both functions increase. All functions act
    elementwise, keep dtype and device, and are differentiable. Source: Nguyen, Wainwright, Jordan (2010); Nowozin, Cseke,
    Tomioka (2016).

    Attributes
    ----------
    name : str
        The name in the registry, with its parameter.
    f : Function
        The generator f(u) at u = p/q ≥ 0.
    a, b : Function
        The canonical pair of a logit; accepts ±inf and gives the limits.
    finite_conjugate : Function
        f*(t) for t inside `domain`; call `conjugate`, which is +inf outside.
    domain : Interval
        The slopes t where f* is finite.
    activation : Function
        g_f, increasing from ℝ into `domain`: T = g_f(v) is the f-GAN paper's parametrisation of the bound.
    supremum : float
        The value at mutually singular P and Q, f(0) + f'(∞); nothing is larger.
    surrogate : BoundPair or None
        What a model descends where a and b have no gradient, as in `tv`; see `smooth`.
    reach : float
        Beyond |v| = reach a and b are not computed accurately in any dtype: finite for a user's own generator only.
    formulas : Formulas
    source : str
        Authors and year.

    Examples
    --------
    >>> from divkit.fdiv.table import KL
    >>> v = torch.tensor([0.5, 1.5])
    >>> KL.a(v).tolist(), KL.conjugate(KL.a(v)).allclose(KL.b(v))
    ([1.5, 2.5], True)
    """

    name: str
    f: Function = field(repr=False)
    a: Function = field(repr=False)
    b: Function = field(repr=False)
    finite_conjugate: Function = field(repr=False)
    domain: Interval
    activation: Function = field(repr=False)
    supremum: float
    formulas: Formulas = field(repr=False)
    source: str = field(repr=False)
    surrogate: BoundPair | None = field(default=None, repr=False)
    reach: float = math.inf

    def derivative(self, u: Tensor) -> Tensor:
        """Return f'(u) = a(log u), u ≥ 0, the maximiser T of the bound at u = p/q.

        >>> from divkit.fdiv.table import PEARSON
        >>> PEARSON.derivative(torch.tensor([0.0, 1.0])).tolist()
        [-2.0, 0.0]
        """
        return self.a(torch.log(u))

    def conjugate(self, t: Tensor) -> Tensor:
        """Return f*(t) = sup_u {ut − f(u)} over u ≥ 0, +inf outside the domain (where its gradient is 0).

        >>> from divkit.fdiv.table import GAN
        >>> GAN.conjugate(torch.tensor([-1.0, 1.0])).tolist()
        [0.4586751461029053, inf]
        """
        inside = self.domain.contains(t)
        safe = torch.where(inside, t, torch.full_like(t, self.slope_at_one))
        return torch.where(inside, self.finite_conjugate(safe), torch.full_like(t, math.inf))

    @cached_property
    def slope_at_one(self) -> float:
        """The slope f'(1) = a(0): the mean of the best T under P and under Q when P = Q."""
        return float(self.a(torch.zeros((), dtype=torch.float64)))

    @cached_property
    def minimum(self) -> float:
        """The value f(1) = a(0) − b(0) at P = Q: 0 but for `gan`, where it is −log 4."""
        return self.slope_at_one - float(self.b(torch.zeros((), dtype=torch.float64)))

    @property
    def smooth(self) -> BoundPair:
        """The pair that a model descends: (a, b) unless the record has a surrogate.

        >>> from divkit.fdiv.table import TV
        >>> round(float(TV.smooth.a(torch.tensor(2.0))), 4)  # TV.a is ½ sgn v
        0.482
        """
        return self.surrogate or BoundPair(self.a, self.b)

    def limit(self, dtype: torch.dtype) -> float:
        """Return the largest |v| at which a, b, their slopes and sums of a thousand are representable; inf if all are.

        Clip logits there and count them: any logit gives a valid bound.

        >>> from divkit.fdiv.table import JS, PEARSON
        >>> round(PEARSON.limit(torch.float32), 1), JS.limit(torch.float32)
        (40.9, inf)
        """
        return _limit(self, dtype)

    def span(self, clip: float = math.inf) -> tuple[float, float]:
        """Return the lengths of the ranges of a and b on |v| ≤ clip, as finite-sample bounds on their means need them.

        >>> from divkit.fdiv.table import LE_CAM
        >>> LE_CAM.span()
        (4.0, 4.0)
        """
        ends = torch.tensor([-clip, clip], dtype=torch.float64)
        a, b = self.a(ends), self.b(ends)
        return float(a[1] - a[0]), float(b[1] - b[0])

    @property
    def bounded(self) -> bool:
        """True if a and b are bounded without any clipping: then finite-sample bounds hold for every critic."""
        return all(map(math.isfinite, self.span()))

    @cached_property
    def tame(self) -> bool:
        r"""True if a under P and b under Q have a variance for every P and Q.

        At v = log p/q both :math:`E_P e^{-v}` and :math:`E_Q e^v` are at most 1: enough is :math:`a^2 \le C \max(1, e^{-v})`
        and :math:`b^2 \le C \max(1, e^v)`.

        >>> from divkit.fdiv.table import TABLE
        >>> [name for name, record in TABLE.items() if not record.tame]
        ['kl', 'reverse-kl', 'pearson', 'neyman', 'jeffreys']
        """
        end = min(FARTHEST_LOGIT, self.reach)
        v = torch.tensor([-end, end], dtype=torch.float64)
        worst = torch.cat([self.a(v).square() * torch.exp(v.clamp(max=0)), self.b(v).square() * torch.exp(-v.clamp(min=0))])
        return float(worst.max()) < 1e6  # at v = 300 exponentials that outgrow eᵛ are far larger; |v|² is not


@lru_cache(maxsize=256)
def _limit(record: FDivergence, dtype: torch.dtype) -> float:
    """Return `FDivergence.limit` of a record, by bisection to 1e-3."""
    largest = torch.finfo(dtype).max / 2.0**10  # leaves room for slopes, and for sums of a thousand

    def representable(v: float) -> bool:
        ends = torch.tensor([-v, v], dtype=torch.float64)
        return bool((torch.cat([record.a(ends), record.b(ends)]).abs() <= largest).all())

    low, high = 0.0, 1e4  # no dtype holds e^10000: a pair representable there grows slower than any exponential
    if representable(high):
        return record.reach
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if representable(middle) else (low, middle)
    return min(low, record.reach)
