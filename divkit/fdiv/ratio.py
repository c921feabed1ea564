"""log p/q as a function of a point: a user's own logit, its reliability, and the divergences that are read from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from divkit.core.registry import get
from divkit.critic import Dual
from divkit.data.measure import Measure, pair
from divkit.fdiv.given import Given, Logit, evaluate
from divkit.fdiv.reliability import Reliability, reliability

__all__ = ["DensityRatio"]


@dataclass(frozen=True)
class DensityRatio:
    """log p/q as a function of a point, in nats: a user's own logit, judged on samples that it has not seen.

    Parameters
    ----------
    logit : callable
        From points (n, *event), one tensor for each part of a joint sample, to log p/q (n,).

    Examples
    --------
    >>> import torch, divkit as dk
    >>> p, q = torch.distributions.Normal(1.0, 1.0), torch.distributions.Normal(0.0, 1.0)
    >>> ratio = dk.fdiv.DensityRatio.of_log_densities(p.log_prob, q.log_prob)
    >>> ratio([0.0, 0.5, 1.0]).tolist()
    [-0.5, 0.0, 0.5]
    >>> torch.manual_seed(0) and None
    >>> e = ratio.divergence("kl").estimate(p.sample((2000,)), q.sample((2000,)))
    >>> abs(e.value - 0.5) < 4 * e.stderr
    True
    """

    logit: Logit = field(repr=False)

    @classmethod
    def of_log_densities(cls, log_p: Logit, log_q: Logit) -> DensityRatio:
        """Return the ratio of two log densities, such as ``log_prob`` of distributions; (n, 1) results are read as (n,)."""
        return DensityRatio(lambda *parts: log_p(*parts) - log_q(*parts))

    def __call__(self, points: Any) -> Tensor:  # -> (n,)
        """Return log p/q at new points."""
        m = points if isinstance(points, Measure) else Measure(points)
        if self.dtype not in (None, m.dtype):
            m = m.on(*(part.to(self.dtype) for part in m.parts))
        with torch.no_grad():
            return evaluate(self.logit, m)

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype that points are converted to, or None where the logit takes any."""
        return None

    def divergence(self, name: str = "kl", **options: Any) -> Given:
        """Return the divergence of that name, read from this logit: for samples that it was not trained on.

        Raises
        ------
        ValueError
            Where the name is not of a divergence that is read from a logit.
        """
        dual = getattr(get(name, **options), "dual", None)
        if not isinstance(dual, Dual) or not hasattr(dual, "train"):
            raise ValueError(f"{name!r} is not read from a log density ratio; names that are: kl, js, kl-dv, renyi, ….")
        return Given(dual, self.logit)

    def reliability(self, x: Any, y: Any, bins: int = 10) -> Reliability:
        """Return how far the ratio can be believed, on samples that it was not trained on; see `Reliability`."""
        p, q = pair(x, y)
        with torch.no_grad():
            return reliability(evaluate(self.logit, p), evaluate(self.logit, q), p.weights, q.weights, bins)
