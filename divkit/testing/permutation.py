"""The permutation test of P = Q: exact at every sample size, whatever the statistic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from divkit.core.divergence import Divergence
from divkit.core.graph import without_graph
from divkit.data.measure import Measure
from divkit.support.checks import whole
from divkit.support.warnings import caution
from divkit.testing.labels import Labels, Relabelling
from divkit.testing.result import TestResult

__all__ = ["Chooser", "Draws", "Fitted", "PermutationSettings", "Statistic", "Ties", "permutation_test"]


class Statistic(Protocol):
    """A statistic as the permutation test uses it; every `Divergence` is one."""

    @property
    def name(self) -> str: ...
    def null(self, pooled: Measure, labels: Tensor) -> Tensor: ...


class Fitted(Statistic, Protocol):
    """A statistic with the kernel that a `Chooser` chose; `chosen` describes it for the observed label (N,) bool."""

    def chosen(self, pooled: Measure, label: Tensor) -> str: ...


@runtime_checkable
class Chooser(Protocol):
    """A statistic that first chooses a kernel from the pooled rows, and from them alone."""

    def fitted(self, pooled: Measure) -> Fitted: ...


@dataclass(frozen=True)
class Ties:
    """The rule by which two values of a statistic count as equal: they differ by less than a tolerance.

    Attributes
    ----------
    of_range : float
        The tolerance as a share of the first batch's range: rounding is far below, values that differ are far above.
    of_largest : float
        The tolerance as a share of the largest absolute value: it decides where no relabelling changes the statistic.
    """

    of_range: float = 1e-6
    of_largest: float = 1e-9

    def tolerance(self, values: Tensor) -> float:
        """Return the tolerance that these values call for; values that are not finite do not count."""
        finite = values[values.isfinite()]
        if not len(finite):
            return 0.0
        return max(self.of_range * float(finite.max() - finite.min()), self.of_largest * float(finite.abs().max()))


@dataclass(frozen=True)
class PermutationSettings:
    """Choices of the permutation test that callers of `divkit.test` need not make.

    Attributes
    ----------
    labels : int
        Labels in one batch of relabellings; 2²³ take 64 MB in float64.
    solved : int
        Relabellings in one batch where each has a problem to solve: progress is reported after every batch.
    ties : Ties
    coarse : float
        A test that can give no p-value below this warns: it rejects next to never.
    """

    labels: int = 1 << 23
    solved: int = 32
    ties: Ties = Ties()
    coarse: float = 0.05


@dataclass(frozen=True)
class Draws:
    """The relabellings that a test draws; the first four fields are arguments of `divkit.test` and explained there."""

    permutations: int = 999
    seed: int = 0
    enough: int | None = None
    progress: Callable[[int], object] | None = None
    settings: PermutationSettings = PermutationSettings()

    def __post_init__(self) -> None:
        whole("permutations", self.permutations)
        whole("seed", self.seed, 0)
        if self.enough is not None:
            whole("enough", self.enough)


def permutation_test(name: str, statistic: Statistic, x: Measure, y: Measure, among: Relabelling, draws: Draws) -> TestResult:
    """Test P = Q by the share of relabellings, random or all there are, whose value is as large as the observed one."""
    total = among.count(draws.permutations + 1)
    exhaustive = total <= draws.permutations + 1
    count = total - 1 if exhaustive else draws.permutations
    if not count:
        raise ValueError(f"the labels {among.scheme} cannot change places; no p-value can be had.")
    solves = getattr(type(statistic), "null", None) is Divergence.null  # a problem for each relabelling
    labels = draws.settings.labels
    size = max(1, min(labels // (x.n + y.n), draws.settings.solved if solves else labels))
    with without_graph(x.device):
        pooled = x.detach().cat(y.detach())
        pooled = pooled.on(*(part.double() for part in pooled.parts))  # in less, rounding would break ties
        batches = among.all(size) if exhaustive else among.drawn(count, size, draws.seed)
        tally = _Tally(None if exhaustive else draws.enough, draws.settings.ties)
        fitted = statistic.fitted(pooled) if isinstance(statistic, Chooser) else None
        tally.run(fitted or statistic, pooled, among.observed, batches, draws.progress)
        kernel = fitted.chosen(pooled, _labels(among.observed, pooled)) if fitted else ""
    notes = _notes(count, exhaustive, draws.settings.coarse)
    result = TestResult(name, tally.statistic, tally.pvalue, x.n, y.n, tally.drawn, exhaustive)
    return replace(result, notes=notes, kernel=kernel, scheme=among.scheme, stopped=tally.stopped)


class _Tally:
    """A count of the relabelled values that are as large as the observed one; it stops at `enough` of them."""

    def __init__(self, enough: int | None, ties: Ties) -> None:
        self.enough, self.ties = enough, ties
        self.statistic = self.tolerance = math.nan
        self.larger = self.drawn = 0
        self.stopped = False

    @property
    def pvalue(self) -> float:
        """Return (1 + larger)/(1 + drawn), or larger/drawn where drawing stopped (Besag and Clifford, 1991)."""
        return self.larger / self.drawn if self.stopped else (1 + self.larger) / (1 + self.drawn)

    def run(
        self,
        statistic: Statistic,
        pooled: Measure,
        observed: Labels,
        batches: Iterator[Labels],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Evaluate the statistic for the observed labels and every batch, until enough values are as large."""
        for batch in batches:
            values = statistic.null(pooled, _labels(np.concatenate([observed[None], batch]), pooled)).double()
            if bool(values.isnan().any()):
                raise ValueError(
                    f"{statistic.name} is NaN under {int(values.isnan().sum())} of {len(values)} relabellings; no p-value can "
                    f"be had. Look at the data's scale, or choose another divergence."
                )
            self._add(values)
            if progress:
                progress(len(batch))
            if self.stopped:
                return

    def _add(self, values: Tensor) -> None:  # (1 + b,)
        """Count one batch's values, of which the first is the observed one."""
        if math.isnan(self.statistic):
            self.statistic, self.tolerance = float(values[0]), self.ties.tolerance(values)
        counts = (values[1:] >= self.statistic - self.tolerance).long().cumsum(0) + self.larger
        if self.enough is not None and int(counts[-1]) >= self.enough:
            last = int(torch.searchsorted(counts, self.enough))
            self.larger, self.drawn, self.stopped = self.enough, self.drawn + last + 1, True
        else:
            self.larger, self.drawn = int(counts[-1]), self.drawn + len(counts)


def _labels(labels: Labels, pooled: Measure) -> Tensor:
    """Return the labels as a tensor on the sample's device."""
    return torch.from_numpy(np.ascontiguousarray(labels)).to(pooled.device)


def _notes(count: int, exhaustive: bool, coarse: float) -> tuple[str, ...]:
    """Return what a reader must know of the smallest possible p-value, and warn where it is above `coarse`."""
    smallest = 1 / (1 + count)
    message = f"no p-value below {smallest:.3g} is possible with {1 + count} relabellings"
    if smallest >= coarse:
        remedy = "more samples are needed" if exhaustive else "raise permutations"
        caution(f"{message}; {remedy}.", UserWarning)
    return (f"{message}, all that the samples admit",) if exhaustive else ()
