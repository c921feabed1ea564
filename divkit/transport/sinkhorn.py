"""Entropic transport and its debiased form, the Sinkhorn divergence, solved to a measured tolerance."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from torch import Tensor

from divkit import pairs
from divkit.checks import positive, whole
from divkit.divergence import Divergence
from divkit.measure import Measure
from divkit.results import Bias, Solution, Status, Terms
from divkit.transport.costs import Power
from divkit.transport.entropic import Cloud, extend, matching, solve_pair, solve_self

__all__ = ["EntropicOT", "Relative", "Sinkhorn"]


@dataclass(frozen=True)
class Relative:
    """A regularisation given as a fraction of the mean cost between x and y."""

    fraction: float = 0.01

    def __post_init__(self) -> None:
        positive("the fraction of Relative", self.fraction)


@dataclass(frozen=True)
class _Entropic(Divergence):
    """The fields and the solver that both entropic divergences share."""

    epsilon: float | Relative = Relative(0.01)
    p: float = 2.0
    tol: float = 1e-4
    sweeps: int = 1000

    def __post_init__(self) -> None:
        Power(self.p)
        if not isinstance(self.epsilon, Relative):
            positive("epsilon", self.epsilon)
        positive("tol", self.tol)
        whole("sweeps", self.sweeps)

    @property
    def problem(self) -> Hashable:
        return type(self), self.epsilon, self.p, self.tol, self.sweeps

    def _epsilon(self, x: Tensor, y: Tensor, p: Measure, q: Measure, unit: float) -> float:
        """In units of the frame."""
        if not isinstance(self.epsilon, Relative):
            return self.epsilon / unit
        cost = Power(self.p)
        if self.p == 2:
            mean_x, mean_y = p.mean(x), q.mean(y)
            spread = p.mean((x - mean_x).square().sum(1)) + q.mean((y - mean_y).square().sum(1))
            mean = float(spread + (mean_x - mean_y).square().sum())
        else:
            mean = float(p.weights.double() @ pairs.sums(cost, x, y, p.weights[:, None], q.weights[:, None]).rows[:, 0])
        return self.epsilon.fraction * mean or 1e-12  # all points coincide: any ε does


class _Placed:
    """Both samples in their frame, ready for the solver."""

    def __init__(self, x: Measure, y: Measure, divergence: _Entropic) -> None:
        self.frame = pairs.frame(x, y)
        self.unit = self.frame.unit(divergence.p)
        self.cost = Power(divergence.p)
        self.x, self.y = (Cloud(points, _log(m)) for points, m in ((self.frame.x, x), (self.frame.y, y)))

    def state(self, x: Measure, y: Measure, epsilon: float, **potentials: Tensor) -> dict[str, Tensor | float]:
        """In units of the data, with the points, so that potentials extend to those of a later step."""
        scaled = {key: value * self.unit for key, value in potentials.items()}
        points = {"x": x.flat, "y": y.flat, "log_x": self.x.log_weights, "log_y": self.y.log_weights}
        return {"epsilon": epsilon * self.unit, **scaled, **points}

    def start(self, solution: Solution | None, epsilon: float) -> tuple[Tensor, Tensor] | None:
        """Potentials on these points from those of an earlier solution, as functions: one softmin each."""
        if solution is None:
            return None
        state, like = solution.state, self.frame.x
        old_x, old_y = (Cloud(self.frame.place(state[k].to(like)), state[f"log_{k}"].double()) for k in ("x", "y"))
        f, g = (state[key].double() / self.unit for key in ("f", "g"))
        return extend(self.cost, self.x.points, old_y, g, epsilon), extend(self.cost, self.y.points, old_x, f, epsilon)


@dataclass(frozen=True)
class EntropicOT(_Entropic):
    r"""Entropic optimal transport.

    .. math:: \mathrm{OT}_\varepsilon(P, Q) = \min_\pi \int |x - y|^p \, d\pi + \varepsilon\, \mathrm{KL}(\pi \| P \otimes Q)

    Not zero at P = Q. Units of the data to the power p. Source: Cuturi (2013); Peyré and Cuturi (2019).

    Parameters
    ----------
    epsilon : float or Relative
        In units of the cost, or a fraction of the mean cost; `notes` has its value.
    p : float
    tol : float
        The L₁ error of the marginals at which the iteration stops.
    sweeps : int
        At most.

    Examples
    --------
    >>> import divkit as dk
    >>> e = dk.get("entropic-ot", epsilon=0.5).estimate([[0.0], [1.0]], [[0.5], [2.0]])
    >>> e.converged, e.solution.error <= 1e-4
    (True, True)
    """

    @property
    def name(self) -> str:
        return "entropic-ot"

    @property
    def bias(self) -> Bias:
        return Bias.ABOVE

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        at = _Placed(x, y, self)
        epsilon = self._epsilon(at.frame.x, at.frame.y, x, y, at.unit)
        warm = at.start(start, epsilon)
        found = solve_pair(at.cost, at.x, at.y, epsilon, tol=self.tol, sweeps=self.sweeps, start=warm)
        lower = float(x.mean(extend(at.cost, at.x.points, at.y, found.g, epsilon, found.f)) + y.mean(found.g)) * at.unit
        state = at.state(x, y, epsilon, f=found.f, g=found.g)
        return Solution(state, _status(found.error, self.tol), found.sweeps, found.error, lower=lower)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at = _Placed(x, y, self)
        epsilon, f, g = (solution.state[key] / at.unit for key in ("epsilon", "f", "g"))
        u = extend(at.cost, at.x.points, at.y, g, epsilon, f)
        return Terms(u * at.unit, g * at.unit, notes={"epsilon": solution.state["epsilon"]})


@dataclass(frozen=True)
class Sinkhorn(_Entropic):
    r"""The Sinkhorn divergence: entropic transport without its bias at P = Q.

    .. math:: S_\varepsilon(P, Q) = \mathrm{OT}_\varepsilon(P, Q) - \tfrac12 \mathrm{OT}_\varepsilon(P, P)
        - \tfrac12 \mathrm{OT}_\varepsilon(Q, Q)

    Cost :math:`|x - y|^p` without ½, KL against the product measure. Units of the data to the power p.
    Source: Feydy et al. (2019).

    Parameters
    ----------
    epsilon : float or Relative
        In units of the cost, or a fraction of the mean cost; `notes` has its value.
    p : float
    tol : float
        The L₁ error of the marginals at which the iteration stops.
    sweeps : int
        At most.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> e = dk.estimate("sinkhorn", x, x + 1.0)  # a translation costs its squared length
    >>> round(e.value, 4), e.converged
    (2.0, True)
    """

    @property
    def name(self) -> str:
        return "sinkhorn"

    @property
    def bias(self) -> Bias:
        return Bias.UNKNOWN

    def solve(self, x: Measure, y: Measure, start: Solution | None = None) -> Solution:
        at = _Placed(x, y, self)
        epsilon = self._epsilon(at.frame.x, at.frame.y, x, y, at.unit)
        own_x = solve_self(at.cost, at.x, epsilon, tol=self.tol, sweeps=self.sweeps)
        rows = matching(at.x, at.y)
        if rows is None:
            own_y = solve_self(at.cost, at.y, epsilon, tol=self.tol, sweeps=self.sweeps)
            warm = at.start(start, epsilon)
            across = solve_pair(at.cost, at.x, at.y, epsilon, tol=self.tol, sweeps=self.sweeps, start=warm)
        else:  # one problem three times: errors cancel, and the divergence is zero to the digit
            own_y = own_x._replace(f=own_x.f[rows], g=own_x.f[rows])
            across = own_x._replace(g=own_y.g)
        error = max(across.error, own_x.error, own_y.error)
        state = at.state(x, y, epsilon, f=across.f, g=across.g, p=own_x.f, q=own_y.f)
        return Solution(state, _status(error, self.tol), across.sweeps + own_x.sweeps + own_y.sweeps, error)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at = _Placed(x, y, self)
        epsilon, f, g, p, q = (solution.state[key] / at.unit for key in ("epsilon", "f", "g", "p", "q"))
        u = extend(at.cost, at.x.points, at.y, g, epsilon, f)
        # half of the self transport: the mean of both its potentials, one fixed, the other moving with all points
        own_x = (extend(at.cost, at.x.points, at.x, p, epsilon, p) + p) / 2
        own_y = (extend(at.cost, at.y.points, at.y, q, epsilon, q) + q) / 2
        return Terms((u - own_x) * at.unit, (g - own_y) * at.unit, notes={"epsilon": solution.state["epsilon"]})


def _log(measure: Measure) -> Tensor:
    return measure.weights.detach().double().log()


def _status(error: float, tol: float) -> Status:
    if not math.isfinite(error):
        return Status.NONFINITE
    return Status.CONVERGED if error <= tol else Status.MAX_STEPS
