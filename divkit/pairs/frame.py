"""The frame in which pairs are computed: centred and of order one, so that no square over- or underflows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from divkit.measure import Measure

__all__ = ["Frame", "frame"]


class Frame(NamedTuple):
    """Points as (x − centre)/scale; distances in it are 1/scale of the true ones."""

    x: Tensor  # (n, d)
    y: Tensor  # (m, d)
    scale: float
    centre: Tensor  # (d,)

    def place(self, points: Tensor) -> Tensor:
        """Other points (k, d) in this frame."""
        return (points - self.centre) / self.scale

    def unit(self, p: float) -> float:
        """scaleᵖ, by which costs |x − y|ᵖ in this frame are multiplied.

        Raises
        ------
        ValueError
            Where it is not representable, hence neither is the result.
        """
        unit = math.exp2(p * math.log2(self.scale)) if abs(p * math.log2(self.scale)) < 1022 else math.inf
        if math.isinf(unit):
            raise ValueError(
                f"data of scale {self.scale:.3g} to the power {p:g} over- or underflows; divide the data by a constant first."
            )
        return unit


def frame(x: Measure, y: Measure) -> Frame:
    """Centre both on the pooled mean and divide by a power of two near the largest deviation; differentiable."""
    rows, columns = x.flat, y.flat
    with torch.no_grad():
        count = len(rows) + len(columns)
        centre = ((rows.double() / count).sum(0) + (columns.double() / count).sum(0)).to(rows.dtype)
        largest = max(float((points - centre).abs().max()) for points in (rows, columns))
    if not math.isfinite(largest):
        raise ValueError(f"the spread of the data overflows {rows.dtype}; divide the data by a constant first.")
    scale = 2.0 ** math.frexp(largest)[1] if largest > 0 else 1.0
    scale = max(scale, torch.finfo(rows.dtype).smallest_normal)
    return Frame((rows - centre) / scale, (columns - centre) / scale, scale, centre)
