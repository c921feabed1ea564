"""The models by name, as the command line makes them: networks that suit the data, the paper's settings, any divergence.

Strings end here; what comes out is a model and how to train it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from divkit.core import registry
from divkit.core.criterion import Criterion
from divkit.critic import Adam, Ascent, Clip, CramerSurrogate, GradientPenalty, Kantorovich, RMSProp, Variational
from divkit.fdiv import TABLE, Bound, NonSaturating
from divkit.models.autoencoder import WAE
from divkit.models.avb import AVB, Sampler
from divkit.models.data import Data
from divkit.models.fit import Training
from divkit.models.gan import GAN
from divkit.models.gumbel import GumbelVAE
from divkit.models.likelihoods import Bernoulli, Likelihood, Normal
from divkit.models.model import Loss, Model
from divkit.models.networks import ConvCritic, ConvGenerator, Critic, decoder, encoder, perceptron
from divkit.models.vae import VAE

__all__ = ["RECIPES", "Recipe", "build", "weight_of"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the recipes' networks and codes."""

    wide: tuple[int, ...] = (256, 256, 256)  # layers of encoders and decoders
    narrow: tuple[int, ...] = (128, 128, 128)  # layers of critics, and of generators of points
    features: int = 16  # outputs of the Cramér GAN's critic
    variables: int = 20  # of a discrete code
    categories: int = 10  # of each variable


SIZES = Sizes()


@dataclass(frozen=True)
class Recipe:
    """How a named model is made and trained."""

    make: Callable[[Data, Any], Model]  # from data and a divergence, None for the paper's own
    training: Training  # the paper's, as far as two cores allow


def build(name: str, data: Data, divergence: Any = None, seed: int = 0) -> tuple[Model, Training]:
    """Make a model by name, its parameters drawn from `seed`, with the training that suits it.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    data : Data
    divergence : str, Divergence or callable, optional
        What the model minimises between two sample sets instead of the paper's own.
    seed : int

    Raises
    ------
    ValueError
        For an unknown name of model or divergence.

    Examples
    --------
    >>> from divkit.models.data import load
    >>> model, training = build("wae", load("digits"), "sinkhorn")
    >>> type(model).__name__, model.criterion
    ('WAE', Criterion(Sinkhorn(epsilon=Relative(fraction=0.01), p=2.0, tol=0.001, sweeps=1000, reach=None, cost=None)))
    """
    if name not in RECIPES:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(RECIPES)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RECIPES[name].make(data, divergence)
    return model, replace(RECIPES[name].training, seed=seed)


def weight_of(divergence: Any) -> float:
    """Return WAE's λ for a divergence of codes: 1, but where trials on digits favoured another."""
    favoured = {"mmd-imq": 40.0, "mmd": 400.0, "energy": 40.0, "sliced-w2": 30.0, "kl": 0.15}
    return favoured.get(divergence.partition(":")[0], 1.0) if isinstance(divergence, str) else 1.0


def criterion(divergence: Any, critic: Callable[..., nn.Module], ascent: Ascent) -> Loss:
    """Make a loss of a name or divergence, its critic, where it has one, this network; return a function as it is."""
    if callable(divergence) and not isinstance(divergence, str) and not hasattr(divergence, "terms"):
        return divergence  # type: ignore[no-any-return]
    _, spec = registry.named(divergence)
    if not isinstance(spec, Variational):
        return Criterion(spec)
    if spec.critic == _default("critic"):  # one that chose its own network needs it
        spec = replace(spec, critic=critic)
    if isinstance(spec.dual, CramerSurrogate):
        spec = replace(spec, critic=partial(critic, outputs=SIZES.features))
    own = isinstance(divergence, str) or spec.ascent == _default("ascent")
    return Criterion(replace(spec, ascent=ascent) if own else spec)


def _default(name: str) -> Any:
    """Return the value that a field of `Variational` has unless it is given."""
    return Variational.__dataclass_fields__[name].default


def adversary(divergence: Any, critic: Callable[..., nn.Module], ascent: Ascent) -> Loss:
    """Make a `criterion` in which an f-divergence is played as the papers' game, with the generator's log trick."""
    if isinstance(divergence, str):
        _, spec = registry.named(divergence)
        if isinstance(spec, Variational) and isinstance(spec.dual, Bound):
            divergence = replace(spec, dual=NonSaturating(spec.dual.evaluate))
    return criterion(divergence, critic, ascent)


def latent_for(data: Data) -> int:
    """Return how many numbers a code of such data has."""
    return 8 if data.images else min(8, max(1, data.train.shape[1:].numel()))


def likelihood_for(data: Data) -> Likelihood:
    """Return the likelihood that suits the data."""
    return Bernoulli() if data.images else Normal(0.1)


def _gan_maker(divergence: Any, ascent: Ascent) -> Callable[[Data, Any], Model]:
    """Return a function that makes a GAN: convolutions for images, perceptrons for points."""

    def make(data: Data, other: Any) -> Model:
        shape = data.train.shape[1:]
        noise = 32 if data.images else max(2, shape.numel())
        generator = ConvGenerator(noise, shape) if data.images else decoder(noise, shape, SIZES.narrow)
        critic = ConvCritic if data.images else partial(Critic, hidden=SIZES.narrow)
        return GAN(generator, adversary(divergence if other is None else other, critic, ascent), noise)

    return make


def _autoencoder(divergence: Any) -> Callable[[Data, Any], Model]:
    """Return a function that makes a Wasserstein autoencoder; with a GAN's divergence it is the adversarial one."""

    def make(data: Data, other: Any) -> Model:
        used, shape, latent = divergence if other is None else other, data.train.shape[1:], latent_for(data)
        loss = criterion(used, partial(Critic, hidden=SIZES.narrow), Ascent(rate=1e-3))
        ends = [nn.Sigmoid()] if data.images else []
        decode = nn.Sequential(*decoder(latent, shape, SIZES.wide), *ends)
        encode = encoder(shape, latent, SIZES.wide, standardised=True)  # else a game chases one clump of codes for ever
        return WAE(encode, decode, loss, latent, weight_of(used))

    return make


def _variational(data: Data, other: Any) -> Model:
    """Make a variational autoencoder."""
    shape, latent = data.train.shape[1:], latent_for(data)
    loss = None if other is None else criterion(other, partial(Critic, hidden=SIZES.narrow), Ascent(rate=1e-3))
    return VAE(encoder(shape, 2 * latent, SIZES.wide), decoder(latent, shape, SIZES.wide), likelihood_for(data), latent, loss)


def _adversarial_bayes(data: Data, other: Any) -> Model:
    """Make adversarial variational Bayes with adaptive contrast."""
    shape, latent, noise = data.train.shape[1:], latent_for(data), 16
    sampler = Sampler(perceptron(shape.numel() + noise, latent, SIZES.wide), noise)
    loss = criterion("kl" if other is None else other, partial(Critic, hidden=(256, 256, 256)), Ascent(rate=1e-3, warm=2))
    return AVB(sampler, decoder(latent, shape, SIZES.wide), likelihood_for(data), loss, latent, contrast=8)


def _discrete(data: Data, other: Any) -> Model:
    """Make a variational autoencoder with categorical codes."""
    shape, code = data.train.shape[1:], SIZES.variables * SIZES.categories
    loss = None if other is None else criterion(other, partial(Critic, hidden=SIZES.narrow), Ascent(rate=1e-3))
    networks = encoder(shape, code, SIZES.wide), decoder(code, shape, SIZES.wide)
    return GumbelVAE(*networks, likelihood_for(data), SIZES.categories, criterion=loss)


_GAME = Training(batch=64, rate=2e-4, betas=(0.5, 0.999))
_EVEN = replace(_GAME, rate=1e-4, betas=(0.0, 0.9), critic_batches=5)
_CLIPPED = Variational(Kantorovich(), ascent=Ascent(rate=5e-5, optimiser=RMSProp()), penalty=Clip(0.01))
_PENALISED = Variational(Kantorovich(), ascent=Ascent(rate=1e-4, optimiser=Adam((0.0, 0.9))), penalty=GradientPenalty(10.0))
_CRAMER = replace(_PENALISED, dual=CramerSurrogate(registry.get("energy")))
_CODES = Training(batch=128, rate=1e-3)

RECIPES: dict[str, Recipe] = {
    "vae": Recipe(_variational, _CODES),
    "avb": Recipe(_adversarial_bayes, replace(_CODES, rate=5e-4)),
    "gan": Recipe(_gan_maker(Variational(NonSaturating(TABLE["gan"])), Ascent(rate=2e-4)), _GAME),
    "fgan": Recipe(_gan_maker("squared-hellinger", Ascent(rate=2e-4)), _GAME),
    "wgan": Recipe(_gan_maker(_CLIPPED, _CLIPPED.ascent), replace(_EVEN, rate=5e-5)),
    "wgan-gp": Recipe(_gan_maker(_PENALISED, _PENALISED.ascent), _EVEN),
    "cramer-gan": Recipe(_gan_maker(_CRAMER, _CRAMER.ascent), _EVEN),
    "aae": Recipe(_autoencoder(Variational(NonSaturating(TABLE["gan"]))), _CODES),
    "wae": Recipe(_autoencoder("mmd-imq"), _CODES),
    "gumbel-vae": Recipe(_discrete, _CODES),
}
