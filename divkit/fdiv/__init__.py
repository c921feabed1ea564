"""f-divergences: the table of records, variational bounds, nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from divkit.core.registry import accept, register
from divkit.critic import Ascent, Dual, Shrunk, Variational, groupsort
from divkit.fdiv import table
from divkit.fdiv.adversarial import Adversarial, NonSaturating
from divkit.fdiv.bounds import Bound
from divkit.fdiv.classifier import Classifier
from divkit.fdiv.fitted import FittedRatio, density_ratio
from divkit.fdiv.functionals import ConjugateRenyi, DonskerVaradhan, HammersleyChapmanRobbins, Renyi
from divkit.fdiv.gamma import GammaBound
from divkit.fdiv.given import Given
from divkit.fdiv.information import mutual_information
from divkit.fdiv.neighbours import NearestNeighbourKL, NearestNeighbourRenyi
from divkit.fdiv.ratio import DensityRatio
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import *  # noqa: F403
from divkit.fdiv.tightened import Tightened

__all__ = [
    "Adversarial", "Bound", "Classifier", "ConjugateRenyi", "DensityRatio", "DonskerVaradhan", "FittedRatio", "GammaBound",
    "Given", "HammersleyChapmanRobbins", "NearestNeighbourKL", "NearestNeighbourRenyi", "NonSaturating", "Renyi", "Tightened",
    "density_ratio", "mutual_information",
]
__all__ += table.__all__


def _trained(dual: Dual, seed: int, folds: int, steps: int) -> Variational:
    """Return the estimator by a trained critic of a dual; it serves the factories below, whose arguments are options."""
    return Variational(dual, ascent=Ascent(seed=seed, folds=folds, steps=steps))


def _fixed(dual: Dual) -> Callable[..., Variational]:
    """Return the factory of a name whose dual has no parameter."""
    return lambda seed=0, folds=5, steps=4000: _trained(dual, seed, folds, steps)


def _alpha(order: float, seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
    return _trained(Bound(table.alpha(order)), seed, folds, steps)


def _weighted_js(weight: float, seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
    return _trained(Bound(table.weighted_js(weight)), seed, folds, steps)


def _skew_kl(weight: float = 0.5, seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
    return _trained(Bound(table.skew_kl(weight)), seed, folds, steps)


def _relative_pearson(weight: float = 0.5, seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
    return _trained(Bound(table.relative_pearson(weight)), seed, folds, steps)


def _renyi(order: float, seed: int = 0, folds: int = 5, steps: int = 4000) -> Variational:
    return _trained(Renyi(order), seed, folds, steps)


for _name, _record in table.TABLE.items():
    register(_name, _fixed(Bound(_record)))
register("alpha", _alpha)
register("weighted-js", _weighted_js)
register("skew-kl", _skew_kl)
register("relative-pearson", _relative_pearson)
register("kl-dv", _fixed(DonskerVaradhan()))
register("renyi", _renyi)
register("pearson-hcr", _fixed(HammersleyChapmanRobbins()))
register("kl-knn", NearestNeighbourKL)
register("renyi-knn", NearestNeighbourRenyi)
for _name, _record in table.TABLE.items():
    register(f"{_name}-classifier", partial(Classifier, _record))

accept(FDivergence, lambda record: Variational(Bound(record)))
accept(GammaBound, lambda dual: Variational(dual, Shrunk(groupsort())))
accept(DensityRatio, lambda ratio: ratio.divergence())
