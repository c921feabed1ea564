"""The integrands of the f-divergences as functions of log p and log q: non-negative, in the log domain, exact near p = q.

Each is q·f(p/q) plus a multiple of p − q that makes it non-negative, which changes no integral because both laws have
mass one. A function here takes (log p, log q) and returns the log of the integrand; −inf stands for zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from divkit.truths.quadrature import Array

__all__ = [
    "Integrand", "affinity", "alpha", "jeffreys", "kl", "le_cam", "neyman", "pearson", "relative_pearson", "reverse", "skew_kl",
    "squared_hellinger", "tv", "weighted_js",
]

Integrand = Callable[[Array, Array], Array]

_TERMS = 14  # the Taylor series ends before the power of this
_SMALL = 0.05  # |v|·max(1, |order|) below which the Taylor series is used: its remainder is under 1e-17


def tv(log_p: Array, log_q: Array) -> Array:
    """Return the log of ½|p − q|."""
    return _distance(log_p, log_q) - math.log(2.0)


def pearson(log_p: Array, log_q: Array) -> Array:
    """Return the log of (p − q)²/q."""
    return _over(2.0 * _distance(log_p, log_q), log_q)


def neyman(log_p: Array, log_q: Array) -> Array:
    """Return the log of (p − q)²/p."""
    return pearson(log_q, log_p)


def le_cam(log_p: Array, log_q: Array) -> Array:
    """Return the log of (p − q)²/(p + q)."""
    return _over(2.0 * _distance(log_p, log_q), np.logaddexp(log_p, log_q))


def relative_pearson(log_p: Array, log_q: Array, weight: float) -> Array:
    """Return the log of ½(1 − a)²(p − q)²/(ap + (1 − a)q), a the weight."""
    return _over(2.0 * _distance(log_p, log_q), _blend(log_p, log_q, weight)) + math.log(0.5) + 2.0 * math.log1p(-weight)


def squared_hellinger(log_p: Array, log_q: Array) -> Array:
    """Return the log of (√p − √q)²."""
    result: Array = 2.0 * _distance(log_p / 2.0, log_q / 2.0)
    return result


def jeffreys(log_p: Array, log_q: Array) -> Array:
    """Return the log of (p − q) log(p/q)."""
    return _over(_distance(log_p, log_q), -np.log(np.abs(_ratio(log_p, log_q))))


def kl(log_p: Array, log_q: Array) -> Array:
    """Return the log of p log(p/q) − p + q."""
    return _kl(log_p, log_q, _ratio(log_p, log_q))


def reverse(integrand: Integrand, log_p: Array, log_q: Array) -> Array:
    """Return the integrand with p and q exchanged."""
    return integrand(log_q, log_p)


def skew_kl(log_p: Array, log_q: Array, weight: float) -> Array:
    """Return the log of p log(p/m) − p + m, m = ap + (1 − a)q, a the weight."""
    return _kl(log_p, _blend(log_p, log_q, weight), _to_blend(_ratio(log_p, log_q), weight))


def weighted_js(log_p: Array, log_q: Array, weight: float) -> Array:
    """Return the log of πp log(p/m) + (1 − π)q log(q/m), m = πp + (1 − π)q, π the weight."""
    first = skew_kl(log_p, log_q, weight) + math.log(weight)
    result: Array = np.logaddexp(first, skew_kl(log_q, log_p, 1.0 - weight) + math.log1p(-weight))
    return result


def affinity(log_p: Array, log_q: Array, order: float) -> Array:
    """Return the log of p^α q^(1−α), α the order."""
    power = order * log_p + (1.0 - order) * log_q
    return np.where(np.isneginf(log_p) & np.isneginf(log_q), -np.inf, power)


def alpha(order: float) -> Integrand:
    """Return the integrand (p^α q^(1−α) − αp − (1 − α)q)/(α(α − 1)); its limits kl and reverse kl at 1 and 0."""
    if order < 0.5:
        return partial(reverse, alpha(1.0 - order))
    return kl if order == 1.0 else partial(_alpha, order=order)


def _alpha(log_p: Array, log_q: Array, order: float) -> Array:
    """Return the log of the integrand of `alpha`, for orders of at least ½ that are not 1."""
    power = affinity(log_p, log_q, order)
    top = np.maximum(np.maximum(log_p, log_q), power)
    p, q, v = np.exp(log_p - top), np.exp(log_q - top), _ratio(log_p, log_q)
    tilt = np.clip((order - 1.0) * v, -1.0, 1.0)
    # p^α q^(1−α) − p, so that an order close to 1 does not cancel
    excess = np.where(np.abs(tilt) < 1.0, p * np.expm1(tilt), np.exp(power - top) - p)
    terms = (excess / (order - 1.0) - (p - q)) / order
    return _near(np.where(np.isinf(top), top, top + np.log(np.maximum(terms, 0.0))), log_q, v, order)


def _kl(log_p: Array, log_q: Array, v: Array) -> Array:
    """Return the log of p v − p + q, given v = log p/q to full precision."""
    above = log_p + np.log(np.maximum(v, 0.0) + np.expm1(-np.maximum(v, 0.0)))
    below = np.clip(v, -745.0, 0.0)
    plain = np.where(v >= 0.0, above, log_q + np.log(below * np.exp(below) - np.expm1(below)))
    return _near(np.where(np.isneginf(log_p) & np.isneginf(log_q), -np.inf, plain), log_q, v, 1.0)


def _near(plain: Array, log_q: Array, v: Array, order: float) -> Array:
    """Return `plain`, but near v = 0, where it cancels, the log of q Σ_{k≥2} (1 + α + … + α^{k−2}) v^k/k!."""
    small = np.where(np.abs(v) * max(1.0, abs(order)) < _SMALL, v, 0.0)
    coefficients = [sum(order**j for j in range(k - 1)) / math.factorial(k) for k in range(2, _TERMS)]
    series = log_q + 2.0 * np.log(np.abs(small)) + np.log(np.polynomial.polynomial.polyval(small, coefficients))
    return np.where(np.abs(v) * max(1.0, abs(order)) < _SMALL, series, plain)


def _ratio(log_p: Array, log_q: Array) -> Array:
    """Return v = log p/q, 0 where neither law has mass."""
    return np.where(log_p == log_q, 0.0, log_p - log_q)


def _distance(log_p: Array, log_q: Array) -> Array:
    """Return log|p − q|."""
    result: Array = np.maximum(log_p, log_q) + np.log(-np.expm1(-np.abs(_ratio(log_p, log_q))))
    return result


def _over(log_top: Array, log_bottom: Array) -> Array:
    """Return the log of a quotient, with 0/0 = 0."""
    return np.where(np.isneginf(log_top), -np.inf, log_top - log_bottom)


def _blend(log_p: Array, log_q: Array, weight: float) -> Array:
    """Return log(ap + (1 − a)q), a the weight."""
    result: Array = np.logaddexp(log_p + _log(weight), log_q + math.log1p(-weight))
    return result


def _to_blend(v: Array, weight: float) -> Array:
    """Return log(p/(ap + (1 − a)q)) from v = log p/q."""
    near = -np.log1p((1.0 - weight) * np.expm1(-np.clip(v, -0.5, 0.5)))
    return np.where(np.abs(v) < 0.5, near, -np.logaddexp(_log(weight), math.log1p(-weight) - v))


def _log(weight: float) -> float:
    """Return the log of a weight that may be 0."""
    return math.log(weight) if weight > 0.0 else -math.inf
