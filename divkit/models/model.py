"""What a training loop needs of a model, what other rooms may ask of one, and the sums that several models share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from divkit.core.criterion import Criterion

__all__ = ["Autoencoder", "BoundsLikelihood", "Loss", "Model", "criteria", "importance_bound", "normal_noise", "untouched"]

Loss: TypeAlias = Callable[[Any, Any], Tensor]
"""A criterion as a model sees it: (x, y) -> scalar, whichever divergence it is."""


class Model(nn.Module, ABC):
    """A generative model. Its noise comes from torch's global generator, as dropout's does; `fit` seeds and restores it."""

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """Return the scalar that training minimises on a batch (n, *event)."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """Draw points (n, *event) from the model."""

    def objective(self, x: Tensor) -> Tensor:
        """Return what is watched on held-out points, lower is better: the loss, unless that is relative to a critic."""
        return self.loss(x)


@runtime_checkable
class Autoencoder(Protocol):
    """A model that codes points, and decodes codes."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return each point as its code gives it back: (n, *event) -> (n, *event)."""

    def encode(self, x: Tensor) -> Tensor:
        """Draw a code for each point: (n, *event) -> (n, latent)."""

    def prior_codes(self, n: int) -> Tensor:
        """Draw codes (n, latent) from the prior."""


@runtime_checkable
class BoundsLikelihood(Protocol):
    """A model that bounds log p(x) from below."""

    def log_likelihood(self, x: Tensor, k: int) -> Tensor:
        """Return IWAE's bound of each point from k draws of its code: (n, *event) -> (n,)."""


def importance_bound(log_weight: Callable[[], Tensor], k: int) -> Tensor:
    """Return IWAE's bound log (1/k) Σ w of each point (n,), w = p(x, z)/q(z|x), which rises with k to log p(x).

    `log_weight` draws a code z ~ q(z|x) of each point and returns log w (n,). Source: Burda, Grosse, Salakhutdinov (2016).
    """
    return torch.logsumexp(torch.stack([log_weight() for _ in range(k)]), 0) - math.log(k)


def normal_noise(n: int, size: int, network: nn.Module) -> Tensor:
    """Draw standard normal noise (n, size) of the dtype and on the device of the network that reads it."""
    like = next(network.parameters())
    return torch.randn(n, size, dtype=like.dtype, device=like.device)


def criteria(model: nn.Module) -> dict[str, Criterion]:
    """Return the stateful criteria of a model and its parts by where they are: a checkpoint holds them beside parameters."""
    places = {}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Criterion):
                places[f"{prefix}.{name}".lstrip(".")] = value
    return places


@contextmanager
def untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Let a model be looked at: inside, its noise comes from `seed`; afterwards mode, criteria and generator are as before."""
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
