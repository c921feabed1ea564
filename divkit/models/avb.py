"""Adversarial variational Bayes: the encoder is a sampler without a density, and a critic finds its KL to the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from divkit.models.likelihoods import Likelihood
from divkit.models.model import Loss, Model

__all__ = ["AVB", "Sampler", "rows"]

PROPOSAL, WIDER = 64, 1.2  # samples behind the proposal of `log_likelihood`; wider than the posterior, its weights stay bounded
LEAST = 1e-3  # of the contrast's standard deviations, so that a posterior's point mass can be standardised


def rows(x: Tensor, z: Tensor) -> Tensor:
    """A joint sample as rows (x, z), which every criterion can read."""
    return torch.cat([x.flatten(1), z], 1)


class Sampler(nn.Module):
    """An implicit encoder z = f(x, ε), ε ~ N(0, I): (n, *event) -> (n, latent).

    Parameters
    ----------
    network : nn.Module
        From (n, d + noise), the flattened point beside the noise, to codes.
    noise : int
    """

    def __init__(self, network: nn.Module, noise: int) -> None:
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, x: Tensor) -> Tensor:
        epsilon = torch.randn(len(x), self.noise, dtype=x.dtype, device=x.device)
        return self.network(torch.cat([x.flatten(1), epsilon], 1))  # type: ignore[no-any-return]


class AVB(Model):
    r"""Adversarial variational Bayes, with or without adaptive contrast.

    .. math:: \max_{\theta, \phi}\; E_P E_{q_\phi(z|x)}[\log p_\theta(x|z)] - E_P\, KL(q_\phi(z|x) \| p(z)), \qquad p = N(0, I)

    The expected KL is that between the joint laws of (x, z_q) and (x, z_p): the criterion's. Its critic
    T* = log q(z|x) − log p(z) is frozen in the encoder's gradient. With adaptive contrast it only has to tell the standardised
    code (z − μ)/σ from N(0, I), since KL(q‖p) = KL(q‖r) + E_q[log r(z|x) − log p(z)] for the normal r of q's own moments, which
    are found from `contrast` further samples for each point and have no gradient. Nats.
    Source: Mescheder, Nowozin, Geiger (2017).

    Parameters
    ----------
    encoder : nn.Module
        A sampler of q(z|x), such as `Sampler`.
    decoder : nn.Module
    likelihood : callable
        log p(x | output), as in `divkit.models.likelihoods`.
    criterion : callable
        (joint sample of q, joint sample of p) -> scalar: ``dk.Criterion("kl")``, or any other.
    latent : int
    contrast : int
        Samples of the encoder from which the moments of adaptive contrast are found; 0 for none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        criterion: Loss,
        latent: int,
        contrast: int = 0,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood, self.criterion = encoder, decoder, likelihood, criterion
        self.latent, self.contrast = latent, contrast

    def loss(self, x: Tensor) -> Tensor:
        z, prior = self.encoder(x), torch.randn(len(x), self.latent, dtype=x.dtype, device=x.device)
        reconstruction: Tensor = -self.likelihood(x, self.decoder(z)).mean()
        if not self.contrast:
            return reconstruction + self.criterion(rows(x, z), rows(x, prior))
        mean, deviation = self.moments(x, self.contrast)
        standard = (z - mean) / deviation
        log_ratio = (z.square() - standard.square()).sum(1) / 2 - deviation.log().sum(1)  # log r(z|x) − log p(z)
        divergence: Tensor = self.criterion(rows(x, standard), rows(x, prior)) + log_ratio.mean()
        return reconstruction + divergence

    @torch.no_grad()
    def moments(self, x: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (n, latent) of so many of the encoder's samples at each point."""
        z = self.encoder(x.repeat(samples, *[1] * (x.ndim - 1))).reshape(samples, len(x), self.latent)
        return z.mean(0), z.std(0).clamp(min=LEAST)

    def sample(self, n: int) -> Tensor:
        like = next(self.decoder.parameters())
        z = torch.randn(n, self.latent, dtype=like.dtype, device=like.device)
        return self.likelihood.mean(self.decoder(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(self.encoder(x)))

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int) -> Tensor:
        """IWAE's bound of each point (n,), from k samples of the normal law of the encoder's moments, which has a density."""
        mean, deviation = self.moments(x, PROPOSAL)
        deviation = WIDER * deviation
        weights = []
        for _ in range(k):
            epsilon = torch.randn_like(mean)
            z = mean + deviation * epsilon
            log_ratio = (epsilon.square() - z.square()).sum(1) / 2 + deviation.log().sum(1)
            weights.append(self.likelihood(x, self.decoder(z)) + log_ratio)
        return torch.logsumexp(torch.stack(weights), 0) - math.log(k)
