"""What comes back: an estimate with its error, and the solved inner problem it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

import torch
from scipy.special import ndtri
from torch import Tensor

from divkit.core.uncertainty import Score, Skewed, apart, combined, design_effect, first_order
from divkit.data.measure import Measure, grouped
from divkit.support.checks import at_least, between

__all__ = ["Bias", "ConvergenceWarning", "Estimate", "SaturatedBound", "Solution", "Status", "Terms", "UnreliableEstimate"]

ONE_SIDED = 0.95  # level of the lower confidence bound in the notes


class ConvergenceWarning(UserWarning):
    """The inner problem was not solved to its stated tolerance."""


class SaturatedBound(UserWarning):
    """A variational bound is as large as samples of this size can make it: the divergence may be far above."""


class UnreliableEstimate(UserWarning):
    """The samples themselves say that value or standard error cannot be trusted: a heavy tail, two readings that disagree."""


class Status(Enum):
    """How the inner problem ended; the values are sentences."""

    CONVERGED = "solved to the stated tolerance"
    MAX_STEPS = "stopped at the step limit before the stated tolerance was reached"
    NONFINITE = "stopped because a value was not finite; the last finite state was kept"
    STALLED = "stopped where rounding allows no further progress"


class Bias(Enum):
    """The sign of the estimator's systematic error."""

    NONE = "unbiased"
    BELOW = "a lower bound in expectation"
    ABOVE = "above in expectation"
    UNKNOWN = "biased, sign unknown"


@dataclass(frozen=True)
class Solution:
    """A solved inner problem: `state` holds tensors and numbers only, `error` is measured, not promised.

    `lower` and `upper` bracket the sample problem's value (its dual and primal values) where the problem has both.
    """

    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: Status = Status.CONVERGED
    steps: int = 0
    error: float = 0.0
    lower: float | None = None
    upper: float | None = None

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED


class Terms(NamedTuple):
    """One number per sample, such that the value is Σ wᵢ xᵢ + Σ vⱼ yⱼ; standard deviations, whose squares might overflow."""

    x: Tensor  # (n,)
    y: Tensor  # (m,)
    noise: float = 0.0  # standard deviation from what is not a sample: projections, random features, trainings
    second_order: float = 0.0  # that of a U-statistic's second-order term: all there is at P = Q
    growth: float = 0.0  # of the variance per unit of the expectation, near P = Q
    own: tuple[float, float] = (0.0, 0.0)  # what of the second order lies within x, and within y
    notes: Mapping[str, Any] = {}

    def value(self, x: Measure, y: Measure) -> Tensor:
        """The weighted sum, differentiable."""
        return x.mean(self.x) + y.mean(self.y)

    def times(self, factor: float) -> Terms:
        """Those of a positive multiple of the statistic."""
        return Terms(
            factor * self.x,
            factor * self.y,
            noise=factor * self.noise,
            second_order=factor * self.second_order,
            growth=factor * self.growth,
            own=(factor * self.own[0], factor * self.own[1]),
            notes=self.notes,
        )

    @classmethod
    def of_means(
        cls,
        functional: Callable[[Tensor, Tensor], Tensor],
        x: tuple[Measure, Tensor],
        y: tuple[Measure, Tensor],
        notes: Mapping[str, Any] | None = None,
    ) -> Terms:
        r"""The terms of a nonlinear functional φ(E_P g, E_Q h) of means, linearised at the sample's own means.

        :math:`a_i = \varphi - \partial\varphi \cdot (\bar g, \bar h) + \partial_1 \varphi \cdot g_i` and
        :math:`b_j = \partial_2 \varphi \cdot h_j` with the derivatives held fixed: their weighted sum is φ, its gradient in
        points and weights that of φ, their variance that of the delta method.

        Parameters
        ----------
        functional : callable
            Of the means, (k,) and (l,) in float64, to a scalar.
        x, y : tuple
            A measure and what is averaged over it, (n, k) and (m, l).
        notes : mapping, optional
        """
        (p, g), (q, h) = x, y
        g, h = g.double(), h.double()
        means = [p.mean(g).detach().requires_grad_(), q.mean(h).detach().requires_grad_()]
        with torch.enable_grad():
            value = functional(means[0], means[1])
            slopes = torch.autograd.grad(value, means, allow_unused=True)
        at, to = (torch.zeros_like(mean) if slope is None else slope for mean, slope in zip(means, slopes))
        rest = value.detach() - at @ means[0].detach() - to @ means[1].detach()
        return cls(rest + g @ at, h @ to, notes=notes or {})


@dataclass(frozen=True)
class Estimate:
    r"""A divergence estimate: the value with its standard error, bias and proof that the inner problem was solved.

    The standard error comes from the influence values `a`, `b`:
    :math:`\sum w_i^2 (a_i - \bar a)^2 \, n_e/(n_e - 1)` plus the same for `b`, with :math:`n_e = 1/\sum w_i^2`. It is
    sampling noise, not bias. For U-statistics, whose plug-in first-order variance is too large by the second-order one
    :math:`V_2` and vanishes at P = Q, it is :math:`\max(V_1 - V_2, V_2)`.
    """

    name: str
    value: float
    stderr: float
    n: int
    m: int
    bias: Bias
    solution: Solution
    settings: Mapping[str, Any]
    notes: Mapping[str, Any]
    influence: tuple[Tensor, Tensor] = field(repr=False)
    scores: tuple[Score, ...] = field(repr=False, default=())
    noise: float = field(repr=False, default=0.0)
    second_order: float = field(repr=False, default=0.0)
    growth: float = field(repr=False, default=0.0)
    signed: bool = field(repr=False, default=False)  # a difference: its variance says nothing of its size
    exponent: float = field(repr=False, default=1.0)
    base: Estimate | None = field(repr=False, default=None)  # of which this is a root

    @classmethod
    def of(
        cls, name: str, x: Measure, y: Measure, terms: Terms, solution: Solution, *, bias: Bias, settings: Mapping[str, Any]
    ) -> Estimate:
        """Assemble value and standard error from `terms`."""
        scores = (Score.of(x, terms.x), Score.of(y, terms.y))
        design = 1.0 if grouped(x, y) is None else design_effect(scores)
        scores = (replace(scores[0], own=terms.own[0] * design), replace(scores[1], own=terms.own[1] * design))
        second = terms.second_order * design
        stderr = combined(first_order(scores), second, terms.noise)
        notes = dict(terms.notes)
        value = float(terms.value(x, y))
        if bias is Bias.BELOW and not math.isnan(stderr):
            notes["lower_confidence"] = value - float(ndtri(ONE_SIDED)) * stderr
        if "mass" not in notes and not math.isclose(x.mass, y.mass, rel_tol=1e-5):  # float32 weights are off by so much
            notes["mass"] = f"the weights sum to {x.mass:g} and {y.mass:g}; both were normalised to one"
        if math.isnan(stderr):
            notes.setdefault("stderr", "no standard error from 1 sample with weight; a minimum of 2 on each side is required")
        return cls(
            name=name,
            value=value,
            stderr=stderr,
            n=x.n,
            m=y.n,
            bias=bias,
            solution=solution,
            settings=settings,
            notes=notes,
            influence=(terms.x, terms.y),
            scores=scores,
            noise=float(terms.noise),
            second_order=float(second),
            growth=float(terms.growth * design),
        )

    @property
    def converged(self) -> bool:
        """Whether the inner problem was solved to its tolerance."""
        return self.solution.converged

    def ci(self, level: float = 0.95) -> tuple[float, float]:
        r"""The central confidence interval of the estimator's expectation.

        Normal, :math:`V \pm z s`. Where a second-order variance :math:`V_2` is known, the variance
        :math:`V_2 + \kappa E` grows with the expectation E, and the value is skewed to the right, like a quadratic form: its
        third cumulant is :math:`\kappa_0 V_2 + \tfrac32 \kappa^2 E`. The ends are the E for which the observed value is that
        law's quantile. κ is found from the influence values, or near P = Q is κ₀, that of the direction that varies most.
        """
        between("level", level, 0, 1)
        if self.base is not None:
            low, high = self.base.ci(level)
            return _root(low, self.exponent), _root(high, self.exponent)
        z = float(ndtri(0.5 + level / 2))
        if self.signed or math.isnan(self.stderr) or not self.second_order > 0:
            return self.value - z * self.stderr, self.value + z * self.stderr
        unit = max(abs(self.value), self.second_order)  # squares are taken of numbers near one
        law = Skewed.of(
            self.value / unit, first_order(self.scores) / unit, self.second_order / unit, self.growth / unit, self.noise / unit
        )
        tail = 0.5 - level / 2
        # what has a second order is a squared norm: E is not negative
        low = max(law.expectation(1 - tail), min(law.value, 0.0))
        return low * unit, law.expectation(tail) * unit

    def root(self, p: float = 2.0) -> Estimate:
        """The estimate of value^(1/p): interval endpoints mapped, below zero clipped at 0, stderr by the delta method."""
        at_least("p", p, 1)
        value = _root(self.value, p)
        slope = value / (p * self.value) if value > 0 else math.nan
        return replace(
            self,
            name=f"{self.name}^(1/{p:g})",
            value=value,
            stderr=self.stderr * slope,
            bias=self.bias if self.bias in (Bias.BELOW, Bias.ABOVE) else Bias.UNKNOWN,
            scores=tuple(score.times(slope) for score in self.scores),
            noise=self.noise * slope,
            second_order=self.second_order * slope,
            growth=self.growth * slope,
            exponent=p,
            base=self,
        )

    def __str__(self) -> str:
        """In one line, with what marks the value."""
        return f"{self.name} = {self.value:.4g} ± {self.stderr:.2g}, {self.bias.value}, {self.solution.status.value}"

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of two estimates, whose shared samples are recognised and accounted for in its error."""
        if not isinstance(other, Estimate):
            return NotImplemented
        scores = (*self.scores, *(score.times(-1.0) for score in other.scores))
        noise = math.hypot(self.noise, other.noise)
        second = apart(math.hypot(self.second_order, other.second_order), self.scores, other.scores)
        return replace(
            self,
            name=f"{self.name} − {other.name}",
            value=self.value - other.value,
            stderr=combined(first_order(scores), second, noise),
            bias=Bias.NONE if self.bias is other.bias is Bias.NONE else Bias.UNKNOWN,
            solution=self.solution if not self.converged else other.solution,
            notes={},
            scores=scores,
            noise=noise,
            second_order=second,
            signed=True,
            exponent=1.0,
            base=None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the influence values, ready for JSON: numbers that are not finite become None."""
        low, high = self.ci()
        return {
            "name": self.name,
            "value": _finite(self.value),
            "stderr": _finite(self.stderr),
            "ci": [_finite(low), _finite(high)],
            "bias": self.bias.value,
            "converged": self.converged,
            "status": self.solution.status.value,
            "steps": self.solution.steps,
            "error": _finite(self.solution.error),
            "lower": _finite(self.solution.lower),
            "upper": _finite(self.solution.upper),
            "n": self.n,
            "m": self.m,
            "settings": dict(self.settings),
            "notes": {key: _finite(note) if isinstance(note, float) else note for key, note in self.notes.items()},
        }


def _root(value: float, p: float) -> float:
    return value if math.isnan(value) else max(value, 0.0) ** (1 / p)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
