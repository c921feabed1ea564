"""The survey's table of divergences as it is printed, and what each entry has to be, computed from the generator alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, optimize

__all__ = ["PAIRS", "SURVEY", "LawPair", "Printed", "conjugate", "derivative", "integral"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Densities = Callable[[Array, Array], Array]

LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Printed:
    """One row: the printed functions with the text that is printed, and the name of the record that its generator defines."""

    row: str
    name: str
    divergence: tuple[str, Densities, float]  # text, integrand in the densities p and q, constant added to the integral
    generator: tuple[str, Function]
    maximiser: tuple[str, Function]  # T* as a function of u = p/q
    conjugate: tuple[str, Function]
    domain: tuple[str, float]  # upper end; all are open and unbounded below
    activation: tuple[str, Function]
    slope: tuple[str, float]  # f'(1)
    wrong: frozenset[str] = frozenset()  # what is printed wrongly, by the names of the fields


def _js(p: Array, q: Array) -> Array:
    result: Array = p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))
    return result


SURVEY = (
    Printed(
        "Forward KL",
        "kl",
        ("∫ p log(p/q)", lambda p, q: p * np.log(p / q), 0.0),
        ("u log u", lambda u: u * np.log(u)),
        ("1 + log(q/p)", lambda u: 1 - np.log(u)),
        ("exp(t − 1)", lambda t: np.exp(t - 1)),
        ("ℝ", math.inf),
        ("ν", lambda v: v),
        ("1", 1.0),
        frozenset({"maximiser"}),
    ),
    Printed(
        "Reverse KL",
        "reverse-kl",
        ("∫ q log(p/q)", lambda p, q: q * np.log(p / q), 0.0),
        ("−log u", lambda u: -np.log(u)),
        ("−q/p", lambda u: -1 / u),
        ("−1 − log(−t)", lambda t: -1 - np.log(-t)),
        ("t < 0", 0.0),
        ("−exp ν", lambda v: -np.exp(v)),
        ("−1", -1.0),
        frozenset({"divergence", "activation"}),
    ),
    Printed(
        "Jensen–Shannon",
        "fgan-js",
        ("½ ∫ p log(2p/(p+q)) + q log(2q/(p+q))", lambda p, q: _js(p, q) / 2, 0.0),
        ("u log u − (u+1) log((u+1)/2)", lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2)),
        ("log(2p/(p+q))", lambda u: np.log(2 * u / (u + 1))),
        ("−log(2 − exp t)", lambda t: -np.log(2 - np.exp(t))),
        ("t < log 2", LOG2),
        ("log 2 − log(1 + exp(−ν))", lambda v: LOG2 - np.log1p(np.exp(-v))),
        ("0", 0.0),
        frozenset({"divergence"}),
    ),
    Printed(
        "GAN",
        "gan",
        ("∫ p log(2p/(p+q)) + q log(2q/(p+q)) − log 4", _js, -2 * LOG2),
        ("u log u − (u+1) log(u+1)", lambda u: u * np.log(u) - (u + 1) * np.log(u + 1)),
        ("log(p/(p+q))", lambda u: np.log(u / (u + 1))),
        ("−log(1 − exp t)", lambda t: -np.log(1 - np.exp(t))),
        ("t < 0", 0.0),
        ("−log(1 + exp(−ν))", lambda v: -np.log1p(np.exp(-v))),
        ("−log 2", -LOG2),
    ),
)


@dataclass(frozen=True)
class LawPair:
    """Two laws on the line: kind, location or rate, scale; and an interval that holds all but 1e-11 of both."""

    name: str
    p: tuple[str, float, float]
    q: tuple[str, float, float]
    ends: tuple[float, float]

    def densities(self, x: float) -> tuple[Array, Array]:
        """Return p(x), q(x)."""
        first, second = (np.asarray(_DENSITIES[kind](x, a, b)) for kind, a, b in (self.p, self.q))
        return first, second


_DENSITIES: dict[str, Callable[[float, float, float], float]] = {
    "normal": lambda x, a, b: math.exp(-(((x - a) / b) ** 2) / 2) / (b * math.sqrt(2 * math.pi)),
    "exponential": lambda x, a, _: a * math.exp(-a * x),
    "laplace": lambda x, a, b: math.exp(-abs(x - a) / b) / (2 * b),
}

PAIRS = (
    LawPair("N(1, 1) ‖ N(0, 1.5²)", ("normal", 1.0, 1.0), ("normal", 0.0, 1.5), (-11.0, 13.0)),
    LawPair("Exp(2) ‖ Exp(1)", ("exponential", 2.0, 0.0), ("exponential", 1.0, 0.0), (0.0, 40.0)),
    LawPair("Laplace(0, 1) ‖ Laplace(½, 3/2)", ("laplace", 0.0, 1.0), ("laplace", 0.5, 1.5), (-45.0, 45.0)),
)


def integral(pair: LawPair, integrand: Densities) -> float:
    """Return ∫ of a function of the two densities."""

    def value(x: float) -> float:
        return float(integrand(*pair.densities(x)))

    low, high = pair.ends
    points = [x for x in (-8.0, -2.0, 0.0, 0.5, 1.0, 2.0, 8.0) if low < x < high]
    return float(integrate.quad(value, low, high, points=points, epsabs=1e-12, epsrel=1e-11, limit=400)[0])


def derivative(f: Function, u: float) -> float:
    """Return f'(u) by the complex step, which does not cancel."""
    step = 1e-30
    return float(np.imag(f(np.asarray(u + step * 1j))) / step)


def conjugate(f: Function, t: float) -> float:
    """Return sup over u > 0 of ut − f(u), by search."""
    grid = np.linspace(-60.0, 60.0, 4001)
    values = np.exp(grid) * t - f(np.exp(grid))
    best = int(values.argmax())
    if best == len(grid) - 1:
        return math.inf
    low, high = grid[max(best - 1, 0)], grid[best + 1]

    def below(s: float) -> float:
        return float(f(np.asarray(math.exp(s)))) - math.exp(s) * t

    least = optimize.minimize_scalar(below, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    return -float(least.fun)
