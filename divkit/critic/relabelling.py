"""p-values of trained critics: one critic is trained on half of the rows, and the other half is relabelled."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor

from divkit.core.estimate import Terms
from divkit.data.measure import Measure
from divkit.support.checks import enough

__all__ = ["relabelled"]

Fit = Callable[[Measure, Measure, torch.Generator], Callable[[Measure], Tensor]]
Judge = Callable[[Tensor, Tensor, Measure, Measure], Terms]  # scores of x and y -> the terms of the statistic


def relabelled(
    pooled: Measure, labels: Tensor, seed: int, fit: Fit, judge: Judge, least: int = 10
) -> Tensor:  # labels: (B, N) -> (B,)
    """Return a critic's value under each row of `labels`: trained on half of the points, evaluated on the other half.

    Half of the points train it with their observed labels, which are row 0. Given that half, the other half's labels are
    exchangeable under P = Q at fixed numbers of each side; every other row of `labels` stands for one such relabelling, drawn
    from a seed that is a checksum of it.

    Raises
    ------
    ValueError
        If a side has fewer than `least` rows, of which half train the critic and half are judged.
    """
    generator = torch.Generator().manual_seed(seed)
    observed = labels[0].cpu()
    train = torch.zeros(pooled.n, dtype=torch.bool)
    for side in (observed, ~observed):
        rows = side.nonzero()[:, 0]
        enough("testing a trained critic", len(rows), least)
        train[rows[torch.randperm(len(rows), generator=generator)[: len(rows) // 2]]] = True
    x, y = (pooled.take((train & side).nonzero()[:, 0].to(pooled.device)) for side in (observed, ~observed))
    score = fit(x, y, generator)
    rest, others = pooled.take((~train).nonzero()[:, 0].to(pooled.device)), observed[~train]
    results = torch.empty(len(labels), dtype=torch.float64)
    with torch.no_grad():
        values = score(rest)
        for b, row in enumerate(labels.cpu()):
            shuffle = torch.Generator().manual_seed(zlib.crc32(row.numpy().tobytes()))
            label = others[torch.randperm(len(others), generator=shuffle)] if b else others
            p, q = (rest.take(side.nonzero()[:, 0].to(rest.device)) for side in (label, ~label))
            results[b] = judge(values[label], values[~label], p, q).value(p, q)
    return results
