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
from divkit.kernel.mmd import described, u_nulls
from divkit.lines.sort import ranked
from divkit.support.checks import at_least, whole

__all__ = ["Adaptive"]

Family = Callable[[float], Kernel]

ROWS = 2000  # whose distances give the quantiles
LEAST = torch.finfo(torch.float64).tiny
LOW, HIGH = 0.05, 0.95  # quantiles of the positive distances; half of one and twice the other are the ends of the grid


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
        For each family.
    sharpness : float
        c: the mean of all kernels at 0, the largest alone at infinity.
    families : tuple
        Functions of a bandwidth that return a kernel of the distance.

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

    def __post_init__(self) -> None:
        whole("bandwidths", self.bandwidths, 1)
        at_least("sharpness", self.sharpness, 0)
        if not self.families:
            raise ValueError("families is empty; give at least one, such as (divkit.kernels.Gaussian,).")

    @property
    def name(self) -> str:
        return "adaptive"

    def require(self, x: Measure, y: Measure) -> None:
        """Any two samples of at least two rows will do."""

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:  # labels: (B, N) -> (B,)
        """The statistic under each relabelling."""
        return self.fitted(pooled).null(pooled, labels)

    def fitted(self, pooled: Measure) -> _Fitted:
        """The test with the bandwidths of the pooled rows."""
        frame = pairs.frame(pooled, pooled)
        steps = [step / max(self.bandwidths - 1, 1) for step in range(self.bandwidths)]
        norms = [family(1.0).form.norm for family in self.families]
        ends = {norm: tuple(width * frame.scale for width in _widths(frame.x, norm)) for norm in norms}
        grids = [[low * (high / low) ** step for step in steps] for low, high in (ends[norm] for norm in norms)]
        kernels = [family(width) for family, widths in zip(self.families, grids) for width in widths]
        return _Fitted(self.name, frame.x, kernels, frame.scale, max(self.sharpness, torch.finfo(torch.float64).eps))


@dataclass(frozen=True)
class _Fitted:
    """Points in a frame of a scale, and kernels in the data's own units: the same under every relabelling."""

    name: str
    points: Tensor
    kernels: list[Kernel]
    scale: float
    sharpness: float

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        scores = _scores(self.points, self.kernels, self.scale, labels)
        return torch.logsumexp(self.sharpness * scores, 0).sub(math.log(len(self.kernels))) / self.sharpness

    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """The kernel with the largest value."""
        return described(self.kernels[int(_scores(self.points, self.kernels, self.scale, label[None])[:, 0].argmax())])


def _widths(points: Tensor, norm: float) -> tuple[float, float]:
    """The ends of the grid: half a low and twice a high quantile of the positive distances, 1 where there are none."""
    distances = torch.pdist(thinned(points, ROWS), norm)
    positive = int(distances.count_nonzero())
    if not positive:
        return 1.0, 1.0
    low, high = ranked(distances, *(len(distances) - positive + math.ceil(q * positive) for q in (LOW, HIGH)))
    return low / 2, 2 * high


def _scores(points: Tensor, kernels: list[Kernel], scale: float, labels: Tensor) -> Tensor:  # -> (K, B)
    """Unbiased MMD² in units in which no bandwidth outweighs the others."""
    found = torch.empty(len(kernels), len(labels), dtype=torch.float64, device=labels.device)
    for form in {id(kernel.form): kernel.form for kernel in kernels}.values():
        rows = [place for place, kernel in enumerate(kernels) if kernel.form is form]
        values, spread = u_nulls([kernels[place].scaled(scale) for place in rows], points, labels, unbiased=True)
        found[rows] = values / (spread.whole * spread.centred).sqrt().clamp(min=LEAST)[:, None]
    n = labels.sum(1).double()
    m = labels.shape[1] - n
    return found * (n * m / (n + m))
