"""Discrete codes: Gumbel's max trick, its relaxation, straight-through gradients, and an autoencoder that uses them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from divkit.models.likelihoods import Likelihood
from divkit.models.model import Loss, Model, importance_bound

__all__ = ["GumbelVAE", "Relaxation", "gumbel", "maximum", "relaxed", "straight_through"]


def gumbel(like: Tensor) -> Tensor:
    """Draw standard Gumbel noise −log(−log U) of the shape of `like`, as −log of exponential noise, which is never 0."""
    return -torch.empty_like(like).exponential_().log()


def maximum(logits: Tensor, noise: Tensor) -> Tensor:
    """Draw categories by the max trick, argmax(log π + g): one-hot, of the shape of `logits` (…, k)."""
    return one_hot((logits + noise).argmax(-1), logits.shape[-1]).to(logits)


def relaxed(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return softmax((log π + g)/τ), which tends to the max trick as τ → 0."""
    return torch.softmax((logits + noise) / temperature, -1)


def straight_through(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return the max trick's draw with the relaxed draw's gradient."""
    soft = relaxed(logits, noise, temperature)
    return maximum(logits, noise) + soft - soft.detach()


@dataclass(frozen=True)
class Relaxation:
    """How categories are drawn in training: relaxed or straight-through, at a temperature that falls with the step.

    Parameters
    ----------
    draw : callable
        `relaxed` or `straight_through`.
    first, least, rate : float
        The temperature is max(least, first · exp(−rate · step)).
    """

    draw: Callable[[Tensor, Tensor, float], Tensor] = relaxed
    first: float = 1.0
    least: float = 0.5
    rate: float = 1e-3

    def __call__(self, logits: Tensor, step: int) -> Tensor:
        return self.draw(logits, gumbel(logits), max(self.least, self.first * math.exp(-self.rate * step)))


class GumbelVAE(Model):
    r"""A variational autoencoder with categorical codes.

    .. math:: \max\; E[\log p(x | y)] - \sum_c KL(q_c(\cdot | x) \| \mathrm{uniform}),
              \qquad y = \mathrm{softmax}((\log q + g)/\tau)

    Nats. With a criterion the closed-form KL gives way to that divergence between the batch's codes and draws of the uniform
    prior at the same temperature. Held-out points are coded by the max trick. Source: Jang, Gu, Poole (2017); Maddison, Mnih,
    Teh (2017).

    Parameters
    ----------
    encoder : nn.Module
        From points to logits (n, variables · categories).
    decoder : nn.Module
        From flattened codes (n, variables · categories) to what `likelihood` reads.
    likelihood : callable
    categories : int
    relaxation : Relaxation
    criterion : callable, optional
        (codes, prior samples) -> scalar, in nats; the closed-form KL where it is None.
    """

    steps: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        categories: int,
        relaxation: Relaxation = Relaxation(),
        criterion: Loss | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood, self.categories = encoder, decoder, likelihood, categories
        self.relaxation, self.criterion = relaxation, criterion
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def logits(self, x: Tensor) -> Tensor:  # -> (n, variables, categories)
        """Return log q of every category given each point."""
        return log_softmax(self.encoder(x).unflatten(1, (-1, self.categories)), -1)

    def code(self, logits: Tensor) -> Tensor:
        """Draw codes from logits: relaxed or straight-through in training, by the max trick otherwise."""
        return self.relaxation(logits, int(self.steps)) if self.training else maximum(logits, gumbel(logits))

    def loss(self, x: Tensor) -> Tensor:
        logits = self.logits(x)
        y = self.code(logits)
        if self.criterion is None:
            divergence = (logits.exp() * (logits + math.log(self.categories))).sum((1, 2)).mean()
        else:
            divergence = self.criterion(y.flatten(1), self.code(torch.zeros_like(logits)).flatten(1))
        if self.training:
            self.steps += 1
        return -self.likelihood(x, self.decoder(y.flatten(1))).mean() + divergence

    def encode(self, x: Tensor) -> Tensor:
        logits = self.logits(x)
        return maximum(logits, gumbel(logits)).flatten(1)

    def prior_codes(self, n: int) -> Tensor:
        like = next(self.decoder.parameters())
        logits = like.new_zeros(n, like.shape[1] // self.categories, self.categories)
        return maximum(logits, gumbel(logits)).flatten(1)

    def sample(self, n: int) -> Tensor:
        return self.likelihood.mean(self.decoder(self.prior_codes(n)))

    def reconstruct(self, x: Tensor) -> Tensor:
        logits = self.logits(x)
        return self.likelihood.mean(self.decoder(maximum(logits, torch.zeros_like(logits)).flatten(1)))

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int) -> Tensor:
        """Return `importance_bound` of each point (n,), from k draws of its categorical codes."""
        logits = self.logits(x)

        def log_weight() -> Tensor:
            y = maximum(logits, gumbel(logits))
            log_ratio = -(y * (logits + math.log(self.categories))).sum((1, 2))  # log p(y) − log q(y | x)
            return self.likelihood(x, self.decoder(y.flatten(1))) + log_ratio

        return importance_bound(log_weight, k)
