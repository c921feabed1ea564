r"""The accuracy of a classifier that tells two sample sets apart, as an estimate.

Let :math:`c_i` be 1 where row i gets its own label from a classifier that did not see it, and :math:`n_i` the number of rows in
its fold, of F folds that weigh the same. The accuracy is :math:`\sum_i c_i / (F n_i)`: a number a row, hence a standard error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from divkit.core.estimate import Bias, Estimate, Solution, Terms
from divkit.data.measure import Measure
from divkit.metrics.rows import rows_of
from divkit.support.checks import enough

__all__ = ["c2st"]


def c2st(x: Any, y: Any, seed: int = 0, folds: int = 5) -> Estimate:
    """Estimate the accuracy of a classifier that tells two sample sets apart, cross-validated: 1/2 where it cannot.

    Histogram gradient boosting at scikit-learn's settings; the larger set is cut to the size of the smaller. The standard error
    is that of the held-out rows for the classifiers as they were trained. A lower bound of the best classifier's accuracy.
    For a p-value ask ``dk.test("c2st", x, y)``. Source: Lopez-Paz, Oquab (2017).

    Parameters
    ----------
    x, y : array-like (n, *event), (m, *event)
    seed : int
        Deals the rows into folds.
    folds : int

    Raises
    ------
    ValueError
        Where the smaller set has fewer than two rows for each fold.

    Examples
    --------
    >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> float(c2st(x, x + 5.0)) > 0.99, 0 < c2st(x, x.flip(0) + 1.0).stderr < 0.04
    (True, True)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second of imports, for those who want a classifier
    from sklearn.model_selection import StratifiedKFold

    first, second = rows_of(x, y)
    n = min(len(first), len(second))
    enough("x and y", n, 2 * folds, f"for {folds} folds")
    p, q = Measure(first[:n]), Measure(second[:n])
    rows, labels = torch.cat([p.flat, q.flat]).numpy(force=True), np.repeat([0, 1], n)
    share = np.zeros(2 * n)  # of each row in the accuracy
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels):
        classifier = HistGradientBoostingClassifier(random_state=seed).fit(rows[train], labels[train])
        share[test] = (classifier.predict(rows[test]) == labels[test]) / (folds * len(test))
    influence = torch.from_numpy(n * share).to(p.device)
    settings = {"seed": seed, "folds": folds}
    return Estimate.of("c2st", p, q, Terms(influence[:n], influence[n:]), Solution(), bias=Bias.BELOW, settings=settings)
