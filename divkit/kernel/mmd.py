"""Maximum mean discrepancy and energy distance: one two-sample statistic, of a kernel k or of k = −|x − y|^β."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Solution, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure, pair
from divkit.kernel.kernels import Gaussian, Kernel, NegativeDistance, thinned
from divkit.kernel.statistic import PairStatistic
from divkit.kernel.two_sample import u_null, u_terms, u_value

__all__ = ["MMD", "Energy", "Witness", "described", "solved_by_few"]


class Witness(NamedTuple):
    """How much more mass x has than y at each of k points, as a kernel sees it."""

    value: Tensor  # (k,) float64
    stderr: Tensor  # (k,) NaN where a sample has one row


@dataclass(frozen=True)
class MMD(PairStatistic):
    r"""The squared maximum mean discrepancy.

    .. math:: \mathrm{MMD}^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)

    Unbiased by default (pairs i ≠ j only), so that it may be negative; otherwise the squared distance between the kernel mean
    embeddings of the two samples. Units of the kernel. Source: Gretton et al. (2012).

    Parameters
    ----------
    kernel : Kernel
    unbiased : bool

    Examples
    --------
    >>> import divkit as dk
    >>> from divkit.kernel import MMD
    >>> e = MMD(dk.kernels.IMQ(2.0)).estimate([[0.0], [1.0], [2.0]], [[5.0], [6.0], [8.0]])
    >>> e.value > 0, e.bias.name
    (True, 'NONE')
    """

    kernel: Kernel = Gaussian()
    unbiased: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, Kernel):
            raise ValueError(f"kernel must be a Kernel such as divkit.kernels.Gaussian(1.0); got {self.kernel!r}.")

    @property
    def name(self) -> str:
        return "mmd"

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        """Return the kernel's numbers that depend on the data, found once: a training loop keeps the first ones."""
        if start is not None:
            return start
        frame = pairs.frame(x, y)
        pooled = torch.cat([points[m.weights > 0] for points, m in ((frame.x, x), (frame.y, y))])
        numbers, remark = self.kernel.fit(pooled)
        _examine(self.kernel.fitted(numbers), pooled[:4].clone())
        distances = self.kernel.medians()
        numbers = {name: number * frame.scale if name in distances else number for name, number in numbers.items()}
        return Solution(state=numbers, notes={Note.BANDWIDTH_RULE: remark} if remark else {})

    def _framed(self, x: Measure, y: Measure, solution: Solution) -> tuple[Kernel, Tensor, Tensor]:
        """Return the fitted kernel and the points, in a common frame where the kernel is one of differences."""
        kernel = self.kernel.fitted(solution.state)
        if not kernel.form.vanishes:
            return kernel, x.flat, y.flat
        frame = pairs.frame(x, y)
        return kernel.scaled(frame.scale), frame.x, frame.y

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        kernel, px, py = self._framed(x, y, solution)
        notes = {key: value for key, value in solution.state.items() if key != "dimension"}
        return u_terms(kernel, x, y, px, py, unbiased=self.unbiased)._replace(notes=notes)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        kernel, px, py = self._framed(x, y, solution)
        return u_value(kernel, x, y, px, py, unbiased=self.unbiased)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        kernel, points, _ = self._framed(pooled, pooled, self.solve(pooled, pooled))
        return u_null(kernel, points, labels, unbiased=self.unbiased)

    def witness(self, x: Any, y: Any, points: Any) -> Witness:
        """Return the witness function Σ wᵢ k(xᵢ, t) − Σ vⱼ k(yⱼ, t) at points t (k, *event), with its standard error at each.

        Positive where x has more mass than y, as the kernel sees it. Its mean over x less that over y is the V-statistic.
        All three are arrays, or data frames of the same columns and categories.

        Examples
        --------
        >>> from divkit.kernel import MMD, kernels
        >>> witness = MMD(kernels.Gaussian(1.0)).witness([0.0, 0.1], [2.0, 2.1], [0.0, 2.0])
        >>> (witness.value > 0).tolist()
        [True, False]
        """
        p, q = pair(x, y)
        places, _ = pair(_encoded(points, x, y) if hasattr(points, "columns") else points, q)
        with torch.no_grad():
            p, q, t = p.detach(), q.detach(), places.detach().flat.to(p.dtype)
            kernel, px, py = self._framed(p, q, self.solve(p, q))
            t = pairs.frame(p, q).place(t) if kernel.form.vanishes else t
            (mean_x, error_x), (mean_y, error_y) = (_mean_at(kernel, m, rows, t) for m, rows in ((p, px), (q, py)))
        return Witness(mean_x - mean_y, torch.hypot(error_x, error_y))

    def fitted(self, pooled: Measure) -> MMD:
        """Return the divergence with the numbers that the pooled sample calls for."""
        return replace(self, kernel=self.kernel.fitted(self.solve(pooled, pooled).state))

    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """Return the kernel in words, whatever the label."""
        return described(self.kernel)


@dataclass(frozen=True)
class Energy(PairStatistic):
    r"""The energy distance.

    .. math:: \mathcal E = 2 E\|X - Y\|^\beta - E\|X - X'\|^\beta - E\|Y - Y'\|^\beta

    In one dimension and for β = 1 it is :math:`2 \int (F - G)^2`. Unbiased by default (pairs i ≠ j only). Units of the data to
    the power β. Source: Székely and Rizzo (2013).

    Parameters
    ----------
    exponent : float
        β in (0, 2).
    unbiased : bool
    factor : float
        1, or ½ for the Cramér distance :math:`\int (F - G)^2` and its generalisation (Bellemare et al., 2017).

    Examples
    --------
    >>> import divkit as dk
    >>> dk.get("energy", unbiased=False).estimate([0.0, 0.0], [1.0, 1.0]).value
    2.0
    """

    exponent: float = 1.0
    unbiased: bool = True
    factor: float = 1.0

    def __post_init__(self) -> None:
        NegativeDistance(self.exponent)

    @property
    def name(self) -> str:
        return "energy" if self.factor == 1 else "cramer"

    def _framed(self, x: Measure, y: Measure) -> tuple[NegativeDistance, pairs.Frame, float]:
        """Return the kernel, the points' frame, and the factor from the statistic in it to the distance."""
        frame = pairs.frame(x, y)
        return NegativeDistance(self.exponent), frame, self.factor * frame.unit(self.exponent)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        kernel, frame, unit = self._framed(x, y)
        return u_terms(kernel, x, y, frame.x, frame.y, unbiased=self.unbiased).times(unit)

    def descend(self, x: Measure, y: Measure, solution: Solution) -> Tensor:
        kernel, frame, unit = self._framed(x, y)
        return unit * u_value(kernel, x, y, frame.x, frame.y, unbiased=self.unbiased)

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:
        kernel, frame, unit = self._framed(pooled, pooled)
        return unit * u_null(kernel, frame.x, labels, unbiased=self.unbiased)


def described(kernel: Kernel) -> str:
    """Return a fitted kernel in words, numbers to four digits."""
    parts = [f"{f.name} {v:.4g}" for f in fields(kernel) for v in [getattr(kernel, f.name)] if isinstance(v, int | float)]
    return " of ".join([type(kernel).__name__, ", ".join(parts)]) if parts else type(kernel).__name__


def solved_by_few(kernel: Kernel, x: Measure, y: Measure, rows: int = 2000) -> Solution:
    """Return what `MMD.solve` finds from at most so many rows of each sample, which bounds its time."""
    p, q = (Measure(thinned(m.flat if m.uniform else m.flat[m.weights > 0], rows)) for m in (x, y))
    return MMD(kernel).solve(p, q)


def _encoded(points: Any, x: Any, y: Any) -> NDArray[np.float64]:
    """Return the rows of a data frame, encoded as those of the data frames x and y are."""
    from divkit.data.encoding import encode  # the encoder's libraries load only for tables

    encoded = encode(x, points, labels=("x", "points"))
    if encoded.names != encode(x, y).names:
        raise ValueError("points has not the categories of x and y: give data frames with the same ones, or arrays.")
    return encoded.y


def _mean_at(k: Kernel, sample: Measure, rows: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of k(·, t) over a sample at points `rows`, and its standard error: (k,), (k,)."""
    w = sample.weights.double()
    none, both = w.new_zeros(len(t), 1), torch.stack([w, w.square()], 1)
    first = pairs.sums(k, t, rows, none, both).rows
    second = pairs.sums(k * k, t, rows, none, both).rows
    mean, effective = first[:, 0], sample.effective
    spread = second[:, 1] - 2 * mean * first[:, 1] + mean.square() * w.square().sum()
    factor = effective / (effective - 1) if effective > 1 else torch.nan
    return mean, (spread.clamp(min=0) * factor).sqrt()


def _examine(kernel: Kernel, points: Tensor) -> None:
    """Refuse a kernel that is none, judged by a few points: a user's own may be anything."""
    tile, n = kernel.evaluate(points, points), len(points)
    if tile.shape != (n, n):
        raise ValueError(f"kernel {kernel!r} must return one number per pair, shape {(n, n)}; got {tuple(tile.shape)}.")
    if not bool(tile.isfinite().all()):
        raise ValueError(f"kernel {kernel!r} returned NaN or infinity on the first points.")
    if not torch.allclose(tile, tile.T, rtol=1e-3):
        raise ValueError(f"kernel {kernel!r} is not symmetric: k(x, y) and k(y, x) differ on the first points.")
