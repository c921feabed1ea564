"""Adversarial variational Bayes: the encoder is a sampler without a density, and a critic finds its KL to the prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from divkit.models.likelihoods import Likelihood
from divkit.models.model import Loss, Model, importance_bound, normal_noise

__all__ = ["AVB", "Proposal", "Sampler", "rows"]


@dataclass(frozen=True)
class Proposal:
    """The normal law from which `AVB.log_likelihood` draws codes."""

    samples: int = 64  # codes of each point behind the law's mean and deviation
    widening: float = 1.2  # factor on the deviation: wider than the posterior, the law keeps the weights bounded


def rows(x: Tensor, z: Tensor) -> Tensor:
    """Return a joint sample as rows (x, z), which every criterion can read."""
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
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, criterion: Loss, latent: int, contrast: int = 0
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood, self.criterion = encoder, decoder, likelihood, criterion
        self.latent, self.contrast = latent, contrast

    def loss(self, x: Tensor) -> Tensor:
        z, prior = self.encode(x), self.prior_codes(len(x))
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
        """Return mean and standard deviation (n, latent) of so many codes that the encoder draws at each point."""
        z = self.encode(x.repeat(samples, *[1] * (x.ndim - 1))).reshape(samples, len(x), self.latent)
        return z.mean(0), z.std(0).clamp(min=1e-3)  # so that codes that are all the same can be standardised

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # type: ignore[no-any-return]

    def prior_codes(self, n: int) -> Tensor:
        return normal_noise(n, self.latent, self.decoder)

    def sample(self, n: int) -> Tensor:
        return self.likelihood.mean(self.decoder(self.prior_codes(n)))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(self.encode(x)))

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int, proposal: Proposal = Proposal()) -> Tensor:
        """Return `importance_bound` of each point (n,), from k codes of a normal law of the encoder's moments."""
        mean, deviation = self.moments(x, proposal.samples)
        deviation = proposal.widening * deviation

        def log_weight() -> Tensor:
            epsilon = torch.randn_like(mean)
            z = mean + deviation * epsilon
            log_ratio = (epsilon.square() - z.square()).sum(1) / 2 + deviation.log().sum(1)  # log p(z) − log r(z|x)
            return self.likelihood(x, self.decoder(z)) + log_ratio

        return importance_bound(log_weight, k)
