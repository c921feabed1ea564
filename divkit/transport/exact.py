"""Exact optimal transport between samples, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from divkit import pairs
from divkit.checks import between
from divkit.divergence import Divergence
from divkit.measure import Measure
from divkit.results import Bias, Solution, Status, Terms
from divkit.sorting import couple
from divkit.transport.costs import Power

__all__ = ["Wasserstein"]


@dataclass(frozen=True)
class Wasserstein(Divergence):
    r"""The optimal transport cost :math:`W_p^p = \min_\pi \int |x - y|^p \, d\pi`, the p-th power without root and without ½.

    One-dimensional samples are solved by sorting, others by the network simplex in float64. The state holds the plan (`rows`,
    `columns`, `mass`) and the dual potentials `u`, `v`; `lower` is the value of v and its c-transform, `upper` the plan's.
    Units of the data to the power p; `Estimate.root(p)` gives :math:`W_p`. Source: Kantorovich (1942); Peyré and Cuturi (2019).

    Parameters
    ----------
    p : float
        At least 1.
    gap : float
        The relative duality gap above which the problem counts as unsolved.

    Examples
    --------
    >>> import divkit as dk
    >>> e = dk.estimate("w2", [[0.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [1.0, 3.0]])
    >>> e.value, e.solution.lower, e.solution.upper
    (9.0, 9.0, 9.0)
    """

    p: float = 2.0
    gap: float = 1e-6

    def __post_init__(self) -> None:
        Power(self.p)
        between("gap", self.gap, 0, 1)

    @property
    def name(self) -> str:
        return f"w{self.p:g}"

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        frame = pairs.frame(x, y)
        px, py, cost = frame.x.double(), frame.y.double(), Power(self.p)
        if px.shape[1] == 1:
            coupling = couple(px, py, x, y)
            costs = cost.of_difference(px[coupling.rows[:, 0]] - py[coupling.columns[:, 0]])
            u, v = coupling.duals(costs, x.n, y.n)
            rows, columns, mass = coupling.rows[:, 0], coupling.columns[:, 0], coupling.mass[:, 0]
            u, v, costs = u[:, 0], v[:, 0], costs[:, 0]
        else:
            rows, columns, mass, v = _simplex(cost, px, py, x.weights, y.weights)
            u, _ = pairs.minimum(cost, px, py, v)
            costs = cost.along(px[rows], py[columns])
        unit = frame.unit(self.p)
        upper = float(mass @ costs)
        lower = float(x.mean(u) + y.mean(v))
        gap = (upper - lower) / upper if upper > 1e-14 else abs(upper - lower)
        return Solution(
            state={"rows": rows, "columns": columns, "mass": mass, "u": u * unit, "v": v * unit},
            status=Status.CONVERGED if gap <= self.gap else Status.MAX_STEPS,
            steps=1,
            error=gap,
            lower=lower * unit,
            upper=upper * unit,
        )

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        frame, state, w = pairs.frame(x, y), solution.state, x.weights.detach().double()
        rows, columns, v = state["rows"], state["columns"], state["v"]
        costs = Power(self.p).along(frame.x[rows].double(), frame.y[columns].double()) * frame.unit(self.p)
        carried = w > 0  # elsewhere the plan has no row, and the dual says what a little mass would cost
        share = state["mass"] / torch.where(carried, w, 1.0)[rows]
        u = torch.where(carried, 0.0, state["u"]).index_add(0, rows, share * (costs - v[columns]))
        return Terms(u, v)


def _simplex(cost: Power, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Plan (rows, columns, mass) and the dual of y by the dense network simplex, points of weight zero left out."""
    import ot

    keep_x, keep_y = (w > 0).nonzero()[:, 0], (v > 0).nonzero()[:, 0]
    table = cost.evaluate(x[keep_x], y[keep_y])
    largest = float(table.max()) or 1.0
    a, b = (t[keep].double().numpy(force=True) for t, keep in ((w, keep_x), (v, keep_y)))
    a, b = a / a.sum(), b / b.sum()
    _, log = ot.lp.emd2(a, b, (table / largest).numpy(force=True), numItermax=100_000_000, return_matrix=True, log=True)
    plan = log["G"]
    i, j = np.nonzero(plan)
    dual = torch.full((len(y),), -math.inf, dtype=torch.float64, device=x.device)
    dual[keep_y] = torch.from_numpy(log["v"]).to(x.device) * largest
    if len(keep_y) < len(y):  # where there is no mass: the largest feasible value
        u = pairs.minimum(cost, x[keep_x], y[keep_y], dual[keep_y])[0]
        dual = torch.where(dual.isfinite(), dual, pairs.minimum(cost, y, x[keep_x], u)[0])
    rows, columns, mass = (torch.from_numpy(t).to(x.device) for t in (i, j, plan[i, j]))
    return keep_x[rows], keep_y[columns], mass, dual
