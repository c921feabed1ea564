"""Maximum mean discrepancy and energy distance: one U-statistic of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Solution, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure, pair
from divkit.kernel.kernels import Gaussian, Kernel, NegativeDistance
from divkit.kernel.second import payload, second_of_sums, with_errors
from divkit.kernel.statistic import PairStatistic

__all__ = ["MMD", "Energy", "Witness"]

SINGLE = 700  # rows from which a test's products take longer than all else, and half as long in float32


class Spread(NamedTuple):
    """The size of kernels over the pairs i ≠ j of the pooled rows, which no relabelling changes."""

    whole: Tensor  # (K,) root mean square
    centred: Tensor  # (K,) the same with row and column means taken out


class Witness(NamedTuple):
    """Where two samples differ."""

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
        """Find the bandwidth, once: a training loop keeps the first one."""
        if start is not None:
            return start
        frame = pairs.frame(x, y)
        pooled = torch.cat([points[m.weights > 0] for points, m in ((frame.x, x), (frame.y, y))])
        found, said = self.kernel.fit(pooled)
        _examine(self.kernel.fitted(found), pooled[:4].clone())
        found = {key: value * frame.scale if key.endswith(("bandwidth", "length")) else value for key, value in found.items()}
        return Solution(state=found, notes={Note.BANDWIDTH_RULE: said} if said else {})

    def _framed(self, x: Measure, y: Measure, solution: Solution) -> tuple[Kernel, Tensor, Tensor]:
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
        """The witness function Σ wᵢ k(xᵢ, t) − Σ vⱼ k(yⱼ, t) at points t (k, *event), with its standard error at each.

        Positive where x has more mass than y, as the kernel sees it. Its mean over x less that over y is the V-statistic.

        Examples
        --------
        >>> from divkit.kernel import MMD, kernels
        >>> found = MMD(kernels.Gaussian(1.0)).witness([0.0, 0.1], [2.0, 2.1], [0.0, 2.0])
        >>> (found.value > 0).tolist()
        [True, False]
        """
        p, q = pair(x, y)
        places, _ = pair(points, q)
        with torch.no_grad():
            p, q, t = p.detach(), q.detach(), places.detach().flat.to(p.dtype)
            kernel, px, py = self._framed(p, q, self.solve(p, q))
            t = pairs.frame(p, q).place(t) if kernel.form.vanishes else t
            (mean_x, error_x), (mean_y, error_y) = (_seen(kernel, m, held, t) for m, held in ((p, px), (q, py)))
        return Witness(mean_x - mean_y, torch.hypot(error_x, error_y))

    def fitted(self, pooled: Measure) -> MMD:
        """The same with the bandwidth of the pooled sample."""
        found = self.solve(pooled, pooled).state
        return replace(self, kernel=self.kernel.fitted(found))

    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """The kernel in words, whatever the label."""
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
    """A fitted kernel in words, numbers to four digits."""
    parts = [f"{f.name} {v:.4g}" for f in fields(kernel) for v in [getattr(kernel, f.name)] if isinstance(v, int | float)]
    return " of ".join([type(kernel).__name__, ", ".join(parts)]) if parts else type(kernel).__name__


def _seen(k: Kernel, sample: Measure, held: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of k(·, t) over a sample at points `held`, and its standard error: (k,), (k,)."""
    w = sample.weights.double()
    none, both = w.new_zeros(len(t), 1), torch.stack([w, w.square()], 1)
    first = pairs.sums(k, t, held, none, both).rows
    second = pairs.sums(k * k, t, held, none, both).rows
    mean, effective = first[:, 0], sample.effective
    spread = second[:, 1] - 2 * mean * first[:, 1] + mean.square() * w.square().sum()
    factor = effective / (effective - 1) if effective > 1 else torch.nan
    return mean, (spread.clamp(min=0) * factor).sqrt()


def u_terms(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Terms:
    """Influence values of the two-sample statistic of k at points px (n, d), py (m, d).

    With αᵢ = Σ_{j≠i} wⱼ k(xᵢ, xⱼ)/(1 − Σw²) − Σⱼ vⱼ k(xᵢ, yⱼ), they are 2αᵢ − Σ wα.
    """
    payload_x, payload_y = payload(x), payload(y)
    cross, own_x, own_y = pairs.all_sums(k, px, py, payload_x, payload_y)
    alpha = _own(k, x, px, own_x.rows[:, 0], unbiased) - cross.rows[:, 0]
    beta = _own(k, y, py, own_y.rows[:, 0], unbiased) - cross.columns[:, 0]
    with torch.no_grad():
        second = second_of_sums(x, y, cross, own_x, own_y)
    return with_errors(k, (x, px, alpha), (y, py, beta), second)


def u_value(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Tensor:
    """The statistic alone, value and gradient in one sweep."""
    across, own_x, own_y = pairs.totals(k, px, py, x.weights, y.weights)
    value = -2 * across
    for measure, points, own in ((x, px, own_x), (y, py, own_y)):
        w = measure.weights
        squares = w.double().square()
        value = value + (own / (1 - squares.sum()) if unbiased else own + (squares * k.diagonal(points).double()).sum())
    return value


def u_null(k: Kernel, points: Tensor, labels: Tensor, *, unbiased: bool) -> Tensor:
    """The statistic under each relabelling, labels (B, N) bool."""
    return u_nulls((k,), points, labels, unbiased=unbiased)[0][0]


def u_nulls(kernels: Sequence[Kernel], points: Tensor, labels: Tensor, *, unbiased: bool) -> tuple[Tensor, Spread]:
    """The statistics (K, B) under each relabelling, labels (B, N) bool, from one matrix product a tile and kernel.

    From `SINGLE` rows on products are in float32, of kernels less their mean, and sums in float64. What is within rounding of
    zero, as under relabellings that change nothing, is zero.
    """
    points = points.float() if len(points) >= SINGLE else points
    forms = pairs.quadratic_forms(kernels, points, labels.to(points.dtype).T.contiguous())
    everything, of_x = forms.rows.sum(1, keepdim=True), forms.rows @ labels.double().T
    xx = forms.values
    xy, yy = of_x - xx, everything - 2 * of_x + xx
    n = labels.sum(1).double()
    m, size = len(points) - n, len(points)
    if unbiased:
        made = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    else:
        diagonal = torch.stack([k.diagonal(points).double() for k in kernels]) - forms.constants[:, None]
        own = diagonal @ labels.double().T
        made = (xx + own) / n**2 + (yy + diagonal.sum(1, keepdim=True) - own) / m**2 - 2 * xy / (n * m)
    scale = (forms.squares / size**2).sqrt() * torch.finfo(points.dtype).eps
    rounding = 16 * (scale + forms.constants.abs() * torch.finfo(torch.float64).eps)[:, None]
    return made.masked_fill(made.abs() <= rounding, 0.0), _spread(forms)


def _spread(forms: pairs.Forms) -> Spread:
    size = forms.rows.shape[1]
    count = size * (size - 1)
    mean = forms.rows.sum(1) / count  # of what is left of the kernels
    whole = forms.squares / count + 2 * forms.constants * mean + forms.constants.square()
    apart = (forms.rows - (size - 1) * mean[:, None]).square().sum(1)
    centred = (forms.squares / count - mean.square()) - 2 * apart / (max(size - 2, 1) * count)
    return Spread(whole.clamp(min=0).sqrt(), centred.clamp(min=0).sqrt())


def _examine(kernel: Kernel, points: Tensor) -> None:
    """Refuse a kernel that is none, by a few points: a user's own may be anything."""
    tile, n = kernel.evaluate(points, points), len(points)
    if tile.shape != (n, n):
        raise ValueError(f"kernel {kernel!r} must return one number per pair, shape {(n, n)}; got {tuple(tile.shape)}.")
    if not bool(tile.isfinite().all()):
        raise ValueError(f"kernel {kernel!r} returned NaN or infinity on the first points.")
    if not torch.allclose(tile, tile.T, rtol=1e-3):
        raise ValueError(f"kernel {kernel!r} is not symmetric: k(x, y) and k(y, x) differ on the first points.")


def _own(k: Kernel, measure: Measure, points: Tensor, rows: Tensor, unbiased: bool) -> Tensor:
    w = measure.weights.double()
    return rows / (1 - w.square().sum()) if unbiased else rows + w * k.diagonal(points).double()
