"""Encoders, decoders and critics for vectors and images: multilayer perceptrons, and DCGAN's convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Size, Tensor, nn

__all__ = ["ConvCritic", "ConvGenerator", "Critic", "decoder", "encoder", "perceptron"]


def perceptron(
    inputs: int,
    outputs: int,
    hidden: tuple[int, ...] = (256, 256),
    *,
    normalised: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Make a multilayer perceptron, with batch norm before each activation where it is `normalised`."""
    widths = (inputs, *hidden)
    body: list[nn.Module] = []
    for a, b in pairwise(widths):
        body += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if normalised else []), activation()]
    return nn.Sequential(*body, nn.Linear(widths[-1], outputs))


def encoder(shape: Size, outputs: int, hidden: tuple[int, ...] = (256, 256), *, standardised: bool = False) -> nn.Sequential:
    """Make a perceptron (n, *shape) -> (n, outputs), its outputs of mean 0 and variance 1 over a batch where `standardised`."""
    # Outputs start with a variance of 1e-4. Beside it torch's eps of 1e-5 counts, and a loss could shrink the codes.
    end = [nn.BatchNorm1d(outputs, eps=1e-8, affine=False)] if standardised else []
    return nn.Sequential(nn.Flatten(), *perceptron(shape.numel(), outputs, hidden), *end)


def decoder(inputs: int, shape: Size, hidden: tuple[int, ...] = (256, 256), *, normalised: bool = False) -> nn.Sequential:
    """Make a perceptron from codes (n, inputs) to (n, *shape), without an activation at its end."""
    return nn.Sequential(*perceptron(inputs, shape.numel(), hidden, normalised=normalised), nn.Unflatten(1, shape))


class Critic(nn.Module):
    """A perceptron on the flattened parts of a point, with leaky ReLUs: (n, *shape), … to (n, outputs), (n,) for one output.

    Parameters
    ----------
    *shapes : Size
    hidden : tuple of int
    outputs : int
    """

    def __init__(self, *shapes: Size, hidden: tuple[int, ...] = (128, 128, 128), outputs: int = 1) -> None:
        super().__init__()
        inputs = sum(shape.numel() for shape in shapes)
        self.body = perceptron(inputs, outputs, hidden, activation=lambda: nn.LeakyReLU(0.2))

    def forward(self, *parts: Tensor) -> Tensor:
        scores: Tensor = self.body(torch.cat([part.flatten(1) for part in parts], 1))
        return scores[:, 0] if scores.shape[1] == 1 else scores


class ConvGenerator(nn.Module):
    """DCGAN's generator: strided transposed convolutions, batch norm and ReLU everywhere but at the end.

    The image ends in tanh, moved from [−1, 1] to [0, 1] where the data lie. Source: Radford, Metz, Chintala (2016).

    Parameters
    ----------
    inputs : int
        Of the noise (n, inputs).
    shape : Size
        (channels, side, side).
    width : int
        Channels before the last layer.
    """

    def __init__(self, inputs: int, shape: Size, width: int = 32) -> None:
        super().__init__()
        channels, side, halvings = _image(shape)
        wide = width * 2 ** max(halvings - 1, 0)
        self.start = (wide, side, side)
        layers: list[nn.Module] = [nn.Linear(inputs, math.prod(self.start)), nn.Unflatten(1, self.start)]
        layers += [nn.BatchNorm2d(wide), nn.ReLU()]
        for step in range(halvings):
            last = step == halvings - 1
            out = channels if last else wide // 2
            layers.append(nn.ConvTranspose2d(wide, out, 4, stride=2, padding=1))
            layers += [] if last else [nn.BatchNorm2d(out), nn.ReLU()]
            wide = out
        self.body = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:  # z: (n, inputs) -> (n, *shape)
        return (torch.tanh(self.body(z)) + 1) / 2


class ConvCritic(nn.Module):
    """DCGAN's critic for images in [0, 1]: strided convolutions with leaky ReLUs, to (n, outputs), (n,) for one output.

    Without batch norm, so that it scores each image by itself, as gradient penalties need it.

    Parameters
    ----------
    shape : Size
        (channels, side, side).
    width : int
        Channels after the first layer.
    outputs : int
    """

    def __init__(self, shape: Size, width: int = 32, outputs: int = 1) -> None:
        super().__init__()
        channels, side, halvings = _image(shape)
        layers: list[nn.Module] = []
        for step in range(halvings):
            out = width * 2**step
            layers += [nn.Conv2d(channels, out, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = out
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, outputs))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:  # x: (n, *shape)
        scores: Tensor = self.body(2 * x - 1)
        return scores[:, 0] if scores.shape[1] == 1 else scores


def _image(shape: Size, smallest: int = 4) -> tuple[int, int, int]:
    """Return channels, the side of DCGAN's smallest map, and how often an image's side is halved to get there.

    A side is halved while it is even and larger than `smallest`.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2:
        raise ValueError(f"images of shape (channels, side, side) with an even side are wanted; got {tuple(shape)}.")
    channels, side, halvings = shape[0], shape[1], 0
    while side % 2 == 0 and side > smallest:
        side, halvings = side // 2, halvings + 1
    return channels, side, halvings


@torch.no_grad()
def _initialise(module: nn.Module, deviation: float = 0.02) -> None:
    """Draw a layer's weights as DCGAN's authors do: normal, of standard deviation `deviation`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, deviation)
