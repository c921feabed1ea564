"""Sorting of lines of numbers: values with their places, by one sort of whole numbers on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit.data.measure import Measure

__all__ = ["ascending", "quantiles", "ranked"]

PARALLEL = 1 << 16  # numbers below which threads cost more than they spare
SWAPS = 4  # passes that put right neighbours in a wrong order, before all is sorted anew
SPARSE = 64  # the share of them, one in so many, above which it is at once


def ranked(values: Tensor, *ranks: int) -> list[float]:  # (K,)
    """The values of these ranks, counted from 1, each by one selection: NumPy's takes an eighth of torch's time."""
    if values.device.type != "cpu":
        return [float(values.kthvalue(rank).values) for rank in ranks]
    some, found = values.numpy().copy(), []
    for rank in ranks:
        some.partition(rank - 1)
        found.append(float(some[rank - 1]))
    return found


def ascending(*lines: Tensor) -> list[tuple[Tensor, Tensor]]:  # (L, n) each -> order (L, n), sorted (L, n)
    """Sort each line of each tensor; on the CPU as many at a time as torch has threads."""
    if lines[0].device.type != "cpu":
        return [(order, values) for values, order in (part.sort(1) for part in lines)]
    parts = [(k, rows) for k, part in enumerate(lines) for rows in part.tensor_split(min(len(part), torch.get_num_threads()))]
    workers = torch.get_num_threads() if sum(part.numel() for part in lines) > PARALLEL else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            made = list(pool.map(lambda part: _sort(part[1]), parts))
    else:
        made = [_sort(rows) for _, rows in parts]
    found = [[pair for (k, _), pair in zip(parts, made) if k == wanted] for wanted in range(len(lines))]
    return [(torch.cat([o for o, _ in some]), torch.cat([v for _, v in some])) if len(some) > 1 else some[0] for some in found]


def quantiles(x: Measure, levels: Tensor) -> Tensor:  # levels: (k,) -> (k, d)
    r"""The quantile functions of the columns, :math:`F^{-1}(t) = \min\{z : F(z) \ge t\}`, no interpolation; differentiable.

    Raises
    ------
    ValueError
        Where a level is not between 0 and 1.

    Examples
    --------
    >>> import torch
    >>> from divkit import Measure
    >>> from divkit.lines.sort import quantiles
    >>> quantiles(Measure([3.0, 1.0, 2.0, 4.0]), torch.tensor([0.25, 0.5, 0.9]))[:, 0].tolist()
    [1.0, 2.0, 4.0]
    """
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError("levels of a quantile must lie between 0 and 1.")
    columns = x.flat.T
    ((order, _),) = ascending(columns.detach())
    ends = x.weights.detach().double()[order].cumsum(1)
    ends = (ends / ends[:, -1:]).contiguous()
    wanted = (levels.double() * (1 - 1e-12)).expand(len(columns), -1).contiguous()  # sums of weights are off by rounding
    place = torch.searchsorted(ends, wanted).clamp_(max=x.n - 1)
    return columns.gather(1, order.gather(1, place)).T


def _sort(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Sort whole numbers that hold the value's bits above and the place below: no argsort, which takes three times as long.

    Where places take bits of the values, those that differ in the bits taken alone are put right afterwards: few are.
    """
    values = np.ascontiguousarray(lines.numpy())
    n = values.shape[1]
    held = max(n - 1, 1).bit_length()  # bits of a place
    spare = 64 - 8 * values.itemsize  # bits that the values leave
    packed = _ordered(values).astype(np.int64, copy=False)
    places = (np.int64(1) << np.int64(max(held, spare))) - np.int64(1)
    packed <<= np.int64(spare)
    packed &= ~places
    packed |= np.arange(n)
    packed.sort(axis=1)
    packed &= places
    order = packed
    ordered = np.take_along_axis(values, order, 1) if len(values) > 1 else values.take(order)
    if held > spare:
        order, ordered = _put_right(order, ordered)
    return torch.from_numpy(order), torch.from_numpy(ordered)


def _put_right(order: NDArray[Any], ordered: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lines (L, n) that are nearly ascending, and their order: neighbours change places, in place while they are few."""
    n = ordered.shape[1]
    for _ in range(SWAPS):
        line, at = (ordered[:, 1:] < ordered[:, :-1]).nonzero()
        if not len(at):
            return order, ordered
        if len(at) > n // SPARSE:
            break
        apart = np.diff(line * n + at, prepend=-2) > 1  # of overlapping pairs only the first
        here, beside = (line[apart], at[apart]), (line[apart], at[apart] + 1)
        for part in (order, ordered):
            part[here], part[beside] = part[beside], part[here]
    again = np.argsort(ordered, axis=1, kind="stable")
    return np.take_along_axis(order, again, 1), np.take_along_axis(ordered, again, 1)


def _ordered(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers' bits as whole numbers of the same order: below zero, all but the sign are turned."""
    whole: Any = np.int64 if values.dtype == np.float64 else np.int32
    bits: Any = values.view(whole)
    made: NDArray[Any] = bits >> (8 * values.itemsize - 1)
    made &= np.iinfo(whole).max
    made ^= bits
    return made
