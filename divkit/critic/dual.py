"""A variational form of a divergence: what a critic's scores are worth, and what is done to them first."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from divkit.core.estimate import Bias, Terms
from divkit.critic.ascent import score
from divkit.critic.choice import Choice
from divkit.critic.networks import Factory
from divkit.data.measure import Measure

__all__ = ["Calibration", "Dual", "Pair", "Scores", "Sides"]

Scores = Callable[[Measure], Tensor]
Sides = tuple[Measure, Measure]
Pair = tuple[Tensor, Tensor]  # scores of x (n,) and of y (m,)


class Calibration(NamedTuple):
    """What is done to a critic's scores before they are used: slope · score + shift, cut to [low, high]."""

    slope: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    settled: bool = True  # first-order conditions hold on the inner split

    def __call__(self, scores: Tensor) -> Tensor:
        return (self.slope * scores + self.shift).clamp(self.low, self.high)


class Dual(ABC):
    """A variational form of a divergence: what a critic maximises, what is reported, what a model minimises."""

    name: str
    bias: Bias = Bias.BELOW
    quadratic: ClassVar[bool] = False  # what `measure` takes grows as n·m
    apart: ClassVar[bool] = False  # scores are features, and those of one fold's critic say nothing beside another's

    @property
    @abstractmethod
    def problem(self) -> Hashable:
        """Describe what the critic is trained for."""

    @abstractmethod
    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """What the critic maximises, of scores s (n,) and t (m,)."""

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """What is reported."""
        return self.ascend(s, t, x, y)

    def judge(self, s: Tensor, t: Tensor, x: Measure, y: Measure, beyond: Pair) -> Terms:
        """`terms` of scores of which the calibration cut off so much."""
        return self.terms(s, t, x, y)

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        """What a model minimises."""
        return self.terms(s, t, x, y).value(x, y)

    def value(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        """The value of `terms` alone, for those who need many."""
        return self.terms(s, t, x, y).value(x, y)

    def in_units(self, unit: float) -> Dual:
        """The dual for scores still to be multiplied by `unit`; itself where a factor of the objective is no matter."""
        return self

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Improve a trained critic's scores from the rows it was trained with."""
        return Calibration()

    def spans(self, dtype: torch.dtype, x: Measure, y: Measure) -> tuple[float, float]:
        """Lengths of the ranges of both vectors of `terms`, whatever the scores: finite ones give a finite-sample bound."""
        return math.inf, math.inf

    @property
    def least(self) -> float:
        """The smallest value of the divergence."""
        return 0.0

    def honesty(self, critic: Factory | Choice) -> Bias:
        """The bias of the cross-fitted value with critics of this factory."""
        return self.bias

    def witness(self, network: nn.Module, y: Measure) -> Scores:
        """The function of a point whose gradient a penalty holds."""
        return lambda m: score(network, m)

    def measure(self, critics: Sequence[Scores], x: Measure, y: Measure) -> tuple[float | None, dict[str, float]]:
        """A certified lower bound of the samples' value, where the critics give one, and what else was measured of them."""
        return None, {}
