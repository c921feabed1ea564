"""Generative models that see a criterion ``(x, y) -> scalar`` and nothing else, and the loop that trains them.

>>> import divkit as dk
>>> data = dk.models.load("ring8")
>>> model, training = dk.models.build("gan", data, "energy")
>>> history = dk.models.fit(model, data.train, dk.models.Training(steps=20, batch=64, rate=1e-3), test=data.test)
>>> history[-1]["objective"] < history[0]["objective"]
True
"""

from __future__ import annotations

from divkit.models.autoencoder import WAE
from divkit.models.avb import AVB, Sampler
from divkit.models.data import Data, load
from divkit.models.fit import NotFinite, Training, fit
from divkit.models.gan import GAN
from divkit.models.gumbel import GumbelVAE, Relaxation, gumbel, maximum, relaxed, straight_through
from divkit.models.model import Model
from divkit.models.recipes import RECIPES, build
from divkit.models.vae import VAE

__all__ = [
    "AVB", "GAN", "RECIPES", "VAE", "WAE", "Data", "GumbelVAE", "Model", "NotFinite", "Relaxation", "Sampler", "Training",
    "build", "fit", "gumbel", "load", "maximum", "relaxed", "straight_through",
]
