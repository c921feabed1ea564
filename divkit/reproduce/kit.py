"""What several cases share: forms, parts by name and seed, means and spreads over seeds, laws and numbers in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from divkit.reproduce.case import Setup

__all__ = ["Effort", "Parts", "circle", "gather", "mean", "normal", "number", "spread"]

Parts: TypeAlias = Sequence[dict[str, Any]]
"""What a case measured of one model: a mapping for each seed."""


@dataclass(frozen=True)
class Effort:
    """How long the models of a learned case are trained, and from how many seeds each."""

    steps: int
    seeds: int


def gather(
    setup: Setup, case: str, names: Iterable[str], seeds: int, make: Callable[[str, int], Callable[[], Any]]
) -> dict[str, list[Any]]:
    """Run a part for every name and seed, or take what an interrupted run stored: name -> parts in the order of the seeds.

    `make` gives the part of a name and a seed, a `functools.partial`: its arguments tell parts of other settings apart.
    """
    parts: dict[str, list[Any]] = {name: [] for name in names}
    with setup.progress(case, len(parts) * seeds) as done:
        for seed in range(setup.seed, setup.seed + seeds):  # when the run is interrupted, all names of a seed are there
            for name, each in parts.items():
                each.append(setup.keep(f"{name} {seed}", make(name, seed)))
                done(1)
    return parts


def mean(parts: Parts, key: str) -> float:
    """Return the mean over seeds, infinite where a part has None."""
    values = [part[key] for part in parts]
    return math.inf if None in values else float(np.mean(values))


def spread(parts: Parts, key: str) -> float | None:
    """Return the standard deviation over seeds, or None of one seed."""
    return float(np.std([part[key] for part in parts], ddof=1)) if len(parts) > 1 else None


def number(value: float) -> Tensor:
    """Return a number as a tensor in float64."""
    return torch.tensor(value, dtype=torch.float64)


def normal(mean: float, deviation: float) -> Normal:
    """Return the normal law of a mean and a standard deviation, in float64."""
    return Normal(number(mean), number(deviation))


def circle(place: Tensor) -> Tensor:  # (n,) -> (n, 2)
    """Return points on a circle of radius 2: places 0 to 7 are its eighths."""
    angle = place * (math.pi / 4)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1)
