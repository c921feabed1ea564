"""Other packages' numbers for kernel distances: which statistic each is, and its factor and root against ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from divkit.core.divergence import Divergence
from divkit.kernel.names import FACTORIES
from divkit.support.checks import whole

__all__ = ["TABLE", "Convention", "convert", "restore"]


@dataclass(frozen=True)
class Convention:
    """Another package's number as (factor · ours)^(1/root), ours being the statistic `name` with `fields`.

    Where it is `harmonic`, the factor is multiplied by nm/(n + m), of samples of n and m rows.
    """

    call: str  # as its user writes it
    name: str
    fields: Mapping[str, Any] = field(default_factory=lambda: {"unbiased": False})
    factor: float = 1.0
    harmonic: bool = False
    root: float = 1.0

    def scale(self, n: int, m: int) -> float:
        """Return by what our number is multiplied for samples of n and m rows."""
        return self.factor * (n * m / (n + m) if self.harmonic else 1.0)

    def divergence(self, **fields: Any) -> Divergence:
        """Return the divergence whose value is meant, further fields set by keyword."""
        return FACTORIES[self.name](**{**self.fields, **fields})


UNBIASED = {"unbiased": True}

TABLE: Mapping[str, Convention] = {
    "scipy": Convention("scipy.stats.energy_distance(x, y)", "energy", root=2.0),
    "dcor": Convention("dcor.energy_distance(x, y)", "energy"),
    "dcor-u": Convention('dcor.energy_distance(x, y, estimation_stat="u_statistic")', "energy", UNBIASED),
    "dcor-test": Convention("dcor.homogeneity.energy_test_statistic(x, y)", "energy", harmonic=True),
    "r-energy": Convention("energy::eqdist.e, energy::edist", "energy", harmonic=True),
    "r-disco": Convention("energy::disco.between", "energy", factor=0.5, harmonic=True),
    "r-cramer": Convention("cramer::cramer.test", "energy", factor=0.5, harmonic=True),
    "pted": Convention("pted.pted(x, y, return_all=True)[0]", "energy", UNBIASED, harmonic=True),
    "geomloss-energy": Convention('geomloss.SamplesLoss("energy")(x, y)', "energy", factor=0.5),
    "geomloss-gaussian": Convention('geomloss.SamplesLoss("gaussian", blur=bandwidth)(x, y)', "mmd", factor=0.5),
    "geomloss-laplacian": Convention('geomloss.SamplesLoss("laplacian", blur=bandwidth)(x, y)', "mmd-laplace", factor=0.5),
    "kid": Convention("Bińkowski et al. (2018), one subset", "kid", UNBIASED),
    "kid-1000": Convention("the same times 10³, as in tables", "kid", UNBIASED, factor=1000.0),
    "cmmd": Convention("Jayasumana et al. (2024)", "mmd", {"unbiased": False, "bandwidth": 10.0}, factor=1000.0),
    "ignite": Convention("ignite.metrics.MaximumMeanDiscrepancy(var)", "mmd", {"unbiased": True, "bandwidth": 1.0}, root=2.0),
    "mmd": Convention("MMD without square, biased", "mmd", root=2.0),
}


def convert(to: str, value: float, n: int, m: int) -> float:
    """Return another package's number, from ours for samples of n and m rows.

    Parameters
    ----------
    to : str
        A key of `TABLE`.
    value : float
        The value of ``TABLE[to].divergence()``. Below zero, a root is zero.
    n, m : int

    Raises
    ------
    ValueError
        For an unknown key.

    Examples
    --------
    >>> from divkit.kernel.conventions import TABLE, convert
    >>> x, y = [0.0, 1.0], [2.0, 3.0, 4.0]
    >>> round(convert("scipy", TABLE["scipy"].divergence().estimate(x, y).value, 2, 3), 6)
    1.900292
    """
    convention = _convention(to, n, m)
    scaled = convention.scale(n, m) * value
    return scaled if convention.root == 1 else math.pow(max(scaled, 0.0), 1 / convention.root)


def restore(source: str, value: float, n: int, m: int) -> float:
    """Return our number, from another package's for samples of n and m rows.

    Raises
    ------
    ValueError
        For an unknown key, and for a negative number where theirs is a root.

    Examples
    --------
    >>> from divkit.kernel.conventions import restore
    >>> restore("geomloss-energy", 0.5, 10, 20)
    1.0
    """
    convention = _convention(source, n, m)
    if convention.root != 1 and not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{convention.call} is a root and cannot be {value:g}.")
    return math.pow(value, convention.root) / convention.scale(n, m)


def _convention(key: str, n: int, m: int) -> Convention:
    """Return the convention of that key, for sizes that samples can have."""
    if key not in TABLE:
        raise ValueError(f"unknown convention {key!r}; known are {', '.join(TABLE)}.")
    whole("n", n)
    whole("m", m)
    return TABLE[key]
