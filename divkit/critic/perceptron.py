"""Multilayer perceptrons in units of the data, with layers to choose: the critics of Kantorovich duals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Size, Tensor, nn

from divkit.critic.lipschitz import GroupSort, Orthonormal, Spectral, constant
from divkit.critic.staged import Staged
from divkit.data.measure import Measure
from divkit.support.checks import whole

__all__ = ["Perceptron", "PerceptronNetwork", "groupsort", "mlp", "perceptron", "spectral"]

Layer = Callable[[int, int], nn.Module]


@dataclass(frozen=True)
class Perceptron:
    """A factory of critics T(x) = s f((x − c)/s), f a perceptron on the flattened parts, c and s centre and scale of the data.

    The scale leaves Lipschitz constants as they are, so that T has the constant of f in the data's own units.

    Parameters
    ----------
    layer : callable
        From the numbers of inputs and outputs to a module: `torch.nn.Linear`, `Orthonormal` or `Spectral`.
    activation : callable
        Makes the module between layers.
    hidden : int
        Width of the hidden layers.
    layers : int
        Number of the hidden layers.
    outputs : int
        1 for a critic; more for the features of `Featured`.
    """

    layer: Layer
    activation: Callable[[], nn.Module]
    hidden: int = 32
    layers: int = 2
    outputs: int = 1

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "outputs"):
            whole(name, getattr(self, name))
        if self.activation is GroupSort and self.hidden % 2:
            raise ValueError(f"hidden must be even, as GroupSort sorts pairs of units; got {self.hidden}.")

    def __call__(self, *event_shapes: Size) -> nn.Module:
        return PerceptronNetwork(self, sum(shape.numel() for shape in event_shapes))

    def body(self, inputs: int) -> nn.Sequential:
        """Return the layers f, for points of so many numbers."""
        widths = [inputs] + [self.hidden] * self.layers
        layers = [module for a, b in pairwise(widths) for module in (self.layer(a, b), self.activation())]
        return nn.Sequential(*layers, self.layer(widths[-1], self.outputs))

    @property
    def constant(self) -> float:
        """The Lipschitz constant that the layers guarantee: 1 or infinity."""
        return constant(self.layer, self.activation)


def groupsort(hidden: int = 32, layers: int = 2, outputs: int = 1) -> Perceptron:
    """Return a factory of orthonormal layers and GroupSort: 1-Lipschitz by construction, and gradients keep their norm."""
    return Perceptron(Orthonormal, GroupSort, hidden, layers, outputs)


def spectral(hidden: int = 64, layers: int = 3, outputs: int = 1) -> Perceptron:
    """Return a factory of layers divided by their spectral norm, and LeakyReLU: 1-Lipschitz, mostly far less steep."""
    return Perceptron(Spectral, nn.LeakyReLU, hidden, layers, outputs)


def perceptron(hidden: int = 64, layers: int = 3, outputs: int = 1) -> Perceptron:
    """Return a factory of plain layers and LeakyReLU, of no known Lipschitz constant: for clipping and gradient penalties."""
    return Perceptron(nn.Linear, nn.LeakyReLU, hidden, layers, outputs)


def mlp(*event_shapes: Size, hidden: int = 64, layers: int = 2) -> nn.Module:
    """Return a plain perceptron on the flattened parts, in the data's own units, for critics that are no logit."""
    plain = Perceptron(nn.Linear, partial(nn.LeakyReLU, 0.2), hidden, layers)
    return _Flat(plain.body(sum(shape.numel() for shape in event_shapes)))


class _Flat(nn.Module):
    """A network of the concatenated, flattened parts of a point."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, *parts: Tensor) -> Tensor:  # -> (n,)
        return self.body(torch.cat([part.flatten(1) for part in parts], 1))[:, 0]  # type: ignore[no-any-return]


class PerceptronNetwork(Staged):
    """The network that a `Perceptron` makes."""

    isometric = True
    centre: Tensor
    scale: Tensor

    def __init__(self, how: Perceptron, inputs: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()))
        self.body = how.body(inputs)

    def forward(self, *parts: Tensor) -> Tensor:  # -> (n, outputs)
        z = (torch.cat([part.flatten(1) for part in parts], 1) - self.centre) / self.scale
        return self.body(z) * self.scale  # type: ignore[no-any-return]

    @torch.no_grad()
    def standardise(self, x: Measure, y: Measure) -> None:
        rows = torch.cat([x.flat, y.flat]).double()
        self.centre.copy_(rows.mean(0))
        deviation = rows - rows.mean(0)
        largest = deviation.abs().max()
        if float(largest) > 0:
            self.scale.copy_(largest * (deviation / largest).square().sum(1).mean().sqrt())

    def start(self, fit: tuple[Measure, Measure], held: tuple[Measure, Measure]) -> None:
        self.standardise(*fit)

    @property
    def unit(self) -> float:
        return float(self.scale)

    @torch.no_grad()
    def embed(self, m: Measure) -> Measure:
        return Measure._of((m.flat - self.centre) / self.scale, None if m.uniform else m.weights)

    def head(self) -> nn.Module:
        return self.body
