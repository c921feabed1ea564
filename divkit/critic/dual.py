"""A dual: a variational form of a divergence, as what a critic's scores are worth.

The symbols are x and y, samples of P and Q, and s (n,) and t (m,), a critic's scores of their points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Notes
from divkit.data.measure import Measure

__all__ = ["Dual", "FeatureDual", "ScorePair", "Scores", "Sides", "diagnosed"]

Scores = Callable[[Measure], Tensor]  # a measure of n points to their scores (n,)
Sides = tuple[Measure, Measure]  # rows of x, and of y
ScorePair = tuple[Tensor, Tensor]  # scores of x (n,) and of y (m,)


class Dual(ABC):
    """A variational form of a divergence: what a critic maximises, what is reported, what a model minimises.

    A subclass has a `name`, a `problem` and `ascend`; whatever else a dual can do is a protocol of `divkit.critic.abilities`.
    """

    name: str
    bias: Bias = Bias.BELOW  # of the value on rows that the critic has not seen

    @property
    @abstractmethod
    def problem(self) -> Hashable:
        """Describe what the critic is trained for: duals with equal problems share a critic."""

    @abstractmethod
    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """Return the terms whose value the critic maximises."""

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """Return the terms whose value is reported."""
        return self.ascend(s, t, x, y)

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        """Return what a model minimises, a scalar."""
        return self.terms(s, t, x, y).value(x, y)

    def diagnose(self, s: Tensor, t: Tensor, x: Measure, y: Measure, terms: Terms, cut: ScorePair) -> Notes:
        """Return notes on the `terms` of these scores, from each of which the calibration has cut off so much."""
        return {}


class FeatureDual(Dual):
    """A dual of a critic with several outputs: features of one fold's critic say nothing beside those of another's."""

    @abstractmethod
    def witness(self, network: nn.Module, y: Measure) -> Scores:
        """Return the function of a point whose gradient a penalty restrains."""


def diagnosed(dual: Dual, s: Tensor, t: Tensor, x: Measure, y: Measure, cut: ScorePair | None = None) -> Terms:
    """Return a dual's terms with its notes on them; `cut` is what the calibration cut off each score, nothing by default."""
    terms = dual.terms(s, t, x, y)
    notes = dual.diagnose(s, t, x, y, terms, cut or (torch.zeros_like(s), torch.zeros_like(t)))
    return terms._replace(notes={**terms.notes, **notes})
