"""The f-divergences and Rényi's by name: integrand, factor, and the way through KL or the affinity where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from divkit.truths import integrals
from divkit.truths.closed import exp, kl, log_affinity, log_integral
from divkit.truths.gaussian import one_dimensional
from divkit.truths.integrals import Integrand
from divkit.truths.laws import Dirichlet, GaussianLaw, Law, size
from divkit.truths.reading import beta, lattice_or_line, split

__all__ = ["Record", "alpha", "divergence", "records", "relative_pearson", "renyi", "skew_kl", "weighted_js"]

Closed = Callable[[Law, Law], float]


@dataclass(frozen=True)
class Record:
    """value = factor · integral + offset; `closed` gives the value of laws that are not on the line, `None` if only there."""

    name: str
    integrand: Integrand
    closed: Closed | None = None
    factor: float = 1.0
    offset: float = 0.0


def divergence(record: Record, p: Law, q: Law) -> float:
    """Return the divergence D(p‖q) of a record, in nats."""
    p, q = _alike(p, q)
    if record.closed is None and isinstance(p, Dirichlet) and isinstance(q, Dirichlet):
        p, q = beta(p, record.name), beta(q, record.name)
    gaussians = isinstance(p, GaussianLaw) and isinstance(q, GaussianLaw)
    if record.closed is not None and (gaussians or size(p) > 1):
        return record.closed(p, q)
    if isinstance(p, GaussianLaw) and isinstance(q, GaussianLaw):
        p, q = one_dimensional(p, q, record.name)
    log = log_integral(lattice_or_line(p), lattice_or_line(q), record.integrand, record.name)
    return record.factor * exp(log, record.name) + record.offset


def renyi(p: Law, q: Law, order: float) -> float:
    """Return Rényi's log(∫p^α q^(1−α))/(α − 1), α the order."""
    return log_affinity(*_alike(p, q), order) / (order - 1.0) + 0.0


def alpha(order: float) -> Record:
    """Return the record of (∫p^α q^(1−α) − 1)/(α(α − 1)), α the order, and of its limits at 0 and 1."""
    closed = _power(order, 1.0 / (order * (order - 1.0))) if order not in {0.0, 1.0} else (kl if order else _reverse_kl)
    return Record("alpha", integrals.alpha(order), closed)


def weighted_js(weight: float) -> Record:
    """Return the record of π KL(P‖M) + (1 − π) KL(Q‖M), M = πP + (1 − π)Q, π the weight."""
    return Record("weighted-js", partial(integrals.weighted_js, weight=weight))


def skew_kl(weight: float) -> Record:
    """Return the record of KL(P‖aP + (1 − a)Q), a the weight."""
    return Record("skew-kl", partial(integrals.skew_kl, weight=weight))


def relative_pearson(weight: float) -> Record:
    """Return the record of ½∫(p − p_a)²/p_a, p_a = ap + (1 − a)q, a the weight."""
    return Record("relative-pearson", partial(integrals.relative_pearson, weight=weight))


def _alike(p: Law, q: Law) -> tuple[Law, Law]:
    """Return the two laws in one kind, where one of them is more special than the other."""
    if type(p) is type(q) and isinstance(p, GaussianLaw):
        return p, q
    return (lattice_or_line(p), lattice_or_line(q)) if size(p) == 1 else (split(p), split(q))


def _power(order: float, factor: float) -> Closed:
    """Return the function of two laws that is factor · (∫p^α q^(1−α) − 1), α the order."""

    def value(p: Law, q: Law) -> float:
        log = log_affinity(p, q, order)
        if log == math.inf:
            return math.inf
        return factor * (math.expm1(log) if log < 1.0 else exp(log, f"the affinity of order {order:g}") - 1.0)

    return value


def _reverse_kl(p: Law, q: Law) -> float:
    return kl(q, p)


_HALF = partial(integrals.weighted_js, weight=0.5)

records = {
    record.name: record
    for record in (
        Record("kl", integrals.kl, kl),
        Record("reverse-kl", partial(integrals.reverse, integrals.kl), _reverse_kl),
        Record("jeffreys", integrals.jeffreys, lambda p, q: kl(p, q) + kl(q, p)),
        Record("pearson", integrals.pearson, _power(2.0, 1.0)),
        Record("neyman", integrals.neyman, _power(-1.0, 1.0)),
        Record("squared-hellinger", integrals.squared_hellinger, _power(0.5, -2.0)),
        Record("js", _HALF),
        Record("fgan-js", _HALF, factor=2.0),
        Record("gan", _HALF, factor=2.0, offset=-math.log(4.0)),
        Record("lin-k", partial(integrals.skew_kl, weight=0.5)),
        Record("tv", integrals.tv),
        Record("le-cam", integrals.le_cam),
    )
}
