"""`divkit.test`: from a name or an object and two samples to a p-value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from divkit.core import registry
from divkit.core.divergence import Divergence
from divkit.data.measure import Measure, pair
from divkit.support.checks import enough
from divkit.support.spelling import meant
from divkit.testing.adaptive import Adaptive
from divkit.testing.c2st import ClassifierTest
from divkit.testing.labels import Relabelling
from divkit.testing.permutation import Draws, permutation_test
from divkit.testing.result import TestResult

__all__ = ["run_test", "test"]


def _adaptive(bandwidths: int = Adaptive.bandwidths, sharpness: float = Adaptive.sharpness) -> Adaptive:
    """Return the adaptive test with these options."""
    return Adaptive(bandwidths, sharpness)


def _c2st(blocks: int = ClassifierTest.blocks, folds: int | None = None) -> ClassifierTest:
    """Return the classifier test; `folds`, the word of the trained divergences, is accepted in place of `blocks`."""
    return ClassifierTest(blocks=blocks if folds is None else folds)


# the names that are tests but no divergences, each with a factory whose arguments are the options behind the colon
TESTS: Mapping[str, Callable[..., Adaptive | ClassifierTest]] = {"adaptive": _adaptive, "c2st": _c2st}


def test(
    divergence: str | Divergence | Adaptive | ClassifierTest,
    x: Any,
    y: Any,
    *,
    permutations: int = 999,
    seed: int = 0,
    groups_x: Any = None,
    groups_y: Any = None,
    wild: bool = False,
    enough: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> TestResult:
    r"""Test P = Q by relabelling the pooled sample.

    .. math:: p = \frac{1 + \#\{b : T_b \ge T - \tau\}}{1 + B}

    over B random relabellings, or over all others where there are no more than that; τ allows for rounding. Under P = Q the
    p-value is at most α with probability at most α. Source: Phipson and Smyth (2010); Hemerik and Goeman (2018).

    Parameters
    ----------
    divergence : str, Divergence, Adaptive or ClassifierTest
        Any divergence; ``"adaptive"`` for many kernels at once, see `divkit.testing.Adaptive`; ``"c2st"`` for a classifier, see
        `divkit.testing.ClassifierTest`. Options follow a colon, ``"sinkhorn:epsilon=.1"``, ``"adaptive:bandwidths=5"``,
        ``"c2st:blocks=3"``.
    x, y : Measure or array-like (n, *event), (m, *event)
        Without weights: weighted rows are not exchangeable.
    permutations : int
    seed : int
    groups_x, groups_y : array-like (n,), (m,), optional
        Labels of rows that depend on each other. Groups within one sample change places as a whole; rows of a group that both
        samples share, such as a pair, change places within it.
    wild : bool
        Let row i of x change places with row i of y only, n = m: the wild bootstrap with random signs, and where the rows are
        paired the test that they need.
    enough : int, optional
        Stop once so many relabelled values are as large as the observed one, at draw L say: then p = enough/L, which is as
        valid (Besag and Clifford, 1991).
    progress : callable, optional
        Called with the number of relabellings done since its last call.

    Raises
    ------
    ValueError
        For weights, fewer than two samples on a side, labels that cannot change places, and a divergence that is NaN under some
        relabelling.

    Warns
    -----
    UserWarning
        Where the sizes or `permutations` admit no p-value below 0.05.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> dk.test("energy", x, x + 1.0).pvalue
    0.001
    """
    draws = Draws(permutations, seed, enough, progress)
    name, statistic = _named(divergence)
    return run_test(name, statistic, *pair(x, y, groups_x=groups_x, groups_y=groups_y), draws, wild=wild)


test.__test__ = False  # type: ignore[attr-defined]  # it is not pytest's, where a test file imports it


def run_test(
    name: str, statistic: Divergence | Adaptive | ClassifierTest, x: Measure, y: Measure, draws: Draws, *, wild: bool = False
) -> TestResult:
    """Test two measures that have come through the door; `name` is what the result calls the statistic."""
    for label, measure in (("x", x), ("y", y)):
        if not measure.uniform:
            raise ValueError(f"{label} has weights: weighted rows are not exchangeable, as the test needs them. Resample.")
        enough(label, measure.n, 2, "for a test")
    statistic.require(x, y)
    among = _within_pairs(x, y) if wild else Relabelling.of(x, y)
    if isinstance(statistic, ClassifierTest):
        return statistic.run(name, x, y, among, draws)
    return permutation_test(name, statistic, x, y, among, draws)


def _named(divergence: Any) -> tuple[str, Divergence | Adaptive | ClassifierTest]:
    """Return the statistic with what to call it: a name stays as it was written."""
    if isinstance(divergence, Adaptive | ClassifierTest):
        return divergence.name, divergence
    if isinstance(divergence, str):
        head = divergence.partition(":")[0]
        if head in TESTS:
            return divergence, registry.build(divergence, TESTS, "test", {})
        if head not in registry.names() and (hint := meant(head, TESTS, "")):
            raise ValueError(f"unknown test {head!r}; {hint}")
    return registry.named(divergence)


def _within_pairs(x: Measure, y: Measure) -> Relabelling:
    """Return the relabelling of the wild bootstrap, by which row i of x and row i of y change places."""
    if x.n != y.n:
        raise ValueError(f"wild=True pairs row i of x with row i of y; x has {x.n} rows and y {y.n}. Leave it out.")
    if x.groups is not None or y.groups is not None:
        raise ValueError("wild=True makes a group of row i of x and row i of y; groups_x and groups_y must be None.")
    return Relabelling.pairs(x.n)
