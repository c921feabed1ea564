r"""The errors of second order of a two-sample statistic of a kernel: all there is at P = Q.

The statistic of the kernel k, with normalised weights w of the rows x and v of the rows y, is

.. math:: T = \sum_{i, j} w_i w_j k(x_i, x_j) + \sum_{i, j} v_i v_j k(y_i, y_j) - 2 \sum_{i, j} w_i v_j k(x_i, y_j).

With :math:`\tilde k` the kernel less its row means and column means, plus its mean, T has at P = Q the variance

.. math:: V_2 = 2 \sum_{i \ne j} w_i^2 w_j^2 \tilde k(x_i, x_j)^2 + 2 \sum_{i \ne j} v_i^2 v_j^2 \tilde k(y_i, y_j)^2
    + 4 \sum_{i, j} w_i^2 v_j^2 \tilde k(x_i, y_j)^2.

Close to P = Q the variance grows by κ for each unit of the expectation; κ is four times the typical large eigenvalue of the
covariance of the difference of the two mean embeddings.
"""

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


class Second(NamedTuple):
    """Standard deviations of second order: √V₂, and the parts of it within x and within y."""

    total: float
    x: float
    y: float

    @classmethod
    def of(cls, x: Tensor | float, y: Tensor | float, across: Tensor | float) -> Second:
        """Return the deviations of the three sums of V₂."""
        parts = [max(float(part), 0.0) for part in (x, y, across)]
        return cls(math.sqrt(sum(parts)), math.sqrt(parts[0]), math.sqrt(parts[1]))


def with_errors(k: Kernel, x: tuple[Measure, Tensor, Tensor], y: tuple[Measure, Tensor, Tensor], second: Second) -> Terms:
    """Return the influence values 2α − Σwα, 2β − Σvβ of the statistic Σwα + Σvβ of k, with its errors of second order.

    Each sample comes as its measure, its points in the frame of k, and α or β.
    """
    (p, px, alpha), (q, py, beta) = x, y
    with torch.no_grad():
        growth = 4 * _eigenvalue(k, p, q, px, py)
    rest = Remainder(second.total, (second.x, second.y), growth)
    return Terms(2 * alpha - p.mean(alpha), 2 * beta - q.mean(beta), rest)


def second_of_sums(x: Measure, y: Measure, cross: pairs.Sums, own_x: pairs.Sums, own_y: pairs.Sums) -> Second:
    """Return the standard deviations of second order, from the sums of k with the payloads of `payload`."""
    return Second.of(
        2 * _squares_within(x, own_x.rows, own_x.squares),
        2 * _squares_within(y, own_y.rows, own_y.squares),
        4 * _squares_across(x, y, cross.rows, cross.columns, cross.squares),
    )


def second_order(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, rows: int = 500) -> Second:
    """Return the standard deviations of second order of large samples at points px (n, d), py (m, d), within a few percent.

    The mean squares of the centred kernel are those of at most so many `rows` of each sample.
    """
    p, q = (Measure(thinned(points.detach(), rows)) for points in (px, py))
    cross, own_x, own_y = pairs.all_sums(k, p.flat, q.flat, payload(p), payload(q))
    a, b = p.n / x.effective, q.n / y.effective
    return Second.of(
        2 * a**2 * _squares_within(p, own_x.rows, own_x.squares),
        2 * b**2 * _squares_within(q, own_y.rows, own_y.squares),
        4 * a * b * _squares_across(p, q, cross.rows, cross.columns, cross.squares),
    )


def payload(measure: Measure) -> Tensor:
    """Return weights (n, 1), or (n, 2) with the squares that weighted second-order terms need."""
    w = measure.weights
    return w[:, None] if measure.uniform else torch.stack([w, w.square()], 1)


def _squares_within(x: Measure, rows: Tensor, squares: Tensor) -> Tensor:
    """Return Σ_{i≠j} wᵢ² wⱼ² k̃ᵢⱼ² within one sample, where means are over the others: zero for a constant kernel.

    `rows` are Σ_{j≠i} kᵢⱼ wⱼ, for unequal weights also Σ_{j≠i} kᵢⱼ wⱼ²; `squares` is Σ_{i≠j} wᵢ² wⱼ² kᵢⱼ².
    """
    w = x.weights.double()
    ww, r, tiny = w.square(), rows[:, 0], torch.finfo(w.dtype).tiny
    by_w2 = rows[:, 1] if not x.uniform else r / x.n  # Σⱼ wⱼ² kᵢⱼ
    t = (w @ r) / (1 - ww.sum()).clamp(min=tiny)
    left = r / (1 - w).clamp(min=tiny) - t / 2  # k̃ᵢⱼ = kᵢⱼ − leftᵢ − leftⱼ
    every = (ww @ left.square()) * ww.sum() + (ww @ left).square() - 2 * (ww * left).square().sum()
    return squares + 2 * every - 4 * (ww * left) @ by_w2


def _squares_across(x: Measure, y: Measure, rows: Tensor, columns: Tensor, squares: Tensor) -> Tensor:
    """Return Σ wᵢ² vⱼ² k̃ᵢⱼ² between two samples.

    `rows` are Σⱼ kᵢⱼ vⱼ and `columns` Σᵢ kᵢⱼ wᵢ, for unequal weights also with squared weights; `squares` is Σ wᵢ² vⱼ² kᵢⱼ².
    """
    w, v = x.weights.double(), y.weights.double()
    ww, vv = w.square(), v.square()
    r, c = rows[:, 0], columns[:, 0]
    by_w2 = rows[:, 1] if not y.uniform else rows[:, 0] / y.n  # Σⱼ vⱼ² kᵢⱼ
    by_v2 = columns[:, 1] if not x.uniform else columns[:, 0] / x.n  # Σᵢ wᵢ² kᵢⱼ
    t = w @ r
    left, right = r - t / 2, c - t / 2  # k̃ᵢⱼ = kᵢⱼ − leftᵢ − rightⱼ
    return (
        squares
        + (ww @ left.square()) * vv.sum()
        + ww.sum() * (vv @ right.square())
        + 2 * (ww @ left) * (vv @ right)
        - 2 * (ww * left) @ by_w2
        - 2 * (vv * right) @ by_v2
    )


def _eigenvalue(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, rows: int = 150) -> float:
    """Return tr Γ³/tr Γ² of the covariance Γ of the difference of the two mean embeddings: its typical large eigenvalue.

    It is found from the kernel between at most so many `rows` of each sample, over triples of different rows.
    """
    points_of, scales = [], []
    for m, points in ((x, px), (y, py)):
        some = torch.linspace(0, m.n - 1, min(m.n, rows), device=m.device).round().long()
        w = m.weights.detach().double()[some]
        points_of.append(points.detach()[some].double())
        scales.append(w * (m.n / len(some)) ** 0.5)
    pooled, scale, tiny = torch.cat(points_of), torch.cat(scales), torch.finfo(torch.float64).tiny
    gram = k.evaluate(pooled, pooled)
    first = len(points_of[0])
    for part, w in zip((slice(first), slice(first, None)), scales):  # means taken out within each sample
        share = w / w.sum().clamp(min=tiny)
        gram[part] -= share @ gram[part]
        gram[:, part] -= (gram[:, part] @ share)[:, None]
    gram = gram * scale[:, None] * scale
    largest = float(gram.abs().max())
    if not largest > 0:
        return 0.0
    gram = (gram / largest).fill_diagonal_(0.0)
    square = gram @ gram
    return max(float((square * gram).sum() / gram.square().sum().clamp(min=tiny)), 0.0) * largest
