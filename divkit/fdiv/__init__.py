"""f-divergences: the table of records, variational bounds, nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature

from divkit.critic import Ascent, Variational
from divkit.fdiv.bounds import Bound
from divkit.fdiv.neighbours import NearestNeighbourKL
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import (
    FGAN_JS,
    GAN,
    JEFFREYS,
    JS,
    KL,
    LE_CAM,
    LIN_K,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    SQUARED_HELLINGER,
    TABLE,
    TV,
    alpha,
    from_generator,
    perspective,
    relative_pearson,
    skew_kl,
    weighted_js,
)
from divkit.registry import register

__all__ = [
    "FGAN_JS",
    "GAN",
    "JEFFREYS",
    "JS",
    "KL",
    "LE_CAM",
    "LIN_K",
    "NEYMAN",
    "PEARSON",
    "REVERSE_KL",
    "SQUARED_HELLINGER",
    "TABLE",
    "TV",
    "Bound",
    "FDivergence",
    "NearestNeighbourKL",
    "alpha",
    "from_generator",
    "perspective",
    "relative_pearson",
    "skew_kl",
    "weighted_js",
]


def _bound(record: FDivergence) -> Callable[..., Variational]:
    def factory(seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
        return Variational(Bound(record), ascent=Ascent(seed=seed, folds=folds, steps=steps))

    return factory


def _made(maker: Callable[..., FDivergence]) -> Callable[..., Variational]:
    def factory(seed: int = 0, folds: int = 5, steps: int = 4000, **parameter: float) -> Variational:
        return _bound(maker(**parameter))(seed, folds, steps)

    *own, _ = signature(factory).parameters.values()
    own = [*signature(maker).parameters.values(), *own]
    factory.__signature__ = Signature([p.replace(kind=p.KEYWORD_ONLY) for p in own])  # type: ignore[attr-defined]
    return factory


for _name, _record in TABLE.items():
    register(_name, _bound(_record))
for _name, _maker in {
    "alpha": alpha,
    "weighted-js": weighted_js,
    "skew-kl": skew_kl,
    "relative-pearson": relative_pearson,
}.items():
    register(_name, _made(_maker))
register("kl-knn", NearestNeighbourKL)
