"""`avb-four-points`: four points, a latent plane, and what an encoder that is no normal law gains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
from divkit.reproduce.case import UNCONFIRMED, Case, Outcome, Quantity, Setup, at_least, at_most
from divkit.reproduce.drawing import COLOURS, panels
from divkit.reproduce.kit import Effort, gather, mean, spread

__all__ = ["FOUR_POINTS", "FourPoints"]

SOURCE = f"Mescheder, Nowozin, Geiger (2017), table 1; {UNCONFIRMED}"
PAPER = {"VAE": -1.568, "AVB": -1.403}  # log p(x)


@dataclass(frozen=True)
class FourPoints:
    """The protocol of `avb-four-points`."""

    hidden: tuple[int, ...] = (64, 64)  # layers of decoder and encoders
    noise: int = 4  # numbers that AVB's encoder reads beside the point
    contrast: int = 8  # codes of each point behind the moments of adaptive contrast
    training: Training = Training(batch=256, rate=1e-3, look=100_000)
    ascent: Ascent = Ascent(rate=2e-3, warm=4, optimiser=Adam((0.5, 0.999)))  # a critic that falls behind understates the KL
    side: int = 201  # nodes along an axis of the latent plane, for log p(x)
    radius: float = 6.0  # half the side of the square that the nodes fill
    draws: int = 10_000  # codes of each point
    shown: int = 400  # those of them in the figure
    short: Effort = Effort(1500, 2)
    full: Effort = Effort(8000, 5)

    def vae(self) -> VAE:
        """Make the model whose encoder is normal."""
        return VAE(perceptron(4, 4, self.hidden), perceptron(2, 4, self.hidden), Bernoulli(), 2)

    def avb(self, seed: int) -> AVB:
        """Make the model whose encoder is a sampler; its critic sees the point and the standardised code."""
        game = Variational(Bound(KL, GAN), partial(Critic, hidden=(128, 128)), replace(self.ascent, seed=seed))
        sampler = Sampler(perceptron(4 + self.noise, 2, self.hidden), self.noise)
        return AVB(sampler, perceptron(2, 4, self.hidden), Bernoulli(), Criterion(game), 2, contrast=self.contrast)

    @torch.no_grad()
    def log_likelihood(self, model: VAE | AVB) -> float:
        """Return the mean of log p(x) over the four points, p(x) = ∫ p(x|z) N(z; 0, I) dz by the trapezoidal rule."""
        ticks = torch.linspace(-self.radius, self.radius, self.side, dtype=torch.float64)
        z = torch.cartesian_prod(ticks, ticks)
        weight = torch.log_softmax(-z.square().sum(1) / 2, 0)
        logits = model.decoder(z.float()).double()
        each = [model.likelihood(x.expand_as(logits), logits) for x in torch.eye(4, dtype=torch.float64)]
        return float(torch.logsumexp(weight[:, None] + torch.stack(each, 1), 0).mean())

    @torch.no_grad()
    def codes(self, model: VAE | AVB) -> Tensor:  # -> (4, draws, 2)
        """Draw codes of each of the four points."""
        return model.encode(torch.eye(4).repeat_interleave(self.draws, 0)).reshape(4, self.draws, 2)


def points(n: int = 1024) -> Tensor:
    """Return one-hot points (n, 4), each as often."""
    return torch.eye(4).repeat(n // 4, 1)


@torch.no_grad()
def misfit(z: Tensor) -> float:
    """Return KL(q(z) ‖ p) of all codes pooled, by a histogram of 40² cells of equal prior mass, less its expected excess."""
    cells, n = 40, z.shape[0] * z.shape[1]
    u = (torch.special.ndtr(z.flatten(0, 1)) * cells).long().clamp(0, cells - 1)
    shares = torch.bincount(u[:, 0] * cells + u[:, 1], minlength=cells**2).double() / n
    excess = (int((shares > 0).sum()) - 1) / (2 * n)
    return float(torch.special.xlogy(shares, shares * cells**2).sum()) - excess


@torch.no_grad()
def bound(model: VAE | AVB, z: Tensor) -> float:
    """Return E_q log p(x|z) − KL(q(z|x) ‖ p), the KL of each point by the histogram: an encoder needs no density for it."""
    x = torch.eye(4).repeat_interleave(z.shape[1], 0)
    reconstruction = float(model.likelihood(x, model.decoder(z.flatten(0, 1))).mean())
    return reconstruction - sum(misfit(cloud[None]) for cloud in z) / len(z)


def _one(protocol: FourPoints, steps: int, name: str, seed: int) -> dict[str, Any]:
    """Train one model and measure it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: VAE | AVB = protocol.vae() if name == "VAE" else protocol.avb(seed)
        fit(model, points(), replace(protocol.training, steps=steps, halving=steps / 2, seed=seed))
        torch.manual_seed(seed)
        z = protocol.codes(model)
        elbo, log_p = bound(model, z), protocol.log_likelihood(model)
        return {"log p": log_p, "elbo": elbo, "misfit": misfit(z), "codes": z[:, : protocol.shown].tolist()}


def _run(protocol: FourPoints, setup: Setup) -> Outcome:
    form = protocol.full if setup.full else protocol.short
    make = partial(partial, _one, protocol, form.steps)
    models = gather(setup, "avb-four-points", PAPER, form.seeds, make)
    best = -math.log(4)  # of any model of four equally frequent points; without the code, four pixels give −2.249 at best
    rows = []
    for name, paper in PAPER.items():
        parts = [part | {"gap": part["log p"] - part["elbo"]} for part in models[name]]
        title = f"log p(x), {name}, nats, mean of {len(parts)} seeds"
        value, error = mean(parts, "log p"), spread(parts, "log p")
        rows.append(Quantity(title, value, paper=paper, paper_source=SOURCE, stderr=error, note="spread over seeds"))
        largest = max(part["log p"] for part in parts)
        rows.append(at_most(f"largest log p(x) of {name} against −log 4", largest, best + 1e-9))
        rows.append(Quantity(f"KL(q(z) ‖ p), {name}, nats", mean(parts, "misfit"), stderr=spread(parts, "misfit")))
        title = f"gap between log p(x) and the ELBO, {name}, nats"
        rows.append(at_least(title, mean(parts, "gap"), 0.0, stderr=spread(parts, "gap")))
    gain = mean(models["AVB"], "log p") - mean(models["VAE"], "log p")
    rows.append(at_least("log p(x) of AVB less that of the VAE", gain, 0.0))
    figure, axes = panels(1, 2)
    for ax, (name, parts) in zip(axes[0], models.items()):
        for k, cloud in enumerate(np.array(parts[0]["codes"])):
            ax.scatter(*cloud.T, s=3, color=COLOURS[k], linewidths=0)
        ax.set(title=f"{name}: codes of the four points", aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    return Outcome(rows, figure)


PROTOCOL = FourPoints()
FOUR_POINTS = Case(
    name="avb-four-points",
    title="Four points: an adversarial encoder fills the latent plane that normal ones cannot",
    protocol=(
        f"Four one-hot points of Bernoulli pixels, z in the plane, decoder and encoders perceptrons {PROTOCOL.hidden}, batches "
        f"of {PROTOCOL.training.batch}, Adam {PROTOCOL.training.rate:g} that halves twice. The VAE's encoder is normal, AVB's "
        f"takes {PROTOCOL.noise} numbers of noise, with adaptive contrast and {PROTOCOL.ascent.warm} critic steps, of "
        f"{PROTOCOL.ascent.rate:g}, for each of the model. log p(x) by a trapezoidal rule on {PROTOCOL.side}² nodes; KL of "
        f"codes by a histogram of {PROTOCOL.draws} a point."
    ),
    short=f"{PROTOCOL.short.steps} steps, {PROTOCOL.short.seeds} seeds.",
    full=f"{PROTOCOL.full.steps} steps, {PROTOCOL.full.seeds} seeds.",
    run=partial(_run, PROTOCOL),
    minutes=1.0,
    full_minutes=25.0,
)
