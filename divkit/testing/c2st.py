"""The classifier two-sample test, exact in level with any classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from divkit.data.measure import Measure
from divkit.support.checks import enough, whole
from divkit.testing.labels import Relabelling
from divkit.testing.permutation import Draws, permutation_test
from divkit.testing.result import TestResult

__all__ = ["ClassifierTest"]

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierTest:
    r"""The test by a classifier: the area under its ROC curve on rows that it has not seen.

    The rows are dealt into blocks; block k is scored by a classifier trained on the blocks before it. The statistic is

    .. math:: T = \sum_k c_k \mathrm{AUC}_k, \qquad \sum_k c_k = 1,

    ½ where the samples cannot be told apart, with more weight on blocks whose classifier saw more rows. Labels are relabelled
    within blocks. Ranks, with ties broken at random, have the same law under P = Q whatever the classifier was, so that the
    level is exact without training anew. (Cross-fitted in both directions it would not be: each block's labels would enter the
    others' scores.) Source: after Lopez-Paz and Oquab (2017), with the blocks of a prequential test.

    Parameters
    ----------
    classifier : scikit-learn classifier
        With ``predict_proba`` or ``decision_function``; it is cloned. A random forest by default.
    blocks : int
        At least 2; the first one only trains.

    Raises
    ------
    ValueError
        Where a block has no row of one of the samples, and for a classifier that scores nothing.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from sklearn.linear_model import LogisticRegression
    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> dk.test(dk.testing.ClassifierTest(LogisticRegression()), x, x.flip(0) + 1.0, permutations=199).pvalue
    0.005
    """

    classifier: Any = None
    blocks: int = 5

    def __post_init__(self) -> None:
        whole("blocks", self.blocks, 2)
        if self.classifier is not None and not all(hasattr(self.classifier, name) for name in ("fit", "get_params")):
            raise ValueError(f"classifier must be a scikit-learn classifier; got {self.classifier!r}.")

    @property
    def name(self) -> str:
        return "c2st"

    def require(self, x: Measure, y: Measure) -> None:
        """Refuse samples with fewer than two rows for each block."""
        for label, measure in (("x", x), ("y", y)):
            enough(label, measure.n, 2 * self.blocks, f"for {self.blocks} blocks")

    def run(self, name: str, x: Measure, y: Measure, among: Relabelling, draws: Draws) -> TestResult:
        """Score every block by a classifier trained on the blocks before it, and relabel the scored rows within blocks."""
        rows = x.detach().cat(y.detach()).flat.double().numpy(force=True)
        generator = np.random.default_rng(draws.seed)
        block = _deal(among, self.blocks, generator)[among.unit]
        scores = self._scores(rows, among.observed, block, draws.seed)
        within = _within_blocks(among, block)
        statistic = _rank_sum(within, block, scores, generator)
        result = permutation_test(name, statistic, x, y, within, draws)
        return replace(result, scheme=f"within blocks, {among.scheme}")

    def _scores(self, rows: Reals, label: NDArray[np.bool_], block: NDArray[np.intp], seed: int) -> Reals:  # -> (N,)
        """Return each row's score by a classifier that saw the blocks before its own; 0 in the first block."""
        scores = np.zeros(len(rows))
        for k in range(1, self.blocks):
            seen, now = block < k, block == k
            if not (label[seen].any() and label[now].any()) or label[seen].all() or label[now].all():
                raise ValueError(
                    f"block {k} of {self.blocks}, or what comes before it, lacks one of the samples; take fewer blocks."
                )
            scores[now] = _score(self._untrained(seed).fit(rows[seen], label[seen]), rows[now])
        return scores

    def _untrained(self, seed: int) -> Any:
        """Return a fresh classifier; a free ``random_state`` is set to the seed."""
        from sklearn.base import clone  # a second of imports, for those who want a classifier
        from sklearn.ensemble import RandomForestClassifier

        if self.classifier is None:
            return RandomForestClassifier(min_samples_leaf=3, random_state=seed)
        classifier = clone(self.classifier)
        parameters = classifier.get_params().items()
        free = [key for key, value in parameters if key.split("__")[-1] == "random_state" and value is None]
        return classifier.set_params(**dict.fromkeys(free, seed))


@dataclass(frozen=True, eq=False)
class _RankSum:
    """The statistic Σ over the rows of x of a weight per row, plus a constant."""

    weight: Tensor  # (N,)
    constant: float
    name: str = "c2st"

    def null(self, pooled: Measure, labels: Tensor) -> Tensor:  # labels: (B, N) -> (B,)
        return labels.double() @ self.weight.to(labels.device) + self.constant


def _score(classifier: Any, rows: Reals) -> Reals:
    """Return the trained classifier's score of each row: the probability of x, or else its decision function."""
    if hasattr(classifier, "predict_proba"):
        return np.asarray(classifier.predict_proba(rows)[:, 1], dtype=np.float64)
    if hasattr(classifier, "decision_function"):
        return np.asarray(classifier.decision_function(rows), dtype=np.float64)
    raise ValueError(f"classifier {classifier!r} has neither predict_proba nor decision_function; give one that scores.")


def _deal(among: Relabelling, blocks: int, generator: np.random.Generator) -> NDArray[np.intp]:  # -> (U,)
    """Return a random block for every unit. Units of x and of y are dealt apart; a group that both share stays in one block."""
    cluster = np.where(among.stratum == 0, np.arange(len(among.stratum)), len(among.stratum) + among.stratum)
    side = np.where(among.stratum == 0, among.label, 2)
    _, first, inverse = np.unique(cluster, return_index=True, return_inverse=True)
    block = np.empty(len(first), dtype=np.intp)
    for value in range(3):
        members = generator.permutation(np.flatnonzero(side[first] == value))
        block[members] = np.arange(len(members)) % blocks
    return block[inverse]


def _within_blocks(among: Relabelling, block: NDArray[np.intp]) -> Relabelling:
    """Return the relabelling whose units change places within a block only; those of the first, which has no scores, stay."""
    _, first = np.unique(among.unit, return_index=True)
    of_unit, count = block[first], len(among.stratum)
    keys = np.where(of_unit == 0, -1 - np.arange(count), among.stratum * (1 + block.max()) + of_unit)
    return replace(among, stratum=np.unique(keys, return_inverse=True)[1])


def _rank_sum(within: Relabelling, block: NDArray[np.intp], scores: Reals, generator: np.random.Generator) -> _RankSum:
    """Return weights of rows whose sum over x is the weighted mean of the strata's areas under the curve.

    A stratum's AUC is (R − n(n + 1)/2)/(nm), R being the sum of the ranks of its n units of x among all n + m.
    """
    size = np.bincount(within.unit)
    means = np.bincount(within.unit, scores) / size
    place = np.zeros(len(size), dtype=np.intp)
    _, first = np.unique(within.unit, return_index=True)
    weight, constant, total = np.zeros(len(size)), 0.0, 0.0
    for members in within.strata():
        n = int(within.label[members].sum())
        m = len(members) - n
        if not n or not m:
            continue
        shuffled = generator.permutation(members)  # ties fall at random
        place[shuffled[np.argsort(means[shuffled], kind="stable")]] = np.arange(1, len(members) + 1)
        c = np.sqrt(block[first[members[0]]]) / (n + m + 1)  # times n m, the inverse variance under P = Q
        weight[members] = c * place[members]
        constant -= c * n * (n + 1) / 2
        total += c * n * m
    total = max(total, np.finfo(float).tiny)
    return _RankSum(torch.from_numpy((weight / size / total)[within.unit]), constant / total)
