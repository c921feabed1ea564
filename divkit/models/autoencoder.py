"""Wasserstein autoencoders with any divergence between codes and prior; with a GAN's it is the adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from divkit.core import registry
from divkit.models.model import Loss, Model, normal_noise

__all__ = ["WAE", "squared_error"]


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖x − y‖² of each point: (n, *event), (n, *event) -> (n,)."""
    return (x - y).flatten(1).square().sum(1)


class WAE(Model):
    r"""The penalised form of optimal transport between data and model.

    .. math:: \min_{G, Q}\; E_P E_{Q(Z|X)}\, c(X, G(Z)) + \lambda\, D_Z(Q_Z, P_Z), \qquad P_Z = N(0, I)

    D_Z is the criterion: MMD with the IMQ kernel or a GAN in the paper, the GAN's with squared cost being the adversarial
    autoencoder; and as well any other divergence, Wasserstein distances among them. With λ = 0 a plain autoencoder.
    Source: Tolstikhin et al. (2018); Makhzani et al. (2015).

    Parameters
    ----------
    encoder : nn.Module
        From points (n, *event) to codes (n, latent).
    decoder : nn.Module
        From codes to points.
    criterion : callable
        (codes, prior samples) -> scalar.
    latent : int
    weight : float
        λ, in units of the cost per unit of the divergence.
    cost : callable
        (x, y) -> (n,).

    Examples
    --------
    >>> import torch, divkit as dk
    >>> model = WAE(torch.nn.Linear(3, 2), torch.nn.Linear(2, 3), dk.Criterion("sinkhorn", epsilon=0.1), latent=2)
    >>> model.loss(torch.randn(32, 3)).backward()
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        criterion: Loss,
        latent: int,
        weight: float = 1.0,
        cost: Callable[[Tensor, Tensor], Tensor] = squared_error,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.criterion = encoder, decoder, criterion
        self.latent, self.weight, self.cost = latent, weight, cost

    def loss(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        reconstruction = self.cost(x, self.decoder(z)).mean()
        return reconstruction + self.weight * self.criterion(z, self.prior_codes(len(z))) if self.weight else reconstruction

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # type: ignore[no-any-return]

    def prior_codes(self, n: int) -> Tensor:
        return normal_noise(n, self.latent, self.decoder)

    prior = prior_codes  # its former name

    def sample(self, n: int) -> Tensor:
        return self.decoder(self.prior_codes(n))  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoder(self.encode(x))  # type: ignore[no-any-return]

    def objective(self, x: Tensor) -> Tensor:
        """Return reconstruction plus the energy distance of codes to the prior: a game's value is relative to its critic."""
        z = self.encode(x)
        return self.cost(x, self.decoder(z)).mean() + registry.get("energy").loss(z, self.prior_codes(len(z)))
