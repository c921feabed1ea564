"""The call that most users need: a divergence, two samples, an estimate."""

from __future__ import annotations

from typing import Any

from divkit.core import registry
from divkit.core.estimate import Estimate
from divkit.data.measure import pair

__all__ = ["estimate"]


def estimate(
    divergence: Any,
    x: Any,
    y: Any,
    *,
    weights_x: Any = None,
    weights_y: Any = None,
    groups_x: Any = None,
    groups_y: Any = None,
    **fields: Any,
) -> Estimate:
    """Return the divergence of x from y with its standard error, bias and the measured state of the inner problem.

    Parameters
    ----------
    divergence : str, Divergence, or what makes one
        A name, which may carry options (``"alpha:order=.5"``), a divergence, or a record, dual or kernel (``dk.fdiv.KL``).
    x, y : array-like (n, *event), (m, *event), data frame or Measure
        Data frames are matched by column and keep their units here; `compare` divides by standard deviations.
    weights_x, weights_y : array-like, optional
        Importance weights, not counts.
    groups_x, groups_y : array-like, optional
        Labels of rows that depend on each other, such as a patient's: the error is that of independent groups. The same label
        in x and y is the same group, so that pairs of rows are groups too.
    **fields
        Set on a divergence given by name.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or field, and for data that are not comparable samples.

    Warns
    -----
    ConvergenceWarning
        Where the inner problem was not solved.

    Examples
    --------
    >>> import divkit as dk
    >>> e = dk.estimate("w2", [0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    >>> e.value, e.converged
    (1.0, True)
    """
    name, chosen = registry.named(divergence, **fields)
    p, q = pair(x, y, weights_x, weights_y, groups_x, groups_y)
    chosen.require(p, q)
    return chosen.assess(p, q, name=name)
