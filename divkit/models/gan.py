"""Generative adversarial networks, all of them: one model whose criterion makes it GAN, f-GAN, WGAN, Cramér GAN or MMD GAN."""

from __future__ import annotations

from torch import Tensor, nn

from divkit.core import registry
from divkit.models.model import Loss, Model, normal_noise

__all__ = ["GAN"]


class GAN(Model):
    r"""A generator that a divergence pulls to the data.

    .. math:: \min_\theta D(P, G_\theta(N(0, I)))

    The adversary, where there is one, lives in the criterion: ``fdiv.NonSaturating(fdiv.GAN)`` makes this the original GAN,
    another record f-GAN, a Kantorovich dual WGAN, learned features under an energy distance the Cramér GAN; a divergence that
    needs no critic (``"energy"``, ``"sinkhorn"``, ``"mmd"``) is as good a criterion. Source: Goodfellow et al. (2014).

    Parameters
    ----------
    generator : nn.Module
        From noise (n, noise) to points (n, *event).
    criterion : callable
        (data, generated) -> scalar: a `Criterion`, or any function.
    noise : int

    Examples
    --------
    >>> import torch, divkit as dk
    >>> model = GAN(torch.nn.Linear(2, 2), dk.Criterion("energy"), noise=2)
    >>> model.loss(torch.randn(64, 2) + 3).backward()
    >>> model.sample(5).shape
    torch.Size([5, 2])
    """

    def __init__(self, generator: nn.Module, criterion: Loss, noise: int) -> None:
        super().__init__()
        self.generator, self.criterion, self.noise = generator, criterion, noise

    def loss(self, x: Tensor) -> Tensor:
        return self.criterion(x, self.sample(len(x)))

    def sample(self, n: int) -> Tensor:
        return self.generator(normal_noise(n, self.noise, self.generator))  # type: ignore[no-any-return]

    def objective(self, x: Tensor) -> Tensor:
        """Return the energy distance of samples to held-out points: an adversarial loss is relative to its critic."""
        return registry.get("energy").loss(x, self.sample(len(x)))
