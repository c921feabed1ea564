"""Bounds at the best shift and scale of their logit, found on one half of the rows and used on the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import minimize
from torch import Tensor

from divkit.critic.abilities import ScorePair
from divkit.data.measure import Measure
from divkit.fdiv.bounds import Bound
from divkit.fdiv.logit import STEEPEST

__all__ = ["Tightened"]


@dataclass(frozen=True)
class Tightened(Bound):
    r"""The bound of :math:`\alpha v + \beta`, each half of the rows with the α, β that are best on the other half.

    Every affine image of a logit is a logit, so the value stays a lower bound in expectation. It repairs a logit that is no log
    ratio: one that was trained by another objective, or is a user's own score. The logits of `divkit.critic.Variational` are
    calibrated already, and gain nothing.

    Parameters
    ----------
    evaluate : FDivergence
    train : FDivergence

    Examples
    --------
    >>> import torch, divkit as dk
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = 1 + torch.randn(2000, 1, generator=generator), torch.randn(2000, 1, generator=generator)
    >>> def wrong(points):  # of log p/q = x − ½
    ...     return 0.5 * points[:, 0] + 0.45
    >>> plain, tight = (dk.fdiv.Given(dual(dk.fdiv.KL), wrong).estimate(x, y) for dual in (dk.fdiv.Bound, Tightened))
    >>> plain.value < 0.3, abs(tight.value - 0.5) < 4 * tight.stderr
    (True, True)
    """

    def adjusted(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> ScorePair:
        odd = [torch.arange(len(v), device=v.device) % 2 == 1 for v in (s, t)]
        tight_s, tight_t = s, t
        for flip in (False, True):
            judged = [half != flip for half in odd]
            others = [v.detach()[~own] for v, own in zip((s, t), judged)]
            slope, shift = self._best(others, [m.weights[~own] for m, own in zip((x, y), judged)])
            tight_s = torch.where(judged[0], slope * s + shift, tight_s)
            tight_t = torch.where(judged[1], slope * t + shift, tight_t)
        return tight_s, tight_t

    def _best(self, logits: list[Tensor], weights: list[Tensor]) -> tuple[float, float]:
        """Return slope and shift that maximise the bound on some rows; (1, 0) where a side of them has no weight."""
        if min(float(w.sum()) for w in weights) <= 0:
            return 1.0, 0.0
        (s, t), (w, v) = (z.double() for z in logits), (z.detach() / z.detach().sum() for z in weights)
        limit = min(self.evaluate.limit(torch.float32), STEEPEST)

        def loss(theta: tuple[float, float]) -> float:
            p, q = ((theta[0] * z + theta[1]).clamp(-limit, limit) for z in (s, t))
            return float(v @ self.evaluate.b(q) - w @ self.evaluate.a(p))

        optimum = minimize(loss, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9, "maxiter": 200})
        return (float(optimum.x[0]), float(optimum.x[1])) if optimum.fun < loss((1.0, 0.0)) else (1.0, 0.0)
