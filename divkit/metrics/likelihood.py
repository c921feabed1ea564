"""Log-likelihoods of held-out points from samples alone: a normal kernel at each sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from divkit.support.checks import positive

__all__ = ["kde_bandwidth", "kde_log_likelihood"]

BANDWIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
TILE = 2**22  # entries of a block of distances


def kde_log_likelihood(x: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    r"""Parzen's :math:`\log \frac1m \sum_j N(x_i; y_j, h^2 I)` of each point, in nats: (n,).

    High for samples that are sharp near the data, low for few modes; in many dimensions it says little and compares only with
    itself at the same m (Theis, van den Oord, Bethge 2016). Source: Breuleux, Bengio, Vincent (2011).

    Parameters
    ----------
    x : Tensor (n, *event)
    samples : Tensor (m, *event)
    bandwidth : float
        h, in units of the data.

    Examples
    --------
    >>> x = torch.zeros(1, 2)
    >>> value = kde_log_likelihood(x, x, 1.0)
    >>> abs(float(value) + math.log(2 * math.pi)) < 1e-12
    True
    """
    positive("bandwidth", bandwidth)
    a, b = x.flatten(1).double(), samples.flatten(1).double()
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"A point of x has {a.shape[1]} numbers and a sample {b.shape[1]}; they must be the same.")
    constant = math.log(len(b)) + a.shape[1] * (math.log(bandwidth) + 0.5 * math.log(2 * math.pi))
    found = [
        torch.logsumexp(-0.5 * (torch.cdist(rows, b) / bandwidth).square(), 1)
        for rows in torch.split(a, max(1, TILE // len(b)))
    ]
    return torch.cat(found) - constant


def kde_bandwidth(held: Tensor, samples: Tensor, candidates: tuple[float, ...] = BANDWIDTHS) -> float:
    """The candidate of highest mean log-likelihood on points held out for this choice alone."""
    return max(candidates, key=lambda h: float(kde_log_likelihood(held, samples, h).mean()))
