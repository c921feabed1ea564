"""The packed sort: sort numbers and find their order by one sort of whole numbers.

Let x₀, …, xₙ₋₁ be floating-point numbers. Read the bits of x as a whole number, and turn all bits but the sign where it is
negative: this b(x) has the order of the numbers, x < y ⇔ b(x) < b(y), but for the two zeros. A place i < n needs
r = ⌈log₂ n⌉ bits.

- float32: b has 32 bits. The 64-bit numbers 2³² b(xᵢ) + i, once sorted, hold the stable order in their low bits.
- float64: b has 64 bits, and the place takes the lowest r of them: pᵢ = b(xᵢ) − (b(xᵢ) mod 2ʳ) + i. Numbers that differ in
  these r bits alone are sorted by place instead of by value. They are few and lie side by side, so that exchanging neighbours
  puts them right. Where they are many, a stable argsort follows.

This takes a third of the time of an argsort.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["packed_sort"]


def packed_sort(lines: Tensor, *, passes: int = 4, one_in: int = 64) -> tuple[Tensor, Tensor]:  # (L, n) -> (L, n), (L, n)
    """Sort each line stably, on the CPU, in float32 or float64: the order (row numbers) and the sorted values.

    Neighbours in the wrong order are exchanged in at most so many `passes`, and only if no more than one in `one_in` is wrong,
    measured by one line's length. Otherwise all is sorted anew by an argsort.
    """
    values = np.ascontiguousarray(lines.numpy())
    n = values.shape[1]
    place_bits = max(n - 1, 1).bit_length()  # r
    spare_bits = 64 - 8 * values.itemsize  # bits of a 64-bit number that b leaves free
    packed = _ordered_bits(values).astype(np.int64, copy=False)
    places = (np.int64(1) << np.int64(max(place_bits, spare_bits))) - np.int64(1)  # a mask of the bits below the value's
    packed <<= np.int64(spare_bits)
    packed &= ~places
    packed |= np.arange(n)
    packed.sort(axis=1)
    packed &= places
    order = packed
    ascending = np.take_along_axis(values, order, 1) if len(values) > 1 else values.take(order)
    if place_bits > spare_bits:
        order, ascending = _put_right(order, ascending, passes, one_in)
    return torch.from_numpy(order), torch.from_numpy(ascending)


def _put_right(
    order: NDArray[Any], values: NDArray[Any], passes: int, one_in: int
) -> tuple[NDArray[Any], NDArray[Any]]:  # (L, n), (L, n) -> (L, n), (L, n)
    """Sort lines that are nearly ascending: exchange neighbours in the wrong order, in place, or sort anew."""
    n = values.shape[1]
    for _ in range(passes):
        line, at = (values[:, 1:] < values[:, :-1]).nonzero()
        if not len(at):
            return order, values
        if len(at) > n // one_in:
            break
        first = np.diff(line * n + at, prepend=-2) > 1  # of overlapping pairs only the first
        left, right = (line[first], at[first]), (line[first], at[first] + 1)
        for part in (order, values):
            part[left], part[right] = part[right], part[left]
    again = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(order, again, 1), np.take_along_axis(values, again, 1)


def _ordered_bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return b: the numbers' bits as whole numbers of the same order."""
    whole: Any = np.int64 if values.dtype == np.float64 else np.int32
    bits: Any = values.view(whole)
    turned: NDArray[Any] = bits >> (8 * values.itemsize - 1)  # all ones where negative
    turned &= np.iinfo(whole).max
    turned ^= bits
    return turned
