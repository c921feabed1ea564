"""Variational bounds of f-divergences as duals: one trained logit, any record evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Note
from divkit.critic.dual import Pair
from divkit.data.measure import Measure
from divkit.fdiv.diagnoses import plug_in_notes, tail_notes, unseen_notes
from divkit.fdiv.logit import LogitDual
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN

__all__ = ["Bound"]

SLIGHT = 0.01  # the share of a value that no cut logit need be told for: those of bounded divergences


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

    def adjusted(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> tuple[Tensor, Tensor]:
        """The logits that are judged: as they come."""
        return s, t

    def bare(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return self._judged(*self.adjusted(s, t, x, y), x, y)

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return self.judge(s, t, x, y, (torch.zeros_like(s), torch.zeros_like(t)))

    def judge(self, s: Tensor, t: Tensor, x: Measure, y: Measure, beyond: Pair) -> Terms:
        s, t = self.adjusted(s, t, x, y)
        made, limit = self._judged(s, t, x, y), self._limit(s.dtype, x, y)
        p, q = s.clamp(-limit, limit), t.clamp(-limit, limit)
        read = dict(plug_in_notes(self.evaluate, p, q, x, y))
        cut = self._cut(p, q, x, y, (beyond[0] + (s - p), beyond[1] + (t - q)))
        cut = {**unseen_notes(self.evaluate, p, q, x, y), **cut}
        if "saturated" in cut:  # a cut logit is no log ratio, and that has been said
            read.pop("disagreement", None)
        return made._replace(notes={**read, **cut, **tail_notes(made, self.evaluate.tame and x.uniform and y.uniform)})

    def _judged(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self._limit(s.dtype, x, y)
        return Terms(self.evaluate.a(s.clamp(-limit, limit)), -self.evaluate.b(t.clamp(-limit, limit)))

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        limit = min(self.evaluate.limit(s.dtype), 30.0)
        pair = self.evaluate.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit))).value(x, y)

    def spans(self, dtype: torch.dtype, x: Measure, y: Measure) -> tuple[float, float]:
        return self.evaluate.span(self._limit(dtype, x, y))

    @property
    def least(self) -> float:
        return self.evaluate.minimum

    def _limit(self, dtype: torch.dtype, x: Measure, y: Measure) -> float:
        return min(self.evaluate.limit(dtype), self.witnessed(x, y))

    @torch.no_grad()
    def _cut(self, s: Tensor, t: Tensor, x: Measure, y: Measure, beyond: Pair) -> dict[str, float | int | str]:
        """The share of logits that were cut; it matters where a cut one further out would move the value by its noise."""
        share = float(x.mean((beyond[0] != 0).double()) + y.mean((beyond[1] != 0).double())) / 2
        end, value, moved, variance = self.evaluate.limit(s.dtype), -self.evaluate.minimum, 0.0, 0.0
        for m, f, sign, v, far in ((x, self.evaluate.a, 1, s, beyond[0]), (y, self.evaluate.b, -1, t, beyond[1])):
            terms = f(v).double()
            value += sign * float(m.mean(terms))
            moved += float(m.mean((f((v + far.clamp(-1, 1)).clamp(-end, end)) - terms).abs()))
            variance += float(terms.var()) / m.n
        notes: dict[str, float | int | str] = {Note.CLIPPED_SHARE: share}
        if moved > max(math.sqrt(variance), SLIGHT * value):
            largest = max(float(s.abs().max()), float(t.abs().max()))
            notes[Note.SATURATED] = (
                f"{share:.1%} of the logits were cut, at ±{largest:.3g} or before, about the largest that "
                f"{min(x.n, y.n)} samples can witness; the divergence may be far above this bound."
            )
        return notes
