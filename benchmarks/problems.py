"""Two-sample problems that papers report power on: pairs of laws at a strength, strength 0 being P = Q."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator
from sklearn.datasets import load_digits

__all__ = ["PROBLEMS", "Problem"]

Sampler = Callable[[Generator, int, float], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    """A family of pairs of laws."""

    title: str
    draw: Sampler  # (generator, n, strength) -> x (n, d), y (n, d)
    n: int
    strengths: tuple[float, ...]


def mixture(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Four Gaussians at (±20, ±20); in y the standard deviation of one is 1 + strength (Biggs et al., 2023)."""

    def one(deviation: float) -> np.ndarray:
        which = g.integers(4, size=n)
        centres = np.array(list(product((20.0, -20.0), repeat=2)))[which]
        return centres + np.where(which == 3, deviation, 1.0)[:, None] * g.standard_normal((n, 2))

    return one(1.0), one(1.0 + strength)


def perturbed(d: int, bumps: int = 2) -> Sampler:
    """The uniform law of a cube, x's density perturbed by bumps of random sign and that amplitude (Schrab et al., 2023)."""

    def density(points: np.ndarray, signs: np.ndarray, strength: float) -> np.ndarray:
        value = np.zeros(len(points))
        for sign, place in zip(signs, product(range(1, bumps + 1), repeat=d)):
            value += sign * np.prod(_bump(points * bumps - np.array(place)), axis=1)
        return 1 + strength * np.e**d * value

    def draw(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        signs, kept = g.choice([-1.0, 1.0], bumps**d), np.empty((0, d))
        while len(kept) < n:
            points = g.random((2 * n, d))
            kept = np.concatenate([kept, points[g.random(2 * n) * (1 + strength) <= density(points, signs, strength)]])
        return kept[:n], g.random((n, d))

    return draw


def blobs(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """A 3 × 3 grid of Gaussians; y's are correlated by `strength`, each blob its own way (Gretton et al., 2012)."""

    def one(correlated: bool) -> np.ndarray:
        row, column = g.integers(3, size=n), g.integers(3, size=n)
        u, v = g.standard_normal(n), g.standard_normal(n)
        rho = strength * np.where((row + column) % 2 == 0, 1.0, -1.0) * correlated
        return np.stack([row + 0.17 * u, column + 0.17 * (rho * u + np.sqrt(1 - rho**2) * v)], 1)

    return one(False), one(True)


def hdgm(d: int = 10) -> Sampler:
    """Two Gaussians in d dimensions; y's first two coordinates are correlated, in each its own way (Liu et al., 2020)."""

    def draw(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        def one(correlated: bool) -> np.ndarray:
            points, which = g.standard_normal((n, d)), g.integers(2, size=n)
            rho = strength * np.where(which == 0, 1.0, -1.0) * correlated
            points[:, 1] = rho * points[:, 0] + np.sqrt(1 - rho**2) * points[:, 1]
            return points + 0.5 * which[:, None]

        return one(False), one(True)

    return draw


def digits(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Images of digits, 8 × 8 in 17 shades; in y a share `strength` of the rows shows even digits only."""
    data, label = load_digits(return_X_y=True)
    even = data[label % 2 == 0]
    x, y = data[g.integers(len(data), size=n)], data[g.integers(len(data), size=n)]
    swapped = g.random(n) < strength
    y[swapped] = even[g.integers(len(even), size=int(swapped.sum()))]
    return x, y


def rare(g: Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Bernoulli variables of mean .05 and .05 + strength: next to nothing but ties."""
    return (g.random((n, 1)) < 0.05).astype(float), (g.random((n, 1)) < 0.05 + strength).astype(float)


def _bump(t: np.ndarray) -> np.ndarray:  # -> e⁻¹ at most: up on (−1, −½), down on (−½, 0)
    with np.errstate(divide="ignore", over="ignore"):
        up = np.where((t > -1) & (t < -0.5), np.exp(-1 / np.maximum(1 - (4 * t + 3) ** 2, 1e-300)), 0.0)
        down = np.where((t > -0.5) & (t < 0), np.exp(-1 / np.maximum(1 - (4 * t + 1) ** 2, 1e-300)), 0.0)
    return up - down


PROBLEMS = {
    "mixture": Problem("mixture of four Gaussians", mixture, 500, (-0.5, -0.3, 0.0, 0.4, 0.7)),
    "perturbed-1": Problem("perturbed uniform, d = 1", perturbed(1), 500, (0.0, 0.2, 0.3, 0.4)),
    "perturbed-2": Problem("perturbed uniform, d = 2", perturbed(2), 500, (0.0, 0.4, 0.6, 0.8)),
    "blobs": Problem("blobs", blobs, 500, (0.0, 0.5, 0.7, 0.9)),
    "hdgm": Problem("HDGM, d = 10", hdgm(), 500, (0.0, 0.4, 0.6, 0.8)),
    "digits": Problem("digits", digits, 200, (0.0, 0.15, 0.25, 0.35)),
    "bernoulli": Problem("Bernoulli(.05)", rare, 15, (0.0, 0.2, 0.4, 0.6)),
}
