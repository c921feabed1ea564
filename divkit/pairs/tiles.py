"""Blocks of rows and columns: a tile is the pairs of one block of each, and the most that is ever held at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["accumulator", "block_size", "blocks", "first_derivative", "padded", "round_up", "strips", "within"]

Backward = Callable[..., Any]
T = TypeVar("T")

# 2²⁰ entries of a tile stay in the second-level cache in float32; larger ones cost page faults, smaller ones dispatch
_ROWS: ContextVar[int] = ContextVar("rows", default=1024)


def block_size(rows: int) -> AbstractContextManager[None]:
    """Set the rows and columns of a tile within a context: results depend on it by rounding only."""
    if rows < 1:
        raise ValueError(f"a block needs at least one row; got {rows}.")
    return within(_ROWS, rows)


@contextmanager
def within(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set a context variable for as long as the context lasts."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def blocks(n: int) -> list[slice]:
    """Cut range(n) into blocks."""
    keep_freed_tiles()
    rows = _ROWS.get()
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def strips(n: int, m: int) -> list[slice]:
    """Cut range(m) into strips that, over all of n rows, have about half the entries of a tile.

    Matrix products with few inner columns are twice as fast into tall and narrow tiles as into square ones.
    """
    keep_freed_tiles()
    rows = _ROWS.get()
    width = max(min(rows, 16), rows * rows // (2 * n))
    return [slice(start, min(start + width, m)) for start in range(0, m, width)]


@cache
def keep_freed_tiles() -> None:
    """Make the C library keep the memory of freed tiles, once per process.

    glibc hands large arrays back to the system when they are freed, and faults them in again, page by page, when the next one
    is made. It stops doing so for arrays up to the size of the largest one that was ever freed. So one array larger than any
    tile (24 MB, never touched, hence never really there) is made and freed. Sweeps over kernels that need a second tile, as
    sums of kernels do, take 1.3 to 1.8 times as long without it. Other C libraries do not mind.
    """
    torch.empty(24 << 20, dtype=torch.uint8)


def round_up(count: int, multiple: int) -> int:
    """Return the least multiple that is not less than the count."""
    return -(-count // multiple) * multiple


def padded(payload: Tensor) -> Tensor:  # (n, c) -> (n, c′)
    """Widen with zero columns to a multiple of 16: matrix products of other small widths take up to five times as long."""
    width = payload.shape[1]
    if width == 1 or width % 16 == 0:
        return payload.contiguous()
    wide = payload.new_zeros(len(payload), round_up(width, 16))
    wide[:, :width] = payload
    return wide


def first_derivative(backward: Backward) -> Backward:
    """Refuse, in a `backward`, to be differentiated: its products hold no graph, and silence would drop a term."""

    def checked(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "second derivatives through pairs of points are not available: call backward() or autograd.grad without "
                "create_graph=True, or detach this divergence from what is differentiated twice."
            )
        return backward(ctx, *gradients)

    return checked


def accumulator(n: int, payload: Tensor) -> Tensor:
    """Make zeros (n, c) to add tiles to: float64 unless the payload is so wide that its memory counts."""
    dtype = torch.float64 if payload.shape[1] <= 64 else payload.dtype
    return torch.zeros(n, payload.shape[1], dtype=dtype, device=payload.device)
