"""Estimates beside the truth, many times over: the case `estimators` and the calibration benchmark count with them."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.distributions import MultivariateNormal

from divkit.core import registry
from divkit.core.divergence import Divergence
from divkit.core.estimate import Solution
from divkit.data.measure import Measure
from divkit.truths import exact

__all__ = ["Setting", "Told", "known", "measure", "summary", "truth"]

FIELDS = {  # field -> the names that have no value, or no exact one, without it
    "order": ("alpha", "renyi", "renyi-knn"),
    "weight": ("weighted-js", "skew-kl", "relative-pearson"),
    "epsilon": ("sinkhorn", "entropic-ot"),
    "bandwidth": ("mmd", "mmd-laplace"),
}


@dataclass(frozen=True)
class Setting:
    """P = N(δe₁, I) against Q = N(0, I) in d dimensions, n samples of each."""

    n: int
    d: int
    shift: float

    def laws(self) -> tuple[MultivariateNormal, MultivariateNormal]:
        """Return P and Q."""
        mean = torch.zeros(self.d, dtype=torch.float64)
        unit = torch.eye(self.d, dtype=torch.float64)
        moved = mean.clone()
        moved[0] = self.shift
        return MultivariateNormal(moved, unit), MultivariateNormal(mean, unit)

    def samples(self, seed: int) -> tuple[Measure, Measure]:
        """Draw n points of each law."""
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(2, self.n, self.d, generator=generator, dtype=torch.float64)
        x[:, 0] += self.shift
        return Measure(x), Measure(y)

    def fields(self, name: str) -> dict[str, float]:
        """Return the fields that a name is estimated with."""
        values = {"order": 0.5, "weight": 0.3, "epsilon": 1.0, "bandwidth": math.sqrt(2 * self.d)}
        return {key: values[key] for key, names in FIELDS.items() if name.removesuffix("-classifier") in names}

    def __str__(self) -> str:
        return f"n = {self.n:,}, d = {self.d}, δ = {self.shift:g}"


class Told(NamedTuple):
    """One estimate as it is stored."""

    value: float
    stderr: float
    low: float
    high: float
    seconds: float
    solved: bool


def known(setting: Setting) -> list[str]:
    """Return the registered names whose exact value is known in a setting."""
    names = []
    for name in registry.names():
        try:
            truth(name, setting)
        except ValueError:
            continue
        names.append(name)
    return names


def truth(name: str, setting: Setting) -> float:
    """Return the exact value of a named divergence in a setting."""
    p, q = setting.laws()
    return exact(name, p, q, **setting.fields(name))


def measure(setting: Setting, names: Sequence[str], seed: int) -> dict[str, list[float]]:
    """Estimate all names on one pair of samples; equal inner problems are solved once, and their time counts for each.

    Directions, features and folds are drawn anew with the samples: in a mean over repetitions their errors average out too.
    """
    x, y = setting.samples(seed)
    solutions: dict[Hashable, tuple[Solution, float]] = {}
    estimates = {}
    for name in names:
        # The samples are drawn from `seed`: an estimator that drew from it too would see the same normal deviates.
        option = {"seed": 1_000_000 + seed} if "seed" in registry.options(name) else {}
        divergence = registry.get(name, **setting.fields(name), **option)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is not solved is counted
            estimates[name] = list(_one(divergence, x, y, solutions))
    return estimates


def _one(divergence: Divergence, x: Measure, y: Measure, solutions: dict[Hashable, tuple[Solution, float]]) -> Told:
    """Estimate one divergence with the solution of an equal problem where there is one; else add its own."""
    started = time.perf_counter()
    solution, before = solutions.get(divergence.problem, (None, 0.0))
    e = divergence.estimate(x, y, solution=solution)
    seconds = time.perf_counter() - started
    if solution is None:
        solutions[divergence.problem] = e.solution, seconds
    return Told(e.value, e.stderr, *e.ci(), before + seconds, e.converged)


def summary(runs: Sequence[Told], true: float) -> Mapping[str, Any]:
    """Return mean, spread, mean error, coverage and time over the repetitions."""
    values = np.array([each.value for each in runs])
    errors = np.array([each.stderr for each in runs])
    inside = [each.low <= true <= each.high for each in runs]
    return {
        "mean": float(values.mean()),
        "spread": float(values.std(ddof=1)),
        "stderr": float(errors.mean()),
        "coverage": float(np.mean(inside)),
        "seconds": float(np.median([each.seconds for each in runs])),
        "unsolved": sum(not each.solved for each in runs),
    }
