"""Network simplex solvers, by POT, behind checks: costs are rescaled, result codes read."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Code", "Flow", "dense", "sparse"]

PIVOTS = 1_000_000_000  # in effect no limit: what bounds the work is the number of rounds


class Code(IntEnum):
    """What POT's solver says of a result; a cost of 0.0 comes with the others."""

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
    """What makes costs not negative and at most one: the solvers take no others, and below 1e-12 they are zero."""
    least = min(float(costs.min()), 0.0)
    return least, float(costs.max()) - least or 1.0


def _array(t: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.ascontiguousarray(t.numpy(force=True), dtype=np.float64)


def _flow(rows: Any, columns: Any, mass: Any, u: Any, v: Any, code: int, like: Tensor) -> Flow:
    i, j, f, alpha, beta = (torch.from_numpy(np.asarray(t)).to(like.device) for t in (rows, columns, mass, u, v))
    shift = beta.mean()  # the sparse solver's potentials hang on an artificial arc that costs n + m times the dearest
    return Flow(i, j, f, alpha + shift, beta - shift, Code(int(code)))
