"""Entropic transport and its debiased form, the Sinkhorn divergence, solved to a measured tolerance."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Solution, Status, Terms
from divkit.core.notes import Note
from divkit.data.measure import Measure
from divkit.support.checks import positive, whole
from divkit.transport.costs import Power
from divkit.transport.coupling import Cloud, Coupling
from divkit.transport.entropic import matching, rounding, solve_pair, solve_self

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
    """The fields and the solver that both entropic divergences share."""

    epsilon: float | Relative = Relative(0.01)
    p: float = 2.0
    tol: float = 1e-3
    sweeps: int = 1000
    reach: float | None = None

    def __post_init__(self) -> None:
        Power(self.p)
        if not isinstance(self.epsilon, Relative):
            positive("epsilon", self.epsilon)
        positive("tol", self.tol)
        whole("sweeps", self.sweeps)
        if self.reach is not None:
            positive("reach", self.reach)

    @property
    def problem(self) -> Hashable:
        return type(self), self.epsilon, self.p, self.tol, self.sweeps, self.reach

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


FLAT = 6  # coordinates up to which boxes of neighbours are small
POTENTIALS = {"x": ("f", "image", "p", "image_p"), "y": ("g", "q", "image_q")}  # by whose rows they are


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
        return values if self.order is None else values.index_select(0, self.order)

    def in_rows(self, values: Tensor) -> Tensor:
        return values if self.order is None else values.index_select(0, self.order.argsort())


class _Placed:
    """Both samples in their frame, and the three problems between them."""

    def __init__(self, x: Measure, y: Measure, divergence: _Entropic, solution: Solution | None = None) -> None:
        frame = self.frame = pairs.frame(x, y)
        self.unit = frame.unit(divergence.p)
        self.kept = divergence.reach is None
        self.mass = (1.0, 1.0) if self.kept else (x.mass, y.mass)
        if solution is None:
            epsilon = divergence._epsilon(frame.x, frame.y, x, y, self.unit)
        else:
            epsilon = float(solution.state["epsilon"]) / self.unit
        rho = math.inf if divergence.reach is None else divergence.reach**divergence.p / self.unit
        large = pairs.many(x.n, y.n) and frame.x.shape[1] <= FLAT
        self.sides = {name: _Side.of(m, mass, large) for name, m, mass in zip("xy", (x, y), self.mass)}
        first, second = (side.cloud(points) for side, points in zip(self.sides.values(), (frame.x, frame.y)))
        self.across = Coupling(Power(divergence.p), first, second, epsilon, rho)
        if divergence.tol < rounding(self.across):
            self.across = self.across.double()
        self.solved = solution is not None and self._same(solution)
        self.own_x, self.own_y = (self.across._replace(x=cloud, y=cloud) for cloud in (self.across.x, self.across.y))

    def state(self, **potentials: Tensor) -> dict[str, Tensor | float]:
        """In units of the data, with the points, so that potentials extend to those of a later step."""
        kept: dict[str, Tensor | float] = {"epsilon": self.across.epsilon * self.unit}
        for name, side in self.sides.items():
            kept |= {key: side.in_rows(value) * self.unit for key, value in potentials.items() if key in POTENTIALS[name]}
            kept |= {name: side.data, f"log_{name}": side.log_weights}
        return kept

    def potentials(self, solution: Solution, *keys: str) -> list[Tensor]:
        """Those of a solution on these points."""
        return [self.sides["x" if key in POTENTIALS["x"] else "y"].ordered(self._kept(solution, key)) for key in keys]

    def _kept(self, solution: Solution, key: str) -> Tensor:
        potential: Tensor = solution.state[key].double() / self.unit
        return potential

    def images(self, solution: Solution, *keys: str) -> list[Tensor | None]:
        """What the solver's last sweep made of the potentials: nothing where it was on other points."""
        return list(self.potentials(solution, *keys)) if self.solved else [None] * len(keys)

    def _same(self, solution: Solution) -> bool:
        state = solution.state
        return all(
            torch.equal(side.data, state[name]) and torch.equal(side.log_weights, state[f"log_{name}"])
            for name, side in self.sides.items()
        )

    def terms(self, u: Tensor, v: Tensor, constant: float) -> Terms:
        """From what the potentials add per unit of mass, and what the value has beyond."""
        (mass_x, mass_y), half = self.mass, constant / 2
        notes: dict[str, float | int | str] = {Note.EPSILON: self.across.epsilon * self.unit}
        if not self.kept:
            notes[Note.MASS] = f"masses of {mass_x:g} and {mass_y:g} are transported where that is cheaper than to lose them"
        u, v = self.sides["x"].in_rows(u), self.sides["y"].in_rows(v)
        return Terms((mass_x * u + half) * self.unit, (mass_y * v + half) * self.unit, notes=notes)

    def own(self, solution: Solution | None, points: str, key: str) -> Tensor | None:
        """A self potential on these points from an earlier solution: one softmin."""
        if solution is None:
            return None
        old = self._old(solution, points)
        new = self.across.x if points == "x" else self.across.y
        return self.across._replace(x=new, y=old).extend(new.points, self._kept(solution, key))

    def _old(self, solution: Solution, points: str) -> Cloud:
        state = solution.state
        placed = self.frame.place(state[points].to(self.frame.x))
        return Cloud(placed.to(self.across.x.points), state[f"log_{points}"].double())

    def start(self, solution: Solution | None) -> tuple[Tensor, Tensor] | None:
        """Potentials on these points from those of an earlier solution, as functions: one softmin each."""
        if solution is None:
            return None
        f, g = (self._kept(solution, key) for key in ("f", "g"))
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
    tol : float
        The L₁ error of the marginals at which the iteration stops; values are right to about its square, gradients to itself.
    sweeps : int
        Passes over all pairs after which it stops, once annealing has come down to ε; `Solution.steps` counts all passes, one
        being both softmins of a sweep.
    reach : float, optional
        Marginals may be missed at the price ρ KL, ρ = reachᵖ: mass is lost rather than moved much farther. The weights are then
        masses, not normalised, the penalties are in the value, and KL is that of measures, Σ a log(a/b) − a + b. Gradients in
        the weights are those at a fixed total mass.

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
        found = solve_pair(at.across, self.tol, self.sweeps, at.start(start))
        lower, upper = (value * at.unit for value in at.across.bracket(found.f, found.g, found.image))
        state = at.state(f=found.f, g=found.g, image=found.image)
        return Solution(state, _status(found.error, self.tol), found.sweeps, found.error, lower=lower, upper=upper)

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

    Cost :math:`|x - y|^p` without ½, KL against the product measure. Units of the data to the power p.
    With `reach`, plus :math:`\tfrac\varepsilon2 (m_x - m_y)^2` of the masses.
    Source: Feydy et al. (2019); Séjourné et al. (2019).

    Parameters
    ----------
    epsilon : float or Relative
        In units of the cost, or a fraction of the mean cost; `notes` has its value.
    p : float
    tol : float
        The L₁ error of the marginals at which the iteration stops; values are right to about its square, gradients to itself.
    sweeps : int
        Passes over all pairs after which it stops, once annealing has come down to ε; `Solution.steps` counts all passes, one
        being both softmins of a sweep.
    reach : float, optional
        Marginals may be missed at the price ρ KL, ρ = reachᵖ: mass is lost rather than moved much farther. The weights are then
        masses, not normalised, the penalties are in the value, and KL is that of measures, Σ a log(a/b) − a + b. Gradients in
        the weights are those at a fixed total mass.

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
        own_x = solve_self(at.own_x, self.tol, self.sweeps, at.own(start, "x", "p"))
        rows = matching(at.across.x, at.across.y)
        if rows is None:
            own_y = solve_self(at.own_y, self.tol, self.sweeps, at.own(start, "y", "q"))
            across = solve_pair(at.across, self.tol, self.sweeps, at.start(start))
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


def _half(own: Coupling, p: Tensor, image: Tensor | None) -> Tensor:
    """Half of the self transport per sample: the mean of its two potentials, one a softmin of the other.

    The plan is symmetric, so that half of both sides' gradients is that of one side with the other side fixed.
    """
    fixed = own._replace(y=replace(own.x, points=own.x.points.detach()))
    moving = own.conjugate(fixed.extend(own.x.points, p, p, image))
    return moving + (own.conjugate(p) - moving.detach()) / 2


def _status(error: float, tol: float) -> Status:
    if not math.isfinite(error):
        return Status.NONFINITE
    return Status.CONVERGED if error <= tol else Status.MAX_STEPS
