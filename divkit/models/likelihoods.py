"""Likelihoods log p(x | output): what a decoder's output says of a point, one number per point."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

__all__ = ["Bernoulli", "Categorical", "Likelihood", "Normal"]


@dataclass(frozen=True)
class Likelihood(ABC):
    """log p(x | output) in nats, and the mean of that law."""

    @abstractmethod
    def __call__(self, x: Tensor, output: Tensor) -> Tensor:  # x, output: (n, *event) -> (n,)
        """Return the log density of each point."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:  # -> (n, *event)
        """Return the law's mean, which pictures and samples show."""


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent pixels in [0, 1] with logits `output`; for grey values the usual cross-entropy in nats."""

    def __call__(self, x: Tensor, output: Tensor) -> Tensor:
        return -binary_cross_entropy_with_logits(output, x.expand_as(output), reduction="none").flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)


@dataclass(frozen=True)
class Normal(Likelihood):
    """Independent normal coordinates of one standard deviation around `output`."""

    deviation: float = 1.0

    def __call__(self, x: Tensor, output: Tensor) -> Tensor:
        constant = math.log(self.deviation) + 0.5 * math.log(2 * math.pi)
        return -(0.5 * ((x - output) / self.deviation).square() + constant).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return output


@dataclass(frozen=True)
class Categorical(Likelihood):
    """One-hot points (n, k) of a class with logits `output`."""

    def __call__(self, x: Tensor, output: Tensor) -> Tensor:
        return (x * log_softmax(output, 1)).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return torch.softmax(output, 1)
