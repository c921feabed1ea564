"""`ring8`, `grid25`, `swiss-roll`: one generator, one list of losses, and how many modes each finds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Size, Tensor, nn

from divkit.core import registry
from divkit.core.criterion import Criterion
from divkit.critic import Ascent, Clip, CramerSurrogate, GradientPenalty, Kantorovich, RMSProp, Variational
from divkit.fdiv import GAN, KL, PEARSON, Adversarial, NonSaturating
from divkit.metrics import Modes, grid, modes, ring
from divkit.models import GAN as Generator
from divkit.models import Training, fit, load
from divkit.models.networks import Critic, decoder
from divkit.reproduce.case import OTHER_DATA, Case, Outcome, Quantity, Setup, at_least
from divkit.reproduce.drawing import calm, panels
from divkit.reproduce.kit import Parts, gather, mean, spread
from divkit.transport import Relative, Sinkhorn

__all__ = ["TOYS"]

SOURCE = f"Lin, Khetan, Fanti, Oh (2018), PacGAN, table 1: GAN; {OTHER_DATA}"
PAPER = {"ring8": (6.3, 0.982), "grid25": (17.3, 0.948)}  # modes found, share of high quality
MIXTURES: dict[str, Modes] = {"ring8": ring(), "grid25": grid()}
WANTED = {"ring8": 8, "grid25": 24}  # modes that the losses of `JUDGED` must find in the full form
JUDGED = ("WGAN-GP", "energy", "Sinkhorn")
OCTAVES = 4  # of sines and cosines that critics see
WARM = 3  # steps of a Lipschitz critic on each batch
REACH = 0.5  # of unbalanced Sinkhorn, in the data's deviations: below the modes' spacing
PENALTY = 0.1  # λ of gradient penalties, as WGAN-GP's authors have it on toys; 10 left the ring unfound in 1,500 steps


@dataclass(frozen=True)
class Toy:
    """The protocol of a two-dimensional toy."""

    short: int  # steps
    full: int
    seeds: int = 3  # of the full form; the short form has one
    # With batch norm: on the grid, wide and shallow maps without it are no further after three times the steps.
    hidden: tuple[int, ...] = (64,) * 9  # layers of the generator
    noise: int = 2  # numbers that the generator reads
    samples: int = 2500  # drawn from a generator
    compared: int = 1000  # samples of each side for distances


@dataclass(frozen=True)
class Loss:
    """A divergence, and how a generator is trained on it."""

    divergence: Any
    training: Training
    times: int = 1  # factor on the steps of the full form


class Waves(nn.Module):
    """Points (n, d) beside sines and cosines of their coordinates, so that a critic sees small modes early: (n, 9d).

    The longest wave is eight units, about the reach of data of deviation one; each further one is half as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        angles = (x[..., None] * (math.pi / 4 * 2.0 ** torch.arange(OCTAVES, dtype=x.dtype))).flatten(1)
        return torch.cat([x, angles.sin(), angles.cos()], 1)


def critic(shape: Size, outputs: int = 1) -> nn.Sequential:
    """Make a perceptron on waves."""
    return nn.Sequential(Waves(), Critic(Size([shape.numel() * (1 + 2 * OCTAVES)]), hidden=(128, 128, 128), outputs=outputs))


def _game(dual: Any, penalty: Any = None, **ascent: Any) -> Variational:
    """Return a divergence whose critic sees waves, with a penalty where there is one."""
    game = Variational(dual, critic, Ascent(**{"rate": 1e-3} | ascent))
    return game if penalty is None else replace(game, penalty=penalty)


_GAME = Training(batch=256, rate=2e-3, betas=(0.5, 0.9))
_CLOSED = Training(batch=1024, rate=5e-3)
_CRAMER = CramerSurrogate(registry.get("energy"))
# A batch has up to a sixth too much of a mode, and a balanced plan carries it across. Points half-way make that cheaper where
# costs are squares, and no cheaper where they are distances.
_SINKHORN = Sinkhorn(p=1.0, epsilon=Relative(0.05), tol=0.1)

LOSSES: dict[str, Loss] = {
    # Generator and critic circle each other, so that modes come and go until the rate is small. Twice the steps of the others
    # are less work than Sinkhorn's.
    "WGAN-GP": Loss(_game(Kantorovich(), GradientPenalty(PENALTY), warm=WARM), _GAME, times=2),
    "energy": Loss(registry.get("energy"), _CLOSED),
    "Sinkhorn": Loss(_SINKHORN, _CLOSED),
    "Sinkhorn, squared": Loss(replace(_SINKHORN, p=2.0, epsilon=Relative(0.01)), _CLOSED),
    "Sinkhorn, squared, reach": Loss(replace(_SINKHORN, p=2.0, epsilon=Relative(0.01), reach=REACH), _CLOSED),
    "GAN": Loss(_game(NonSaturating(GAN)), _GAME),
    "GAN, saturating": Loss(_game(Adversarial(GAN)), _GAME),
    "f-GAN KL": Loss(_game(NonSaturating(KL)), _GAME),
    "f-GAN Pearson": Loss(_game(NonSaturating(PEARSON)), _GAME),
    "WGAN, clipped": Loss(_game(Kantorovich(), Clip(0.1), optimiser=RMSProp(), rate=5e-4, warm=WARM), _GAME),
    "Cramér GAN": Loss(replace(_game(_CRAMER, GradientPenalty(PENALTY), warm=WARM), critic=partial(critic, outputs=16)), _GAME),
    "MMD": Loss(registry.get("mmd"), _CLOSED),
    "sliced-w2": Loss(registry.get("sliced-w2"), _CLOSED),
}
SHORT = ("GAN", "WGAN-GP", "energy", "Sinkhorn")


def _one(protocol: Toy, data: str, loss: Loss, steps: int, seed: int) -> dict[str, Any]:
    """Train one generator, and measure its samples."""
    points = load(data, seed)
    unit = points.train.std()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = decoder(protocol.noise, points.train.shape[1:], protocol.hidden, normalised=True)
        model = Generator(network, Criterion(loss.divergence), protocol.noise)
        fit(model, points.train / unit, replace(loss.training, steps=steps, halving=steps / 3, look=steps, seed=seed))
        torch.manual_seed(seed)
        with torch.no_grad():
            x = unit * model.eval().sample(protocol.samples)
    n = protocol.compared
    values: dict[str, Any] = {key: registry.get(key).estimate(points.test[:n], x[:n]).value for key in ("energy", "w2")}
    if data in MIXTURES:
        count = modes(x, MIXTURES[data])
        reverse = count.reverse_kl if math.isfinite(count.reverse_kl) else None
        values |= {"modes": count.found, "quality": count.quality, "reverse": reverse}
    return values | {"points": x.tolist()}


def _run(protocol: Toy, data: str, setup: Setup) -> Outcome:
    def make(name: str, seed: int) -> Callable[[], Any]:
        loss = LOSSES[name]
        return partial(_one, protocol, data, loss, protocol.full * loss.times if setup.full else protocol.short, seed)

    generators = gather(setup, data, tuple(LOSSES) if setup.full else SHORT, protocol.seeds if setup.full else 1, make)
    rows: list[Quantity] = []
    for name, parts in generators.items():
        if data in MIXTURES:
            rows += _mode_rows(data, name, parts, setup.full)
        for key, title in (("w2", "W₂² to held-out points"), ("energy", "energy distance to held-out points")):
            rows.append(Quantity(f"{title}, {name}", mean(parts, key), stderr=spread(parts, key)))
    return Outcome(rows, _figure(generators, load(data, setup.seed).test))


def _mode_rows(data: str, name: str, parts: Parts, full: bool) -> list[Quantity]:
    """Return how many modes a generator found, and how well."""
    papers: list[dict[str, Any]] = (
        [{"paper": value, "paper_source": SOURCE} for value in PAPER[data]] if name == "GAN" else [{}, {}]
    )
    title = f"modes found of {len(MIXTURES[data].centres)}, {name}"
    count, error = mean(parts, "modes"), spread(parts, "modes")
    if full and name in JUDGED:
        first = at_least(title, count, float(WANTED[data]), stderr=error)
    else:
        first = Quantity(title, count, stderr=error, **papers[0])
    title, error = f"share of high quality, {name}", spread(parts, "quality")
    quality = Quantity(title, mean(parts, "quality"), stderr=error, **papers[1])
    return [first, quality, Quantity(f"KL of the modes' shares from equal ones, {name}, nats", mean(parts, "reverse"))]


def _figure(generators: dict[str, list[dict[str, Any]]], real: Tensor) -> Figure:
    columns, end = 4, 1.25 * float(real.abs().max())
    figure, axes = panels(math.ceil(len(generators) / columns), columns, width=2.6, height=2.6)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, parts) in zip(axes.flat, generators.items()):
        ax.set_axis_on()
        calm(ax)
        ax.scatter(*real[:1000].T.numpy(), s=6, color="#d8d4cb", linewidths=0)
        ax.scatter(*np.array(parts[0]["points"]).T, s=1.5, linewidths=0)
        ax.set(
            title=name + (f": {parts[0]['modes']} modes, {parts[0]['quality']:.0%}" if "modes" in parts[0] else ""),
            xlim=(-end, end),
            ylim=(-end, end),
            aspect="equal",
        )
    return figure


def _case(data: str, title: str, kind: str, protocol: Toy) -> Case:
    """Return the case of a set of points."""
    layers, longest = protocol.hidden, LOSSES["WGAN-GP"].times * protocol.full
    return Case(
        name=data,
        title=title,
        protocol=(
            f"{kind}, in units of their deviation; a generator of noise {protocol.noise}, {len(layers)} layers of {layers[0]}, "
            f"batch norm, critics of 128–128–128 on points and {OCTAVES} octaves of their sines and cosines, gradient "
            f"penalties of λ = {PENALTY}, Sinkhorn with the cost |x − y|, and with |x − y|², balanced and of reach {REACH} "
            f"deviations, which loses mass rather than move it further. Adam at a rate that halves three times; "
            f"{protocol.samples:,} samples. Settings chosen on seeds from 100 on. A mode counts with 20 good samples; good: "
            f"within three deviations of a centre."
        ),
        short=f"{protocol.short} steps, {', '.join(SHORT)}, one seed; nothing is judged after so few steps.",
        full=f"{protocol.full:,} steps, WGAN-GP {longest:,}, {len(LOSSES)} losses, {protocol.seeds} seeds.",
        run=partial(_run, protocol, data),
        minutes=1.5,
        full_minutes=100.0,
    )


RING, GRID, ROLL = Toy(400, 1500), Toy(400, 2500), Toy(400, 1500)
TOYS = (
    _case(
        "ring8", "Eight modes on a ring: which losses find them", "Eight normal laws of deviation .01 on the unit circle", RING
    ),
    _case(
        "grid25",
        "Twenty-five modes on a grid: which losses find them",
        "25 normal laws of deviation .05 on a grid of spacing 2",
        GRID,
    ),
    _case("swiss-roll", "A spiral: how close each loss comes", "A spiral with noise", ROLL),
)
