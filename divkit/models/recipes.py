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
from divkit.fdiv import GAN as GAN_RECORD
from divkit.fdiv import Bound, NonSaturating
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

FEATURES = 16  # of the Cramér GAN's critic
HIDDEN = (256, 256, 256)
SMALL = (128, 128, 128)
GAN_BETAS = (0.5, 0.9)
VARIABLES, CATEGORIES = 20, 10  # of the discrete code
WEIGHTS = {  # λ of WAE's penalty, tried on digits of seeds 100 and 101
    "mmd-imq": 40.0,
    "mmd": 400.0,
    "energy": 40.0,
    "sliced-w2": 30.0,
    "kl": 0.15,
}
WEIGHT = 1.0


@dataclass(frozen=True)
class Recipe:
    """How a named model is made.

    Parameters
    ----------
    make : callable
        From data and a divergence (None for the paper's own) to the model.
    training : Training
        The paper's, as far as the budget of two cores allows.
    """

    make: Callable[[Data, Any], Model]
    training: Training


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
    ('WAE', Criterion(Sinkhorn(epsilon=Relative(fraction=0.01), p=2.0, tol=0.001, sweeps=1000, reach=None)))
    """
    if name not in RECIPES:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(RECIPES)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RECIPES[name].make(data, divergence)
    return model, replace(RECIPES[name].training, seed=seed)


def weight_of(divergence: Any) -> float:
    """λ for a divergence of codes: listed where it is known to need another than 1."""
    return WEIGHTS.get(divergence.partition(":")[0], WEIGHT) if isinstance(divergence, str) else WEIGHT


def criterion(divergence: Any, critic: Callable[..., nn.Module], ascent: Ascent) -> Loss:
    """A name or divergence as a loss whose critic, where it has one, is this network; a function as it is."""
    if callable(divergence) and not isinstance(divergence, str) and not hasattr(divergence, "terms"):
        return divergence  # type: ignore[no-any-return]
    _, found = registry.named(divergence)
    if isinstance(found, Variational) and found.critic == _default("critic"):  # one that chose its own network needs it
        found = replace(found, critic=critic)
    if isinstance(found, Variational) and isinstance(found.dual, CramerSurrogate):
        found = replace(found, critic=partial(critic, outputs=FEATURES))
    if isinstance(found, Variational):
        own = found.ascent == _default("ascent") or isinstance(divergence, str)
        found = replace(found, ascent=ascent) if own else found
    return Criterion(found)


def _default(name: str) -> Any:
    return Variational.__dataclass_fields__[name].default


def adversary(divergence: Any, critic: Callable[..., nn.Module], ascent: Ascent) -> Loss:
    """The same, but an f-divergence is played as the papers' game, with the generator's log trick."""
    if isinstance(divergence, str):
        _, found = registry.named(divergence)
        if isinstance(found, Variational) and isinstance(found.dual, Bound):
            divergence = replace(found, dual=NonSaturating(found.dual.evaluate))
    return criterion(divergence, critic, ascent)


def critic_for(data: Data) -> Callable[..., nn.Module]:
    return ConvCritic if data.images else partial(Critic, hidden=SMALL)


def generator_for(data: Data, noise: int) -> nn.Module:
    shape = data.train.shape[1:]
    return ConvGenerator(noise, shape) if data.images else decoder(noise, shape, SMALL)


def noise_for(data: Data) -> int:
    return 32 if data.images else max(2, data.train.shape[1:].numel())


def latent_for(data: Data) -> int:
    return 8 if data.images else min(8, max(1, data.train.shape[1:].numel()))


def likelihood_for(data: Data) -> Likelihood:
    return Bernoulli() if data.images else Normal(0.1)


def _generative(divergence: Any, ascent: Ascent) -> Callable[[Data, Any], Model]:
    def make(data: Data, other: Any) -> Model:
        noise = noise_for(data)
        loss = adversary(divergence if other is None else other, critic_for(data), ascent)
        return GAN(generator_for(data, noise), loss, noise)

    return make


def _autoencoder(divergence: Any) -> Callable[[Data, Any], Model]:
    def make(data: Data, other: Any) -> Model:
        used, shape, latent = divergence if other is None else other, data.train.shape[1:], latent_for(data)
        loss = criterion(used, partial(Critic, hidden=SMALL), Ascent(rate=1e-3))
        ends = [nn.Sigmoid()] if data.images else []
        decode = nn.Sequential(*decoder(latent, shape, HIDDEN), *ends)
        encode = encoder(shape, latent, HIDDEN, standardised=True)  # else a game chases one small clump of codes for ever
        return WAE(encode, decode, loss, latent, weight_of(used))

    return make


def _variational(data: Data, other: Any) -> Model:
    shape, latent = data.train.shape[1:], latent_for(data)
    loss = None if other is None else criterion(other, partial(Critic, hidden=SMALL), Ascent(rate=1e-3))
    return VAE(encoder(shape, 2 * latent, HIDDEN), decoder(latent, shape, HIDDEN), likelihood_for(data), latent, loss)


def _adversarial_bayes(data: Data, other: Any) -> Model:
    shape, latent, noise = data.train.shape[1:], latent_for(data), 16
    sampler = Sampler(perceptron(shape.numel() + noise, latent, HIDDEN), noise)
    loss = criterion("kl" if other is None else other, partial(Critic, hidden=(256, 256, 256)), Ascent(rate=1e-3, warm=2))
    return AVB(sampler, decoder(latent, shape, HIDDEN), likelihood_for(data), loss, latent, contrast=8)


def _discrete(data: Data, other: Any) -> Model:
    shape, code = data.train.shape[1:], VARIABLES * CATEGORIES
    loss = None if other is None else criterion(other, partial(Critic, hidden=SMALL), Ascent(rate=1e-3))
    networks = encoder(shape, code, HIDDEN), decoder(code, shape, HIDDEN)
    return GumbelVAE(*networks, likelihood_for(data), CATEGORIES, criterion=loss)


_GAME = Training(batch=64, rate=2e-4, betas=(0.5, 0.999))
_EVEN = replace(_GAME, rate=1e-4, betas=(0.0, 0.9), critic_batches=5)
_CLIPPED = Variational(Kantorovich(), ascent=Ascent(rate=5e-5, optimiser=RMSProp()), penalty=Clip(0.01))
_PENALISED = Variational(Kantorovich(), ascent=Ascent(rate=1e-4, optimiser=Adam((0.0, 0.9))), penalty=GradientPenalty(10.0))
_CRAMER = replace(_PENALISED, dual=CramerSurrogate(registry.get("energy")))
_CODES = Training(batch=128, rate=1e-3)

RECIPES: dict[str, Recipe] = {
    "vae": Recipe(_variational, _CODES),
    "avb": Recipe(_adversarial_bayes, replace(_CODES, rate=5e-4)),
    "gan": Recipe(_generative(Variational(NonSaturating(GAN_RECORD)), Ascent(rate=2e-4)), _GAME),
    "fgan": Recipe(_generative("squared-hellinger", Ascent(rate=2e-4)), _GAME),
    "wgan": Recipe(_generative(_CLIPPED, _CLIPPED.ascent), replace(_EVEN, rate=5e-5)),
    "wgan-gp": Recipe(_generative(_PENALISED, _PENALISED.ascent), _EVEN),
    "cramer-gan": Recipe(_generative(_CRAMER, _CRAMER.ascent), _EVEN),
    "aae": Recipe(_autoencoder(Variational(NonSaturating(GAN_RECORD))), _CODES),
    "wae": Recipe(_autoencoder("mmd-imq"), _CODES),
    "gumbel-vae": Recipe(_discrete, _CODES),
}
