"""`avb-four-points`: four points, a latent plane, and what an encoder that is no normal law gains."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from divkit.core.criterion import Criterion
from divkit.critic import Adam, Ascent, Variational
from divkit.fdiv import GAN, KL, Bound
from divkit.models import AVB, VAE, Sampler, Training, fit
from divkit.models.likelihoods import Bernoulli
from divkit.models.networks import Critic, perceptron
from divkit.reproduce.case import UNCONFIRMED, Case, Outcome, Row, Setup, at_least, at_most
from divkit.reproduce.drawing import COLOURS, panels

__all__ = ["FOUR_POINTS"]

SOURCE = f"Mescheder, Nowozin, Geiger (2017), table 1; {UNCONFIRMED}"
BEST = -math.log(4)  # of any model of four equally frequent points; without the code, four pixels give −2.249 at best
HIDDEN, NOISE = (64, 64), 4
TRAINING = Training(batch=256, rate=1e-3, look=100_000)
CRITIC = Ascent(rate=2e-3, warm=4, optimiser=Adam((0.5, 0.999)))  # it has to keep up: behind, it understates the KL
STEPS = {False: 1500, True: 8000}
SEEDS = {False: 2, True: 5}
SIDE, REACH = 201, 6.0  # grid of the plane for log p(x)
DRAWS, SHOWN = 10_000, 400  # codes of each point, those of them in the figure


def points(n: int = 1024) -> Tensor:
    """One-hot points (n, 4), each as often."""
    return torch.eye(4).repeat(n // 4, 1)


def vae() -> VAE:
    return VAE(perceptron(4, 4, HIDDEN), perceptron(2, 4, HIDDEN), Bernoulli(), 2)


def avb(ascent: Ascent) -> AVB:
    """With adaptive contrast; the critic sees the point and the standardised code."""
    critic = partial(Critic, hidden=(128, 128))
    criterion = Criterion(Variational(Bound(KL, GAN), critic, ascent))
    sampler = Sampler(perceptron(4 + NOISE, 2, HIDDEN), NOISE)
    return AVB(sampler, perceptron(2, 4, HIDDEN), Bernoulli(), criterion, 2, contrast=8)


@torch.no_grad()
def log_likelihood(model: VAE | AVB) -> float:
    """Mean of log p(x) over the four points, p(x) = ∫ p(x|z) N(z; 0, I) dz by the trapezoidal rule on the plane."""
    ticks = torch.linspace(-REACH, REACH, SIDE, dtype=torch.float64)
    z = torch.cartesian_prod(ticks, ticks)
    weight = torch.log_softmax(-z.square().sum(1) / 2, 0)
    logits = model.decoder(z.float()).double()
    each = [model.likelihood(x.expand_as(logits), logits) for x in torch.eye(4, dtype=torch.float64)]
    return float(torch.logsumexp(weight[:, None] + torch.stack(each, 1), 0).mean())


@torch.no_grad()
def codes(model: VAE | AVB) -> Tensor:  # -> (4, DRAWS, 2)
    x = torch.eye(4).repeat_interleave(DRAWS, 0)
    z: Tensor = model.encoder(x) if isinstance(model, AVB) else model.posterior(x).sample()
    return z.reshape(4, DRAWS, 2)


@torch.no_grad()
def misfit(z: Tensor) -> float:
    """KL(q(z) ‖ p) of all codes pooled, by a histogram of 40² cells of equal prior mass, less its expected excess."""
    cells, n = 40, z.shape[0] * z.shape[1]
    u = (torch.special.ndtr(z.flatten(0, 1)) * cells).long().clamp(0, cells - 1)
    shares = torch.bincount(u[:, 0] * cells + u[:, 1], minlength=cells**2).double() / n
    excess = (int((shares > 0).sum()) - 1) / (2 * n)
    return float(torch.special.xlogy(shares, shares * cells**2).sum()) - excess


@torch.no_grad()
def bound(model: VAE | AVB, z: Tensor) -> float:
    """E_q log p(x|z) − KL(q(z|x) ‖ p), the KL of each point by the same histogram: an encoder needs no density for it."""
    x = torch.eye(4).repeat_interleave(z.shape[1], 0)
    reconstruction = float(model.likelihood(x, model.decoder(z.flatten(0, 1))).mean())
    return reconstruction - sum(misfit(cloud[None]) for cloud in z) / len(z)


def _one(name: str, training: Training, ascent: Ascent) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        model: VAE | AVB = vae() if name == "VAE" else avb(ascent)
        fit(model, points(), training)
        torch.manual_seed(training.seed)
        z = codes(model)
        return {
            "log p": log_likelihood(model),
            "elbo": bound(model, z),
            "misfit": misfit(z),
            "codes": z[:, :SHOWN].tolist(),
        }


def _run(setup: Setup) -> Outcome:
    steps, seeds = STEPS[setup.full], range(setup.seed, setup.seed + SEEDS[setup.full])
    found: dict[str, list[dict[str, Any]]] = {"VAE": [], "AVB": []}
    with setup.progress("avb-four-points", 2 * len(seeds)) as done:
        for name, seed in ((name, seed) for name in found for seed in seeds):
            training = replace(TRAINING, steps=steps, halving=steps / 2, seed=seed)
            make = partial(_one, name, training, replace(CRITIC, seed=seed))
            found[name].append(setup.keep(f"{name} {seed}", make))
            done(1)
    rows, means = [], {}
    for name, paper in (("VAE", -1.568), ("AVB", -1.403)):
        values = np.array([one["log p"] for one in found[name]])
        means[name], spread = float(values.mean()), float(values.std(ddof=1))
        said = f"log p(x), {name}, nats, mean of {len(values)} seeds"
        rows.append(Row(said, means[name], paper=paper, paper_source=SOURCE, stderr=spread, note="spread over seeds"))
        rows.append(at_most(f"largest log p(x) of {name} against −log 4", float(values.max()), BEST + 1e-9))
        misfits = np.array([one["misfit"] for one in found[name]])
        rows.append(Row(f"KL(q(z) ‖ p), {name}, nats", float(misfits.mean()), stderr=float(misfits.std(ddof=1))))
        gaps = np.array([one["log p"] - one["elbo"] for one in found[name]])
        spread = float(gaps.std(ddof=1))
        rows.append(at_least(f"gap between log p(x) and the ELBO, {name}, nats", float(gaps.mean()), 0.0, stderr=spread))
    rows.append(at_least("log p(x) of AVB less that of the VAE", means["AVB"] - means["VAE"], 0.0))
    figure, axes = panels(1, 2)
    for ax, name in zip(axes[0], found):
        for k, cloud in enumerate(np.array(found[name][0]["codes"])):
            ax.scatter(*cloud.T, s=3, color=COLOURS[k], linewidths=0)
        ax.set_title(f"{name}: codes of the four points")
        ax.set_aspect("equal")
        ax.set_xlim(-3.5, 3.5)
        ax.set_ylim(-3.5, 3.5)
    return Outcome(rows, figure)


FOUR_POINTS = Case(
    name="avb-four-points",
    title="Four points: an adversarial encoder fills the latent plane that normal ones cannot",
    protocol=(
        f"Four one-hot points of Bernoulli pixels, z in the plane, decoder and encoders perceptrons {HIDDEN}, batches of "
        f"{TRAINING.batch}, Adam {TRAINING.rate:g} that halves twice. The VAE's encoder is normal, AVB's takes {NOISE} "
        f"numbers of noise, with adaptive contrast and {CRITIC.warm} critic steps, of "
        f"{CRITIC.rate:g}, for each of the model. log p(x) by a trapezoidal rule on {SIDE}² nodes; "
        f"KL of codes by a histogram of {DRAWS} a point."
    ),
    short=f"{STEPS[False]} steps, {SEEDS[False]} seeds.",
    full=f"{STEPS[True]} steps, {SEEDS[True]} seeds.",
    run=_run,
    minutes=1.0,
    full_minutes=25.0,
)
