"""Variational autoencoders with a Gaussian encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from divkit.models.likelihoods import Likelihood
from divkit.models.model import Loss, Model, importance_bound

__all__ = ["VAE"]


class VAE(Model):
    r"""The variational autoencoder.

    .. math:: \max_{\theta, \phi}\; E_{q_\phi(z|x)}[\log p_\theta(x|z)] - KL(q_\phi(z|x) \| N(0, I)),
              \qquad z = \mu + \sigma \varepsilon

    Nats. With a criterion the closed-form KL of each posterior gives way to that divergence between the batch's codes and the
    prior (Zhao, Song, Ermon 2017). Source: Kingma, Welling (2014).

    Parameters
    ----------
    encoder : nn.Module
        From points (n, *event) to (n, 2·latent): mean and log variance.
    decoder : nn.Module
        From codes (n, latent) to what `likelihood` reads.
    likelihood : callable
        log p(x | output), as in `divkit.models.likelihoods`.
    latent : int
    criterion : callable, optional
        (codes, prior samples) -> scalar, in nats; the closed-form KL where it is None.

    Examples
    --------
    >>> import torch
    >>> from divkit.models.likelihoods import Normal
    >>> model = VAE(torch.nn.Linear(3, 4), torch.nn.Linear(2, 3), Normal(0.5), latent=2)
    >>> x = torch.randn(16, 3)
    >>> model.loss(x).backward()
    >>> bool(model.log_likelihood(x, 50).mean() >= -model.loss(x) - 1)  # IWAE's bound is the tighter one
    True
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, latent: int, criterion: Loss | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.latent, self.criterion = latent, criterion

    def posterior(self, x: Tensor) -> Independent[Normal]:
        """Return the encoder's law q(z|x) of each point."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)

    def prior(self) -> Independent[Normal]:
        """Return the law N(0, I) of codes."""
        like = next(self.decoder.parameters())
        zero = like.new_zeros(self.latent)
        return Independent(Normal(zero, zero + 1), 1)

    def prior_codes(self, n: int) -> Tensor:
        return self.prior().sample(torch.Size([n]))

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).sample()

    def loss(self, x: Tensor) -> Tensor:
        q = self.posterior(x)
        z = q.rsample()
        if self.criterion is None:
            divergence = kl_divergence(q, self.prior()).mean()
        else:
            divergence = self.criterion(z, self.prior_codes(len(z)))
        return -self.likelihood(x, self.decoder(z)).mean() + divergence

    def sample(self, n: int) -> Tensor:
        return self.likelihood.mean(self.decoder(self.prior_codes(n)))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(self.posterior(x).mean))

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int) -> Tensor:
        """Return `importance_bound` of each point (n,), from k codes of its posterior."""
        q, prior = self.posterior(x), self.prior()

        def log_weight() -> Tensor:
            z = q.sample()
            return self.likelihood(x, self.decoder(z)) + prior.log_prob(z) - q.log_prob(z)  # type: ignore[no-untyped-call, no-any-return]

        return importance_bound(log_weight, k)
