"""Laws in any dimension, apart from the library that described them: moments and the closed forms of their pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from divkit.truths.lattice import Lattice
from divkit.truths.lines import Line
from divkit.truths.quadrature import Array

__all__ = ["Dirichlet", "GaussianLaw", "Law", "Mixture", "ProductLaw", "log_beta", "moments", "size", "whiten"]


@dataclass(frozen=True)
class GaussianLaw:
    """N(mean, covariance)."""

    mean: Array  # (d,)
    covariance: Array  # (d, d)


@dataclass(frozen=True)
class Dirichlet:
    """Dirichlet law on the simplex."""

    concentration: Array  # (d,)


@dataclass(frozen=True)
class ProductLaw:
    """Independent laws side by side."""

    parts: tuple[Law, ...]


@dataclass(frozen=True)
class Mixture:
    """A mixture of laws of more than one dimension, or of Gaussians."""

    weights: Array  # (k,)
    parts: tuple[Law, ...]


Law = Line | Lattice | GaussianLaw | Dirichlet | ProductLaw | Mixture


def size(law: Law) -> int:
    """Return the dimension."""
    match law:
        case GaussianLaw(mean):
            return len(mean)
        case Dirichlet(concentration):
            return len(concentration)
        case ProductLaw(parts):
            return sum(size(part) for part in parts)
        case Mixture(_, parts):
            return size(parts[0])
        case _:
            return 1


def moments(law: Law) -> tuple[Array, Array]:
    """Return mean (d,) and covariance (d, d)."""
    match law:
        case GaussianLaw(mean, covariance):
            return mean, covariance
        case Dirichlet(concentration):
            total = concentration.sum()
            mean = concentration / total
            return mean, (np.diag(mean) - np.outer(mean, mean)) / (total + 1.0)
        case ProductLaw(parts):
            pairs = [moments(part) for part in parts]
            return np.concatenate([m for m, _ in pairs]), linalg.block_diag(*(c for _, c in pairs))
        case Mixture(weights, parts):
            pairs = [moments(part) for part in parts]
            mean = weights @ np.stack([m for m, _ in pairs])
            within = sum(w * c for w, (_, c) in zip(weights, pairs))
            return mean, within + sum(w * np.outer(m - mean, m - mean) for w, (m, _) in zip(weights, pairs))
        case _:
            return np.array([law.mean]), np.array([[law.variance]])


def whiten(p: GaussianLaw, q: GaussianLaw) -> tuple[Array, Array]:
    """Return δ, λ (d,) of the coordinates in which p is a product of N(δᵢ, λᵢ) and q of N(0, 1)."""
    root = np.linalg.cholesky(q.covariance)
    half = linalg.solve_triangular(root, p.covariance, lower=True)
    # the excess over the identity, so that λ − 1 keeps its digits when the covariances nearly agree
    values, vectors = np.linalg.eigh(linalg.solve_triangular(root, half.T, lower=True))
    return vectors.T @ linalg.solve_triangular(root, p.mean - q.mean, lower=True), values


def log_beta(concentration: Array) -> float:
    """Return the log of the Dirichlet law's normaliser."""
    return float(special.gammaln(concentration).sum() - special.gammaln(concentration.sum()))
