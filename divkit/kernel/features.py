"""MMD by random Fourier features: linear in the sample size, with the features' error stated.

The kernel is E φ(x)·φ(y), over a random frequency ω that gives a point the feature φ(x) = (cos ω·x, sin ω·x): sums over pairs
of rows become products of sums over rows. F frequencies are drawn once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from divkit import pairs
from divkit.core.estimate import Solution, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure
from divkit.kernel.kernels import Gaussian, Kernel, Laplace
from divkit.kernel.mmd import solved_by_few
from divkit.kernel.second import second_order, with_errors
from divkit.kernel.statistic import PairStatistic
from divkit.support.checks import whole

__all__ = ["FourierMMD"]


@dataclass(frozen=True)
class FourierMMD(PairStatistic):
    r"""MMD² by random Fourier features, in O(n · frequencies) time and little memory.

    The kernel is :math:`E_\omega \cos \omega \cdot (x - y)`; the average over drawn frequencies is unbiased for it. The
    standard error holds the sampling noise and that of the frequencies; `notes` has the latter apart. Source: Rahimi and Recht
    (2007); Zhao and Meng (2015).

    Parameters
    ----------
    kernel : Gaussian or Laplace
    frequencies : int
        At least 2, each with a cosine and a sine.
    seed : int
    unbiased : bool
        Of the samples' pairs i ≠ j only.

    Examples
    --------
    >>> import torch
    >>> from divkit.kernel import MMD, FourierMMD, kernels
    >>> x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    >>> fast = FourierMMD(kernels.Gaussian(1.0), 1000).estimate(x[:500], x[500:] + 1)
    >>> abs(fast.value - MMD(kernels.Gaussian(1.0)).estimate(x[:500], x[500:] + 1).value) < 4 * fast.noise
    True
    """

    quadratic: ClassVar[bool] = False
    kernel: Gaussian | Laplace = Gaussian()
    frequencies: int = 500
    seed: int = 0
    unbiased: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, Gaussian | Laplace):
            raise ValueError(f"kernel must be Gaussian or Laplace, whose frequencies are known; got {self.kernel!r}.")
        whole("frequencies", self.frequencies, 2)
        whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        return "mmd-fourier"

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        if start is not None:
            return start
        solution = solved_by_few(self.kernel, x, y)
        d = x.flat.shape[1]
        generator = torch.Generator(device="cpu").manual_seed(self.seed)
        omega = torch.randn(d, self.frequencies, generator=generator, dtype=torch.float64, device="cpu")
        if isinstance(self.kernel, Laplace):  # whose frequencies are Cauchy's
            omega = omega / torch.randn(self.frequencies, generator=generator, dtype=torch.float64, device="cpu").abs()
        return replace(solution, state={**solution.state, "frequencies": omega.to(x.device)})  # for a bandwidth of one

    def _places(self, x: Measure, y: Measure, solution: Solution) -> tuple[Kernel, Tensor, Tensor, Tensor]:
        """Return the kernel, the points of x and of y, and the frequencies (d, F), all in a common frame."""
        numbers = {key: value for key, value in solution.state.items() if key != "frequencies"}
        frame = pairs.frame(x, y)
        kernel = self.kernel.fitted(numbers).scaled(frame.scale)
        omega = solution.state["frequencies"] / kernel.bandwidth  # type: ignore[attr-defined]
        return kernel, frame.x, frame.y, omega.to(frame.x.dtype)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        kernel, px, py, omega = self._places(x, y, solution)
        p, q = _mean_feature(px, x.weights, omega), _mean_feature(py, y.weights, omega)
        alpha = self._own(x, _against(px, omega, p)) - _against(px, omega, q)
        beta = self._own(y, _against(py, omega, q)) - _against(py, omega, p)
        with torch.no_grad():
            noise = float(_squares(p - q).std()) / math.sqrt(omega.shape[1])
            second = second_order(kernel, x, y, px, py)
        notes = {key: value for key, value in solution.state.items() if key != "frequencies"}
        notes |= {Note.FREQUENCIES: omega.shape[1], Note.STDERR_OF_FREQUENCIES: noise}
        terms = with_errors(kernel, (x, px, alpha), (y, py, beta), second)
        return terms._replace(rest=terms.rest.and_noise(noise), notes=notes)

    def _own(self, m: Measure, sums: Tensor) -> Tensor:
        """Return Σ_{j≠i} wⱼ k(xᵢ, xⱼ)/(1 − Σw²), from the sums that also have j = i, where k is one."""
        w = m.weights.double()
        return (sums - w) / (1 - w.square().sum()) if self.unbiased else sums

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        _, px, py, omega = self._places(x, y, solution)
        p, q = _mean_feature(px, x.weights, omega), _mean_feature(py, y.weights, omega)
        value = -2 * (p * q).sum(0).mean()
        for m, mean in ((x, p), (y, q)):
            own, squares = _squares(mean).mean(), m.weights.double().square().sum()
            value = value + ((own - squares) / (1 - squares) if self.unbiased else own)
        return value

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        """Return values under relabelling, from the sums of each relabelling's features: linear in the rows."""
        solution = self.solve(pooled, pooled)
        _, points, _, omega = self._places(pooled, pooled, solution)
        x = total = points.new_zeros((), dtype=torch.float64)  # then (2, B, F) and (2, 1, F)
        for i in _chunks(points, omega):
            part = _features(points[i], omega).double()
            x, total = x + labels[:, i].double() @ part, total + part.sum(1, keepdim=True)
        sizes = labels.sum(1).double(), (~labels).sum(1).double()
        means = [part / size[:, None] for part, size in zip((x, total - x), sizes)]
        value = -2 * (means[0] * means[1]).sum(0).mean(1)
        for mean, size in zip(means, sizes):
            own = mean.square().sum(0).mean(1)
            value = value + ((own - 1 / size) / (1 - 1 / size) if self.unbiased else own)
        return value


def _features(x: Tensor, omega: Tensor) -> Tensor:  # (n, d), (d, F) -> (2, n, F)
    """Return cos and sin of ω·xᵢ."""
    phase = x @ omega
    return torch.stack([phase.cos(), phase.sin()])


def _mean_feature(x: Tensor, w: Tensor, omega: Tensor) -> Tensor:  # -> (2, F) float64
    """Return Σ wᵢ (cos, sin)(ω·xᵢ): chunk by chunk, and again for a gradient."""

    def part(points: Tensor, weights: Tensor) -> Tensor:
        return torch.einsum("n,cnf->cf", weights.to(points.dtype), _features(points, omega)).double()

    chunks = _chunks(x, omega)
    return torch.stack([checkpoint(part, x[i], w[i], use_reentrant=False) for i in chunks]).sum(0)


def _against(x: Tensor, omega: Tensor, mean: Tensor) -> Tensor:  # -> (n,) float64
    """Return the average over frequencies of (cos, sin)(ω·xᵢ) · mean."""

    def part(points: Tensor, mean: Tensor) -> Tensor:
        return torch.einsum("cnf,cf->n", _features(points, omega), mean.to(points.dtype)).double() / omega.shape[1]

    return torch.cat([checkpoint(part, x[i], mean, use_reentrant=False) for i in _chunks(x, omega)])


def _squares(mean: Tensor) -> Tensor:  # (2, F) -> (F,)
    """Return the squared length of each frequency's (cos, sin)."""
    return mean.square().sum(0)


def _chunks(x: Tensor, omega: Tensor, most: int = 1 << 21) -> list[slice]:
    """Cut the rows into chunks of at most so many cosines and sines, 16 MiB of float64."""
    rows = max(1, most // (2 * omega.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(x), rows)]
