"""What comes back: an estimate with its error, and the solved inner problem it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from scipy.special import ndtri
from torch import Tensor

from divkit.core.notes import Note, Notes, SaturatedBound, UnreliableEstimate
from divkit.core.uncertainty import Remainder, Uncertainty
from divkit.data.measure import Measure
from divkit.support.checks import at_least

__all__ = ["Bias", "ConvergenceWarning", "Estimate", "SaturatedBound", "Solution", "Status", "Terms", "UnreliableEstimate"]


class ConvergenceWarning(UserWarning):
    """The inner problem was not solved to its stated tolerance."""


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

    `lower` and `upper` bracket the sample problem's value (its dual and primal values) where the problem has both. `notes`
    are what solving found out and an estimate has to say.
    """

    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: Status = Status.CONVERGED
    steps: int = 0
    error: float = 0.0
    lower: float | None = None
    upper: float | None = None
    notes: Notes = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether the problem was solved to its tolerance."""
        return self.status is Status.CONVERGED


class _Terms(NamedTuple):
    x: Tensor  # (n,)
    y: Tensor  # (m,)
    rest: Remainder  # the parts of the error that do not come from these numbers
    notes: Notes


class Terms(_Terms):
    """The two vectors of an estimate: one number per sample, such that the value is Σ wᵢ xᵢ + Σ vⱼ yⱼ.

    The parts of `rest` may be given by keyword, ``Terms(a, b, noise=s)``; `own` is its `within`.
    """

    __slots__ = ()

    def __new__(
        cls, x: Tensor, y: Tensor, rest: Remainder | None = None, notes: Notes = MappingProxyType({}), **parts: Any
    ) -> Terms:
        """Join the vectors with the rest of the error and notes."""
        if parts and rest is not None:
            raise TypeError(f"{', '.join(parts)} are parts of rest, which is given too; leave one out.")
        if "own" in parts:
            parts["within"] = parts.pop("own")
        return super().__new__(cls, x, y, rest or Remainder(**parts), notes)

    def value(self, x: Measure, y: Measure) -> Tensor:
        """Return the weighted sum, differentiable."""
        return x.mean(self.x) + y.mean(self.y)

    def times(self, factor: float) -> Terms:
        """Return the terms of a positive multiple of the statistic."""
        return Terms(factor * self.x, factor * self.y, self.rest.times(factor), self.notes)

    def uncertainty(self, x: Measure, y: Measure) -> Uncertainty:
        """Return the error of the value on these samples."""
        return Uncertainty.of((x, self.x), (y, self.y), self.rest)

    @classmethod
    def of_means(
        cls,
        functional: Callable[[Tensor, Tensor], Tensor],
        x: tuple[Measure, Tensor],
        y: tuple[Measure, Tensor],
        notes: Notes | None = None,
    ) -> Terms:
        r"""Return the terms of a nonlinear functional φ(E_P g, E_Q h) of means, linearised at the sample's own means.

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
    """A divergence estimate: the value with its error, bias and proof that the inner problem was solved.

    The error is sampling noise, not bias: `uncertainty` has its parts, `divkit.core.uncertainty` their formulas.

    Parameters
    ----------
    name : str
    value : float
    n, m : int
        Numbers of samples.
    bias : Bias
    solution : Solution
    settings : mapping
        The divergence's fields, ready for JSON.
    notes : mapping
        What else was measured or has to be said; `divkit.core.notes.Note` lists the keys.
    influence : tuple of Tensor
        The two vectors (n,) and (m,) whose weighted sum is the value.
    uncertainty : Uncertainty
    base : Estimate, optional
        The estimate of which this is the root of order `exponent`.
    """

    name: str
    value: float
    n: int
    m: int
    bias: Bias
    solution: Solution
    settings: Mapping[str, Any]
    notes: Notes
    influence: tuple[Tensor, Tensor] = field(repr=False)
    uncertainty: Uncertainty = field(repr=False)
    base: Estimate | None = field(repr=False, default=None)
    exponent: float = field(repr=False, default=1.0)

    @classmethod
    def of(
        cls, name: str, x: Measure, y: Measure, terms: Terms, solution: Solution, *, bias: Bias, settings: Mapping[str, Any]
    ) -> Estimate:
        """Assemble value and error from `terms`."""
        value, error = float(terms.value(x, y)), terms.uncertainty(x, y)
        notes = {**solution.notes, **terms.notes}
        if bias is Bias.BELOW and not math.isnan(error.stderr):
            notes[Note.LOWER_CONFIDENCE] = value - float(ndtri(0.95)) * error.stderr
        if Note.MASS not in notes and not math.isclose(x.mass, y.mass, rel_tol=1e-5):  # float32 weights are off by so much
            notes[Note.MASS] = f"the weights sum to {x.mass:g} and {y.mass:g}; both were normalised to one"
        if math.isnan(error.stderr):
            reason = "no standard error from 1 sample with weight; a minimum of 2 on each side is required"
            notes.setdefault(Note.STDERR, reason)
        return cls(name, value, x.n, y.n, bias, solution, settings, notes, (terms.x, terms.y), error)

    @property
    def stderr(self) -> float:
        """The standard error; NaN where none can be had, and then the notes say why."""
        return self.uncertainty.stderr

    @property
    def second_order(self) -> float:
        """The part of the standard error that is left at P = Q: see `Uncertainty`."""
        return self.uncertainty.second_order

    @property
    def noise(self) -> float:
        """The part of the standard error that does not come from the samples: projections, random features, trainings."""
        return self.uncertainty.noise

    @property
    def converged(self) -> bool:
        """Whether the inner problem was solved to its tolerance."""
        return self.solution.converged

    def ci(self, level: float = 0.95) -> tuple[float, float]:
        """Return the central confidence interval of the estimator's expectation: see `Uncertainty.interval`."""
        if self.base is None:
            return self.uncertainty.interval(self.value, level)
        low, high = self.base.ci(level)
        return _root(low, self.exponent), _root(high, self.exponent)

    def root(self, p: float = 2.0) -> Estimate:
        """Return the estimate of value^(1/p): ends of intervals mapped, below zero clipped at 0, stderr by the delta method."""
        at_least("p", p, 1)
        value = _root(self.value, p)
        slope = value / (p * self.value) if value > 0 else math.nan
        return replace(
            self,
            name=f"{self.name}^(1/{p:g})",
            value=value,
            bias=self.bias if self.bias in (Bias.BELOW, Bias.ABOVE) else Bias.UNKNOWN,
            uncertainty=self.uncertainty.times(slope),
            base=self,
            exponent=p,
        )

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.name} = {self.value:.4g} ± {self.stderr:.2g}, {self.bias.value}, {self.solution.status.value}"

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two estimates, whose shared samples are recognised and accounted for in its error."""
        if not isinstance(other, Estimate):
            return NotImplemented
        return replace(
            self,
            name=f"{self.name} − {other.name}",
            value=self.value - other.value,
            bias=Bias.NONE if self.bias is other.bias is Bias.NONE else Bias.UNKNOWN,
            solution=self.solution if not self.converged else other.solution,
            notes={},
            uncertainty=self.uncertainty.minus(other.uncertainty),
            base=None,
            exponent=1.0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the influence values, ready for JSON: numbers that are not finite become None."""
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
    """Return value^(1/p), zero below zero."""
    return value if math.isnan(value) else max(value, 0.0) ** (1 / p)


def _finite(value: float | None) -> float | None:
    """Return a number as JSON can hold it: None where it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)
