"""The aggregated test: many kernels at many bandwidths in one statistic, with exact level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.kernel.kernels import Gaussian, Kernel, LaplaceL1, thinned
from divkit.kernel.mmd import described
from divkit.kernel.two_sample import u_nulls
from divkit.lines.sort import ranked
from divkit.support.checks import at_least, whole

__all__ = ["Adaptive", "BandwidthGrid"]

Family = Callable[[float], Kernel]


@dataclass(frozen=True)
class BandwidthGrid:
    """The rule for the ends of a geometric grid of bandwidths: from low quantile / margin to margin · high quantile.

    Attributes
    ----------
    low, high : float
        Quantiles of the positive distances between the pooled rows.
    margin : float
    rows : int
        At most so many rows are taken: the number of distances grows as its square.
    """

    low: float = 0.05
    high: float = 0.95
    margin: float = 2.0
    rows: int = 2000

    def ends(self, points: Tensor, norm: float) -> tuple[float, float]:  # points: (N, d)
        """Return the smallest and the largest bandwidth for distances in the `norm`, 1 where all rows are equal."""
        distances = torch.pdist(thinned(points, self.rows), norm)
        positive = int(distances.count_nonzero())
        if not positive:
            return 1.0, 1.0
        zeros = len(distances) - positive
        low, high = ranked(distances, *(zeros + math.ceil(q * positive) for q in (self.low, self.high)))
        return low / self.margin, self.margin * high


@dataclass(frozen=True)
class Adaptive:
    r"""Log-mean-exp of the normalised MMDs of Gaussian and L₁-Laplace kernels over a grid of bandwidths.

    .. math:: T = \frac1c \log \frac1K \sum_k \exp\left(c\, \frac{nm}{n+m}\, \frac{\mathrm{MMD}^2_k}{s_k}\right)

    with the unbiased MMD²_k and s_k² the geometric mean of the mean squares over the pooled pairs of k and of k less its row
    and column means: by the first alone wide kernels, which are nearly constant, would count for nothing, by the second alone
    their long tails would outshout all others. Bandwidths lie on a geometric grid between half the 5 % and twice the 95 %
    quantile of the distances between the pooled rows, L₁ or Euclidean as the kernel has it. All of it but the labels is the
    same under every relabelling, so that the permutation test of T is exact. The statistic is that of Biggs, Schrab and Gretton
    (2023) with a larger c, a geometric grid, which finds what lies at small scales, and this s_k.

    Parameters
    ----------
    bandwidths : int
        Their number for each family.
    sharpness : float
        c: the mean of all kernels at 0, the largest alone at infinity.
    families : tuple
        Functions of a bandwidth that return a kernel of the distance.
    grid : BandwidthGrid
        The ends of the grid.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> result = dk.test("adaptive", x, 2 * x.flip(0), permutations=199)
    >>> result.pvalue, "bandwidth" in result.kernel
    (0.005, True)
    """

    bandwidths: int = 10
    sharpness: float = 24.0
    families: tuple[Family, ...] = (Gaussian, LaplaceL1)
    grid: BandwidthGrid = BandwidthGrid()

    def __post_init__(self) -> None:
        whole("bandwidths", self.bandwidths, 1)
        at_least("sharpness", self.sharpness, 0)
        if not self.families:
            raise ValueError("families is empty; give at least one, such as (divkit.kernels.Gaussian,).")

    @property
    def name(self) -> str:
        return "adaptive"

    def require(self, x: Measure, y: Measure) -> None:
        """Accept any two samples: the test itself refuses those of fewer than two rows."""

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:  # labels: (B, N) -> (B,)
        """Return the statistic under each relabelling."""
        return self.fitted(pooled).null(pooled, labels)

    def fitted(self, pooled: Measure) -> _Fitted:
        """Return the test with the bandwidths that the pooled rows call for."""
        frame = pairs.frame(pooled, pooled)
        steps = [step / max(self.bandwidths - 1, 1) for step in range(self.bandwidths)]
        norms = [family(1.0).form.norm for family in self.families]
        ends = {norm: tuple(width * frame.scale for width in self.grid.ends(frame.x, norm)) for norm in norms}
        grids = [[low * (high / low) ** step for step in steps] for low, high in (ends[norm] for norm in norms)]
        kernels = [family(width) for family, widths in zip(self.families, grids) for width in widths]
        return _Fitted(self.name, frame.x, kernels, frame.scale, max(self.sharpness, torch.finfo(torch.float64).eps))


@dataclass(frozen=True)
class _Fitted:
    """The pooled points in a frame of this scale, with kernels in the data's own units: labels change neither."""

    name: str
    points: Tensor
    kernels: list[Kernel]
    scale: float
    sharpness: float

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        """Return T under each relabelling."""
        scores = _scores(self.points, self.kernels, self.scale, labels)
        return torch.logsumexp(self.sharpness * scores, 0).sub(math.log(len(self.kernels))) / self.sharpness

    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """Describe the kernel with the largest normalised MMD."""
        return described(self.kernels[int(_scores(self.points, self.kernels, self.scale, label[None])[:, 0].argmax())])


def _scores(points: Tensor, kernels: list[Kernel], scale: float, labels: Tensor) -> Tensor:  # -> (K, B)
    """Return each kernel's unbiased MMD² over s_k, times nm/(n + m): units in which no bandwidth outweighs the others."""
    scores = torch.empty(len(kernels), len(labels), dtype=torch.float64, device=labels.device)
    for form in {id(kernel.form): kernel.form for kernel in kernels}.values():
        rows = [place for place, kernel in enumerate(kernels) if kernel.form is form]
        values, spread = u_nulls([kernels[place].scaled(scale) for place in rows], points, labels, unbiased=True)
        s = (spread.whole * spread.centred).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
        scores[rows] = values / s[:, None]
    n = labels.sum(1).double()
    m = labels.shape[1] - n
    return scores * (n * m / (n + m))
