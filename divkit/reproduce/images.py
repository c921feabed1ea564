"""Generative models of images, all on the same data and judged in the same way: `case` makes one of each `System`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from divkit.metrics import Features, frechet, kde_bandwidth, kde_log_likelihood, kid, neighbourhoods, train_features
from divkit.models import VAE, GumbelVAE, Model, Training, fit, load
from divkit.models.data import Data, mosaic
from divkit.reproduce.case import Case, Outcome, Row, Setup, at_least, at_most
from divkit.reproduce.drawing import calm, panels

__all__ = ["System", "Variant", "case", "judge"]

DATA = "digits"
SEEDS = {False: 1, True: 3}
PARZEN = 2000  # samples behind a kernel density
IMPORTANCE = 200  # samples of IWAE's bound
SHOWN = 64
Parts: TypeAlias = list[dict[str, Any]]  # a dictionary for each seed
LOOKS = 3.0  # halvings of the rate in a training
MEASURES = {  # key -> what a row says
    "frechet": "Fréchet distance on features",
    "kid": "KID on features",
    "parzen": "kernel density log-likelihood of held-out images, nats",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
JUDGED: Mapping[str, Callable[..., Row]] = {"frechet": at_most, "coverage": at_least}  # against a normal law of the pixels


@dataclass(frozen=True)
class Variant:
    """One way to train a system, and what papers measured.

    Parameters
    ----------
    make : callable
        From data and a seed to a model with its training.
    papers : mapping
        From a key of `MEASURES`, or ``"elbo"``, to the paper's number and its source.
    """

    make: Callable[[Data, int], tuple[Model, Training]]
    papers: Mapping[str, tuple[float, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """A kind of generative model: its variants, and the steps of the short and the full form."""

    name: str
    title: str
    variants: Mapping[str, Variant]
    steps: tuple[int, int]
    sources: str
    minutes: tuple[float, float]


def judge(x: Tensor, data: Data, features: Features) -> dict[str, Any]:
    """What a set of images is worth against the held-out ones, by every key of `MEASURES`."""
    n = len(data.test)
    f, g = features(data.test), features(x[:n])
    choice, held = data.test[: n // 2], data.test[n // 2 :]  # the bandwidth is chosen on one half, and judged on the other
    width = kde_bandwidth(choice, x[:PARZEN])
    parzen, kernel = kde_log_likelihood(held, x[:PARZEN], width), kid(f, g)
    found: dict[str, Any] = {"frechet": frechet(f, g).value, "parzen": float(parzen.mean())}
    found |= {"kid": kernel.value, "kid error": kernel.stderr}
    return found | neighbourhoods(f, g)._asdict() | {"images": x[:SHOWN].clamp(0, 1).mul(255).round().byte().tolist()}


def _one(make: Callable[[Data, int], tuple[Model, Training]], seed: int, steps: int) -> dict[str, Any]:
    """Train, draw and judge."""
    data = load(DATA, seed)
    model, training = make(data, seed)
    fit(model, data.train, replace(training, steps=steps, halving=steps / LOOKS, look=steps), test=data.test)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        found = judge(model.eval().sample(PARZEN), data, _features(data))
        if isinstance(model, VAE | GumbelVAE):
            found["elbo"] = -float(torch.stack([model.loss(data.test) for _ in range(10)]).mean())
            found["iwae"] = float(model.log_likelihood(data.test, IMPORTANCE).mean())
    return found


def _features(data: Data) -> Features:
    assert data.labels is not None
    return train_features((data.train, data.test), data.labels, steps=300)


def _yardsticks(seed: int) -> dict[str, Any]:
    """The training images themselves, and a normal law of their pixels' mean and covariance: floor and baseline."""
    data = load(DATA, seed)
    features, flat = _features(data), data.train.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    noise = torch.randn(PARZEN, len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    normal = flat.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T
    made = normal.float().clamp(0, 1).reshape(-1, *data.train.shape[1:])
    return {"training": judge(data.train, data, features), "normal": judge(made, data, features), "digest": features.digest}


def _run(system: System, setup: Setup) -> Outcome:
    seeds = range(setup.seed, setup.seed + SEEDS[setup.full])
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in system.variants}
    bounds = []
    with setup.progress(system.name, len(seeds) * (1 + len(found))) as done:
        for seed in seeds:
            bounds.append(setup.keep(f"yardsticks {seed}", partial(_yardsticks, seed)))
            done(1)
            for name, variant in system.variants.items():
                make = partial(_one, variant.make, seed, system.steps[setup.full])
                found[name].append(setup.keep(f"{name} {seed}", make))
                done(1)
    rows = [row for name, variant in system.variants.items() for row in _rows(name, variant, (found[name], bounds), setup.full)]
    return Outcome(rows, _figure({name: parts[0] for name, parts in found.items()}, bounds[0]))


def _rows(name: str, variant: Variant, found: tuple[Parts, Parts], full: bool) -> list[Row]:
    parts, bounds = found

    def mean(key: str, of: Parts = parts) -> float:
        return float(np.mean([part[key] for part in of]))

    def spread(key: str) -> float | None:
        if len(parts) > 1:
            return float(np.std([part[key] for part in parts], ddof=1))
        return parts[0].get(f"{key} error")

    rows: list[Row] = []
    for key, said in MEASURES.items():
        floor, other = (mean(key, [bound[kind] for bound in bounds]) for kind in ("training", "normal"))
        paper, source = variant.papers.get(key, (None, None))
        note = f"training images {floor:.3g}, a normal law of the pixels {other:.3g}"
        note += f"; features {bounds[0]['digest']}" if key == "frechet" else ""
        judge_row = partial(JUDGED[key], bound=other) if full and key in JUDGED else Row
        given: dict[str, Any] = {"stderr": spread(key), "paper": paper, "paper_source": source, "note": note}
        rows.append(judge_row(f"{said}, {name}", ours=mean(key), **given))
    if "iwae" not in parts[0]:
        return rows
    paper, source = variant.papers.get("elbo", (None, None))
    bound = Row(f"ELBO of held-out images, {name}, nats", mean("elbo"), paper=paper, paper_source=source, stderr=spread("elbo"))
    rows.append(bound)
    gain = mean("iwae") - mean("elbo")
    return [*rows, at_least(f"IWAE_{IMPORTANCE} less the ELBO, {name}, nats", gain, 0.0, stderr=None)]


def _figure(found: Mapping[str, dict[str, Any]], bounds: dict[str, Any]) -> Figure:
    figure, axes = panels(1, 1 + len(found), width=2.9, height=3.0)
    shown = {"training images": bounds["training"], **found}
    for ax, (name, part) in zip(axes[0], shown.items()):
        calm(ax).imshow(mosaic(part["images"]), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(f"{name}: Fréchet {part['frechet']:.1f}")
        for spine in ax.spines.values():
            spine.set_visible(False)
    return figure


def case(system: System) -> Case:
    """The case of a system."""
    short, full = system.steps
    return Case(
        name=system.name,
        title=system.title,
        protocol=(
            f"scikit-learn's digits, 8×8, a fifth held out; the networks of `divkit train`, batches of 64 (autoencoders: 128), "
            f"a rate that halves {LOOKS:g} times. As many samples as held-out images are compared on the last layer of a "
            f"perceptron that was trained here on the labels (its checksum is in the notes): Fréchet distance, KID, precision, "
            f"recall, density, coverage. Kernel density: {PARZEN:,} samples, the bandwidth chosen on half of the held-out "
            f"images, judged on the other. Yardsticks: the training images themselves, and a normal law of the pixels' mean "
            f"and covariance, which a model has to beat in Fréchet distance and coverage. Papers' numbers are on other data. "
            f"{system.sources}"
        ),
        short=f"{short:,} steps, one seed; too few to judge pictures by.",
        full=f"{full:,} steps, {SEEDS[True]} seeds: mean and spread.",
        run=partial(_run, system),
        minutes=system.minutes[0],
        full_minutes=system.minutes[1],
    )
