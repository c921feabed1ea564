"""Intervals of the real line: the domains of conjugates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Interval"]


@dataclass(frozen=True)
class Interval:
    """An interval of the real line, each end open unless closed.

    >>> import torch
    >>> interval = Interval(upper=1.0, upper_closed=True)
    >>> str(interval), interval.contains(torch.tensor([0.0, 1.0, 2.0])).tolist()
    ('(-∞, 1]', [True, True, False])
    """

    lower: float = -math.inf
    upper: float = math.inf
    lower_closed: bool = False
    upper_closed: bool = False

    def contains(self, t: Tensor) -> Tensor:
        """Return elementwise whether the numbers lie inside."""
        above = t >= self.lower if self.lower_closed else t > self.lower
        below = t <= self.upper if self.upper_closed else t < self.upper
        return above & below

    def __str__(self) -> str:
        """Return the interval as mathematicians write it, such as ``(-∞, 1]``."""
        left, right = "[" if self.lower_closed else "(", "]" if self.upper_closed else ")"
        return f"{left}{_number(self.lower)}, {_number(self.upper)}{right}"


def _number(value: float) -> str:
    """Return an end of an interval as text."""
    return ("-∞" if value < 0 else "∞") if math.isinf(value) else f"{value + 0.0:.6g}"  # not "-0"
