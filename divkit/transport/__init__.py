"""The family of optimal transport: exact, entropic, sliced, of moments, by critics."""

from divkit.core.registry import accept, register
from divkit.critic import Ascent, Kantorovich, Variational, groupsort
from divkit.transport.costs import Cost, Custom, CustomCost, Power
from divkit.transport.exact import Transport, Wasserstein
from divkit.transport.extrapolated import Extrapolated, PerDimension
from divkit.transport.gaussian import GaussianWasserstein
from divkit.transport.maximal import MaxSlicedWasserstein, SphereAscent
from divkit.transport.semidual import SemiDual
from divkit.transport.sinkhorn import EntropicOT, Relative, Sinkhorn
from divkit.transport.sliced import SlicedWasserstein

__all__ = [
    "Cost", "Custom", "CustomCost", "EntropicOT", "Extrapolated", "GaussianWasserstein", "MaxSlicedWasserstein", "PerDimension",
    "Power", "Relative", "SemiDual", "Sinkhorn", "SlicedWasserstein", "SphereAscent", "Transport", "Wasserstein",
]


def _w1(gap: float = 1e-6, rounds: int = 50) -> Wasserstein:
    return Wasserstein(1.0, gap, rounds)


def _w2(gap: float = 1e-6, rounds: int = 50) -> Wasserstein:
    return Wasserstein(2.0, gap, rounds)


def _sliced_w1(projections: int = 100, seed: int = 0) -> SlicedWasserstein:
    return SlicedWasserstein(1.0, projections, seed)


def _sliced_w2(projections: int = 100, seed: int = 0) -> SlicedWasserstein:
    return SlicedWasserstein(2.0, projections, seed)


def _max_sliced_w2(restarts: int = 8, seed: int = 0) -> MaxSlicedWasserstein:
    return MaxSlicedWasserstein(2.0, restarts, seed)


def _w1_dual(seed: int = 0, folds: int = 5, steps: int = 4000, rate: float = 1e-2) -> Variational:
    """Return W₁ by a critic that cannot be too steep: no doubt is needed, the best critic on held-out rows is taken."""
    return _by_critic(Kantorovich(), Ascent(seed=seed, folds=folds, steps=steps, rate=rate, doubt=0.0))


def _by_critic(dual: Kantorovich, ascent: Ascent = Ascent(steps=4000, rate=1e-2, doubt=0.0)) -> Variational:
    """Return the estimator of a Kantorovich dual by critics that cannot be too steep."""
    return Variational(dual, groupsort(), ascent)


register("w1", _w1)
register("w2", _w2)
register("sinkhorn", Sinkhorn)
register("entropic-ot", EntropicOT)
register("sliced-w1", _sliced_w1)
register("sliced-w2", _sliced_w2)
register("max-sliced-w2", _max_sliced_w2)
register("gaussian-w2", GaussianWasserstein)
register("fid", GaussianWasserstein)  # the name that gaussian-w2 has where rows are features of images
register("w1-dual", _w1_dual)
accept(Kantorovich, _by_critic)
