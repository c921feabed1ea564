"""The median heuristic: a bandwidth from the pooled sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.lines.sort import ranked
from divkit.support.checks import whole

__all__ = ["Median", "thinned"]


@dataclass(frozen=True)
class Median:
    """The median heuristic: the median distance between rows of the pooled sample, hence invariant under relabelling.

    Above `rows` rows it is that of an evenly spaced subsample along a projection, which no relabelling changes either. Where
    the median is zero it falls back to the smallest positive distance, else to 1, and says so.
    """

    rows: int = 2000  # whose median came within a percent of that of all 6 000 of Gaussian samples

    def __post_init__(self) -> None:
        whole("rows", self.rows, 2)

    def of(self, x: Tensor, norm: float = 2.0) -> tuple[float, str | None]:  # x: (N, d)
        """Return the bandwidth of a pooled sample, and a remark where the median distance is zero."""
        distances = torch.pdist(thinned(x, self.rows), norm)
        if not len(distances):
            return 1.0, "one point has no distances; the bandwidth was set to 1"
        median = sum(ranked(distances, (len(distances) + 1) // 2, len(distances) // 2 + 1)) / 2
        if median > 0:
            return median, None
        positive = distances[distances > 0]
        if len(positive):
            return float(positive.min()), "the median distance is zero; the smallest positive distance was taken"
        return 1.0, "all points coincide; the bandwidth was set to 1"


def thinned(x: Tensor, rows: int) -> Tensor:  # (N, d) -> (min(N, rows), d)
    """Return rows evenly spaced along a projection, which no order of the rows changes."""
    if len(x) <= rows:
        return x
    order = (x @ torch.linspace(1.0, 2.0, x.shape[1], dtype=x.dtype, device=x.device)).argsort(stable=True)
    return x[order[torch.linspace(0, len(x) - 1, rows, device=x.device).long()]]
