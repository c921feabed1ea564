"""Abilities that only some duals have: protocols of one or two members, which `Variational` asks for by `isinstance`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from divkit.core.estimate import Bias
from divkit.core.notes import Notes
from divkit.critic.choice import Choice
from divkit.critic.dual import Dual, ScorePair, Scores, Sides
from divkit.critic.networks import Factory
from divkit.data.measure import Measure

__all__ = ["Bounded", "Calibrated", "Calibration", "Certifying", "CriticBiased", "Rescaled", "ScorePair", "Scores", "Sides"]


class Calibration(NamedTuple):
    """The line and the cuts that correct a critic's scores: slope · score + shift, cut to [low, high]."""

    slope: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    settled: bool = True  # first-order conditions hold on the inner split

    def __call__(self, scores: Tensor) -> Tensor:
        return (self.slope * scores + self.shift).clamp(self.low, self.high)


@runtime_checkable
class Calibrated(Protocol):
    """A dual that improves a trained critic's scores by a line and two cuts."""

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Return the calibration of a critic, from the rows that it was fitted to and those that were held out."""


@runtime_checkable
class Bounded(Protocol):
    """A dual whose terms have a finite range, which gives a lower bound at any sample size."""

    def spans(self, dtype: torch.dtype, x: Measure, y: Measure) -> tuple[float, float]:
        """Return the lengths of the ranges of both vectors of `terms`, whatever the scores; infinite where there are none."""

    @property
    def least(self) -> float:
        """The smallest value of the divergence."""


@runtime_checkable
class Rescaled(Protocol):
    """A dual whose best critic depends on the unit of its scores by more than a factor of the objective."""

    def in_units(self, unit: float) -> Dual:
        """Return the dual for scores that are still to be multiplied by `unit`."""


@runtime_checkable
class CriticBiased(Protocol):
    """A dual whose bias depends on the class of its critics."""

    def bias_with(self, critic: Factory | Choice) -> Bias:
        """Return the bias of the cross-fitted value with critics of this factory."""


@runtime_checkable
class Certifying(Protocol):
    """A dual whose critics certify a lower bound of the samples' own value, by a pass over all pairs of points."""

    def certify(self, critics: Sequence[Scores], x: Measure, y: Measure) -> tuple[float, Notes]:
        """Return the certified lower bound, and notes on what was measured of the critics."""
