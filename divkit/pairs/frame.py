"""The frame in which pairs are computed: centred and of order one, so that no square over- or underflows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.data.arrays import NonFinite
from divkit.data.measure import Measure
from divkit.data.sampling import spread_rows

__all__ = ["Frame", "frame"]


class Frame(NamedTuple):
    """Points as (x − centre)/scale; distances in it are 1/scale of the true ones."""

    x: Tensor  # (n, d)
    y: Tensor  # (m, d)
    scale: float
    centre: Tensor  # (d,)

    def place(self, points: Tensor) -> Tensor:
        """Move other points (k, d) into this frame."""
        return (points - self.centre) / self.scale

    def unit(self, p: float) -> float:
        """Return scaleᵖ, by which costs |x − y|ᵖ in this frame are multiplied.

        Raises
        ------
        ValueError
            Where it is not representable, hence neither is the result.
        """
        exponent = p * math.log2(self.scale)
        if not -1022 <= exponent < 1024:
            raise NonFinite(
                f"data of scale {self.scale:.3g} to the power {p:g} over- or underflows; divide the data by a constant first."
            )
        return math.exp2(exponent)


def frame(x: Measure, y: Measure, central_rows: int = 500) -> Frame:
    """Centre both on a median and divide by a power of two near the largest deviation; differentiable.

    An outlier does not move the median, so that the other points keep their digits. It need not be exact: about `central_rows`
    rows of each sample, evenly spread, are enough.
    """
    rows, columns = x.flat, y.flat
    with torch.no_grad():
        sample = [spread_rows(points, central_rows) for points in (rows, columns)]
        centre = torch.cat(sample).median(0).values
        ends = [extreme(points, 0) - centre for points in (rows, columns) for extreme in (torch.amin, torch.amax)]
        largest = float(torch.stack(ends).abs().max())
    if not math.isfinite(largest):
        raise NonFinite(f"the spread of the data overflows {rows.dtype}; divide the data by a constant first.")
    limits = torch.finfo(rows.dtype)
    exponent = min(math.frexp(largest)[1], math.frexp(limits.max)[1] - 1)
    scale = max(2.0**exponent, limits.smallest_normal) if largest > 0 else 1.0
    return Frame((rows - centre).div_(scale), (columns - centre).div_(scale), scale, centre)
