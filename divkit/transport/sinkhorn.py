"""Entropic transport and its debiased form, the Sinkhorn divergence, solved to a measured tolerance.

The problem between x and y, its potentials f and g, their image, ε, ρ and λ are those of `problem`. The two problems within one
sample have one potential each, p for x and q for y. All are computed in the frame of the cost, and kept in units of the data.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure
from divkit.support.checks import positive, whole
from divkit.transport.costs import Cost, Power, require_cost
from divkit.transport.entropic import Solver, matching, rounding
from divkit.transport.problem import Cloud, EntropicProblem

__all__ = ["EntropicOT", "Relative", "Sinkhorn"]


@dataclass(frozen=True)
class Relative:
    """A regularisation given as a fraction of the mean cost between x and y.

    Gradients hold the ε it comes to fixed: they are those of the divergence with that number.
    """

    fraction: float = 0.01

    def __post_init__(self) -> None:
        positive("the fraction of Relative", self.fraction)


@dataclass(frozen=True)
class _Entropic(Divergence):
    """The fields and checks of both entropic divergences."""

    epsilon: float | Relative = Relative(0.01)
    p: float = 2.0
    tol: float = 1e-3
    sweeps: int = 1000
    reach: float | None = None
    cost: Cost | None = None

    def __post_init__(self) -> None:
        Power(self.p)
        if not isinstance(self.epsilon, Relative):
            positive("epsilon", self.epsilon)
        positive("tol", self.tol)
        whole("sweeps", self.sweeps)
        if self.reach is not None:
            positive("reach", self.reach)
        if self.cost is not None:
            require_cost(self.cost)
            if self.p != 2:
                raise ValueError(f"p={self.p:g} is short for cost=Power({self.p:g}), but cost is given too; leave p out.")

    @property
    def _cost(self) -> Cost:
        """The cost c(x, y): `cost`, or the power p of the distance."""
        return Power(self.p) if self.cost is None else self.cost

    @property
    def problem(self) -> Hashable:
        return type(self), self.epsilon, self._cost, self.tol, self.sweeps, self.reach

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fields, ready for JSON: either p or the cost, whichever was given."""
        unread = "cost" if self.cost is None else "p"
        return {key: value for key, value in super().settings.items() if key != unread}

    @property
    def _solver(self) -> Solver:
        return Solver(self.tol, self.sweeps)

    def _epsilon(self, frame: pairs.Frame, x: Measure, y: Measure) -> float:
        """Return ε in units of the frame."""
        if not isinstance(self.epsilon, Relative):
            return self.epsilon / frame.unit(self._cost.degree)
        mean = float(self._cost.mean(frame.x, frame.y, x.weights, y.weights))
        if mean < 0:
            raise ValueError(f"the mean cost is {mean:.3g}, of which no fraction can be ε; give epsilon as a number.")
        return self.epsilon.fraction * mean or 1e-12  # all points coincide: any ε does


POTENTIALS = {"x": ("f", "image", "p", "image_p"), "y": ("g", "q", "image_q")}  # the potentials that each sample has


@dataclass(frozen=True, eq=False)
class _Side:
    """A sample as the state holds it, and the order in which it is solved: where there are many rows, neighbours together."""

    data: Tensor  # (n, d)
    log_weights: Tensor  # (n,) float64, of its mass
    order: Tensor | None

    @classmethod
    def of(cls, measure: Measure, mass: float, large: bool) -> _Side:
        data, log_weights = measure.flat.detach(), measure.weights.detach().double().log() + math.log(mass)
        return cls(data, log_weights, pairs.neighbours(data) if large else None)

    def cloud(self, points: Tensor) -> Cloud:
        return Cloud(self.ordered(points), self.ordered(self.log_weights))

    def ordered(self, values: Tensor) -> Tensor:
        """Return what is in the order of the rows in the order of the solver."""
        return values if self.order is None else values.index_select(0, self.order)

    def in_rows(self, values: Tensor) -> Tensor:
        """Return what is in the order of the solver in that of the rows."""
        return values if self.order is None else values.index_select(0, self.order.argsort())


class _Placed:
    """Both samples in the frame of the cost, and the three problems between them: across, and within each."""

    def __init__(self, x: Measure, y: Measure, divergence: _Entropic, solution: Solution | None = None) -> None:
        cost = divergence._cost
        frame = self.frame = cost.frame(x, y)
        self.unit = frame.unit(cost.degree)
        self.balanced = divergence.reach is None
        self.mass = (1.0, 1.0) if self.balanced else (x.mass, y.mass)
        if solution is None:
            epsilon = divergence._epsilon(frame, x, y)
        else:
            epsilon = float(solution.state["epsilon"]) / self.unit
        rho = math.inf if divergence.reach is None else divergence.reach**cost.degree / self.unit
        large = pairs.many(x.n, y.n) and frame.x.shape[1] <= 6  # in more dimensions no neighbours lie in a small box
        self.sides = {name: _Side.of(m, mass, large) for name, m, mass in zip("xy", (x, y), self.mass)}
        first, second = (side.cloud(points) for side, points in zip(self.sides.values(), (frame.x, frame.y)))
        self.across = EntropicProblem(cost, first, second, epsilon, rho)
        if divergence.tol < rounding(self.across):
            self.across = self.across.double()
        self.solved = solution is not None and self._same(solution)
        self.own_x, self.own_y = (self.across._replace(x=cloud, y=cloud) for cloud in (self.across.x, self.across.y))

    def state(self, **potentials: Tensor) -> dict[str, Tensor | float]:
        """Return potentials in units of the data, with the points, so that they extend to the points of a later step."""
        state: dict[str, Tensor | float] = {"epsilon": self.across.epsilon * self.unit}
        for name, side in self.sides.items():
            state |= {key: side.in_rows(value) * self.unit for key, value in potentials.items() if key in POTENTIALS[name]}
            state |= {name: side.data, f"log_{name}": side.log_weights}
        return state

    def potentials(self, solution: Solution, *keys: str) -> list[Tensor]:
        """Return potentials of a solution on these points, in the frame."""
        return [self.sides["x" if key in POTENTIALS["x"] else "y"].ordered(self._framed(solution, key)) for key in keys]

    def _framed(self, solution: Solution, key: str) -> Tensor:
        """Return a potential of a solution in units of the frame."""
        potential: Tensor = solution.state[key].double() / self.unit
        return potential

    def images(self, solution: Solution, *keys: str) -> list[Tensor | None]:
        """Return what the solver's last sweep made of the potentials, or None where it was on other points."""
        return list(self.potentials(solution, *keys)) if self.solved else [None] * len(keys)

    def _same(self, solution: Solution) -> bool:
        """Say whether a solution is of these very points and weights."""
        state = solution.state
        return all(
            torch.equal(side.data, state[name]) and torch.equal(side.log_weights, state[f"log_{name}"])
            for name, side in self.sides.items()
        )

    def terms(self, u: Tensor, v: Tensor, constant: float) -> Terms:
        """Return the terms, from what the potentials add per unit of mass and what the value has beyond."""
        (mass_x, mass_y), half = self.mass, constant / 2
        notes: dict[str, float | int | str] = {Note.EPSILON: self.across.epsilon * self.unit}
        if not self.balanced:
            notes[Note.MASS] = f"masses of {mass_x:g} and {mass_y:g} are transported where that is cheaper than to lose them"
        u, v = self.sides["x"].in_rows(u), self.sides["y"].in_rows(v)
        return Terms((mass_x * u + half) * self.unit, (mass_y * v + half) * self.unit, notes=notes)

    def own(self, solution: Solution | None, points: str, key: str) -> Tensor | None:
        """Return a self potential on these points from that of an earlier solution, as a function: one softmin."""
        if solution is None:
            return None
        old = self._old(solution, points)
        new = self.across.x if points == "x" else self.across.y
        return self.across._replace(x=new, y=old).extend(new.points, self._framed(solution, key))

    def _old(self, solution: Solution, points: str) -> Cloud:
        """Return the points of an earlier solution in this frame."""
        state = solution.state
        placed = self.frame.place(state[points].to(self.frame.x))
        return Cloud(placed.to(self.across.x.points), state[f"log_{points}"].double())

    def start(self, solution: Solution | None) -> tuple[Tensor, Tensor] | None:
        """Return potentials on these points from those of an earlier solution, as functions: one softmin each."""
        if solution is None:
            return None
        f, g = (self._framed(solution, key) for key in ("f", "g"))
        x, y = self.across.x, self.across.y
        forward, back = self.across._replace(y=self._old(solution, "y")), self.across._replace(x=y, y=self._old(solution, "x"))
        return forward.extend(x.points, g), back.extend(y.points, f)


@dataclass(frozen=True)
class EntropicOT(_Entropic):
    r"""Entropic optimal transport.

    .. math:: \mathrm{OT}_\varepsilon(P, Q) = \min_\pi \int |x - y|^p \, d\pi + \varepsilon\, \mathrm{KL}(\pi \| P \otimes Q)

    Not zero at P = Q. Units of the data to the power p. `lower` is a dual value of the sample problem, `upper` that of the plan
    rounded to its marginals. Source: Cuturi (2013); Peyré and Cuturi (2019).

    Parameters
    ----------
    epsilon : float or Relative
        In units of the cost, or a fraction of the mean cost; `notes` has its value.
    p : float
        At least 1; short for ``cost=Power(p)``.
    tol : float
        The L₁ error of the marginals at which the iteration stops; values are right to about its square, gradients to itself.
    sweeps : int
        Passes over all pairs after which it stops, once annealing has come down to ε; `Solution.steps` counts all passes, one
        being both softmins of a sweep.
    reach : float, optional
        Marginals may be missed at the price ρ KL, ρ = reachᵖ: mass is lost rather than moved much farther. The weights are then
        masses, not normalised, the penalties are in the value, and KL is that of measures, Σ a log(a/b) − a + b. Gradients in
        the weights are those at a fixed total mass.
    cost : Cost, optional
        Another cost, such as ``CustomCost(function)``: it takes the place of :math:`|x - y|^p`, and ρ is `reach` itself.

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
        f, g, image, error, passes = self._solver.pair(at.across, at.start(start))
        lower, upper = (value * at.unit for value in at.across.bracket(f, g, image))
        state = at.state(f=f, g=g, image=image)
        return Solution(state, _status(error, self.tol), passes, error, lower=lower, upper=upper)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at = _Placed(x, y, self, solution)
        (f, g), (image,) = at.potentials(solution, "f", "g"), at.images(solution, "image")
        u = at.across.conjugate(at.across.extend(at.across.x.points, g, f, image))
        return at.terms(u, at.across.conjugate(g), at.across.constant(g))


@dataclass(frozen=True)
class Sinkhorn(_Entropic):
    r"""The Sinkhorn divergence: entropic transport without its bias at P = Q.

    .. math:: S_\varepsilon(P, Q) = \mathrm{OT}_\varepsilon(P, Q) - \tfrac12 \mathrm{OT}_\varepsilon(P, P)
        - \tfrac12 \mathrm{OT}_\varepsilon(Q, Q)

    The fields are those of `EntropicOT`; a cost must be symmetric. Cost :math:`|x - y|^p` without ½, KL against the product
    measure. Units of the data to the power p.
    With `reach`, plus :math:`\tfrac\varepsilon2 (m_x - m_y)^2` of the masses.
    Source: Feydy et al. (2019); Séjourné et al. (2019).

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
        at, solver = _Placed(x, y, self), self._solver
        for own in (at.own_x, at.own_y):
            _require_symmetry(own)
        own_x = solver.itself(at.own_x, at.own(start, "x", "p"))
        rows = matching(at.across.x, at.across.y)
        if rows is None:
            own_y = solver.itself(at.own_y, at.own(start, "y", "q"))
            across = solver.pair(at.across, at.start(start))
        else:  # one problem three times: errors cancel, and the divergence is zero to the digit
            own_y = own_x._replace(f=own_x.f[rows], g=own_x.f[rows], image=own_x.image[rows])
            across = own_x._replace(g=own_y.g)
        error = max(across.error, own_x.error, own_y.error)
        images = {"image": across.image, "image_p": own_x.image, "image_q": own_y.image}
        state = at.state(f=across.f, g=across.g, p=own_x.f, q=own_y.f, **images)
        return Solution(state, _status(error, self.tol), across.sweeps + own_x.sweeps + own_y.sweeps, error)

    def terms(self, x: Measure, y: Measure, solution: Solution) -> Terms:
        at = _Placed(x, y, self, solution)
        across, own_x, own_y = at.across, at.own_x, at.own_y
        f, g, p, q = at.potentials(solution, "f", "g", "p", "q")
        image, image_p, image_q = at.images(solution, "image", "image_p", "image_q")
        u, v = across.conjugate(across.extend(across.x.points, g, f, image)), across.conjugate(g)
        half_x, half_y = _half(own_x, p, image_p), _half(own_y, q, image_q)
        constant = across.constant(g) - own_x.constant(p) / 2 - own_y.constant(q) / 2
        return at.terms(u - half_x, v - half_y, constant + across.epsilon / 2 * (at.mass[0] - at.mass[1]) ** 2)


def _require_symmetry(own: EntropicProblem) -> None:
    """Refuse a cost that differs in the order of its points, as far as pairs of rows that follow one another show."""
    if own.cost.convex:
        return
    here, there = own.x.points.detach(), own.x.points.detach().roll(1, 0)
    costs, turned = own.cost.along(here, there), own.cost.along(there, here)
    if not torch.allclose(costs, turned, rtol=1e-6):
        raise ValueError("the Sinkhorn divergence needs c(x, y) = c(y, x), but this cost differs; use EntropicOT(cost=…).")


def _half(own: EntropicProblem, p: Tensor, image: Tensor | None) -> Tensor:
    """Return half of the self transport per sample: the mean of its two potentials, one a softmin of the other.

    The plan is symmetric, so that half of both sides' gradients is that of one side with the other side fixed.
    """
    fixed = own._replace(y=replace(own.x, points=own.x.points.detach()))
    moving = own.conjugate(fixed.extend(own.x.points, p, p, image))
    return moving + (own.conjugate(p) - moving.detach()) / 2


def _status(error: float, tol: float) -> Status:
    """Return the status of a solution with this marginal error."""
    if not math.isfinite(error):
        return Status.NONFINITE
    return Status.CONVERGED if error <= tol else Status.MAX_STEPS
