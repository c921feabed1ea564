"""Kernel distances between Gaussians, and mixtures of them: one closed form, and what is an integral of it over scales."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from divkit.truths.gaussian import components, kernel_gap
from divkit.truths.laws import Law, size
from divkit.truths.quadrature import Array, Chart, log_integrals

__all__ = ["cubic", "energy", "gaussian", "laplace", "multiquadric"]

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of WAE's sum of inverse multiquadrics
_LARGEST = 200  # dimension up to which third moments fit in memory


def gaussian(p: Law, q: Law, bandwidth: float) -> float:
    """Return MMD² with exp(−d²/2σ²): E exp(−t|Z|²), t = 1/2σ², of the differences Z of the components."""
    return float(kernel_gap(p, q, np.array([0.5 / bandwidth**2]))[0])


def energy(p: Law, q: Law) -> float:
    """Return 2E|X−Y| − E|X−X′| − E|Y−Y′|, from |z| = (1/2√π) ∫ (1 − e^(−t|z|²)) t^(−3/2) dt."""
    return _mixed(p, q, lambda t: -1.5 * np.log(t), "energy") / (2.0 * math.sqrt(math.pi))


def laplace(p: Law, q: Law, bandwidth: float) -> float:
    """Return MMD² with exp(−d/σ), which is (s/2√π) ∫ e^(−s²/4t − td²) t^(−3/2) dt, s = 1/σ."""
    s = 1.0 / bandwidth
    total = _mixed(p, q, lambda t: -1.5 * np.log(t) - s**2 / (4.0 * t), "mmd-laplace")
    return total * s / (2.0 * math.sqrt(math.pi))


def multiquadric(p: Law, q: Law, sigma: float) -> float:
    """Return MMD² with Σ_s c/(c + d²), c = 2 dim σ² s: ∫ Σ_s c e^(−ct − td²) dt (Tolstikhin et al. 2018)."""
    c = 2.0 * size(p) * sigma**2 * np.array(SCALES)
    return _mixed(p, q, lambda t: np.logaddexp.reduce(np.log(c)[:, None] - np.multiply.outer(c, t)), "mmd-imq")


def cubic(p: Law, q: Law) -> float:
    """Return MMD² with (x·y/dim + 1)³: Σ_k binom(3, k) |E X^⊗k − E Y^⊗k|²/dim^k."""
    d = size(p)
    if d > _LARGEST:
        raise ValueError(f"kid: third moments in {d} dimensions are too many; give laws in at most {_LARGEST}.")
    gaps = [first - second for first, second in zip(_moments(p), _moments(q))]
    return float(sum(math.comb(3, k) * np.sum(gap**2) / d**k for k, gap in enumerate(gaps, 1)))


def _mixed(p: Law, q: Law, log_weight: Callable[[Array], Array], what: str) -> float:
    """Return ∫ w(t) MMD²_t dt over t > 0, MMD_t the distance with the kernel exp(−t d²)."""

    def logs(origin: Array, offset: Array) -> Array:
        rows: Array = (np.log(np.maximum(kernel_gap(p, q, offset), 0.0)) + log_weight(offset))[None]
        return rows

    scale = max(float(np.trace(part.covariance)) for law in (p, q) for part in components(law)[1])
    outer = [Chart(0.0, 1.0, -400.0 - math.log(scale), 300.0 - math.log(scale), True)]
    return math.exp(log_integrals(logs, outer, what)[0])


def _moments(law: Law) -> tuple[Array, Array, Array]:
    """Return E X, E X⊗X and E X⊗X⊗X."""
    weights, parts = components(law)
    first = second = third = np.zeros(())
    for weight, part in zip(weights, parts):
        m, c = part.mean, part.covariance
        own = np.multiply.outer(c, m)
        first = first + weight * m
        second = second + weight * (c + np.outer(m, m))
        cube = own + own.transpose(0, 2, 1) + own.transpose(2, 0, 1) + np.multiply.outer(np.outer(m, m), m)
        third = third + weight * cube
    return first, second, third
