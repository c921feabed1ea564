"""Network simplex solvers, by POT, behind checks: costs are rescaled, result codes read.

They solve min Σ cᵢⱼ πᵢⱼ over plans π ≥ 0 with marginals a and b; dual potentials u and v satisfy uᵢ + vⱼ ≤ cᵢⱼ on the arcs.
POT takes no negative costs, and takes those below 1e-12 for zero: costs are moved by `least` and divided by `scale`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Code", "Flow", "dense", "sparse"]

PIVOTS = 1_000_000_000  # pivots after which POT stops: in effect no limit, since rounds bound the work


class Code(IntEnum):
    """The result codes of POT's solver; with any but OPTIMAL it returns a cost of 0.0."""

    INFEASIBLE = 0
    OPTIMAL = 1
    UNBOUNDED = 2
    MAX_PIVOTS = 3


class Flow(NamedTuple):
    """A basic solution: at most n + m − 1 arcs that carry mass, and the dual potentials of all points."""

    rows: Tensor  # (K,)
    columns: Tensor  # (K,)
    mass: Tensor  # (K,) float64
    u: Tensor  # (n,) float64
    v: Tensor  # (m,) float64
    code: Code


def dense(table: Tensor, a: Tensor, b: Tensor) -> Flow:  # (n, m), (n,), (m,)
    """Solve with every pair as an arc."""
    from ot.lp.emd_wrap import emd_c

    least, scale = _measured(table)
    plan, _, u, v, code = emd_c(_array(a), _array(b), _array((table - least) / scale), PIVOTS, 1)
    rows, columns = np.nonzero(plan)
    return _flow(rows, columns, plan[rows, columns], u * scale + least, v * scale, code, table)


def sparse(
    arcs: tuple[Tensor, Tensor, Tensor], a: Tensor, b: Tensor, start: tuple[Tensor, Tensor]
) -> Flow:  # arcs: rows, columns, costs (K,)
    """Solve with the given arcs only; the potentials `start` of any quality say where to look first."""
    from ot.lp.emd_wrap import emd_c_sparse

    rows, columns, costs = arcs
    least, scale = _measured(costs)
    ends = (t.numpy(force=True).astype(np.uint64) for t in (rows, columns))
    near = _array((start[0] - least) / scale), _array(start[1] / scale)
    rows_, columns_, mass, _, u, v, code = emd_c_sparse(
        _array(a), _array(b), *ends, _array((costs - least) / scale), PIVOTS, *near
    )
    return _flow(rows_.astype(np.int64), columns_.astype(np.int64), mass, u * scale + least, v * scale, code, costs)


def _measured(costs: Tensor) -> tuple[float, float]:
    """Return (least, scale), by which (costs − least)/scale lie in [0, 1]."""
    least = min(float(costs.min()), 0.0)
    return least, float(costs.max()) - least or 1.0


def _array(t: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a tensor as the contiguous float64 array that POT takes."""
    return np.ascontiguousarray(t.numpy(force=True), dtype=np.float64)


def _flow(rows: Any, columns: Any, mass: Any, u: Any, v: Any, code: int, like: Tensor) -> Flow:
    """Return POT's arrays as a flow on the device of `like`."""
    i, j, f, alpha, beta = (torch.from_numpy(np.asarray(t)).to(like.device) for t in (rows, columns, mass, u, v))
    shift = beta.mean()  # the sparse solver's potentials hang on an artificial arc that costs n + m times the dearest
    return Flow(i, j, f, alpha + shift, beta - shift, Code(int(code)))
