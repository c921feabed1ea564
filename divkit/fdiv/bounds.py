"""Variational bounds of f-divergences as duals: one trained logit, any record evaluated."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from divkit.critic.variational import Calibration, Dual, Scores, Sides
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN
from divkit.measure import Measure
from divkit.results import Bias, Terms

__all__ = ["Bound"]

SEEN = 3  # rows of x that must have a larger logit (of y, a smaller one) before a critic's logit is believed
FAR = 3.3  # standard errors: five folds judge two conditions each, and two errors would fail one run in ten by chance
FLAT = 0.01  # a mean slope of the logistic bound that counts as zero: on separable samples all rows pull one way
PRIOR = 0.25  # standard deviation of the normal prior on the calibration's slope − 1 and shift


@dataclass(frozen=True)
class Bound(Dual):
    r"""The bound :math:`D_f(P\|Q) \ge E_P\, a(v) - E_Q\, b(v)` of a logit v ≈ log p/q.

    The canonical pair has :math:`b' = e^v a'` for every f, so the best v is log p/q for all of them: a critic trained for
    `train` (GAN's bound is the logistic loss, the best behaved) evaluates any record. Nats. Source: Nguyen, Wainwright, Jordan
    (2010); Nowozin, Cseke, Tomioka (2016).

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

    @property
    def problem(self) -> Hashable:
        return self.train

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self.train.limit(s.dtype)
        pair = self.train.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit)))

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self._limit(s.dtype, x, y)
        near_s, near_t = s.clamp(-limit, limit), t.clamp(-limit, limit)
        a, b = self.evaluate.a(near_s), self.evaluate.b(near_t)
        with torch.no_grad():
            plug_in = float(x.mean(a - self.evaluate.b(near_s) * torch.exp(-near_s)))
            beyond = x.mean((s.abs() > limit).double()) + y.mean((t.abs() > limit).double())
            notes: dict[str, float | str] = {"plug_in": plug_in, "clipped_share": float(beyond) / 2}
            # clipped logits matter where one more unit of clip would move the value by over a tenth of its noise
            wider = min(limit + 1, self.evaluate.limit(s.dtype))
            moved = x.mean((self.evaluate.a(s.clamp(-wider, wider)) - a).abs()) + y.mean(
                (self.evaluate.b(t.clamp(-wider, wider)) - b).abs()
            )
            noise = (a.double().var() / x.n + b.double().var() / y.n).sqrt()
            if float(beyond) > 0 and float(moved) > 0.1 * float(noise):
                notes["saturated"] = (
                    f"{float(beyond) / 2:.1%} of the logits were clipped at ±{limit:.3g}, about the largest that "
                    f"{min(x.n, y.n)} samples can witness; the divergence may be far above this bound."
                )
        return Terms(a, -b, notes=notes)

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        limit = min(self.evaluate.limit(s.dtype), 30.0)
        pair = self.evaluate.smooth
        return Terms(pair.a(s.clamp(-limit, limit)), -pair.b(t.clamp(-limit, limit))).value(x, y)

    def _limit(self, dtype: torch.dtype, x: Measure, y: Measure) -> float:
        return min(self.evaluate.limit(dtype), math.log(min(x.effective, y.effective)))

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Slope and shift of the logit by penalised logistic regression on held-out scores.

        Settled where the first-order conditions of the logistic bound, in constant and slope, hold within the error of a mean.
        The calibrated logit is cut where few of the training rows reach: a critic says nothing of ratios that it has not seen.
        """
        x, y = held
        v = torch.cat([scores(x), scores(y)]).double().clamp(-50, 50)
        sign = torch.cat([torch.ones(x.n), -torch.ones(y.n)]).to(v)
        weights = torch.cat([x.weights, y.weights]).double() * (x.effective + y.effective) / 2
        features = torch.stack([v, torch.ones_like(v)], 1)
        centre = torch.tensor([1.0, 0.0]).to(v)
        theta = centre.clone()
        for _ in range(25):
            p = torch.sigmoid(-sign * (features @ theta))
            gradient = -features.T @ (weights * sign * p) + (theta - centre) / PRIOR**2
            hessian = features.T @ ((weights * p * (1 - p))[:, None] * features) + torch.eye(2).to(v) / PRIOR**2
            step = torch.linalg.solve(hessian, gradient)
            theta = theta - step * min(1.0, 1.0 / float(step.abs().max().clamp(min=1e-12)))
            if float(step.abs().max()) < 1e-8:
                break
        p = torch.sigmoid(-sign * (features @ theta))
        residual = weights[:, None] * features * (sign * p)[:, None]
        settled = bool((residual.sum(0).abs() <= FAR * residual.square().sum(0).sqrt() + FLAT * weights.sum()).all())
        slope, shift = theta.tolist() if float(theta[0]) > 0 else (1.0, 0.0)
        seen = [slope * torch.cat([scores(f), scores(h)]).double() + shift for f, h in zip(fit, held)]
        high = float(seen[0].topk(min(SEEN, 1 + len(seen[0]) // 50)).values[-1])
        low = float(seen[1].topk(min(SEEN, 1 + len(seen[1]) // 50), largest=False).values[-1])
        return Calibration(slope, shift, min(low, 0.0), max(high, 0.0), settled)
