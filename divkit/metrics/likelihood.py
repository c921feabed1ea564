r"""Log-likelihoods of held-out points from samples alone: a normal kernel at each sample.

.. math:: \log p(x) = \log \frac1m \sum_j N(x; y_j, h^2 I) = -\frac{s(x)}{2 h^2} - \log m - \frac d2 \log 2 \pi h^2

with :math:`s(x)` the soft minimum over j of :math:`|x - y_j|^2` at ε = 2h². Points are centred and scaled first, and h
with them, so that distances between points far from the origin keep their digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.metrics.rows import rows_of
from divkit.support.checks import positive
from divkit.transport.costs import Power

__all__ = ["kde_bandwidth", "kde_log_likelihood"]


def kde_log_likelihood(x: Any, samples: Any, bandwidth: float) -> Tensor:
    """Return the log-likelihood of each point under a normal kernel at every sample (Parzen's), in nats: (n,).

    High for samples that are sharp near the data, low for few modes; in many dimensions it says little and compares only with
    itself at the same m (Theis, van den Oord, Bethge 2016). Source: Breuleux, Bengio, Vincent (2011).

    Parameters
    ----------
    x : array-like (n, *event)
    samples : array-like (m, *event)
    bandwidth : float
        h, in units of the data.

    Examples
    --------
    >>> value = kde_log_likelihood([[0.0, 0.0]], [[0.0, 0.0]], 1.0)
    >>> abs(float(value) + math.log(2 * math.pi)) < 1e-12
    True
    """
    positive("bandwidth", bandwidth)
    p, q = map(Measure, rows_of(x, samples))
    frame = pairs.frame(p, q)
    epsilon = 2 * (bandwidth / frame.scale) ** 2
    distances = pairs.softmin(Power(2.0), frame.x, frame.y, torch.zeros_like(frame.y[:, 0]), epsilon)
    d = frame.x.shape[1]
    return -distances / epsilon - math.log(q.n) - d * (math.log(bandwidth) + 0.5 * math.log(2 * math.pi))


def kde_bandwidth(held: Any, samples: Any, candidates: Sequence[float] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)) -> float:
    """Return the candidate of highest mean log-likelihood on points that are held out for this choice alone."""
    return max(candidates, key=lambda h: float(kde_log_likelihood(held, samples, h).mean()))
