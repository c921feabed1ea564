"""`TABLE`, the f-divergences without a parameter by name; the makers of the others are imported beside them.

>>> from divkit.fdiv.table import KL, TABLE
>>> TABLE["kl"] is KL, KL.formulas.generator
(True, 'u log u')
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch

from divkit.fdiv.interval import Interval
from divkit.fdiv.legendre import from_generator, perspective
from divkit.fdiv.power import KL, NEYMAN, PEARSON, REVERSE_KL, SQUARED_HELLINGER, alpha
from divkit.fdiv.records import BoundPair, FDivergence, Formulas
from divkit.fdiv.special import log_mixture, log_wright_omega, softplus
from divkit.fdiv.weighted import relative_pearson, skew_kl, weighted_js

__all__ = [
    "FGAN_JS", "GAN", "JEFFREYS", "JS", "KL", "LE_CAM", "LIN_K", "NEYMAN", "PEARSON", "REVERSE_KL", "SQUARED_HELLINGER",
    "TABLE", "TV", "FDivergence", "alpha", "from_generator", "perspective", "relative_pearson", "skew_kl", "weighted_js",
]


def _jeffreys_conjugate(t: torch.Tensor) -> torch.Tensor:
    """Return f*(t) = b(v) at the root v of a(v) = t."""
    v = -log_wright_omega(1 - t)  # solves 1 + v − e^{−v} = t
    return torch.expm1(v) + v


JEFFREYS = FDivergence(
    name="jeffreys",
    f=lambda u: (u - 1) * torch.log(u),
    a=lambda v: v - torch.expm1(-v),
    b=lambda v: torch.expm1(v) + v,
    finite_conjugate=_jeffreys_conjugate,
    domain=Interval(),
    activation=lambda v: v,
    supremum=math.inf,
    formulas=Formulas("∫ (p−q) log(p/q)", "(u−1) log u", "1 + log u − 1/u", "w + 1/w + t − 2, w = W₀(e^{1−t})", "ℝ", "v"),
    source="Jeffreys (1946)",
)

JS = replace(
    weighted_js(0.5),
    name="js",
    formulas=Formulas(
        integral="½ ∫ p log(2p/(p+q)) + ½ ∫ q log(2q/(p+q))",
        generator="½ u log u − ½ (u+1) log((u+1)/2)",
        maximiser="½ log(2u/(u+1))",
        conjugate="−½ log(2 − e^{2t})",
        domain="t < ½ log 2",
        activation="½ (log 2 − softplus(−v))",
    ),
    activation=lambda v: (math.log(2) - softplus(-v)) / 2,
)

FGAN_JS = FDivergence(
    name="fgan-js",
    f=lambda u: torch.xlogy(u, 2 * u / (u + 1)) - torch.log((u + 1) / 2),
    a=lambda v: -log_mixture(0.5, -v),
    b=lambda v: log_mixture(0.5, v),
    finite_conjugate=lambda t: -torch.log1p(-torch.expm1(t)),
    domain=Interval(upper=math.log(2)),
    activation=lambda v: math.log(2) - softplus(-v),
    supremum=2 * math.log(2),
    formulas=Formulas(
        integral="∫ p log(2p/(p+q)) + ∫ q log(2q/(p+q)) = 2 JS",
        generator="u log u − (u+1) log((u+1)/2)",
        maximiser="log(2u/(u+1))",
        conjugate="−log(2 − eᵗ)",
        domain="t < log 2",
        activation="log 2 − softplus(−v)",
    ),
    source="Nowozin, Cseke, Tomioka (2016)",
)

GAN = FDivergence(
    name="gan",
    f=lambda u: torch.xlogy(u, u / (u + 1)) - torch.log1p(u),
    a=lambda v: -softplus(-v),
    b=softplus,
    finite_conjugate=lambda t: -torch.log(-torch.expm1(t)),
    domain=Interval(upper=0.0),
    activation=lambda v: -softplus(-v),
    supremum=0.0,
    formulas=Formulas(
        integral="∫ p log(p/(p+q)) + ∫ q log(q/(p+q)) = 2 JS − log 4",
        generator="u log u − (u+1) log(u+1)",
        maximiser="log(u/(u+1))",
        conjugate="−log(1 − eᵗ)",
        domain="t < 0",
        activation="−softplus(−v)",
    ),
    source="Goodfellow et al. (2014)",
)

TV = FDivergence(
    name="tv",
    f=lambda u: (u - 1).abs() / 2,
    a=lambda v: torch.sign(v) / 2,
    b=lambda v: torch.sign(v) / 2,
    finite_conjugate=lambda t: t.clamp(min=-0.5),
    domain=Interval(upper=0.5, upper_closed=True),
    activation=lambda v: torch.tanh(v) / 2,
    supremum=1.0,
    formulas=Formulas("½ ∫ |p−q|", "½ |u−1|", "½ sgn(u−1)", "max(t, −½)", "t ≤ ½", "½ tanh v"),
    source="Csiszár (1967)",
    surrogate=BoundPair(lambda v: torch.tanh(v) / 2, lambda v: torch.tanh(v) / 2),
)


def _le_cam_conjugate(t: torch.Tensor) -> torch.Tensor:
    """Return f*(t) = 4 − t − 4√(1 − t), −1 below t = −3, written without cancellation at 0."""
    t = t.clamp(min=-3)
    root = torch.sqrt(1 - t)
    return t * (3 - root) / (1 + root)


LE_CAM = FDivergence(
    name="le-cam",
    f=lambda u: (u - 1).square() / (u + 1),
    a=lambda v: torch.tanh(v / 2) * (1 + 2 * torch.sigmoid(-v)),
    b=lambda v: torch.tanh(v / 2) * (1 + 2 * torch.sigmoid(v)),
    finite_conjugate=_le_cam_conjugate,
    domain=Interval(upper=1.0, upper_closed=True),
    activation=lambda v: -torch.expm1(-v),
    supremum=2.0,
    formulas=Formulas(
        integral="∫ (p−q)²/(p+q)",
        generator="(u−1)²/(u+1)",
        maximiser="1 − 4/(u+1)²",
        conjugate="4 − t − 4√(1−t) if t ≥ −3, else −1",
        domain="t ≤ 1",
        activation="1 − e^{−v}",
    ),
    source="Vincze (1981); Le Cam (1986)",
)

LIN_K = replace(
    skew_kl(0.5),
    name="lin-k",
    formulas=Formulas(
        integral="∫ p log(2p/(p+q))",
        generator="u log(2u/(1+u))",
        maximiser="log(2u/(1+u)) + 1/(1+u)",
        conjugate="−W₀(−e^{t−1}/2)",
        domain="t ≤ log 2",
        activation="log 2 − softplus(−v) + σ(−v)",
    ),
    source="Lin (1991)",
)

_RECORDS = (KL, REVERSE_KL, PEARSON, NEYMAN, SQUARED_HELLINGER, JEFFREYS, JS, FGAN_JS, GAN, TV, LE_CAM, LIN_K)

TABLE: Mapping[str, FDivergence] = MappingProxyType({record.name: record for record in _RECORDS})
