"""Layers of Lipschitz constant one, from which critics of a Kantorovich dual are composed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["GroupSort", "Orthonormal", "Spectral"]


class GroupSort(nn.Module):
    """Sort pairs of units: (h, k) -> (max(h, k), min(h, k)).

    Its derivative is a permutation: with orthonormal layers gradients keep their norm, where ReLU loses some at every layer.
    Source: Anil, Lucas, Grosse (2019).

    Raises
    ------
    ValueError
        On an odd number of units.
    """

    def forward(self, h: Tensor) -> Tensor:  # (n, width) -> (n, width)
        if h.shape[-1] % 2:
            raise ValueError(f"GroupSort sorts pairs of units; got {h.shape[-1]} units, an odd number.")
        a, b = h.chunk(2, -1)
        lead = nn.functional.relu(a - b)
        return torch.cat([b + lead, a - lead], -1)


class Orthonormal(nn.Module):
    r"""A linear layer whose matrix has orthonormal rows or columns, whichever are fewer, by Cayley's transform.

    Of an unconstrained :math:`\binom{U}{V}`, :math:`A = U - U^\top + V^\top V`, the columns of
    :math:`\binom{2(I + A)^{-1} - I}{-2V(I + A)^{-1}}` are orthonormal. Source: Helfrich, Willmott, Ye (2018); Trockman and
    Kolter (2021).
    """

    start: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.tall = outputs >= inputs
        large, small = max(inputs, outputs), min(inputs, outputs)
        self.free = nn.Parameter(torch.randn(large, small) / math.sqrt(large))
        self.register_buffer("start", torch.eye(large, small), persistent=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.uniform_(self.bias, -0.5, 0.5)

    @property
    def weight(self) -> Tensor:  # (outputs, inputs)
        small = self.free.shape[1]
        if small == 1:
            norm: Tensor = torch.linalg.vector_norm(self.free)
            columns = self.free / norm
        else:
            u, v, unit = self.free[:small], self.free[small:], self.start[:small]
            inverse = torch.linalg.inv(unit + u - u.T + v.T @ v)
            columns = torch.addmm(self.start, torch.cat([unit, -v]), inverse, beta=-1, alpha=2)
        return columns if self.tall else columns.T

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.linear(h, self.weight, self.bias)


class Spectral(nn.Module):
    """A linear layer divided by its largest singular value: a power iteration while training, exactly in evaluation.

    Source: Miyato, Kataoka, Koyama, Yoshida (2018).
    """

    left: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        linear = nn.Linear(inputs, outputs)
        self.free, self.bias = linear.weight, linear.bias
        self.register_buffer("left", nn.functional.normalize(torch.randn(outputs), dim=0))

    @property
    def weight(self) -> Tensor:  # (outputs, inputs)
        if not self.training:
            largest: Tensor = torch.linalg.matrix_norm(self.free, 2)
            return self.free / largest
        with torch.no_grad():
            right = nn.functional.normalize(self.free.T @ self.left, dim=0)
            self.left.copy_(nn.functional.normalize(self.free @ right, dim=0))
            left = self.left.clone()  # a later step changes the buffer
        norm: Tensor = left @ self.free @ right
        return self.free / norm

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.linear(h, self.weight, self.bias)


def constant(layer: Any, activation: Any) -> float:
    """Return the Lipschitz constant of every network of such layers: one where it is built in, else unknown (infinity)."""
    hard = layer in (Orthonormal, Spectral) and activation in (GroupSort, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Identity)
    return 1.0 if hard else math.inf
