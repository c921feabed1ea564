"""Variational bounds of f-divergences as duals: one trained logit, any record evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from divkit.fdiv.logit import LogitDual, compared, diagnosed
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN
from divkit.measure import Measure
from divkit.results import Bias, Terms

__all__ = ["Bound"]


@dataclass(frozen=True)
class Bound(LogitDual):
    r"""The bound :math:`D_f(P\|Q) \ge E_P\, a(v) - E_Q\, b(v)` of a logit v ≈ log p/q.

    The canonical pair has :math:`b' = e^v a'` for every f, so the best v is log p/q for all of them: a critic trained for
    `train` (GAN's bound is the logistic loss, the best behaved) evaluates any record. Nats. Source: Nguyen, Wainwright, Jordan
    (2010); Nowozin, Cseke, Tomioka (2016).

    The notes of an estimate hold ``plug_in``, :math:`E_P f(e^v)/e^v` of the same logit, which equals the bound where the logit
    is right (``disagreement`` says so where it does not); ``clipped_share`` of the logits, and ``saturated`` where that
    matters; ``tail_index`` of the terms (`divkit.fdiv.tails`), with ``heavy_tail`` or ``unreliable`` where it is large; the
    one-sided 95 % bounds ``lower_confidence`` of the divergence, asymptotic, and ``lower_finite_sample``, for any sample size.

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
        s, t = self.adjusted(s, t, x, y)
        made, limit = self._judged(s, t, x, y), self._limit(s.dtype, x, y)
        read = compared(self.evaluate, s.clamp(-limit, limit), t.clamp(-limit, limit), x, y)
        cut = self._clipped(s, t, x, y, made)
        if "saturated" in cut:  # a cut logit is no log ratio, and that has been said
            read.pop("disagreement", None)
        return made._replace(notes={**read, **cut, **diagnosed(made, self.evaluate.tame and x.uniform and y.uniform)})

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
    def _clipped(self, s: Tensor, t: Tensor, x: Measure, y: Measure, made: Terms) -> dict[str, float | str]:
        """The share of clipped logits; they matter where one more unit of clip would move the value by a tenth of its noise."""
        limit = self._limit(s.dtype, x, y)
        beyond = float(x.mean((s.abs() > limit).double()) + y.mean((t.abs() > limit).double())) / 2
        notes: dict[str, float | str] = {"clipped_share": beyond}
        wider = min(limit + 1, self.evaluate.limit(s.dtype))
        moved = x.mean((self.evaluate.a(s.clamp(-wider, wider)) - made.x).abs())
        moved = moved + y.mean((self.evaluate.b(t.clamp(-wider, wider)) + made.y).abs())
        noise = (made.x.double().var() / x.n + made.y.double().var() / y.n).sqrt()
        if beyond > 0 and float(moved) > 0.1 * float(noise):
            notes["saturated"] = (
                f"{beyond:.1%} of the logits were clipped at ±{limit:.3g}, about the largest that "
                f"{min(x.n, y.n)} samples can witness; the divergence may be far above this bound."
            )
        return notes
