"""Variational bounds of f-divergences as duals: one trained logit, any record evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Note, Notes
from divkit.critic.abilities import ScorePair
from divkit.data.measure import Measure
from divkit.fdiv.diagnoses import clipping_notes, plug_in_notes, tail_notes, unseen_notes
from divkit.fdiv.logit import STEEPEST, LogitDual
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN

__all__ = ["Bound"]


@dataclass(frozen=True)
class Bound(LogitDual):
    r"""The bound :math:`D_f(P\|Q) \ge E_P\, a(v) - E_Q\, b(v)` of a logit v ≈ log p/q.

    The canonical pair has :math:`b' = e^v a'` for every f, so the best v is log p/q for all of them: a critic trained for
    `train` (GAN's bound is the logistic loss, the best behaved) evaluates any record. Nats. Source: Nguyen, Wainwright, Jordan
    (2010); Nowozin, Cseke, Tomioka (2016).

    The notes of an estimate hold ``plug_in``, :math:`E_P f(e^v)/e^v` of the same logit, which equals the bound where the logit
    is right (``disagreement`` says so where it does not); ``clipped_share`` of the logits, and ``saturated`` where that
    matters, or one law lies where the other sample has no rows; ``tail_index`` of the terms (`divkit.fdiv.tails`), with
    ``heavy_tail`` or ``unreliable`` where it is large; the one-sided 95 % bounds ``lower_confidence`` of the divergence,
    asymptotic, and ``lower_finite_sample``, for any sample size.

    Parameters
    ----------
    evaluate : FDivergence
    train : FDivergence
    """

    evaluate: FDivergence
    train: FDivergence = field(default=GAN)
    bias = Bias.BELOW

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.evaluate.name

    def adjusted(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> ScorePair:
        """Return the logits at which the bound is evaluated: here as they come."""
        return s, t

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        p, q = self._clipped(*self.adjusted(s, t, x, y), x, y)
        return Terms(self.evaluate.a(p), -self.evaluate.b(q))

    @torch.no_grad()
    def diagnose(self, s: Tensor, t: Tensor, x: Measure, y: Measure, terms: Terms, cut: ScorePair) -> Notes:
        s, t = self.adjusted(s, t, x, y)
        p, q = self._clipped(s, t, x, y)
        reading = plug_in_notes(self.evaluate, p, q, x, y)
        clipping = {
            **unseen_notes(self.evaluate, p, q, x, y),
            **clipping_notes(self.evaluate, p, q, x, y, (cut[0] + (s - p), cut[1] + (t - q))),
        }
        if Note.SATURATED in clipping:  # a clipped logit is no log ratio, and the note says so already
            reading = {key: value for key, value in reading.items() if key != Note.DISAGREEMENT}
        return {**reading, **clipping, **tail_notes(terms, self.evaluate.tame and x.uniform and y.uniform)}

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        limit = min(self.evaluate.limit(s.dtype), STEEPEST)
        pair = self.evaluate.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit))).value(x, y)

    def spans(self, dtype: torch.dtype, x: Measure, y: Measure) -> tuple[float, float]:
        """Return the lengths of the ranges that cut logits leave to both vectors of terms."""
        return self.evaluate.span(self._largest_logit(dtype, x, y))

    @property
    def least(self) -> float:
        return self.evaluate.minimum

    def _largest_logit(self, dtype: torch.dtype, x: Measure, y: Measure) -> float:
        """Return the largest |logit| at which f's formulas are accurate and for which so few samples can be evidence."""
        return min(self.evaluate.limit(dtype), self.witnessed(x, y))

    def _clipped(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> ScorePair:
        limit = self._largest_logit(s.dtype, x, y)
        return s.clamp(-limit, limit), t.clamp(-limit, limit)
