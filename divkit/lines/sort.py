"""Sorting of lines of numbers, each with its order; numbers of given ranks; quantiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from divkit.data.measure import Measure
from divkit.lines.packed import packed_sort

__all__ = ["ascending", "quantiles", "ranked"]


def ranked(values: Tensor, *ranks: int) -> list[float]:  # (K,)
    """Return the values of these ranks, counted from 1, each by one selection: NumPy's takes an eighth of torch's time."""
    if values.device.type != "cpu":
        return [float(values.kthvalue(rank).values) for rank in ranks]
    rest, selected = values.numpy().copy(), []
    for rank in ranks:
        rest.partition(rank - 1)
        selected.append(float(rest[rank - 1]))
    return selected


def ascending(*lines: Tensor, parallel_from: int = 1 << 16) -> list[tuple[Tensor, Tensor]]:
    """Sort each line of each tensor (L, n): its order (L, n) and its sorted values (L, n).

    On the CPU torch's number of threads work at once, if there are more than `parallel_from` numbers in all: below, starting
    threads takes longer than they save.
    """
    if lines[0].device.type != "cpu":
        return [(order, values) for values, order in (part.sort(1) for part in lines)]
    threads = torch.get_num_threads()
    chunks = [part.tensor_split(min(len(part), threads)) for part in lines]
    if threads > 1 and sum(part.numel() for part in lines) > parallel_from:
        with ThreadPoolExecutor(threads) as pool:
            results = iter(list(pool.map(packed_sort, [chunk for part in chunks for chunk in part])))
    else:
        results = map(packed_sort, [chunk for part in chunks for chunk in part])
    return [_joined([next(results) for _ in part]) for part in chunks]


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Join pairs of (order, values), each of some of the lines, to one pair."""
    if len(parts) == 1:
        return parts[0]
    orders, values = zip(*parts)
    return torch.cat(orders), torch.cat(values)


def quantiles(x: Measure, levels: Tensor) -> Tensor:  # levels: (k,) -> (k, d)
    r"""Return the quantiles of each column, :math:`F^{-1}(t) = \min\{z : F(z) \ge t\}`, without interpolation; differentiable.

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
    heights = (levels.double() * (1 - 1e-12)).expand(len(columns), -1).contiguous()  # sums of weights are off by rounding
    place = torch.searchsorted(ends, heights).clamp_(max=x.n - 1)
    return columns.gather(1, order.gather(1, place)).T
