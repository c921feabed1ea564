"""The terms of a two-sample statistic of a kernel, with their second-order variance: all there is at P = Q."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Terms
from divkit.core.uncertainty import Remainder
from divkit.data.measure import Measure
from divkit.kernel.kernels import Kernel, thinned

__all__ = ["Second", "payload", "second_of_sums", "second_order", "with_errors"]

ROWS = 500  # of each sample, of which the mean squares of a centred kernel are found where all would be too many
SOME = 150  # rows of each sample whose kernel matrix shows the large eigenvalues
LEAST = torch.finfo(torch.float64).tiny


class Second(NamedTuple):
    """Standard deviations of second order: in all, and within each sample."""

    total: float
    x: float
    y: float

    @classmethod
    def of(cls, x: Tensor | float, y: Tensor | float, across: Tensor | float) -> Second:
        """From variances."""
        parts = [max(float(part), 0.0) for part in (x, y, across)]
        return cls(math.sqrt(sum(parts)), math.sqrt(parts[0]), math.sqrt(parts[1]))


def with_errors(k: Kernel, x: tuple[Measure, Tensor, Tensor], y: tuple[Measure, Tensor, Tensor], second: Second) -> Terms:
    """Influence values 2α − Σwα, 2β − Σvβ of the statistic Σwα + Σvβ of k, with its errors of second order.

    Of each sample: the measure, its points in the frame of k, and α or β.
    """
    (p, px, alpha), (q, py, beta) = x, y
    with torch.no_grad():
        growth = 4 * _eigenvalue(k, p, q, px, py)
    rest = Remainder(second.total, (second.x, second.y), growth)
    return Terms(2 * alpha - p.mean(alpha), 2 * beta - q.mean(beta), rest)


def second_of_sums(x: Measure, y: Measure, cross: pairs.Sums, own_x: pairs.Sums, own_y: pairs.Sums) -> Second:
    """The standard deviations of second order, from the sweeps with `payload`."""
    return Second.of(
        2 * _own_centred_squares(x, own_x.rows, own_x.squares),
        2 * _own_centred_squares(y, own_y.rows, own_y.squares),
        4 * _centred_squares(x, y, cross.rows, cross.columns, cross.squares),
    )


def second_order(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor) -> Second:
    """The same for large samples, from some rows of points px (n, d), py (m, d): its own relative error is a few percent."""
    p, q = (Measure(thinned(points.detach(), ROWS)) for points in (px, py))
    cross, own_x, own_y = pairs.all_sums(k, p.flat, q.flat, payload(p), payload(q))
    a, b = p.n / x.effective, q.n / y.effective
    return Second.of(
        2 * a**2 * _own_centred_squares(p, own_x.rows, own_x.squares),
        2 * b**2 * _own_centred_squares(q, own_y.rows, own_y.squares),
        4 * a * b * _centred_squares(p, q, cross.rows, cross.columns, cross.squares),
    )


def payload(measure: Measure) -> Tensor:
    """Weights (n, 1), or (n, 2) with the squares that weighted second-order terms need."""
    w = measure.weights
    return w[:, None] if measure.uniform else torch.stack([w, w.square()], 1)


def _own_centred_squares(x: Measure, rows: Tensor, squares: Tensor) -> Tensor:
    """The same within one sample, over i ≠ j, with means over the others: zero for a constant kernel."""
    w = x.weights.double()
    ww, r, tiny = w.square(), rows[:, 0], torch.finfo(w.dtype).tiny
    by_w2 = rows[:, 1] if not x.uniform else r / x.n
    t = (w @ r) / (1 - ww.sum()).clamp(min=tiny)
    left = r / (1 - w).clamp(min=tiny) - t / 2
    every = (ww @ left.square()) * ww.sum() + (ww @ left).square() - 2 * (ww * left).square().sum()
    return squares + 2 * every - 4 * (ww * left) @ by_w2


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
