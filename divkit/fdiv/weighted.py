"""Divergences from a mixture M = wP + (1 − w)Q, with density m: finite for every P and Q.

A record's functions take u = p/q, the logit v = log u, or a slope t = f'(u). Equal weights give the same record object.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from divkit.fdiv.interval import Interval
from divkit.fdiv.records import FDivergence, Formulas
from divkit.fdiv.special import log_mixture, mixture, softplus, tree
from divkit.support.checks import between

__all__ = ["relative_pearson", "skew_kl", "weighted_js"]


def weighted_js(weight: float) -> FDivergence:
    """Return the weighted Jensen–Shannon divergence π KL(P‖M) + (1 − π) KL(Q‖M), M = πP + (1 − π)Q, in nats; π = ½ is `js`.

    Source: Lin (1991).

    Parameters
    ----------
    weight : float
        π, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If the weight is not strictly between 0 and 1.

    Examples
    --------
    >>> round(weighted_js(0.5).supremum, 6)  # log 2
    0.693147
    """
    between("weight", weight, 0, 1)
    return _weighted_js(float(weight))


def skew_kl(weight: float = 0.5) -> FDivergence:
    """Return the skew divergence KL(P‖wP + (1 − w)Q), in nats, at most log 1/w; w = ½ is `lin-k`.

    Source: Lee (1999).

    Parameters
    ----------
    weight : float
        w, strictly between 0 and 1; it tends to `kl` as w → 0.

    Raises
    ------
    ValueError
        If the weight is not strictly between 0 and 1.

    Examples
    --------
    >>> float(skew_kl(0.25).b(torch.tensor(0.0)))
    0.75
    """
    between("weight", weight, 0, 1)
    return _skew_kl(float(weight))


def relative_pearson(weight: float = 0.5) -> FDivergence:
    """Return the relative Pearson divergence ½ ∫ (p/m − 1)² m, m = wp + (1 − w)q, dimensionless; a and b are bounded.

    Source: Yamada, Suzuki, Kanamori, Hachiya, Sugiyama (2011).

    Parameters
    ----------
    weight : float
        w, strictly between 0 and 1; it tends to ½ `pearson` as w → 0.

    Raises
    ------
    ValueError
        If the weight is not strictly between 0 and 1.

    Examples
    --------
    >>> relative_pearson(0.5).supremum
    0.5
    """
    between("weight", weight, 0, 1)
    return _relative_pearson(float(weight))


@lru_cache(maxsize=256)
def _weighted_js(weight: float) -> FDivergence:
    """Return the record of a weight, the same object for equal weights."""
    rest, upper = 1 - weight, -weight * math.log(weight)

    def generator(u: Tensor) -> Tensor:
        m = rest + weight * u
        return torch.xlogy(weight * u, u / m) - rest * torch.log(m)

    def conjugate(t: Tensor) -> Tensor:
        return -rest * torch.log1p((-weight / rest * torch.expm1(t / weight)).clamp(min=-1))  # rounding at the domain's end

    return FDivergence(
        name=f"weighted-js(weight={weight})",
        f=generator,
        a=lambda v: -weight * log_mixture(rest, -v),
        b=lambda v: rest * log_mixture(weight, v),
        finite_conjugate=conjugate,
        domain=Interval(upper=upper),
        activation=lambda v: upper - softplus(-v),
        supremum=upper - rest * math.log(rest),
        formulas=Formulas(
            integral="π ∫ p log(p/m) + (1−π) ∫ q log(q/m), m = πp + (1−π)q",
            generator="πu log u − (1−π+πu) log(1−π+πu)",
            maximiser="π log(u/(1−π+πu))",
            conjugate="(1−π) log((1−π)/(1 − π e^{t/π}))",
            domain="t < −π log π",
            activation="−π log π − softplus(−v)",
        ),
        source="Lin (1991)",
    )


@lru_cache(maxsize=256)
def _skew_kl(weight: float) -> FDivergence:
    """Return the record of a weight, the same object for equal weights."""
    rest = 1 - weight

    def canonical(v: Tensor) -> Tensor:
        return -log_mixture(rest, -v) + rest * torch.sigmoid(-v) / mixture(weight, v)

    return FDivergence(
        name=f"skew-kl(weight={weight})",
        f=lambda u: torch.xlogy(u, u / (weight * u + rest)),
        a=canonical,
        b=lambda v: rest * torch.sigmoid(v) / mixture(weight, v),
        finite_conjugate=lambda t: rest / weight * tree(t - 1 + math.log(weight)),
        domain=Interval(upper=-math.log(weight), upper_closed=True),
        activation=canonical,
        supremum=-math.log(weight),
        formulas=Formulas(
            integral="∫ p log(p/m), m = wp + (1−w)q",
            generator="u log(u/(wu+1−w))",
            maximiser="log(u/(wu+1−w)) + (1−w)/(wu+1−w)",
            conjugate="−((1−w)/w) W₀(−w e^{t−1})",
            domain="t ≤ −log w",
            activation="f'(eᵛ)",
        ),
        source="Lee (1999)",
    )


@lru_cache(maxsize=256)
def _relative_pearson(weight: float) -> FDivergence:
    """Return the record of a weight, the same object for equal weights."""
    rest = 1 - weight

    def excess(v: Tensor) -> Tensor:  # z = p/m − 1
        return rest * torch.tanh(v / 2) / mixture(weight, v)

    def maximiser(v: Tensor) -> Tensor:
        return excess(v) * (rest - weight / 2 * excess(v))

    def value(z: Tensor) -> Tensor:
        return rest * z * (1 + z / 2)

    def conjugate(t: Tensor) -> Tensor:  # solves t = z(1−w) − wz²/2 for z ≥ −1
        root = torch.sqrt((rest**2 - 2 * weight * t).clamp(min=0))
        return value((2 * t / (rest + root)).clamp(min=-1))

    return FDivergence(
        name=f"relative-pearson(weight={weight})",
        f=lambda u: (rest * (u - 1)).square() / (2 * (weight * u + rest)),
        a=maximiser,
        b=lambda v: value(excess(v)),
        finite_conjugate=conjugate,
        domain=Interval(upper=rest**2 / (2 * weight), upper_closed=True),
        activation=maximiser,
        supremum=rest / (2 * weight),
        formulas=Formulas(
            integral="½ ∫ (p/m − 1)² m, m = wp + (1−w)q",
            generator="½ (1−w)² (u−1)² / (wu+1−w)",
            maximiser="(1−w)z − ½wz², z = (1−w)(u−1)/(wu+1−w)",
            conjugate="(1−w)(z + ½z²), z = max(−1, 2t/(1−w + √((1−w)² − 2wt)))",
            domain="t ≤ (1−w)²/(2w)",
            activation="f'(eᵛ)",
        ),
        source="Yamada et al. (2011)",
    )
