"""MMD over blocks of rows: linear in the sample size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Terms
from divkit.core.notes import Note
from divkit.core.uncertainty import Remainder
from divkit.data.measure import Measure
from divkit.kernel.kernels import Gaussian, Kernel
from divkit.kernel.mmd import MMD, solved_by_few
from divkit.kernel.statistic import require_two
from divkit.support.checks import whole

__all__ = ["BlockMMD"]


@dataclass(frozen=True)
class BlockMMD(Divergence):
    r"""The average of unbiased MMD² over blocks of consecutive rows, in O(n · block) time.

    Rows are taken to be in random order. Near P = Q its error is √(n/block) times that of `MMD`, and nearly normal
    as that one is not. Source: Zaremba, Gretton and Blaschko (2013).

    Parameters
    ----------
    kernel : Kernel
    block : int
        Rows of the smaller sample in each block, at least 2; √n is usual.

    Examples
    --------
    >>> import torch
    >>> from divkit.kernel import BlockMMD, kernels
    >>> x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    >>> e = BlockMMD(kernels.Gaussian(1.0), block=50).estimate(x[:500], x[500:] + 1)
    >>> e.notes["blocks"], e.value > 3 * e.stderr
    (10, True)
    """

    quadratic: ClassVar[bool] = False
    kernel: Kernel = Gaussian()
    block: int = 100

    def __post_init__(self) -> None:
        MMD(self.kernel)
        whole("block", self.block, 2)

    @property
    def name(self) -> str:
        return "mmd-blocks"

    @property
    def bias(self) -> Bias:
        return Bias.NONE

    def require(self, x: Measure, y: Measure) -> None:
        super().require(x, y)
        require_two(x, y, self.name)
        for label, measure in (("x", x), ("y", y)):
            if not measure.uniform:
                raise ValueError(
                    f"mmd-blocks takes no weights: blocks of weighted rows are not alike. Use mmd, or resample {label}."
                )

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        return start or solved_by_few(self.kernel, x, y)

    def _blocks(self, x: Measure, y: Measure) -> Iterator[tuple[Measure, Measure]]:
        """Cut both samples into as many blocks of consecutive rows."""
        count = max(1, min(x.n, y.n) // self.block)
        rows = (torch.arange(m.n, device=m.device).tensor_split(count) for m in (x, y))
        for i, j in zip(*rows):
            yield x.take(i), y.take(j)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        mmd = MMD(self.kernel)
        blocks = list(self._blocks(x, y))
        parts = [mmd.terms(p, q, solution) for p, q in blocks]
        count = len(blocks)
        return Terms(
            torch.cat([part.x * (x.n / (p.n * count)) for (p, _), part in zip(blocks, parts)]),
            torch.cat([part.y * (y.n / (q.n * count)) for (_, q), part in zip(blocks, parts)]),
            Remainder(
                math.hypot(*(part.rest.second_order for part in parts)) / count,
                growth=sum(part.rest.growth for part in parts) / count**2,
            ),
            {**parts[0].notes, Note.BLOCKS: count},
        )

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        mmd = MMD(self.kernel)
        return torch.stack([mmd.descend(p, q, solution) for p, q in self._blocks(x, y)]).mean()
