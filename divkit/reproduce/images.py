"""Generative models of images, all on the same data and judged in the same way: `case` makes one of each `System`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.metrics import Features, frechet, kde_bandwidth, kde_log_likelihood, kid, neighbourhoods, train_features
from divkit.models import Model, Training, fit, load
from divkit.models.data import Data, mosaic
from divkit.models.model import BoundsLikelihood
from divkit.reproduce.case import Case, Outcome, Quantity, Setup, at_least, at_most
from divkit.reproduce.drawing import calm, panels
from divkit.reproduce.kit import Parts, gather, mean, spread

__all__ = ["Judgement", "System", "Variant", "case", "features_of", "judge"]

MEASURES = {  # key -> what a row says
    "frechet": "Fréchet distance on features",
    "kid": "KID on features",
    "parzen": "kernel density log-likelihood of held-out images, nats",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
JUDGED: Mapping[str, Callable[..., Quantity]] = {"frechet": at_most, "coverage": at_least}  # against a normal law of the pixels
Maker = Callable[[Data, int], tuple[Model, Training]]


@dataclass(frozen=True)
class Judgement:
    """The protocol of every image system."""

    data: str = "digits"
    seeds: int = 3  # of the full form; the short form has one
    halvings: float = 3.0  # of the learning rate in a training
    samples: int = 2000  # images drawn from a model, behind its kernel density
    draws: int = 200  # codes of a point behind IWAE's bound
    shown: int = 64  # images in the figure


@dataclass(frozen=True)
class Variant:
    """One way to train a system, and what papers measured."""

    make: Maker  # from data and a seed to a model with its training
    papers: Mapping[str, tuple[float, str]] = field(default_factory=dict)  # a key of `MEASURES`, or "elbo" -> number, source

    def paper(self, key: str) -> dict[str, Any]:
        """Return the fields `paper` and `paper_source` of the row of a measure."""
        return dict(zip(("paper", "paper_source"), self.papers.get(key, (None, None))))


@dataclass(frozen=True)
class System:
    """A kind of generative model: its variants, and steps and minutes of the short and the full form."""

    name: str
    title: str
    variants: Mapping[str, Variant]
    steps: tuple[int, int]
    sources: str
    minutes: tuple[float, float]


def judge(x: Tensor, data: Data, features: Features, protocol: Judgement = Judgement()) -> dict[str, Any]:
    """Compare a set of images with the held-out ones, by every key of `MEASURES`."""
    n, drawn = len(data.test), x[: protocol.samples]
    f, g = features(data.test), features(x[:n])
    choice, rest = data.test[: n // 2], data.test[n // 2 :]  # the bandwidth is chosen on one half, and judged on the other
    parzen, kernel = kde_log_likelihood(rest, drawn, kde_bandwidth(choice, drawn)), kid(f, g)
    values: dict[str, Any] = {"frechet": frechet(f, g).value, "parzen": float(parzen.mean())}
    values |= {"kid": kernel.value, "kid error": kernel.stderr}
    images = x[: protocol.shown].clamp(0, 1).mul(255).round().byte().tolist()
    return values | neighbourhoods(f, g)._asdict() | {"images": images}


def features_of(data: Data) -> Features:
    """Train a perceptron on the labels; its last layer gives the features."""
    assert data.labels is not None
    return train_features((data.train, data.test), data.labels, steps=300)


def _one(protocol: Judgement, steps: int, make: Maker, seed: int) -> dict[str, Any]:
    """Train a model, draw from it and judge."""
    data = load(protocol.data, seed)
    model, training = make(data, seed)
    training = replace(training, steps=steps, halving=steps / protocol.halvings, look=steps)
    fit(model, data.train, training, test=data.test)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        values = judge(model.eval().sample(protocol.samples), data, features_of(data), protocol)
        if isinstance(model, BoundsLikelihood):
            values["elbo"] = -float(torch.stack([model.loss(data.test) for _ in range(10)]).mean())
            values["draws"], values["iwae"] = protocol.draws, float(model.log_likelihood(data.test, protocol.draws).mean())
    return values


def _yardsticks(protocol: Judgement, seed: int) -> dict[str, Any]:
    """Judge the training images themselves, and a normal law of their pixels' mean and covariance: floor and baseline."""
    data = load(protocol.data, seed)
    features, flat = features_of(data), data.train.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(protocol.samples, len(values), dtype=torch.float64, generator=generator)
    pixels = flat.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T
    images = pixels.float().clamp(0, 1).reshape(-1, *data.train.shape[1:])
    sets = {"training": data.train, "normal": images}
    return {name: judge(x, data, features, protocol) for name, x in sets.items()} | {"digest": features.digest}


def _run(system: System, protocol: Judgement, setup: Setup) -> Outcome:
    def make(name: str, seed: int) -> Callable[[], Any]:
        if name == "yardsticks":
            return partial(_yardsticks, protocol, seed)
        return partial(_one, protocol, system.steps[setup.full], system.variants[name].make, seed)

    seeds = protocol.seeds if setup.full else 1
    models = gather(setup, system.name, ("yardsticks", *system.variants), seeds, make)
    bounds = models.pop("yardsticks")
    rows = [row for name in models for row in _rows(name, system.variants[name], models[name], bounds, setup.full)]
    return Outcome(rows, _figure({name: parts[0] for name, parts in models.items()}, bounds[0]))


def _rows(name: str, variant: Variant, parts: Parts, bounds: Parts, full: bool) -> list[Quantity]:
    """Return what is said of one variant, beside what the training images and a normal law of the pixels reach."""
    rows: list[Quantity] = []
    for key, title in MEASURES.items():
        floor, baseline = (mean([bound[kind] for bound in bounds], key) for kind in ("training", "normal"))
        note = f"training images {floor:.3g}, a normal law of the pixels {baseline:.3g}"
        note += f"; features {bounds[0]['digest']}" if key == "frechet" else ""
        row = partial(JUDGED[key], bound=baseline) if full and key in JUDGED else Quantity
        error = spread(parts, key) if len(parts) > 1 else parts[0].get(f"{key} error")
        rows.append(row(f"{title}, {name}", ours=mean(parts, key), stderr=error, note=note, **variant.paper(key)))
    if "iwae" in parts[0]:
        elbo, title = mean(parts, "elbo"), f"ELBO of held-out images, {name}, nats"
        rows.append(Quantity(title, elbo, stderr=spread(parts, "elbo"), **variant.paper("elbo")))
        rows.append(at_least(f"IWAE_{parts[0]['draws']} less the ELBO, {name}, nats", mean(parts, "iwae") - elbo, 0.0))
    return rows


def _figure(models: Mapping[str, dict[str, Any]], bounds: dict[str, Any]) -> Figure:
    figure, axes = panels(1, 1 + len(models), width=2.9, height=3.0)
    for ax, (name, part) in zip(axes[0], {"training images": bounds["training"], **models}.items()):
        calm(ax).imshow(mosaic(part["images"]), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(f"{name}: Fréchet {part['frechet']:.1f}")
        for spine in ax.spines.values():
            spine.set_visible(False)
    return figure


def case(system: System, protocol: Judgement = Judgement()) -> Case:
    """Return the case of a system."""
    short, full = system.steps
    return Case(
        name=system.name,
        title=system.title,
        protocol=(
            f"scikit-learn's digits, 8×8, a fifth held out; the networks of `divkit train`, batches of 64 (autoencoders: 128), "
            f"a rate that halves {protocol.halvings:g} times. As many samples as held-out images are compared on the last "
            f"layer of a perceptron that was trained here on the labels (its checksum is in the notes): Fréchet distance, KID, "
            f"precision, recall, density, coverage. Kernel density: {protocol.samples:,} samples, the bandwidth chosen on half "
            f"of the held-out images, judged on the other. Yardsticks: the training images themselves, and a normal law of the "
            f"pixels' mean and covariance, which a model has to beat in Fréchet distance and coverage. Papers' numbers are on "
            f"other data. {system.sources}"
        ),
        short=f"{short:,} steps, one seed; too few to judge pictures by.",
        full=f"{full:,} steps, {protocol.seeds} seeds: mean and spread.",
        run=partial(_run, system, protocol),
        minutes=system.minutes[0],
        full_minutes=system.minutes[1],
    )
