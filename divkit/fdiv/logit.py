"""Duals of a logit: the logistic ascent, the calibration, the largest logit that samples can tell from infinity."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable

import torch
from torch import Tensor

from divkit.core.estimate import Terms
from divkit.critic import Dual
from divkit.critic.abilities import Calibration, Scores, Sides
from divkit.data.measure import Measure
from divkit.fdiv.calibration import believable, platt
from divkit.fdiv.records import FDivergence

__all__ = ["STEEPEST", "LogitDual"]

STEEPEST = 30.0  # the largest |logit| that is descended or tried: e^30 is 10^13, and float64 has 16 digits


class LogitDual(Dual):
    """A dual whose critic is a logit v ≈ log p/q, trained by the bound of `train`: duals with equal ones share it."""

    train: FDivergence

    @property
    def problem(self) -> Hashable:
        return self.train

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self.train.limit(s.dtype)
        pair = self.train.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit)))

    @abstractmethod
    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """Return the terms whose value is reported."""

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Return slope and shift of the logit by penalised logistic regression on held-out scores, and where it is clipped.

        A critic says nothing of ratios that it has not seen: the logit is clipped where few of the training rows lie. It counts
        as settled where the first-order conditions of the logistic bound hold within their standard errors.
        """
        (s, t), weights = (scores(m).double().clamp(-50, 50) for m in held), [m.weights.double() for m in held]
        (slope, shift), settled = platt((s, t), (weights[0], weights[1]), held[0].effective + held[1].effective)
        sides = list(zip(fit, held))
        logits = [slope * torch.cat([scores(f), scores(h)]).double() + shift for f, h in sides]
        mass = [torch.cat([m.weights.double() * m.effective for m in side]) for side in sides]
        low, high = believable((logits[0], logits[1]), (mass[0], mass[1]))
        return Calibration(slope, shift, low, high, settled)

    def witnessed(self, x: Measure, y: Measure) -> float:
        """Return the largest |logit| that samples of this size can tell from infinity."""
        return math.log(min(x.effective, y.effective))
