"""Optimisers of critics within a training loop, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["ADAM", "Adam", "Optimiser", "RMSProp"]


@dataclass(frozen=True)
class Adam:
    """The optimiser Adam; a low first moment suits a problem that moves. WGAN-GP has (0, .9)."""

    moments: tuple[float, float] = (0.5, 0.9)

    def __call__(self, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=rate, betas=self.moments, fused=True)


@dataclass(frozen=True)
class RMSProp:
    """The optimiser RMSProp, with which clipped critics are trained."""

    smoothing: float = 0.99

    def __call__(self, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=rate, alpha=self.smoothing)


Optimiser = Adam | RMSProp
ADAM = Adam()
