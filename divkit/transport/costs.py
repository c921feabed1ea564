"""Costs of transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from divkit import pairs
from divkit.data.measure import Measure
from divkit.pairs import Form, PairFunction
from divkit.support.checks import at_least

__all__ = ["Cost", "Custom", "Placed", "Power"]

GATHERED = 1 << 21  # coordinates of pairs held at once
CostFunction = Callable[[Tensor, Tensor], Tensor]


class Placed(NamedTuple):
    """Points where a cost is evaluated, and the factor back to units of the data."""

    x: Tensor  # (n, d) float64
    y: Tensor  # (m, d) float64
    unit: float


class Cost(Protocol):
    """What the solvers need of a cost beyond tiles of it."""

    def place(self, x: Measure, y: Measure) -> Placed:
        """Put the points where neither over- nor underflows; differentiable."""

    def along(self, x: Tensor, y: Tensor) -> Tensor:  # (K, d), (K, d) -> (K,)
        """The cost of given pairs, differentiable."""


@dataclass(frozen=True)
class Power(PairFunction):
    """The cost c(x, y) = |x − y|ᵖ, p ≥ 1."""

    p: float = 2.0

    def __post_init__(self) -> None:
        at_least("p", self.p, 1)

    @property
    def monomial(self) -> tuple[float, float]:
        return 1.0, self.p

    def place(self, x: Measure, y: Measure) -> Placed:
        """In the frame of `pairs.frame`, whose scale the cost takes to the power p."""
        frame = pairs.frame(x, y)
        return Placed(frame.x.double(), frame.y.double(), frame.unit(self.p))

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
        """The cost of given pairs, differentiable, with gradient zero at coincident points."""
        if self.p == 2:
            return (x - y).square().sum(-1)
        d: Tensor = torch.linalg.vector_norm(x - y, dim=-1)
        return d if self.p == 1 else d.pow(self.p)

    def of_difference(self, difference: Tensor) -> Tensor:
        """The cost of one-dimensional differences, elementwise."""
        if self.p == 2:
            return difference.square()
        return difference.abs() if self.p == 1 else difference.abs().pow(self.p)


@dataclass(frozen=True)
class Custom(PairFunction):
    """A user's cost: a function of points (…, d), (…, d) that broadcasts over the leading dimensions and returns (…).

    Examples
    --------
    >>> import torch
    >>> from divkit.transport import Custom
    >>> city = Custom(lambda x, y: (x - y).abs().sum(-1))
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

    def place(self, x: Measure, y: Measure) -> Placed:
        """As they are: nothing is known of how the cost scales."""
        return Placed(x.flat.double(), y.flat.double(), 1.0)

    def value(self, s: Tensor) -> Tensor:
        return s

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        raise TypeError("the gradient of a user's cost goes through `along`, pair by pair.")

    def along(self, x: Tensor, y: Tensor) -> Tensor:
        """The cost of given pairs, checked."""
        made = self.function(x, y)
        wanted = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])  # type: ignore[no-untyped-call]
        if not isinstance(made, Tensor) or made.shape != wanted:
            came = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ValueError(
                f"the cost {self.name} of points {tuple(x.shape)}, {tuple(y.shape)} must be {tuple(wanted)}; got {came}."
            )
        made = made if made.is_floating_point() else made.to(x.dtype)  # counts, or whether there is a difference
        if not bool(made.detach().isfinite().all()):
            raise ValueError(f"the cost {self.name} is not finite for some pairs; every pair needs a finite cost.")
        return made


class _Called(Form):
    """Tiles of a user's function, a few rows at a time: broadcasting holds d numbers a pair."""

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


def _bounded(d: Tensor) -> Tensor:
    return d.clamp(min=torch.finfo(torch.float64).eps ** 0.5)
