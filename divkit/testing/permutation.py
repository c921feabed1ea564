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
from divkit.data.measure import Measure
from divkit.support.checks import whole
from divkit.support.warnings import caution
from divkit.testing.labels import Labels, Relabelling
from divkit.testing.result import TestResult

__all__ = ["Chooser", "Draws", "Statistic", "permutation_test"]

ENTRIES = 1 << 23  # of a batch of labels: in float64 they take 64 MB
LOOP = 32  # relabellings between two reports of progress where each is solved by itself
SPREAD = 1e-6  # of the spread of values: rounding is far below, values of relabellings that differ are far above
TIE = 1e-9  # of the largest value, where relabelling changes nothing
COARSE = 0.05  # a test that cannot give a p-value below this rejects next to never


class Statistic(Protocol):
    """What a permutation test needs of a statistic; every `Divergence` is one."""

    @property
    def name(self) -> str: ...
    def require(self, x: Measure, y: Measure) -> None: ...
    def null(self, pooled: Measure, labels: Tensor) -> Tensor: ...


class Fitted(Protocol):
    """A statistic whose kernel has been found."""

    @property
    def name(self) -> str: ...
    def null(self, pooled: Measure, labels: Tensor) -> Tensor: ...
    def chosen(self, pooled: Measure, label: Tensor) -> str:
        """Describe the kernel, for the observed label (N,) bool."""


@runtime_checkable
class Chooser(Protocol):
    """A statistic with a kernel that depends on the pooled rows, and on them alone."""

    def fitted(self, pooled: Measure) -> Fitted:
        """Find the kernel, once for all relabellings."""


@dataclass(frozen=True)
class Draws:
    """How many relabellings, from which seed, ended by how many values as large as the observed one, reported to whom."""

    permutations: int = 999
    seed: int = 0
    enough: int | None = None
    progress: Callable[[int], object] | None = None

    def __post_init__(self) -> None:
        whole("permutations", self.permutations)
        whole("seed", self.seed, 0)
        if self.enough is not None:
            whole("enough", self.enough)


def permutation_test(name: str, statistic: Statistic, x: Measure, y: Measure, among: Relabelling, draws: Draws) -> TestResult:
    """Relabel the pooled sample: at random, or in every way where there are no more ways than asked for."""
    total = among.count(draws.permutations + 1)
    exhaustive = total <= draws.permutations + 1
    count = total - 1 if exhaustive else draws.permutations
    if not count:
        raise ValueError(f"the labels {among.scheme} cannot change places; no p-value can be had.")
    alone = getattr(type(statistic), "null", None) is Divergence.null
    size = max(1, min(ENTRIES // (x.n + y.n), LOOP if alone else ENTRIES))
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        pooled = _double(x.detach().cat(y.detach()))
        batches = among.all(size) if exhaustive else among.drawn(count, size, draws.seed)
        tally = _Tally(None if exhaustive else draws.enough)
        fitted = statistic.fitted(pooled) if isinstance(statistic, Chooser) else None
        tally.run(fitted or statistic, pooled, among.observed, batches, draws.progress)
        kernel = fitted.chosen(pooled, _labels(among.observed, pooled)) if fitted else ""
    found = TestResult(name, tally.statistic, tally.pvalue, x.n, y.n, tally.drawn, exhaustive)
    return replace(found, notes=_notes(count, exhaustive), kernel=kernel, scheme=among.scheme, stopped=tally.stopped)


class _Tally:
    """How many relabelled values are as large as the observed one; with `enough`, no more are looked at than it takes."""

    def __init__(self, enough: int | None) -> None:
        self.enough = enough
        self.statistic = self.tolerance = math.nan
        self.larger = self.drawn = 0
        self.stopped = False

    @property
    def pvalue(self) -> float:
        """(1 + larger)/(1 + drawn), or larger/drawn at the draw that was the last one needed (Besag and Clifford, 1991)."""
        return self.larger / self.drawn if self.stopped else (1 + self.larger) / (1 + self.drawn)

    def run(
        self,
        statistic: Statistic | Fitted,
        pooled: Measure,
        observed: Labels,
        batches: Iterator[Labels],
        progress: Callable[[int], object] | None,
    ) -> None:
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

    def _add(self, values: Tensor) -> None:
        if math.isnan(self.statistic):
            self.statistic = float(values[0])
            finite = values[values.isfinite()]
            spread, largest = (float(finite.max() - finite.min()), float(finite.abs().max())) if len(finite) else (0.0, 0.0)
            self.tolerance = max(SPREAD * spread, TIE * largest)
        counts = (values[1:] >= self.statistic - self.tolerance).long().cumsum(0) + self.larger
        if self.enough is not None and int(counts[-1]) >= self.enough:
            last = int(torch.searchsorted(counts, self.enough))
            self.larger, self.drawn, self.stopped = self.enough, self.drawn + last + 1, True
        else:
            self.larger, self.drawn = int(counts[-1]), self.drawn + len(counts)


def _labels(labels: Labels, pooled: Measure) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(labels)).to(pooled.device)


def _double(pooled: Measure) -> Measure:
    """In float64: in less, rounding would break the ties that discrete data have."""
    return pooled.on(*(part.double() for part in pooled.parts))


def _notes(count: int, exhaustive: bool) -> tuple[str, ...]:
    floor = 1 / (1 + count)
    said = f"no p-value below {floor:.3g} is possible with {1 + count} relabellings"
    notes = (f"{said}, all that the samples admit",) if exhaustive else ()
    if floor >= COARSE:
        remedy = "more samples are needed" if exhaustive else "raise permutations"
        caution(f"{said}; {remedy}.", UserWarning)
    return notes
