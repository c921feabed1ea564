"""Maximum mean discrepancy and energy distance: one U-statistic of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from divkit import pairs
from divkit.divergence import Divergence
from divkit.kernel.kernels import Gaussian, Kernel, NegativeDistance
from divkit.measure import Measure
from divkit.results import Bias, Solution, Terms

__all__ = ["MMD", "Energy"]

SOME = 150  # rows of each sample whose kernel matrix shows the large eigenvalues
LEAST = torch.finfo(torch.float64).tiny
SINGLE = 700  # rows from which a test's products take longer than all else, and half as long in float32


@dataclass(frozen=True)
class MMD(Divergence):
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

    @property
    def bias(self) -> Bias:
        return Bias.NONE if self.unbiased else Bias.ABOVE

    def require(self, x: Measure, y: Measure) -> None:
        super().require(x, y)
        if self.unbiased:
            _require_two(x, y, self.name)

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        """Find the bandwidth, once: a training loop keeps the first one."""
        if start is not None:
            return start
        frame = pairs.frame(x, y)
        pooled = torch.cat([points[m.weights > 0] for points, m in ((frame.x, x), (frame.y, y))])
        found, said = self.kernel.fit(pooled)
        _examine(self.kernel.fitted(found), pooled[:4].clone())
        found = {key: value * frame.scale if key.endswith(("bandwidth", "length")) else value for key, value in found.items()}
        return Solution(state={**found, **({"said": said} if said else {})})

    def _framed(self, x: Measure, y: Measure, solution: Solution) -> tuple[Kernel, Tensor, Tensor]:
        kernel = self.kernel.fitted({key: value for key, value in solution.state.items() if key != "said"})
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

    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """The kernel in words, its bandwidth that of the pooled sample."""
        found = {key: value for key, value in self.solve(pooled, pooled).state.items() if key != "said"}
        return described(self.kernel.fitted(found))


@dataclass(frozen=True)
class Energy(Divergence):
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

    @property
    def bias(self) -> Bias:
        return Bias.NONE if self.unbiased else Bias.ABOVE

    def require(self, x: Measure, y: Measure) -> None:
        super().require(x, y)
        if self.unbiased:
            _require_two(x, y, self.name)

    def _framed(self, x: Measure, y: Measure) -> tuple[NegativeDistance, pairs.Frame, float]:
        frame = pairs.frame(x, y)
        return NegativeDistance(self.exponent), frame, self.factor * frame.unit(self.exponent)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        kernel, frame, unit = self._framed(x, y)
        found = u_terms(kernel, x, y, frame.x, frame.y, unbiased=self.unbiased)
        return Terms(unit * found.x, unit * found.y, second_order=unit * found.second_order, growth=unit * found.growth)

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


def u_terms(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Terms:
    """Influence values of the two-sample statistic of k at points px (n, d), py (m, d).

    With αᵢ = Σ_{j≠i} wⱼ k(xᵢ, xⱼ)/(1 − Σw²) − Σⱼ vⱼ k(xᵢ, yⱼ), they are 2αᵢ − Σ wα.
    """
    payload_x, payload_y = _payload(x), _payload(y)
    cross = pairs.sums(k, px, py, payload_x, payload_y)
    own_x, own_y = pairs.self_sums(k, px, payload_x), pairs.self_sums(k, py, payload_y)
    alpha = _own(k, x, px, own_x.rows[:, 0], unbiased) - cross.rows[:, 0]
    beta = _own(k, y, py, own_y.rows[:, 0], unbiased) - cross.columns[:, 0]
    with torch.no_grad():
        second = (
            2 * _own_centred_squares(x, own_x.rows, own_x.squares)
            + 2 * _own_centred_squares(y, own_y.rows, own_y.squares)
            + 4 * _centred_squares(x, y, cross.rows, cross.columns, cross.squares)
        )
        second_order = max(float(second), 0.0) ** 0.5
        growth = 4 * _eigenvalue(k, x, y, px, py)
    return Terms(2 * alpha - x.mean(alpha), 2 * beta - y.mean(beta), second_order=second_order, growth=growth)


def u_value(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Tensor:
    """The statistic alone, value and gradient in one sweep."""
    value = -2 * pairs.total(k, px, py, x.weights, y.weights)
    for measure, points in ((x, px), (y, py)):
        w = measure.weights
        own = pairs.self_total(k, points, w)
        squares = w.double().square()
        value = value + (own / (1 - squares.sum()) if unbiased else own + (squares * k.diagonal(points).double()).sum())
    return value


def u_null(k: Kernel, points: Tensor, labels: Tensor, *, unbiased: bool) -> Tensor:
    """The statistic under each relabelling, labels (B, N) bool."""
    return u_nulls((k,), points, labels, unbiased=unbiased)[0][0]


def u_nulls(kernels: Sequence[Kernel], points: Tensor, labels: Tensor, *, unbiased: bool) -> tuple[Tensor, Tensor]:
    """The statistics (K, B) under each relabelling, labels (B, N) bool, from one matrix product a tile and kernel.

    Beside them the mean squares (K,) of the kernels over i ≠ j, which no relabelling changes.
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
    squares = (forms.squares + 2 * forms.constants * everything[:, 0]) / (size * (size - 1)) + forms.constants.square()
    return made.masked_fill(made.abs() <= rounding, 0.0), squares


def _eigenvalue(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor) -> float:
    """tr Γ³/tr Γ² of the covariance Γ of the difference of the two mean embeddings: its typical large eigenvalue.

    By the kernel between some rows of each sample, over triples of different rows.
    """
    rows, scales = [], []
    for m, points in ((x, px), (y, py)):
        some = torch.linspace(0, m.n - 1, min(m.n, SOME), device=m.device).round().long()
        w = m.weights.detach().double()[some]
        rows.append(points.detach()[some].double())
        scales.append(w * (m.n / len(some)) ** 0.5)
    pooled, scale = torch.cat(rows), torch.cat(scales)
    gram = k.evaluate(pooled, pooled)
    for part, w in zip((slice(len(rows[0])), slice(len(rows[0]), None)), scales):  # means taken out within each sample
        share = w / w.sum().clamp(min=LEAST)
        gram[part] -= share @ gram[part]
        gram[:, part] -= (gram[:, part] @ share)[:, None]
    gram = gram * scale[:, None] * scale
    unit = float(gram.abs().max())
    if not unit > 0:
        return 0.0
    gram = (gram / unit).fill_diagonal_(0.0)
    square = gram @ gram
    return max(float((square * gram).sum() / gram.square().sum().clamp(min=LEAST)), 0.0) * unit


def _own_centred_squares(x: Measure, rows: Tensor, squares: Tensor) -> Tensor:
    """The same within one sample, over i ≠ j, with means over the others: zero for a constant kernel."""
    w = x.weights.double()
    ww, r, tiny = w.square(), rows[:, 0], torch.finfo(w.dtype).tiny
    by_w2 = rows[:, 1] if not x.uniform else r / x.n
    t = (w @ r) / (1 - ww.sum()).clamp(min=tiny)
    left = r / (1 - w).clamp(min=tiny) - t / 2
    every = (ww @ left.square()) * ww.sum() + (ww @ left).square() - 2 * (ww * left).square().sum()
    return squares + 2 * every - 4 * (ww * left) @ by_w2


def _examine(kernel: Kernel, points: Tensor) -> None:
    """Refuse a kernel that is none, by a few points: a user's own may be anything."""
    tile, n = kernel.evaluate(points, points), len(points)
    if tile.shape != (n, n):
        raise ValueError(f"kernel {kernel!r} must return one number per pair, shape {(n, n)}; got {tuple(tile.shape)}.")
    if not bool(tile.isfinite().all()):
        raise ValueError(f"kernel {kernel!r} returned NaN or infinity on the first points.")
    if not torch.allclose(tile, tile.T, rtol=1e-3):
        raise ValueError(f"kernel {kernel!r} is not symmetric: k(x, y) and k(y, x) differ on the first points.")


def _payload(measure: Measure) -> Tensor:  # (n, 1), or (n, 2) with the squares that weighted second-order terms need
    w = measure.weights
    return w[:, None] if measure.uniform else torch.stack([w, w.square()], 1)


def _own(k: Kernel, measure: Measure, points: Tensor, rows: Tensor, unbiased: bool) -> Tensor:
    w = measure.weights.double()
    return rows / (1 - w.square().sum()) if unbiased else rows + w * k.diagonal(points).double()


def _centred_squares(x: Measure, y: Measure, rows: Tensor, columns: Tensor, squares: Tensor) -> Tensor:
    """Σ wᵢ² vⱼ² k̃ᵢⱼ² of the kernel with its row means, column means and mean taken out."""
    w, v = x.weights.double(), y.weights.double()
    ww, vv = w.square(), v.square()
    r, c = rows[:, 0], columns[:, 0]
    by_w2 = rows[:, 1] if not y.uniform else rows[:, 0] / y.n  # Σⱼ vⱼ² kᵢⱼ
    by_v2 = columns[:, 1] if not x.uniform else columns[:, 0] / x.n
    t = w @ r
    left, right = r - t / 2, c - t / 2  # k̃ = k − left − right
    return (
        squares
        + (ww @ left.square()) * vv.sum()
        + ww.sum() * (vv @ right.square())
        + 2 * (ww @ left) * (vv @ right)
        - 2 * (ww * left) @ by_w2
        - 2 * (vv * right) @ by_v2
    )


def _require_two(x: Measure, y: Measure, name: str) -> None:
    for label, measure in (("x", x), ("y", y)):
        if measure.n < 2 or not measure.effective > 1:
            raise ValueError(
                f"Found array with {min(measure.n, round(measure.effective))} sample(s) while a minimum of 2 is "
                f"required: {label} for {name}, an average over pairs of samples with weight; unbiased=False accepts one."
            )
