"""What the statistics of pairs have in common: U or V, and how many rows they need."""

from __future__ import annotations

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias
from divkit.data.measure import Measure

__all__ = ["PairStatistic", "require_two"]


class PairStatistic(Divergence):
    """An average over pairs of rows: of i ≠ j only where it is `unbiased`, a field of each subclass."""

    unbiased: bool

    @property
    def bias(self) -> Bias:
        return Bias.NONE if self.unbiased else Bias.ABOVE

    def require(self, x: Measure, y: Measure) -> None:
        super().require(x, y)
        if self.unbiased:
            require_two(x, y, self.name)


def require_two(x: Measure, y: Measure, name: str) -> None:
    """Refuse a sample without pairs."""
    for label, measure in (("x", x), ("y", y)):
        if measure.n < 2 or not measure.effective > 1:
            raise ValueError(
                f"Found array with {min(measure.n, round(measure.effective))} sample(s) while a minimum of 2 is "
                f"required: {label} for {name}, an average over pairs of samples with weight; unbiased=False accepts one."
            )
