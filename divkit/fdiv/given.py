"""A divergence read from a logit that is given: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Terms
from divkit.critic.dual import Dual, diagnosed
from divkit.data.measure import Measure

__all__ = ["Given", "Logit", "evaluate"]

Logit = Callable[..., Tensor]  # the parts of points, each (n, *event), to (n,)


@dataclass(frozen=True)
class Given(Divergence):
    """A divergence read from a given logit, or any score: nothing is trained, and x and y must be new to it.

    Parameters
    ----------
    dual : Dual
        Such as ``Bound(KL)``.
    logit : callable
        From points (n, *event), one tensor for each part, to (n,).
    """

    quadratic: ClassVar[bool] = False

    dual: Dual
    logit: Logit

    @property
    def name(self) -> str:
        return self.dual.name

    @property
    def bias(self) -> Bias:
        return self.dual.bias

    @property
    def problem(self) -> Hashable:
        return self

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        return diagnosed(self.dual, evaluate(self.logit, x), evaluate(self.logit, y), x, y)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        return self.dual.descend(evaluate(self.logit, x), evaluate(self.logit, y), x, y)


def evaluate(logit: Logit, m: Measure) -> Tensor:  # -> (n,)
    """Return the logit of a measure's points; refuse a logit that does not return one number per point, or NaN."""
    values = logit(*m.parts)
    if isinstance(values, Tensor) and values.shape == (m.n, 1):
        values = values[:, 0]
    if not isinstance(values, Tensor) or values.shape != (m.n,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"logit must return one number per point, shape ({m.n},); got {shape}.")
    if bool(values.isnan().any()):
        raise ValueError(f"logit returned NaN for {int(values.isnan().sum())} of {m.n} points.")
    return values
