"""`ring8`, `grid25`, `swiss-roll`: one generator, one list of losses, and how many modes each finds."""

from __future__ import annotations

import math
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
from divkit.reproduce.case import OTHER_DATA, Case, Outcome, Row, Setup, at_least
from divkit.reproduce.drawing import calm, panels
from divkit.transport import Relative, Sinkhorn

__all__ = ["TOYS"]

SOURCE = f"Lin, Khetan, Fanti, Oh (2018), PacGAN, table 1: GAN; {OTHER_DATA}"
PAPER = {"ring8": (6.3, 0.982), "grid25": (17.3, 0.948)}  # modes found, share of high quality
MIXTURES: dict[str, Modes] = {"ring8": ring(), "grid25": grid()}
WANTED = {"ring8": 8, "grid25": 24}
JUDGED = ("WGAN-GP", "energy", "Sinkhorn")  # must find the modes, in the full form
JUDGES = 1000  # samples of each side for distances
SAMPLES, NOISE = 2500, 2
HIDDEN = (64,) * 9  # with batch norm: on the grid, wide and shallow maps without it are no further after three times the steps
SEEDS = {False: 1, True: 3}
WARM = 3  # steps of a Lipschitz critic on each batch
OCTAVES = 4
REACH = 0.5  # below the modes' spacing
PENALTY = 0.1  # λ of gradient penalties, as WGAN-GP's authors have it on toys; 10 left the ring unfound in 1,500 steps


@dataclass(frozen=True)
class Loss:
    """A divergence and how a generator is trained on it."""

    divergence: Any
    training: Training
    times: int = 1  # the steps of the others, in the full form


class Waves(nn.Module):
    """Points (n, d) beside sines and cosines of their coordinates, so that a critic sees small modes early: (n, 9d).

    The longest wave is eight units, about the reach of data of deviation one; each further one is half as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        angles = (x[..., None] * (math.pi / 4 * 2.0 ** torch.arange(OCTAVES, dtype=x.dtype))).flatten(1)
        return torch.cat([x, angles.sin(), angles.cos()], 1)


def critic(shape: Size, outputs: int = 1) -> nn.Sequential:
    """A perceptron on waves."""
    return nn.Sequential(Waves(), Critic(Size([shape.numel() * (1 + 2 * OCTAVES)]), hidden=(128, 128, 128), outputs=outputs))


def _game(dual: Any, penalty: Any = None, **ascent: Any) -> Variational:
    made = Variational(dual, critic, Ascent(**{"rate": 1e-3} | ascent))
    return made if penalty is None else replace(made, penalty=penalty)


def _cramer(rate: float) -> Variational:
    return Variational(
        CramerSurrogate(registry.get("energy")),
        partial(critic, outputs=16),
        Ascent(rate=rate, warm=WARM),
        penalty=GradientPenalty(PENALTY),
    )


_GAME = Training(batch=256, rate=2e-3, betas=(0.5, 0.9))
_CLOSED = Training(batch=1024, rate=5e-3)
# What a batch has too much of a mode, a sixth, a balanced plan carries across. Points half-way make that cheaper where costs
# are squares, and no cheaper where they are distances.
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
    "Cramér GAN": Loss(_cramer(1e-3), _GAME),
    "MMD": Loss(registry.get("mmd"), _CLOSED),
    "sliced-w2": Loss(registry.get("sliced-w2"), _CLOSED),
}
SHORT = ("GAN", "WGAN-GP", "energy", "Sinkhorn")
STEPS = {"ring8": (400, 1500), "grid25": (400, 2500), "swiss-roll": (400, 1500)}  # short form, full form


def _one(data: str, loss: Loss, steps: int, seed: int) -> dict[str, Any]:
    """Train one generator; what its samples are worth."""
    held = load(data, seed)
    unit = held.train.std()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = decoder(NOISE, held.train.shape[1:], HIDDEN, normalised=True)
        model = Generator(network, Criterion(loss.divergence), NOISE)
        fit(model, held.train / unit, replace(loss.training, steps=steps, halving=steps / 3, look=steps, seed=seed))
        torch.manual_seed(seed)
        with torch.no_grad():
            x = unit * model.eval().sample(SAMPLES)
    found: dict[str, Any] = {key: registry.get(key).estimate(held.test[:JUDGES], x[:JUDGES]).value for key in ("energy", "w2")}
    if data in MIXTURES:
        count = modes(x, MIXTURES[data])
        reverse = count.reverse_kl if math.isfinite(count.reverse_kl) else None
        found |= {"modes": count.found, "quality": count.quality, "reverse": reverse}
    return found | {"points": x.tolist()}


def _run(data: str, setup: Setup) -> Outcome:
    names = tuple(LOSSES) if setup.full else SHORT
    seeds = range(setup.seed, setup.seed + SEEDS[setup.full])
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with setup.progress(data, len(names) * len(seeds)) as done:
        for seed, name in ((seed, name) for seed in seeds for name in names):  # interrupted, all of a seed is there
            steps = STEPS[data][setup.full] * (LOSSES[name].times if setup.full else 1)
            make = partial(_one, data, LOSSES[name], steps, seed)
            found[name].append(setup.keep(f"{name} {seed}", make))
            done(1)
    rows: list[Row] = []
    for name, parts in found.items():
        if data in MIXTURES:
            rows += _mode_rows(data, name, parts, setup.full)
        for key, said in (("w2", "W₂² to held-out points"), ("energy", "energy distance to held-out points")):
            rows.append(Row(f"{said}, {name}", _mean(parts, key), stderr=_spread(parts, key)))
    return Outcome(rows, _figure(data, found, load(data, setup.seed).test))


def _mean(parts: list[dict[str, Any]], key: str) -> float:
    values = [part[key] for part in parts]
    return math.inf if None in values else float(np.mean(values))


def _spread(parts: list[dict[str, Any]], key: str) -> float | None:
    return float(np.std([part[key] for part in parts], ddof=1)) if len(parts) > 1 else None


def _mode_rows(data: str, name: str, parts: list[dict[str, Any]], full: bool) -> list[Row]:
    paper = PAPER[data] if name == "GAN" else (None, None)
    sources = [SOURCE if value is not None else None for value in paper]
    said = f"modes found of {len(MIXTURES[data].centres)}, {name}"
    count, spread = _mean(parts, "modes"), _spread(parts, "modes")
    if full and name in JUDGED:
        first = at_least(said, count, float(WANTED[data]), stderr=spread)
    else:
        first = Row(said, count, paper=paper[0], paper_source=sources[0], stderr=spread)
    good, spread = _mean(parts, "quality"), _spread(parts, "quality")
    quality = Row(f"share of high quality, {name}", good, paper=paper[1], paper_source=sources[1], stderr=spread)
    return [first, quality, Row(f"KL of the modes' shares from equal ones, {name}, nats", _mean(parts, "reverse"))]


def _figure(data: str, found: dict[str, list[dict[str, Any]]], real: Tensor) -> Figure:
    columns = 4
    figure, axes = panels(math.ceil(len(found) / columns), columns, width=2.6, height=2.6)
    reach = 1.25 * float(real.abs().max())
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, parts) in zip(axes.flat, found.items()):
        ax.set_axis_on()
        calm(ax)
        ax.scatter(*real[:1000].T.numpy(), s=6, color="#d8d4cb", linewidths=0)
        ax.scatter(*np.array(parts[0]["points"]).T, s=1.5, linewidths=0)
        ax.set_title(name + (f": {parts[0]['modes']} modes, {parts[0]['quality']:.0%}" if "modes" in parts[0] else ""))
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
    return figure


def _case(data: str, title: str) -> Case:
    kind = {
        "ring8": "Eight normal laws of deviation .01 on the unit circle",
        "grid25": "25 normal laws of deviation .05 on a grid of spacing 2",
        "swiss-roll": "A spiral with noise",
    }[data]
    return Case(
        name=data,
        title=title,
        protocol=(
            f"{kind}, in units of their deviation; a generator of noise {NOISE}, {len(HIDDEN)} layers of {HIDDEN[0]}, batch "
            f"norm, critics of 128–128–128 on points and {OCTAVES} octaves of their sines and cosines, gradient penalties of "
            f"λ = {PENALTY}, Sinkhorn with the cost |x − y|, and with |x − y|², balanced and of reach {REACH} deviations, "
            f"which loses mass rather than move it further. Adam at a rate that halves three times; {SAMPLES:,} samples. "
            f"Settings chosen on seeds from 100 on. A mode counts with 20 good samples; good: within three deviations of a "
            f"centre."
        ),
        short=f"{STEPS[data][False]} steps, {', '.join(SHORT)}, one seed; nothing is judged after so few steps.",
        full=(
            f"{STEPS[data][True]:,} steps, WGAN-GP {LOSSES['WGAN-GP'].times * STEPS[data][True]:,}, {len(LOSSES)} losses, "
            f"{SEEDS[True]} seeds."
        ),
        run=partial(_run, data),
        minutes=1.5,
        full_minutes=100.0,
    )


TOYS = (
    _case("ring8", "Eight modes on a ring: which losses find them"),
    _case("grid25", "Twenty-five modes on a grid: which losses find them"),
    _case("swiss-roll", "A spiral: how close each loss comes"),
)
