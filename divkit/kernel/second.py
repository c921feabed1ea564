"""The second-order variance of a two-sample statistic: all there is at P = Q."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from divkit import pairs
from divkit.kernel.kernels import Kernel, thinned
from divkit.measure import Measure

__all__ = ["payload", "second_of_sums", "second_order"]

ROWS = 500  # of each sample, of which the mean squares of a centred kernel are found where all would be too many


def second_of_sums(x: Measure, y: Measure, cross: pairs.Sums, own_x: pairs.Sums, own_y: pairs.Sums) -> float:
    """The standard deviation of second order, from the sweeps with `payload`."""
    variance = (
        2 * _own_centred_squares(x, own_x.rows, own_x.squares)
        + 2 * _own_centred_squares(y, own_y.rows, own_y.squares)
        + 4 * _centred_squares(x, y, cross.rows, cross.columns, cross.squares)
    )
    return math.sqrt(max(float(variance), 0.0))


def second_order(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor) -> float:
    """The same for large samples, from some rows of points px (n, d), py (m, d): its own relative error is a few percent."""
    p, q = (Measure(thinned(points.detach(), ROWS)) for points in (px, py))
    cross, own_x, own_y = pairs.all_sums(k, p.flat, q.flat, payload(p), payload(q))
    a, b = p.n / x.effective, q.n / y.effective
    variance = (
        2 * a**2 * float(_own_centred_squares(p, own_x.rows, own_x.squares))
        + 2 * b**2 * float(_own_centred_squares(q, own_y.rows, own_y.squares))
        + 4 * a * b * float(_centred_squares(p, q, cross.rows, cross.columns, cross.squares))
    )
    return math.sqrt(max(variance, 0.0))


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
