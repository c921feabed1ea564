"""The door of the metrics: two sample sets as rows of numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from divkit.data.measure import pair

__all__ = ["rows_of"]


def rows_of(x: Any, y: Any) -> tuple[Tensor, Tensor]:  # -> (n, d), (m, d)
    """Return the points of two sample sets in float64, without graph.

    Raises
    ------
    TypeError, ValueError
        As `Measure` does, where the two do not fit each other, and for weights or groups, which no count of rows heeds.
    """
    p, q = pair(x, y)
    for name, measure in (("x", p), ("y", q)):
        if not measure.uniform or measure.groups is not None:
            raise ValueError(f"{name} has weights or groups, which this metric would not heed; give its points alone.")
    return p.flat.detach().double(), q.flat.detach().double()
