"""Bounds at the best shift and scale of their logit, found on one half of the rows and used on the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import minimize
from torch import Tensor

from divkit.data.measure import Measure
from divkit.fdiv.bounds import Bound

__all__ = ["Tightened"]

STEEPEST = 30.0  # the largest |logit| tried


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

    def adjusted(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> tuple[Tensor, Tensor]:
        odd = [torch.arange(len(v), device=v.device) % 2 == 1 for v in (s, t)]
        made_s, made_t = s, t
        for flip in (False, True):
            judged = [half != flip for half in odd]
            others = [v.detach()[~own] for v, own in zip((s, t), judged)]
            slope, shift = self._best(others, [m.weights[~own] for m, own in zip((x, y), judged)])
            made_s = torch.where(judged[0], slope * s + shift, made_s)
            made_t = torch.where(judged[1], slope * t + shift, made_t)
        return made_s, made_t

    def _best(self, logits: list[Tensor], weights: list[Tensor]) -> tuple[float, float]:
        """Slope and shift that maximise the bound on some rows; (1, 0) where a side of them has no weight."""
        if min(float(w.sum()) for w in weights) <= 0:
            return 1.0, 0.0
        (s, t), (w, v) = (z.double() for z in logits), (z.detach() / z.detach().sum() for z in weights)
        limit = min(self.evaluate.limit(torch.float32), STEEPEST)

        def loss(theta: tuple[float, float]) -> float:
            p, q = ((theta[0] * z + theta[1]).clamp(-limit, limit) for z in (s, t))
            return float(v @ self.evaluate.b(q) - w @ self.evaluate.a(p))

        found = minimize(loss, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9, "maxiter": 200})
        return (float(found.x[0]), float(found.x[1])) if found.fun < loss((1.0, 0.0)) else (1.0, 0.0)
