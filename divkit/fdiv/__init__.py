"""f-divergences: the table of records, variational bounds, nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Signature, signature

from divkit.core.registry import register
from divkit.critic import Ascent, Dual, Variational
from divkit.fdiv.adversarial import Adversarial, NonSaturating
from divkit.fdiv.bounds import Bound
from divkit.fdiv.classifier import Classifier
from divkit.fdiv.functionals import ConjugateRenyi, DonskerVaradhan, HammersleyChapmanRobbins, Renyi
from divkit.fdiv.gamma import GammaBound
from divkit.fdiv.information import mutual_information
from divkit.fdiv.neighbours import NearestNeighbourKL, NearestNeighbourRenyi
from divkit.fdiv.ratio import DensityRatio, FittedRatio, Given, density_ratio
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
from divkit.fdiv.tightened import Tightened

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
    "Adversarial",
    "Bound",
    "Classifier",
    "ConjugateRenyi",
    "DensityRatio",
    "DonskerVaradhan",
    "FDivergence",
    "FittedRatio",
    "GammaBound",
    "Given",
    "HammersleyChapmanRobbins",
    "NearestNeighbourKL",
    "NearestNeighbourRenyi",
    "NonSaturating",
    "Renyi",
    "Tightened",
    "alpha",
    "density_ratio",
    "from_generator",
    "mutual_information",
    "perspective",
    "relative_pearson",
    "skew_kl",
    "weighted_js",
]


def _variational(make: Callable[..., Dual], like: Callable[..., object] | None = None) -> Callable[..., Variational]:
    """A factory of estimators by the dual that is made; its fields, and those that are said, are those of `like`."""

    def factory(seed: int = 0, folds: int = 5, steps: int = 4000, **parameter: float) -> Variational:
        return Variational(make(**parameter), ascent=Ascent(seed=seed, folds=folds, steps=steps))

    *own, _ = signature(factory).parameters.values()
    own = [*(signature(like).parameters.values() if like else ()), *own]
    factory.__signature__ = Signature([p.replace(kind=p.KEYWORD_ONLY) for p in own])  # type: ignore[attr-defined]
    return factory


def _bound(maker: Callable[..., FDivergence]) -> Callable[..., Dual]:
    return lambda **parameter: Bound(maker(**parameter))


def _renyi(order: float) -> Renyi:
    return Renyi(order)


for _name, _record in TABLE.items():
    register(_name, _variational(partial(Bound, _record)))
for _name, _maker in {
    "alpha": alpha,
    "weighted-js": weighted_js,
    "skew-kl": skew_kl,
    "relative-pearson": relative_pearson,
}.items():
    register(_name, _variational(_bound(_maker), _maker))
register("kl-dv", _variational(DonskerVaradhan))
register("renyi", _variational(_renyi, _renyi))
register("pearson-hcr", _variational(HammersleyChapmanRobbins))
register("kl-knn", NearestNeighbourKL)
register("renyi-knn", NearestNeighbourRenyi)
for _name, _record in TABLE.items():
    register(f"{_name}-classifier", partial(Classifier, _record))
