"""What the statistics of pairs have in common: U or V, and how many rows they need."""

from __future__ import annotations

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias
from divkit.data.measure import Measure
from divkit.support.checks import enough

__all__ = ["PairStatistic", "require_two"]


class PairStatistic(Divergence):
    """An average over pairs of rows: over i ≠ j only where it is `unbiased`, a field of each subclass."""

    unbiased: bool

    @property
    def bias(self) -> Bias:
        return Bias.NONE if self.unbiased else Bias.ABOVE

    def require(self, x: Measure, y: Measure) -> None:
        super().require(x, y)
        if self.unbiased:
            require_two(x, y, self.name)


def require_two(x: Measure, y: Measure, name: str) -> None:
    """Refuse a sample without two rows of positive weight, for the divergence called `name`."""
    for label, measure in (("x", x), ("y", y)):
        rows = measure.n if measure.effective > 1 else 1
        enough(label, rows, 2, f"for {name}, an average over pairs of samples with weight; unbiased=False accepts one")
