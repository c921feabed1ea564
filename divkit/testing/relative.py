"""A test of three samples: which of two is closer to the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.special import ndtr

from divkit.core import registry
from divkit.core.divergence import Divergence
from divkit.core.estimate import Estimate
from divkit.data.measure import Measure, pair
from divkit.kernel.mmd import MMD
from divkit.support.checks import between

__all__ = ["Closer", "closer"]


@dataclass(frozen=True)
class Closer:
    """The result of `closer`: which of two samples A and B is closer to the data.

    Parameters
    ----------
    name : str
    a, b : Estimate
        The divergences of the data from A and from B.
    difference : Estimate
        a − b: negative where A is closer. Its error accounts for the data that both share.
    pvalue : float
        The two-sided p-value of D(data, A) = D(data, B).
    """

    name: str
    a: Estimate
    b: Estimate
    difference: Estimate
    pvalue: float

    def __str__(self) -> str:
        return self.sentence()

    def verdict(self, level: float = 0.05) -> str:
        """Return ``"a"`` or ``"b"``, whichever is closer at that level, or ``"neither"``."""
        between("level", level, 0, 1)
        if not self.pvalue <= level:
            return "neither"
        return "a" if self.difference.value < 0 else "b"

    def sentence(self, level: float = 0.05) -> str:
        """Say it in words."""
        low, high = self.difference.ci()
        nearer = {"a": "A is closer to the data than B", "b": "B is closer to the data than A"}
        verdict = nearer.get(self.verdict(level), "neither is shown to be closer to the data")
        return (
            f"{verdict} (level {level:g}): {self.name} {self.a.value:.4g} from A and {self.b.value:.4g} from B, difference "
            f"{self.difference.value:.4g} in [{low:.4g}, {high:.4g}], p = {self.pvalue:.4g}."
        )


def closer(
    divergence: str | Divergence,
    data: Any,
    a: Any,
    b: Any,
    *,
    groups_data: Any = None,
    groups_a: Any = None,
    groups_b: Any = None,
) -> Closer:
    r"""Test D(data, A) = D(data, B), two models' samples say, against either being closer.

    .. math:: z = \frac{\hat D(\text{data}, A) - \hat D(\text{data}, B)}{s}

    is compared with a normal law; s is the standard error of the difference, whose influences on the shared data are subtracted
    row by row. It is valid for large samples, and conservative where both divergences are near zero. A bandwidth that a kernel
    takes from the data is taken once, from all three samples. Source: Bounliphone et al. (2016).

    Parameters
    ----------
    divergence : str or Divergence
    data, a, b : array-like (n, *event), (m, *event), (k, *event), or Measure
    groups_data, groups_a, groups_b : array-like, optional
        Labels of rows that depend on each other, as in `divkit.test`.

    Raises
    ------
    ValueError
        Where the difference has no error.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> g = torch.Generator().manual_seed(0)
    >>> data, a, b = (torch.randn(300, 2, generator=g) + shift for shift in (0.0, 0.3, 1.0))
    >>> dk.closer("energy", data, a, b).verdict()
    'a'
    """
    name, spec = registry.named(divergence)
    for label, sample in (("data", data), ("a", a), ("b", b)):
        if hasattr(sample, "columns"):
            raise TypeError(f"{label} is a data frame; the three need one encoding: give arrays of numbers (.to_numpy()).")
    p, q = pair(data, a, groups_x=groups_data, groups_y=groups_a)
    p, r = pair(p, b, groups_y=groups_b)
    from_a, from_b = (_estimate(spec, name, p, other, q, r) for other in (q, r))
    difference = from_a - from_b
    if not math.isfinite(difference.stderr):
        raise ValueError(f"the difference of these {name} has no standard error; a minimum of 2 rows in each is required.")
    z = abs(difference.value) / difference.stderr if difference.stderr > 0 else math.inf * (difference.value != 0)
    return Closer(name, from_a, from_b, difference, float(2 * ndtr(-z)) if difference.value else 1.0)


def _estimate(spec: Divergence, name: str, data: Measure, other: Measure, a: Measure, b: Measure) -> Estimate:
    """Return the estimate between the data and `other`; an MMD's kernel is chosen from all three samples."""
    shared = None
    if isinstance(spec, MMD):
        with torch.no_grad():
            shared = spec.solve(data.detach(), a.detach().cat(b.detach()))
    spec.require(data, other)
    return spec.assess(data, other, shared, name)
