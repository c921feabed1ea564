"""The image systems: what is trained in `vae`, `gumbel-vae`, `aae`, `gan`, `fgan`, `wgan`, `wgan-gp` and `cramer-gan`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from divkit.core import registry
from divkit.critic import (
    Adam,
    Ascent,
    Clip,
    CramerSurrogate,
    Featured,
    GradientPenalty,
    Kantorovich,
    RMSProp,
    Variational,
    groupsort,
)
from divkit.fdiv import GAN, Adversarial
from divkit.models import VAE, GumbelVAE, Model, Relaxation, Training, build, straight_through
from divkit.models.data import Data
from divkit.models.likelihoods import Likelihood, Normal
from divkit.reproduce.case import OTHER_DATA, UNCONFIRMED
from divkit.reproduce.images import System, Variant, case

__all__ = ["IMAGES"]

CELEBA = f"Tolstikhin et al. (2018), table 1: FID on CelebA; {OTHER_DATA}"
LENET = f"FID on MNIST with LeNet features, as quoted by later papers; {UNCONFIRMED}; {OTHER_DATA}"
PARZEN = f"{{}}: Parzen windows on MNIST; {UNCONFIRMED}; {OTHER_DATA}"
FGAN = PARZEN.format("Nowozin et al. (2016), table 2")
CATEGORIES = f"Jang, Gu, Poole (2017), table 2: bound on MNIST, its sign turned; {UNCONFIRMED}; {OTHER_DATA}"

FAST = 1e-3  # learning rate of critics and generators where the papers' 1e-4 would need ten times the steps
PENALISED = Ascent(rate=FAST, optimiser=Adam((0.0, 0.9)))
WASSERSTEIN = {
    "clipped": Variational(Kantorovich(), ascent=Ascent(rate=5e-4, optimiser=RMSProp()), penalty=Clip(0.01)),
    "penalised": Variational(Kantorovich(), ascent=PENALISED, penalty=GradientPenalty(10.0)),
}
CRAMER = {
    "surrogate": Variational(CramerSurrogate(registry.get("energy")), ascent=PENALISED, penalty=GradientPenalty(10.0)),
    "in full": Variational(Featured(registry.get("energy")), groupsort(outputs=16), PENALISED),
}
GREY = Normal(0.15)


@dataclass(frozen=True)
class RecipeVariation:
    """A recipe of `divkit train`, with what is set here instead of its own."""

    name: str
    divergence: Any = None
    rate: float | None = None
    likelihood: Likelihood | None = None
    relaxation: Relaxation | None = None

    def __call__(self, data: Data, seed: int) -> tuple[Model, Training]:
        model, training = build(self.name, data, self.divergence, seed)
        if self.likelihood is not None:
            assert isinstance(model, VAE | GumbelVAE)
            model.likelihood = self.likelihood
        if self.relaxation is not None:
            assert isinstance(model, GumbelVAE)
            model.relaxation = self.relaxation
        return model, training if self.rate is None else replace(training, rate=self.rate)


SYSTEMS = (
    System(
        name="vae",
        title="A variational autoencoder's digits",
        variants={
            "normal pixels": Variant(RecipeVariation("vae", likelihood=GREY), {"frechet": (98.0, CELEBA)}),
            "Bernoulli": Variant(RecipeVariation("vae")),
        },
        steps=(1500, 10_000),
        sources="Pixels N(·, .15²), or Bernoulli as for black and white ones. Source: Kingma, Welling (2014).",
        minutes=(0.4, 10.0),
    ),
    System(
        name="gumbel-vae",
        title="Discrete codes: relaxed gradients and straight-through ones",
        variants={
            "relaxed": Variant(RecipeVariation("gumbel-vae", likelihood=GREY), {"elbo": (-101.5, CATEGORIES)}),
            "straight-through": Variant(
                RecipeVariation("gumbel-vae", likelihood=GREY, relaxation=Relaxation(straight_through)),
                {"elbo": (-107.8, CATEGORIES)},
            ),
        },
        steps=(1000, 10_000),
        sources=(
            "Twenty variables of ten categories, pixels N(·, .15²). Source: Jang, Gu, Poole (2017); Maddison, Mnih, Teh (2017)."
        ),
        minutes=(0.4, 15.0),
    ),
    System(
        name="aae",
        title="An adversarial autoencoder's digits",
        variants={
            "AAE": Variant(
                RecipeVariation("aae"),
                {"frechet": (42.0, CELEBA), "parzen": (340.0, PARZEN.format("Makhzani et al. (2015), table 1"))},
            )
        },
        steps=(1500, 10_000),
        sources="Source: Makhzani et al. (2015); WAE-GAN with squared cost is the same.",
        minutes=(0.4, 10.0),
    ),
    System(
        name="gan",
        title="A GAN's digits, by the log trick and by the game as it stands",
        variants={
            "log trick": Variant(
                RecipeVariation("gan"), {"parzen": (225.0, PARZEN.format("Goodfellow et al. (2014), table 1"))}
            ),
            "saturating": Variant(RecipeVariation("gan", Variational(Adversarial(GAN)))),
        },
        steps=(1500, 20_000),
        sources="Source: Goodfellow et al. (2014); Radford, Metz, Chintala (2016).",
        minutes=(0.5, 20.0),
    ),
    System(
        name="fgan",
        title="f-GAN's digits under three divergences",
        variants={
            "KL": Variant(RecipeVariation("fgan", "kl"), {"parzen": (416.0, FGAN)}),
            "2·JS": Variant(RecipeVariation("fgan", "fgan-js"), {"parzen": (367.0, FGAN)}),
            "Pearson": Variant(RecipeVariation("fgan", "pearson"), {"parzen": (429.0, FGAN)}),
        },
        steps=(1500, 20_000),
        sources="Source: Nowozin, Cseke, Tomioka (2016), with the generator's trick of their section 3.2.",
        minutes=(0.7, 30.0),
    ),
    System(
        name="wgan",
        title="A WGAN's digits, weights clipped",
        variants={"WGAN": Variant(RecipeVariation("wgan", WASSERSTEIN["clipped"], rate=5e-4))},
        steps=(600, 20_000),
        sources=(
            "Five critic steps each, clip .01; rates 5e-4 for the paper's 5e-5, which needs ten times the steps. Source: "
            "Arjovsky, Chintala, Bottou (2017)."
        ),
        minutes=(0.4, 40.0),
    ),
    System(
        name="wgan-gp",
        title="A WGAN's digits, gradients penalised",
        variants={
            "WGAN-GP": Variant(RecipeVariation("wgan-gp", WASSERSTEIN["penalised"], rate=FAST), {"frechet": (6.915, LENET)})
        },
        steps=(600, 20_000),
        sources="Five critic steps each, λ = 10; rates 1e-3 for the paper's 1e-4. Source: Gulrajani et al. (2017).",
        minutes=(0.6, 60.0),
    ),
    System(
        name="cramer-gan",
        title="A Cramér GAN's digits: the published surrogate, and the energy distance in full",
        variants={
            "surrogate": Variant(RecipeVariation("cramer-gan", CRAMER["surrogate"], rate=FAST), {"frechet": (3.385, LENET)}),
            "in full": Variant(RecipeVariation("cramer-gan", CRAMER["in full"], rate=FAST)),
        },
        steps=(400, 20_000),
        sources="Rates 1e-3. Source: Bellemare et al. (2017). In full, features are 1-Lipschitz by their layers.",
        minutes=(1.0, 120.0),
    ),
)
IMAGES = tuple(map(case, SYSTEMS))
