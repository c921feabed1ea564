"""Critics that may be as flat as they like: a 1-Lipschitz network times a trained factor between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn

from divkit.critic.perceptron import Perceptron, PerceptronNetwork
from divkit.critic.staged import Staged
from divkit.data.measure import Measure

__all__ = ["Shrunk"]


@dataclass(frozen=True)
class Shrunk:
    """A factory of critics ½(1 + sin θ) T, with T a perceptron whose layers may know no flatter function.

    Parameters
    ----------
    perceptron : Perceptron
        Such as ``groupsort()``.

    Examples
    --------
    >>> from divkit.critic import groupsort
    >>> Shrunk(groupsort()).constant
    1.0
    """

    perceptron: Perceptron

    def __call__(self, *event_shapes: Size) -> nn.Module:
        network = self.perceptron(*event_shapes)
        assert isinstance(network, PerceptronNetwork)
        return _ShrunkNetwork(network)

    @property
    def constant(self) -> float:
        """The Lipschitz constant that the layers guarantee: 1 or infinity."""
        return self.perceptron.constant


class _Factor(nn.Module):
    """The factor ½(1 + sin θ), which reaches 0 and 1, times what another module returns."""

    def __init__(self, inner: nn.Module, theta: nn.Parameter) -> None:
        super().__init__()
        self.inner, self.theta = inner, theta

    def forward(self, *parts: Tensor) -> Tensor:
        return (1 + torch.sin(self.theta)) / 2 * self.inner(*parts)  # type: ignore[no-any-return]


class _ShrunkNetwork(Staged):
    """The network that a `Shrunk` makes."""

    def __init__(self, network: PerceptronNetwork) -> None:
        super().__init__()
        self.network, self.theta = network, nn.Parameter(torch.zeros(()))

    def forward(self, *parts: Tensor) -> Tensor:
        return (1 + torch.sin(self.theta)) / 2 * self.network(*parts)  # type: ignore[no-any-return]

    def standardise(self, x: Measure, y: Measure) -> None:
        self.network.standardise(x, y)

    def start(self, fit: tuple[Measure, Measure], held: tuple[Measure, Measure]) -> None:
        self.network.start(fit, held)

    def embed(self, m: Measure) -> Measure:
        return self.network.embed(m)

    @property
    def unit(self) -> float:
        return self.network.unit

    def head(self) -> nn.Module:
        return _Factor(self.network.head(), self.theta)
