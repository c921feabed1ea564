"""Distances between Gaussians, and mixtures of them, in any dimension."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special

from divkit.truths.laws import GaussianLaw, Law, Mixture, whiten
from divkit.truths.quadrature import Array

__all__ = ["bures", "components", "entropic", "kernel_gap", "one_dimensional", "shift", "sliced_w2", "slicing"]

_EQUAL = 1e-10  # a relative difference of covariances up to which they count as equal


def bures(p: GaussianLaw, q: GaussianLaw) -> float:
    """Return W₂² = |Δ|² + tr(A + B − 2(A^½BA^½)^½) (Dowson & Landau 1982)."""
    roots = np.sqrt(_spectrum(p, q))
    gap = float(np.trace(p.covariance) + np.trace(q.covariance) - 2.0 * roots.sum())
    return float(np.sum((p.mean - q.mean) ** 2)) + max(gap, 0.0)


def entropic(p: GaussianLaw, q: GaussianLaw, epsilon: float) -> float:
    """Return min_π E|x−y|² + ε KL(π‖p⊗q) (Janati, Muzellec, Peyré & Cuturi 2020, theorem 1, with ε = 2σ²).

    With λ the eigenvalues of A^½BA^½, s = ε/2, D = √(4λ + s²):
    |Δ|² + tr(A + B) − Σ(D − s) + s Σ log((D + s)/2s).
    """
    s, spectrum = epsilon / 2.0, _spectrum(p, q)
    excess = 4.0 * spectrum / (np.sqrt(4.0 * spectrum + s**2) + s)  # D − s without cancellation
    moments = float(np.sum((p.mean - q.mean) ** 2) + np.trace(p.covariance) + np.trace(q.covariance))
    return moments + float(np.sum(s * np.log1p(excess / (2.0 * s)) - excess))


def slicing(d: int) -> float:
    """Return √π Γ((d+1)/2)/Γ(d/2), the factor c_d between an energy distance and its mean over slices."""
    return math.sqrt(math.pi) * math.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2))


def sliced_w2(p: GaussianLaw, q: GaussianLaw) -> float:
    """Return the mean over θ of W₂² of the projections: |Δ|²/d + E(√θᵀAθ − √θᵀBθ)².

    It is closed for proportional covariances, and an average over angles for d = 2.
    """
    d = len(p.mean)
    shifted = float(np.sum((p.mean - q.mean) ** 2)) / d
    ratio = whiten(p, q)[1]
    if np.ptp(ratio) <= _EQUAL * ratio.max():
        return shifted + (math.sqrt(ratio.mean()) - 1.0) ** 2 * float(np.trace(q.covariance)) / d
    if d > 2:
        raise ValueError(
            f"sliced-w2 between Gaussians in {d} dimensions is known for proportional covariances only; "
            "ask for w2, or for laws in at most 2 dimensions."
        )
    values = [shifted + _angles(p, q, 2**k) for k in range(6, 17)]
    for coarse, fine in pairwise(values):
        if abs(fine - coarse) <= 1e-12 * fine:
            return fine
    raise ValueError("sliced-w2: the average over angles did not converge; give covariances with less extreme axes.")


def shift(p: GaussianLaw, q: GaussianLaw, what: str) -> float:
    """Return |Δ| for Gaussians that differ by a translation."""
    if np.abs(whiten(p, q)[1] - 1.0).max() > _EQUAL:
        raise ValueError(f"{what} between Gaussians in several dimensions is known for equal covariances only; ask for w2.")
    return float(np.linalg.norm(p.mean - q.mean))


def one_dimensional(p: GaussianLaw, q: GaussianLaw, what: str) -> tuple[GaussianLaw, GaussianLaw]:
    """Return Gaussians on the line with all f-divergences of these two: N(δ, λ) and N(0, 1)."""
    delta, ratio = whiten(p, q)
    differs = np.abs(ratio - 1.0) > _EQUAL
    rest = float(np.linalg.norm(delta[~differs]))
    if differs.sum() + (rest > 0.0) > 1:
        raise ValueError(
            f"{what} between Gaussians in {len(delta)} dimensions is known where they differ along one direction only, for "
            "example where the covariances agree; ask for kl, renyi, alpha, pearson, neyman or squared-hellinger."
        )
    along, spread = (delta[differs][0], ratio[differs][0]) if differs.any() else (rest, 1.0)
    return GaussianLaw(np.array([along]), np.array([[spread]])), GaussianLaw(np.zeros(1), np.ones((1, 1)))


def components(law: Law) -> tuple[Array, tuple[GaussianLaw, ...]]:
    """Return the weights and Gaussian components of a Gaussian or a mixture of them; none of any other law."""
    if isinstance(law, GaussianLaw):
        return np.ones(1), (law,)
    if isinstance(law, Mixture) and all(isinstance(part, GaussianLaw) for part in law.parts):
        return law.weights, tuple(part for part in law.parts if isinstance(part, GaussianLaw))
    return np.ones(0), ()


def kernel_gap(p: Law, q: Law, t: Array) -> Array:
    """Return Σ sᵢsⱼ E exp(−t|Zᵢⱼ|²) for each t, s the weights of p, and minus those of q.

    Zᵢⱼ is the difference of independent draws of the components i and j.
    """
    (w, first), (v, second) = components(p), components(q)
    signed, parts = np.concatenate([w, -v]), (*first, *second)
    logs = np.array([[_log_moment(a, b, t) for b in parts] for a in parts])  # (k, k, t)
    base = logs.min(axis=(0, 1))
    # Σs = 0, so that a common value may be taken off, and close laws keep their digits
    result: Array = np.exp(base) * np.einsum("i,j,ijt->t", signed, signed, np.expm1(logs - base))
    return result


def _log_moment(a: GaussianLaw, b: GaussianLaw, t: Array) -> Array:
    """Return log E exp(−t|Z|²) of the difference Z of independent draws of two Gaussians, for each t."""
    values, vectors = np.linalg.eigh(a.covariance + b.covariance)
    mean = vectors.T @ (a.mean - b.mean)
    growth = 2.0 * t[:, None] * values
    result: Array = -np.sum(np.log1p(growth) / 2.0 + t[:, None] * mean**2 / (1.0 + growth), axis=1)
    return result


def _spectrum(p: GaussianLaw, q: GaussianLaw) -> Array:
    """Return the eigenvalues of A^½BA^½, as the squared singular values of the product of two roots."""
    roots: Array = np.linalg.svd(_root(p) @ _root(q), compute_uv=False)
    return roots**2


def _root(law: GaussianLaw) -> Any:
    """Return the square root of the covariance."""
    values, vectors = np.linalg.eigh(law.covariance)  # not Cholesky: a Dirichlet law's covariance is singular
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _angles(p: GaussianLaw, q: GaussianLaw, count: int) -> float:
    """Return the mean over so many angles of (√θᵀAθ − √θᵀBθ)², d = 2."""
    angles = math.pi * np.arange(count) / count
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    first, second = (np.sqrt(np.einsum("ki,ij,kj->k", directions, law.covariance, directions)) for law in (p, q))
    return float(np.mean((first - second) ** 2))
