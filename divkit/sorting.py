"""All sorts in one room: monotone couplings of lines of numbers, their duals, quantiles, and directions to project on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit.measure import Measure

__all__ = ["Arcs", "Coupling", "ascending", "couple", "directions", "quantiles", "ranked", "too_few"]

ENOUGH = 5  # directions: the deviation of fewer is no error to go by
PARALLEL = 1 << 16  # numbers below which threads cost more than they spare
SWAPS = 4  # passes that put right neighbours in a wrong order, before all is sorted anew
SPARSE = 64  # the share of them, one in so many, above which it is at once

CostOfDifference = Callable[[Tensor], Tensor]


def ranked(values: Tensor, *ranks: int) -> list[float]:  # (K,)
    """The values of these ranks, counted from 1, each by one selection: NumPy's takes an eighth of torch's time."""
    if values.device.type != "cpu":
        return [float(values.kthvalue(rank).values) for rank in ranks]
    some, found = values.numpy().copy(), []
    for rank in ranks:
        some.partition(rank - 1)
        found.append(float(some[rank - 1]))
    return found


class Arcs(NamedTuple):
    """Pairs of a coupling of one line or of several, by their row numbers."""

    rows: Tensor  # (L, K)
    columns: Tensor  # (L, K)
    mass: Tensor  # (1 or L, K) float64, zero where two arcs are one


class Solved(NamedTuple):
    """Transport on L lines, in float64."""

    u: Tensor  # (L, n) potentials, in the order of the rows
    v: Tensor  # (L, m)
    total: Tensor  # (L,) the cost of the plan


class Coupling(NamedTuple):
    """Monotone couplings of L lines: for each sorted point, a partner on whose arc its mass ends."""

    x: Tensor  # (L, n) ascending
    y: Tensor  # (L, m)
    order_x: Tensor  # (L, n) the row each came from
    order_y: Tensor  # (L, m)
    of_x: Tensor  # (1 or L, n) sorted place in y
    of_y: Tensor  # (1 or L, m) sorted place in x
    mass: Tensor  # (1 or L, n + m) of the arcs (i, of_x i), then of the arcs (of_y j, j); (1, n) where alike
    alike: bool  # as many equal weights on both sides: the arcs are (i, i)

    def solved(self, cost: CostOfDifference) -> Solved:
        """Optimal potentials, for a convex cost of x − y, and what the coupling costs.

        Where the staircase steps in x, the change of cost at the partner is added to u; v is what the cost leaves on the
        arc where a point of y ends. The Monge property makes them feasible.
        """
        x, y = self.x.double(), self.y.double()
        partners = self._at(y, self.of_x)
        of_x = cost(x - partners)
        of_y = of_x if self.alike else cost(self._at(x, self.of_y) - y)
        u = torch.zeros_like(x)
        torch.cumsum(cost(x[:, 1:] - partners[:, :-1]).sub_(of_x[:, :-1]), 1, out=u[:, 1:])
        v = of_y - self._at(u, self.of_y)
        total = of_x.mean(1) if self.alike else (self.mass * torch.cat([of_x, of_y], 1)).sum(1)
        u, v = (torch.empty_like(side).scatter_(1, order, side) for side, order in ((u, self.order_x), (v, self.order_y)))
        return Solved(u, v, total)

    def arcs(self) -> Arcs:
        """All pairs that carry mass, n + m of them; where both sides are alike n, in the order of the rows."""
        if self.alike:
            return Arcs(
                self.of_x.expand_as(self.order_x),
                torch.empty_like(self.order_y).scatter_(1, self.order_x, self.order_y),
                self.mass,
            )
        rows = torch.cat([self.order_x, self._at(self.order_x, self.of_y)], 1)
        columns = torch.cat([self._at(self.order_y, self.of_x), self.order_y], 1)
        return Arcs(rows, columns, self.mass)

    def _at(self, values: Tensor, place: Tensor) -> Tensor:  # (L, k), (1 or L, r) -> (L, r)
        if self.alike:
            return values
        return values[:, place[0]] if len(place) == 1 else values.gather(1, place)


def couple(x: Tensor, y: Tensor, p: Measure, q: Measure) -> Coupling:
    """Couple the lines of x (L, n) and y (L, m), points weighted as the rows of p and q: O((n + m) log(n + m)) each."""
    (order_x, sorted_x), (order_y, sorted_y) = ascending(x.detach(), y.detach())
    n, m = p.n, q.n
    if p.uniform and q.uniform and n == m:
        own = torch.arange(n, device=x.device)[None]
        mass = p.weights[None].detach()
        return Coupling(sorted_x, sorted_y, order_x, order_y, own, own, mass, True)
    if p.uniform and q.uniform:  # whole numbers, the same for all lines
        end_x, end_y = (torch.arange(1, k + 1, device=x.device)[None] for k in (n, m))
        of_x, of_y = (end_x * m + n - 1) // n - 1, (end_y * n + m - 1) // m - 1
        end_x, end_y, unit = end_x * m, end_y * n, 1.0 / (n * m)
    else:
        end_x, end_y = (w.detach().double()[order].cumsum(1) for w, order in ((p.weights, order_x), (q.weights, order_y)))
        end_x, end_y, unit = end_x / end_x[:, -1:], end_y / end_y[:, -1:], 1.0
        of_x = torch.searchsorted(end_y, end_x).clamp_(max=m - 1)
        of_y = torch.searchsorted(end_x, end_y).clamp_(max=n - 1)
    mass_x = end_x - torch.maximum(_before(end_x), _before(end_y).gather(1, of_x))
    mass_y = end_y - torch.maximum(_before(end_y), _before(end_x).gather(1, of_y))
    mass_y = torch.where(end_x.gather(1, of_y) == end_y, 0, mass_y)  # both end here: the arc is counted already
    mass = torch.cat([mass_x, mass_y], 1).double() * unit
    return Coupling(sorted_x, sorted_y, order_x, order_y, of_x, of_y, mass, False)


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
    >>> from divkit.sorting import quantiles
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


def directions(count: int, d: int, seed: int, like: Tensor) -> Tensor:  # -> (count, d), unit rows
    """Draw directions uniformly on the sphere, orthogonal within each group of d, which lowers the variance."""
    generator, width = torch.Generator(device="cpu").manual_seed(seed), min(d, count)
    groups = [
        torch.linalg.qr(torch.randn(d, width, generator=generator, dtype=torch.float64, device="cpu"))[0].T
        for _ in range(0, count, d)
    ]
    rows = torch.cat(groups)[:count]
    signs = torch.randint(0, 2, (len(rows), 1), generator=generator, device="cpu").double() * 2 - 1
    return (rows * signs).to(dtype=like.dtype, device=like.device)


def too_few(count: int, d: int) -> dict[str, str]:
    """A note where so few directions in d dimensions cannot tell how much they differ; in one dimension there is one."""
    if d == 1 or count >= ENOUGH:
        return {}
    return {"stderr": f"no standard error from {count} projection(s); a minimum of {ENOUGH} is required"}


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


def _before(ends: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], 1)
