"""What a training loop needs of a model, and what it finds in one: a loss, samples, criteria."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from divkit.core.criterion import Criterion

__all__ = ["Loss", "Model", "criteria", "untouched"]

Loss: TypeAlias = Callable[[Any, Any], Tensor]
"""A criterion as a model sees it: (x, y) -> scalar, whichever divergence it is."""


class Model(nn.Module, ABC):
    """A generative model. Its noise comes from torch's global generator, as dropout's does; `fit` seeds and restores it."""

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """What is minimised, of a batch (n, *event): a scalar."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """Draw points (n, *event) from the model."""

    def objective(self, x: Tensor) -> Tensor:
        """What is watched on held-out points, lower is better: the loss, unless that is relative to a critic."""
        return self.loss(x)


def criteria(model: nn.Module) -> dict[str, Criterion]:
    """The stateful criteria of a model, its parts' included, by where they are: what a checkpoint holds beside parameters."""
    found = {}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Criterion):
                found[f"{prefix}.{name}".lstrip(".")] = value
    return found


@contextmanager
def untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Look at a model: inside, its noise comes from `seed`; afterwards mode, criteria and torch's generator are as before."""
    training, states = model.training, {key: one.state_dict() for key, one in criteria(model).items()}
    model.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        model.train(training)
        for key, one in criteria(model).items():
            one.load_state_dict(states[key])
