"""Penalties on a critic's gradient, one norm per sample, and clipped weights: they keep a critic Lipschitz from outside."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from divkit.data.measure import Measure
from divkit.support.checks import positive

__all__ = ["FREE", "R1", "Clip", "Free", "GradientPenalty", "Penalty", "segments", "slopes"]

Witness = Callable[[Measure], Tensor]


class Penalty(ABC):
    """The term that is added to a critic's loss, and the limit to which its weights are cut after each step."""

    limit: float = math.inf
    slopes: ClassVar[bool] = True  # whether gradients are penalised, in the units of the data

    @abstractmethod
    def __call__(self, witness: Witness, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        """Return the penalty of a critic on a batch, a scalar to differentiate in the critic's parameters."""

    @torch.no_grad()
    def project(self, network: nn.Module) -> None:
        """Cut the parameters to [−limit, limit], in place."""
        if self.limit < math.inf:
            for parameter in network.parameters():
                parameter.clamp_(-self.limit, self.limit)


@dataclass(frozen=True)
class Free(Penalty):
    """No penalty: for critics that need none."""

    slopes: ClassVar[bool] = False

    def __call__(self, witness: Witness, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=x.device)


@dataclass(frozen=True)
class GradientPenalty(Penalty):
    r"""The penalty :math:`\lambda\, E(\|\nabla T(\hat x)\| - 1)^2` at points x̂ = εx + (1−ε)y, one uniform ε per sample.

    The norm is that of one sample's gradient over all of its parts and axes: a linear critic of unit slope has penalty 0 for
    every batch size and event shape. At the optimum for two points |a| apart the slope is 1 + |a|/(2λ), not 1. Source:
    Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017); one-sided: Petzka, Fischer, Lukovnikov (2018).

    Parameters
    ----------
    weight : float
        λ.
    one_sided : bool
        Punish norms above one only.
    """

    weight: float = 10.0
    one_sided: bool = False

    def __post_init__(self) -> None:
        positive("weight", self.weight)

    def __call__(self, witness: Witness, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        excess = slopes(witness, segments(x, y, generator)) - 1
        return self.weight * (excess.relu() if self.one_sided else excess).square().mean()


@dataclass(frozen=True)
class R1(Penalty):
    r"""The penalty :math:`\frac{\gamma}{2} E_P \|\nabla T(x)\|^2`, at x alone. Source: Mescheder, Geiger, Nowozin (2018).

    Parameters
    ----------
    weight : float
        γ.
    """

    weight: float = 10.0

    def __post_init__(self) -> None:
        positive("weight", self.weight)

    def __call__(self, witness: Witness, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        return self.weight / 2 * x.mean(slopes(witness, x).square())


@dataclass(frozen=True)
class Clip(Penalty):
    """The cut of all parameters to [−limit, limit] after each step: the critic is K-Lipschitz for an unknown K.

    Source: Arjovsky, Chintala, Bottou (2017).
    """

    slopes: ClassVar[bool] = False
    limit: float = 0.01

    def __post_init__(self) -> None:
        positive("limit", self.limit)

    def __call__(self, witness: Witness, x: Measure, y: Measure, generator: torch.Generator) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=x.device)


FREE = Free()


def segments(x: Measure, y: Measure, generator: torch.Generator) -> Measure:
    """Return random points on segments between rows of x and of y, drawn by their weights: as many as the larger side has."""
    count = max(x.n, y.n)
    p, q = (m.take(_drawn(m, count, generator)) for m in (x, y))
    epsilon = torch.rand(count, generator=generator, dtype=torch.float64).to(x.device, x.dtype)
    parts = [torch.lerp(b, a, epsilon.reshape(-1, *[1] * (a.ndim - 1))) for a, b in zip(p.parts, q.parts)]
    return x.on(*parts)


def slopes(witness: Witness, m: Measure) -> Tensor:  # -> (n,)
    """Return each row's gradient norm, over all parts and axes, differentiable once more."""
    with torch.enable_grad():
        parts = [part.detach().requires_grad_() for part in m.parts]
        scores = witness(m.on(*parts, weights=None if m.uniform else m.weights))
        gradients = torch.autograd.grad(scores.sum(), parts, create_graph=True, materialize_grads=True)
        norms: Tensor = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], 1), dim=1)
        return norms


def _drawn(m: Measure, count: int, generator: torch.Generator) -> Tensor:
    """Return rows in random order, all of them equally often where weights are equal."""
    if not m.uniform:
        return torch.multinomial(m.weights.detach().cpu(), count, replacement=True, generator=generator).to(m.device)
    order = torch.randperm(m.n, generator=generator)
    return order.repeat(-(-count // m.n))[:count].to(m.device)
