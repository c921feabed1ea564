r"""The two-sample statistic of a kernel: its influence values, its value alone, and its values under relabelling.

With normalised weights w of the rows x and v of the rows y, the unbiased statistic of k is

.. math:: T = \frac{\sum_{i \ne j} w_i w_j k(x_i, x_j)}{1 - \sum_i w_i^2} + \frac{\sum_{i \ne j} v_i v_j k(y_i, y_j)}
    {1 - \sum_j v_j^2} - 2 \sum_{i, j} w_i v_j k(x_i, y_j) = \sum_i w_i \alpha_i + \sum_j v_j \beta_j

with :math:`\alpha_i = \sum_{j \ne i} w_j k(x_i, x_j) / (1 - \sum w^2) - \sum_j v_j k(x_i, y_j)` and β likewise. The biased one
has the pairs i = j too, and no divisors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Terms
from divkit.data.measure import Measure
from divkit.kernel.kernels import Kernel
from divkit.kernel.second import payload, second_of_sums, with_errors

__all__ = ["Spread", "u_null", "u_nulls", "u_terms", "u_value"]


class Spread(NamedTuple):
    """The size of kernels over the pairs i ≠ j of the pooled rows, which no relabelling changes."""

    whole: Tensor  # (K,) root mean square
    centred: Tensor  # (K,) root mean square of the kernel less its row and column means


def u_terms(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Terms:
    """Return the terms of the statistic of k at points px (n, d), py (m, d)."""
    cross, own_x, own_y = pairs.all_sums(k, px, py, payload(x), payload(y))
    alpha = _within(k, x, px, own_x.rows[:, 0], unbiased) - cross.rows[:, 0]
    beta = _within(k, y, py, own_y.rows[:, 0], unbiased) - cross.columns[:, 0]
    with torch.no_grad():
        second = second_of_sums(x, y, cross, own_x, own_y)
    return with_errors(k, (x, px, alpha), (y, py, beta), second)


def u_value(k: Kernel, x: Measure, y: Measure, px: Tensor, py: Tensor, *, unbiased: bool) -> Tensor:
    """Return the statistic alone, value and gradient in one sweep."""
    across, own_x, own_y = pairs.totals(k, px, py, x.weights, y.weights)
    value = -2 * across
    for measure, points, own in ((x, px, own_x), (y, py, own_y)):
        w = measure.weights
        squares = w.double().square()
        value = value + (own / (1 - squares.sum()) if unbiased else own + (squares * k.diagonal(points).double()).sum())
    return value


def u_null(k: Kernel, points: Tensor, labels: Tensor, *, unbiased: bool) -> Tensor:
    """Return the statistic (B,) under each relabelling, labels (B, N) bool."""
    return u_nulls((k,), points, labels, unbiased=unbiased)[0][0]


def u_nulls(
    kernels: Sequence[Kernel], points: Tensor, labels: Tensor, *, unbiased: bool, single_from: int = 700
) -> tuple[Tensor, Spread]:
    """Return the statistics (K, B) under each relabelling, labels (B, N) bool, from one matrix product a tile and kernel.

    From `single_from` rows on, where products take longer than all else and half as long in float32, they are in float32, of
    kernels less their mean, and sums in float64. What is within rounding of zero, as under relabellings that change nothing,
    is zero.
    """
    points = points.float() if len(points) >= single_from else points
    forms = pairs.quadratic_forms(kernels, points, labels.to(points.dtype).T.contiguous())
    everything, of_x = forms.rows.sum(1, keepdim=True), forms.rows @ labels.double().T
    xx = forms.values
    xy, yy = of_x - xx, everything - 2 * of_x + xx
    n = labels.sum(1).double()
    m, size = len(points) - n, len(points)
    if unbiased:
        values = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    else:
        diagonal = torch.stack([k.diagonal(points).double() for k in kernels]) - forms.constants[:, None]
        diagonal_x = diagonal @ labels.double().T
        diagonal_y = diagonal.sum(1, keepdim=True) - diagonal_x
        values = (xx + diagonal_x) / n**2 + (yy + diagonal_y) / m**2 - 2 * xy / (n * m)
    scale = (forms.squares / size**2).sqrt() * torch.finfo(points.dtype).eps
    rounding = 16 * (scale + forms.constants.abs() * torch.finfo(torch.float64).eps)[:, None]
    return values.masked_fill(values.abs() <= rounding, 0.0), _spread(forms)


def _spread(forms: pairs.Forms) -> Spread:
    """Return the root mean squares of kernels, from sums of what is left of each less its constant."""
    size = forms.rows.shape[1]
    count = size * (size - 1)
    mean = forms.rows.sum(1) / count
    whole = forms.squares / count + 2 * forms.constants * mean + forms.constants.square()
    row_sums = (forms.rows - (size - 1) * mean[:, None]).square().sum(1)
    centred = (forms.squares / count - mean.square()) - 2 * row_sums / (max(size - 2, 1) * count)
    return Spread(whole.clamp(min=0).sqrt(), centred.clamp(min=0).sqrt())


def _within(k: Kernel, measure: Measure, points: Tensor, rows: Tensor, unbiased: bool) -> Tensor:
    """Return the part of α that comes from the sample itself, of its sums over j ≠ i."""
    w = measure.weights.double()
    return rows / (1 - w.square().sum()) if unbiased else rows + w * k.diagonal(points).double()
