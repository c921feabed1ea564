"""Kullback–Leibler divergence and affinity ∫p^α q^(1−α) of pairs of laws: closed where known, else integrals."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from divkit.truths import lattice, line
from divkit.truths.integrals import Integrand, affinity, alpha
from divkit.truths.integrals import kl as kl_integrand
from divkit.truths.lattice import Lattice
from divkit.truths.laws import Dirichlet, GaussianLaw, Law, ProductLaw, log_beta, whiten
from divkit.truths.lines import Line

__all__ = ["exp", "kl", "log_affinity", "log_integral"]


def kl(p: Law, q: Law) -> float:
    """Return KL(p‖q) in nats.

    Gaussians, whitened (δ, λ): ½Σ(λ − 1 − log λ + δ²). Dirichlet: log B(b) − log B(a) + Σ(a − b)(ψ(a) − ψ(Σa)).
    Products: the sum over the parts.
    """
    match p, q:
        case GaussianLaw(), GaussianLaw():
            delta, ratio = whiten(p, q)
            return float(np.sum(ratio - 1.0 - np.log1p(ratio - 1.0) + delta**2)) / 2.0
        case Dirichlet(a), Dirichlet(b):
            slope = special.digamma(a) - special.digamma(a.sum())
            return log_beta(b) - log_beta(a) + float((a - b) @ slope)
        case ProductLaw(parts), ProductLaw(others):
            return sum(kl(part, other) for part, other in zip(parts, others))
        case _:
            return exp(log_integral(p, q, kl_integrand, "kl"), "kl")


def log_affinity(p: Law, q: Law, order: float) -> float:
    """Return log ∫p^α q^(1−α), α the order: +inf or −inf where the integral is infinite or 0.

    Gaussians, whitened, with s = α + (1 − α)λ > 0: Σ[½(1 − α) log λ − ½ log s − ½α(1 − α)δ²/s] (Gil, Alajaji & Linder
    2013). Dirichlet, with c = αa + (1 − α)b > 0: log B(c) − α log B(a) − (1 − α) log B(b).
    """
    match p, q:
        case GaussianLaw(), GaussianLaw():
            delta, ratio = whiten(p, q)
            s = order + (1.0 - order) * ratio
            if not (s > 0.0).all():
                return math.inf
            spread = (1.0 - order) * np.log1p(ratio - 1.0) - np.log1p((1.0 - order) * (ratio - 1.0))
            return float(np.sum(spread - order * (1.0 - order) * delta**2 / s)) / 2.0
        case Dirichlet(a), Dirichlet(b):
            c = order * a + (1.0 - order) * b
            if not (c > 0.0).all():
                return math.inf
            return log_beta(c) - order * log_beta(a) - (1.0 - order) * log_beta(b)
        case ProductLaw(parts), ProductLaw(others):
            return sum(log_affinity(part, other, order) for part, other in zip(parts, others))
        case _:
            return _affinity_by_integral(p, q, order)


def _affinity_by_integral(p: Law, q: Law, order: float) -> float:
    """Return log ∫p^α q^(1−α) by way of the alpha divergence, which keeps its digits where p is near q."""
    what, factor = f"affinity of order {order:g}", order * (order - 1.0)
    log = log_integral(p, q, alpha(order), what)
    if factor > 0.0:
        return float(np.logaddexp(0.0, log + math.log(factor)))
    if factor * math.exp(log) > -0.5:
        return math.log1p(factor * math.exp(log))
    # one minus almost one has lost its digits: the affinity itself has them
    return log_integral(p, q, lambda log_p, log_q: affinity(log_p, log_q, order), what)


def log_integral(p: Law, q: Law, integrand: Integrand, what: str) -> float:
    """Return the log of the integral or sum of a function of (log p, log q), for two laws on the line or the integers."""
    match p, q:
        case Line(), Line():
            return line.log_integral(p, q, integrand, what)
        case Lattice(), Lattice():
            return lattice.log_integral(p, q, integrand, what)
        case _:
            raise ValueError(
                f"{what}: no closed form is known here for {type(p).__name__} against {type(q).__name__}; laws on the line, on "
                "the integers, Gaussians, Dirichlet laws and products of these are."
            )


def exp(log: float, what: str) -> float:
    """Return exp(log), refusing a finite value that float64 cannot hold."""
    if 709.7 < log < math.inf:
        raise ValueError(f"{what} is finite but too large for float64 (its logarithm is {log:.6g}); ask for renyi instead.")
    return math.exp(log)
