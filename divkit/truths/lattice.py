"""Laws on the non-negative integers: sums with a controlled tail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.distributions as td
from scipy import stats

from divkit.truths.integrals import Integrand
from divkit.truths.lines import Getter
from divkit.truths.quadrature import Array

__all__ = ["LATTICES", "Lattice", "energy", "log_integral", "table", "wasserstein"]

_LONGEST = 2**22  # terms of a sum
_NEGLIGIBLE = -37.0  # log of the last term relative to the sum

LATTICES: dict[type[td.Distribution], Callable[[Getter], Any]] = {
    td.Bernoulli: lambda g: stats.bernoulli(g("probs")),
    td.Binomial: lambda g: stats.binom(g("total_count"), g("probs")),
    td.Geometric: lambda g: stats.geom(g("probs"), loc=-1),  # counts failures, from 0
    td.NegativeBinomial: lambda g: stats.nbinom(g("total_count"), 1 - g("probs")),
    td.Poisson: lambda g: stats.poisson(g("rate")),
}


@dataclass(frozen=True)
class Lattice:
    """A law on 0, 1, …: `log_mass` of an array of integers, the largest value, the first two moments."""

    log_mass: Callable[[Array], Array]
    high: float
    mean: float
    variance: float


def table(frozen: Any) -> Lattice:
    """Return the law of a mass function of scipy."""
    mean, variance = (float(moment) for moment in frozen.stats("mv"))
    return Lattice(frozen.logpmf, float(frozen.support()[1]), mean, variance)


def log_integral(p: Lattice, q: Lattice, integrand: Integrand, what: str) -> float:
    """Return the log of the sum of a function of the two log-masses; +inf where it diverges."""
    for size in _sizes(p, q):
        logs = _logs(p, q, size)
        with np.errstate(all="ignore"):
            terms = integrand(*logs)
        total = float(np.logaddexp.reduce(terms))
        if math.isinf(total) or _complete(p, q, size) or terms[-1] - total < _NEGLIGIBLE:
            _check(logs, what)
            return total
        slope, earlier = terms[-1] - terms[-2], terms[-size // 4] - terms[-size // 4 - 1]
        if slope >= -1e-12 and slope >= earlier - 1e-9:
            return math.inf
    raise ValueError(f"{what}: the sum is not complete after {_LONGEST} terms; give laws with lighter tails or smaller means.")


def energy(p: Lattice, q: Lattice) -> float:
    """Return 2Σ(F − G)²."""
    return 2.0 * float(np.sum(_gaps(p, q) ** 2))


def wasserstein(p: Lattice, q: Lattice, power: int) -> float:
    """Return W_p^p: Σ|F − G| for p = 1; the quantile functions' distance in general."""
    if power == 1:
        return float(np.sum(np.abs(_gaps(p, q))))
    first, second = (np.cumsum(mass) / np.sum(mass) for mass in _masses(p, q))
    levels = np.unique(np.concatenate([first, second]))
    middles = (levels + np.concatenate([[0.0], levels[:-1]])) / 2.0
    gap = np.searchsorted(first, middles).astype(float) - np.searchsorted(second, middles)
    return float(np.sum(np.diff(levels, prepend=0.0) * np.abs(gap) ** power))


def _sizes(p: Lattice, q: Lattice) -> list[int]:
    """Return the numbers of terms to try: past both laws' bulk, then doubling."""
    need = max(law.mean + 40.0 * math.sqrt(law.variance) + 100.0 for law in (p, q))
    need = min(need, max(p.high, q.high) + 1.0)
    if need > _LONGEST:
        raise ValueError(f"the laws reach to {need:.3g}, wanted at most {_LONGEST}; give laws with smaller means.")
    sizes = [int(need)]
    while not _complete(p, q, sizes[-1]) and sizes[-1] < _LONGEST:
        sizes.append(min(2 * sizes[-1], _LONGEST))
    return sizes


def _complete(p: Lattice, q: Lattice, size: int) -> bool:
    """Tell whether so many terms are all there are."""
    return size > max(p.high, q.high)


def _logs(p: Lattice, q: Lattice, size: int) -> tuple[Array, Array]:
    """Return the log-masses of both laws at 0, 1, …"""
    k = np.arange(size, dtype=float)
    return np.asarray(p.log_mass(k)), np.asarray(q.log_mass(k))


def _masses(p: Lattice, q: Lattice) -> tuple[Array, Array]:
    """Return the masses of both laws at 0, 1, …"""
    size = _sizes(p, q)[0]
    logs = _logs(p, q, size)
    _check(logs, "distance")
    return np.exp(logs[0]), np.exp(logs[1])


def _check(logs: tuple[Array, Array], what: str) -> None:
    """Refuse masses that do not sum to one."""
    for law, log in zip(("p", "q"), logs):
        if abs(np.exp(log).sum() - 1.0) > 1e-8:
            mass = f"mass {np.exp(log).sum():.9f} in {len(log)} terms"
            raise ValueError(f"{what}: {law} has {mass}, wanted 1; give laws with smaller means.")


def _gaps(p: Lattice, q: Lattice) -> Array:
    """Return F − G at 0, 1, …"""
    first, second = _masses(p, q)
    result: Array = np.cumsum(first - second)
    return result
