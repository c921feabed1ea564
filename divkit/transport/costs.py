"""Costs of transport."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.checks import at_least
from divkit.pairs import PairFunction

__all__ = ["Power"]


@dataclass(frozen=True)
class Power(PairFunction):
    """The cost c(x, y) = |x − y|ᵖ, p ≥ 1."""

    p: float = 2.0

    def __post_init__(self) -> None:
        at_least("p", self.p, 1)

    @property
    def linear(self) -> bool:  # type: ignore[override]
        return self.p == 2

    @property
    def singular(self) -> bool:  # type: ignore[override]
        return self.p < 2

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


def _bounded(d: Tensor) -> Tensor:
    return d.clamp(min=torch.finfo(torch.float64).eps ** 0.5)
