"""Costs of transport c(x, y): a power of the distance |x − y|ᵖ, or a user's function of two points.

A solver asks a cost for tiles of c over all pairs (as any `PairFunction`), for the costs of single pairs, for a frame of the
points in which neither over- nor underflows, and for the soft minimum −ε log Σⱼ exp((scoreⱼ − c(xᵢ, yⱼ))/ε).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from divkit import pairs
from divkit.data.measure import Measure
from divkit.pairs import Form, Frame, PairFunction
from divkit.pairs.tiles import first_derivative
from divkit.support.checks import at_least

__all__ = ["Cost", "Custom", "CustomCost", "Placed", "Power", "require_cost"]

GATHERED = 1 << 21  # coordinates of pairs in memory at once, 16 MB: bounds what a function of two points may take
CostFunction = Callable[[Tensor, Tensor], Tensor]


class Placed(NamedTuple):
    """Points where a cost is evaluated, and the factor back to units of the data."""

    x: Tensor  # (n, d) float64
    y: Tensor  # (m, d) float64
    unit: float


@dataclass(frozen=True)
class Cost(PairFunction):
    """A cost of transport c(x, y), which exact and entropic solvers take.

    A subclass defines `value` and `value_and_slope` of its `form`, as every `PairFunction` does, and the members below that
    are abstract.
    """

    convex: ClassVar[bool] = False  # a convex function of x − y, least at zero, where it is zero: sorting solves it on a line

    @property
    @abstractmethod
    def degree(self) -> float:
        """The power p with which the cost grows where all points are stretched: ρ is reachᵖ."""

    @abstractmethod
    def frame(self, x: Measure, y: Measure) -> Frame:
        """Return the points where neither over- nor underflows; differentiable."""

    @abstractmethod
    def along(self, x: Tensor, y: Tensor) -> Tensor:  # (K, d), (K, d) -> (K,)
        """Return the costs of given pairs, differentiable."""

    def place(self, x: Measure, y: Measure) -> Placed:
        """Return the points of the cost's frame in float64, with the factor back to units of the data."""
        frame = self.frame(x, y)
        return Placed(frame.x.double(), frame.y.double(), frame.unit(self.degree))

    def of_pairs(self, x: Tensor, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:  # -> (K,)
        """Return the costs of the pairs (rows[k], columns[k]), a bounded number of pairs at a time."""
        parts = 1 + len(rows) * x.shape[1] // GATHERED
        pieces = zip(rows.tensor_split(parts), columns.tensor_split(parts))
        return torch.cat([self.along(x[i], y[j]) for i, j in pieces])

    def of_difference(self, difference: Tensor) -> Tensor:
        """Return the cost of one-dimensional differences, elementwise; asked of convex costs only."""
        return self.along(difference[..., None], torch.zeros_like(difference)[..., None])

    def mean(self, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:  # w: (n,), v: (m,) -> ()
        """Return Σ wᵢ vⱼ c(xᵢ, yⱼ) for weights w and v."""
        return w.double() @ pairs.sums(self, x, y, w[:, None], v[:, None]).rows[:, 0]

    def largest(self, x: Tensor, y: Tensor, square: Tensor) -> float:
        """Return a bound of |c| over all pairs, where `square` () bounds their squared distance."""
        rows = max(1, GATHERED // y.numel())
        return max(float(self.evaluate(part, y).abs().max()) for part in torch.split(x, rows))

    def softmin(
        self, x: Tensor, y: Tensor, score: Tensor, epsilon: float, guess: Tensor | None, known: Tensor | None
    ) -> Tensor:  # -> (n,) float64
        """Return the soft minimum of c(xᵢ, yⱼ) − scoreⱼ over all j; see `pairs.softmin`, whose arguments these are."""
        return pairs.softmin(self, x, y, score, epsilon, guess, known)


@dataclass(frozen=True)
class Power(Cost):
    """The cost c(x, y) = |x − y|ᵖ, p ≥ 1."""

    convex: ClassVar[bool] = True
    p: float = 2.0

    def __post_init__(self) -> None:
        at_least("p", self.p, 1)

    @property
    def monomial(self) -> tuple[float, float]:
        return 1.0, self.p

    @property
    def degree(self) -> float:
        return self.p

    def frame(self, x: Measure, y: Measure) -> Frame:
        """Return both samples centred and of order one, in their dtype."""
        return pairs.frame(x, y)

    def value(self, s: Tensor) -> Tensor:
        if self.p == 2:
            return s
        return s.sqrt_() if self.p == 1 else s.pow_(self.p / 2)

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        if self.p == 2:
            return s, torch.ones_like(s), 2.0
        d = s.sqrt_()
        if self.p == 1:
            return d, _bounded(d).reciprocal_(), 1.0
        return d.pow(self.p), _bounded(d).pow_(self.p - 2), self.p

    def along(self, x: Tensor, y: Tensor) -> Tensor:  # (K, d), (K, d) -> (K,)
        """Return the costs of given pairs, differentiable, with gradient zero at coincident points."""
        if self.p == 2:
            return (x - y).square().sum(-1)
        d: Tensor = torch.linalg.vector_norm(x - y, dim=-1)
        return d if self.p == 1 else d.pow(self.p)

    def of_difference(self, difference: Tensor) -> Tensor:
        if self.p == 2:
            return difference.square()
        return difference.abs() if self.p == 1 else difference.abs().pow(self.p)

    def mean(self, x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> Tensor:
        if self.p != 2:
            return super().mean(x, y, w, v)
        mean_x, mean_y = _mean(w, x), _mean(v, y)
        spread = _mean(w, (x.double() - mean_x).square().sum(1)) + _mean(v, (y.double() - mean_y).square().sum(1))
        return spread + (mean_x - mean_y).square().sum()

    def largest(self, x: Tensor, y: Tensor, square: Tensor) -> float:
        return float(self.value(square[None].clone())[0])


@dataclass(frozen=True)
class CustomCost(Cost):
    """A user's cost: a function of points (…, d), (…, d) that broadcasts over the leading dimensions and returns (…).

    Its gradient comes by autograd. The points are taken as they are, in float64: nothing is known of how the cost scales.

    Examples
    --------
    >>> import torch
    >>> from divkit.transport import CustomCost
    >>> city = CustomCost(lambda x, y: (x - y).abs().sum(-1))
    >>> city.evaluate(torch.zeros(1, 2), torch.ones(3, 2)).tolist()
    [[2.0, 2.0, 2.0]]
    """

    function: CostFunction

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"a cost must be a function of points (…, d), (…, d); got {self.function!r}.")

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "cost")

    @property
    def form(self) -> Form:
        return _Called(self.along)

    @property
    def degree(self) -> float:
        """One: the price ρ of missing a marginal is then `reach` itself, in units of the cost."""
        return 1.0

    def frame(self, x: Measure, y: Measure) -> Frame:
        """Return the points as they are."""
        rows = x.flat.double()
        return Frame(rows, y.flat.double(), 1.0, rows.new_zeros(rows.shape[1]))

    def value(self, s: Tensor) -> Tensor:
        return s

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        raise TypeError("the gradient of a user's cost goes through `along`, pair by pair.")

    def along(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the costs of given pairs, checked."""
        costs, shape = self.function(x, y), torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])  # type: ignore[no-untyped-call]
        if not isinstance(costs, Tensor) or costs.shape != shape:
            came = tuple(costs.shape) if isinstance(costs, Tensor) else type(costs).__name__
            raise ValueError(
                f"the cost {self.name} of points {tuple(x.shape)}, {tuple(y.shape)} must be {tuple(shape)}; got {came}."
            )
        costs = costs.to(x.dtype)  # the function may count, or say whether there is a difference
        if not bool(costs.detach().isfinite().all()):
            raise ValueError(f"the cost {self.name} is not finite for some pairs; every pair needs a finite cost.")
        return costs

    def softmin(
        self, x: Tensor, y: Tensor, score: Tensor, epsilon: float, guess: Tensor | None, known: Tensor | None
    ) -> Tensor:
        value = pairs.softmin(self, x.detach(), y.detach(), score, epsilon, guess, known)
        return _PointGradient.apply(self, x, y, score, epsilon, value)  # type: ignore[no-any-return,no-untyped-call]


Custom = CustomCost  # the earlier name


def require_cost(cost: object) -> None:
    """Refuse what is not a cost."""
    if not isinstance(cost, Cost):
        raise TypeError(f"cost must be a Cost, such as Power(2) or CustomCost(function); got {cost!r}.")


class _Called(Form):
    """Tiles of a user's function, a few rows at a time: broadcasting takes d numbers a pair."""

    vanishes = False

    def __init__(self, function: CostFunction) -> None:
        self.function = function

    def tile(self, x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
        rows = max(1, GATHERED // y.numel())
        return torch.cat([self.function(part[:, None], y[None]) for part in torch.split(x, rows)])

    def diagonal(self, x: Tensor) -> Tensor:
        return self.function(x, x)

    def gradient(self, x: Tensor, moments: Tensor) -> Tensor:
        raise TypeError("the gradient of a user's cost goes through `along`, pair by pair.")


class _PointGradient(Function):
    """Softmins of a user's cost, whose gradient in the points is taken by autograd, a few rows at a time.

    With the plan πᵢⱼ = exp((softminᵢ + scoreⱼ − cᵢⱼ)/ε) and the gradient gᵢ of what follows it is that of Σ gᵢ πᵢⱼ cᵢⱼ at
    fixed π.
    """

    @staticmethod
    def forward(ctx: Any, cost: CustomCost, x: Tensor, y: Tensor, score: Tensor, epsilon: float, value: Tensor) -> Tensor:
        ctx.cost, ctx.epsilon = cost, epsilon
        ctx.save_for_backward(x, y, score, value)
        return value.clone()

    @staticmethod
    @first_derivative
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y, score, value = ctx.saved_tensors
        at_x, at_y = torch.zeros_like(x), torch.zeros_like(y)
        for i in torch.split(torch.arange(len(x), device=x.device), max(1, GATHERED // y.numel())):
            with torch.enable_grad():
                ends = x[i].requires_grad_(), y.detach().requires_grad_()
                costs = ctx.cost.along(ends[0][:, None], ends[1][None])
            if costs.requires_grad:  # a count or a condition has no gradient
                plan = torch.exp((value[i, None] + score - costs.detach()) / ctx.epsilon)
                slopes = torch.autograd.grad(costs, ends, g[i, None] * plan, allow_unused=True, materialize_grads=True)
                at_x[i], at_y = slopes[0], at_y + slopes[1]
        return None, at_x, at_y, None, None, None


def _mean(weights: Tensor, values: Tensor) -> Tensor:  # values: (n, …) -> (…)
    """Return the weighted sum of the rows of `values`, in float64."""
    return torch.einsum("i,i...->...", weights.double(), values.double())


def _bounded(d: Tensor) -> Tensor:
    """Return distances no smaller than what a squared distance keeps of them in float64: slopes stay finite."""
    return d.clamp(min=torch.finfo(torch.float64).eps ** 0.5)
