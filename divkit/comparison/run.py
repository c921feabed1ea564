"""A comparison under way: equal problems solved once, yardsticks, tests, and rows that say why they are empty."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from divkit.comparison.findings import Row
from divkit.core.divergence import Divergence
from divkit.core.estimate import Solution
from divkit.core.graph import without_graph
from divkit.data.measure import Measure
from divkit.data.sampling import random_rows
from divkit.support.progress import Progress
from divkit.support.words import quoted
from divkit.testing import Adaptive, TestResult
from divkit.testing.door import run_test
from divkit.testing.permutation import Draws

__all__ = ["Limits", "Run"]

FAILURES = (ValueError, ArithmeticError, RuntimeError, MemoryError)  # when one divergence raises these, the others go on


@dataclass(frozen=True)
class Limits:
    """Sizes and shares that a comparison keeps to.

    Parameters
    ----------
    level : float
        The p-value up to which a test is called significant.
    adaptive_rows : int
        Rows a side for the adaptive test: about three seconds.
    test_rows : int
        Rows a side for a test in which every relabelling is a problem to solve.
    common : float
        The share of the smaller sample's rows that may lie in both samples before a note says so.
    repeated : float
        The share of rows that may repeat within x before rows in both samples count as chance, as in discrete data.
    """

    level: float = 0.05
    adaptive_rows: int = 2000
    test_rows: int = 300
    common: float = 0.05
    repeated: float = 0.1


class Run:
    """A comparison under way: the samples in the sizes that divergences can take, halves of x, and what was solved."""

    def __init__(
        self,
        x: Measure,
        y: Measure,
        named: list[tuple[str, Divergence]],
        max_rows: int,
        seed: int,
        limits: Limits = Limits(),
    ) -> None:
        self.named, self.seed, self.limits = named, seed, limits
        x, y = x.detach(), y.detach()
        self.full = x, y
        small = _Problems(_part(x, max_rows, seed), _part(y, max_rows, seed + 1))
        self.problems = {False: _Problems(x, y), True: small}  # by whether a divergence compares all pairs
        self.halves = {key: _halves(problems.x, seed + 2) for key, problems in self.problems.items()}
        counts = Counter(_key(divergence) for _, divergence in named)
        self.together = {
            key: f"one problem for {', '.join(name for name, divergence in named if _key(divergence) == key)}"
            for key, count in counts.items()
            if count > 1
        }
        self.shared: list[tuple[str, float]] = []
        self.verdict: TestResult | None = None
        self.remark = ""  # on the adaptive test

    def rows(self, progress: Progress) -> list[Row]:
        """Return a row for each divergence, not yet tested."""
        with progress("divergences", 2 * len(self.named)) as done:
            return [self._row(name, divergence, done) for name, divergence in self.named]

    def _row(self, name: str, divergence: Divergence, done: Callable[[int], object]) -> Row:
        """Return the value of a divergence with its yardstick, or the reason why it has none."""
        started, elsewhere = time.perf_counter(), 0.0
        problems, label = self.problems[divergence.quadratic], self.together.get(_key(divergence), "")
        try:
            solution, seconds = problems.solution(divergence)
            if label and seconds:
                self.shared.append((label, seconds))
                elsewhere = seconds
            estimate = divergence.assess(problems.x, problems.y, solution, name)
        except FAILURES as error:
            done(2)
            return Row(name, None, seconds=time.perf_counter() - started, shared=label, reasons={"value": _sentence(error)})
        seconds = time.perf_counter() - started - elsewhere
        done(1)
        yardstick, reasons = self._yardstick(divergence)
        done(1)
        for key in ("value", "stderr"):
            number = getattr(estimate, key)
            if not math.isfinite(number):
                reasons[key] = str(estimate.notes.get(key, f"the {key} of these samples is {number}"))
        return Row(name, estimate, yardstick, seconds=seconds, shared=label, reasons=reasons)

    def _yardstick(self, divergence: Divergence) -> tuple[float | None, dict[str, str]]:
        """Return the value between two random halves of x, and what is wrong with it."""
        halves = self.halves[divergence.quadratic]
        if halves is None:
            return None, {"yardstick": "one sample has no halves"}
        try:
            solution, _ = halves.solution(divergence)
            value = divergence.assess(halves.x, halves.y, solution).value
        except FAILURES as error:
            return None, {"yardstick": f"between halves of x: {_sentence(error)}"}
        if not math.isfinite(value):
            return None, {"yardstick": f"between halves of x it is {value}"}
        return value, {} if solution.converged else {"yardstick": f"between halves of x: {solution.status.value}"}

    def tested(self, rows: list[Row], permutations: int, progress: Progress) -> list[Row]:
        """Return the rows with p-values; the adaptive test's result goes to `verdict`."""
        tested = _holm([self._tested(row, d, permutations, progress) for row, (_, d) in zip(rows, self.named)])
        x, y = (_part(side, self.limits.adaptive_rows, self.seed + 3 + place) for place, side in enumerate(self.full))
        adaptive = Adaptive()
        try:
            with progress("adaptive test", permutations) as done:
                result = run_test(adaptive.name, adaptive, x, y, Draws(permutations, self.seed, progress=done))
        except FAILURES as error:
            self.remark = f"no adaptive test: {_sentence(error)}"
        else:
            self.verdict = result
            differ = "differ" if result.pvalue <= self.limits.level else "are not shown to differ"
            self.remark = f"by the adaptive test over many kernels the two {differ} at 5 %: {result.sentence()}"
        return tested

    def _tested(self, row: Row, divergence: Divergence, permutations: int, progress: Progress) -> Row:
        """Return the row with its p-value, or the reason why it has none."""
        if row.estimate is None:
            return row
        problems = self.problems[divergence.quadratic]
        x, y = problems.x, problems.y
        if _solves_each(divergence):
            x, y = (_part(side, self.limits.test_rows, self.seed + 3 + place) for place, side in enumerate((x, y)))
        try:
            with progress(f"{row.name}, relabelled", permutations) as done:
                result = run_test(row.name, divergence, x, y, Draws(permutations, self.seed, progress=done))
        except FAILURES as error:
            return replace(row, reasons={**row.reasons, "pvalue": _sentence(error)})
        return replace(row, pvalue=result.pvalue)

    def notes(self, labels: tuple[str, str], *, tested: bool) -> Iterator[str]:
        """Say in sentences what was done to the rows."""
        x, y = self.full
        common = _common(x, y, self.limits.repeated)
        if common >= self.limits.common * min(x.n, y.n):
            here, there = (quoted([label]) for label in labels)
            yield f"{common} of {x.n} rows of {here} are in {there} too: intervals and tests suppose independence"
        parts = zip(labels, self.full, (self.problems[True].x, self.problems[True].y))
        cut = [f"{part.n} of {every.n} rows of {quoted([label])}" for label, every, part in parts if part.n < every.n]
        quadratic = [name for name, divergence in self.named if divergence.quadratic]
        if cut and quadratic:
            yield f"{', '.join(quadratic)}: a seeded subsample of {' and '.join(cut)} (--max-rows, max_rows=)"
        slow = [name for name, divergence in self.named if _solves_each(divergence)]
        rows = self.limits.test_rows
        if tested and slow and max(x.n, y.n) > rows:
            yield f"{', '.join(slow)}: p from {rows} random rows a side, as each relabelling is solved by itself"
        if tested:
            yield "p by permutation; p (Holm) is corrected for the number of divergences"
            yield self.remark


@dataclass(eq=False)
class _Problems:
    """Two samples and the problems solved on them, each with the seconds that it took."""

    x: Measure
    y: Measure
    solved: dict[Hashable, tuple[Solution, float]] = field(default_factory=dict)

    def solution(self, divergence: Divergence) -> tuple[Solution, float]:
        """Return the solution of a divergence's problem, and the seconds it took: 0 where it had been solved before."""
        if divergence.problem in self.solved:
            return self.solved[divergence.problem][0], 0.0
        started = time.perf_counter()
        divergence.require(self.x, self.y)
        with without_graph(self.x.device):
            solution = divergence.solve(self.x, self.y)
        self.solved[divergence.problem] = solution, time.perf_counter() - started
        return self.solved[divergence.problem]


def _key(divergence: Divergence) -> Hashable:
    """Return what two divergences have in common whose problem is solved once."""
    return divergence.quadratic, divergence.problem


def _halves(x: Measure, seed: int) -> _Problems | None:
    """Return two random halves of a sample, of whole groups where it has groups; None where there is one row or group."""
    if x.groups is None:
        if x.n < 2:
            return None
        order, half = _shuffled(x.n, seed), x.n // 2
    else:
        codes = torch.from_numpy(np.unique(x.groups, return_inverse=True)[1])
        sizes = codes.bincount()
        if len(sizes) < 2:
            return None
        groups = _shuffled(len(sizes), seed)
        order = torch.cat([(codes == group).nonzero()[:, 0] for group in groups])
        ends = sizes[groups].cumsum(0)[:-1]
        half = int(ends[(2 * ends - x.n).abs().argmin()])
    order = order.to(x.device)
    return _Problems(x.take(order[:half]), x.take(order[half:]))


def _part(sample: Measure, rows: int, seed: int) -> Measure:
    """Return a random subsample of at most so many rows, in their order."""
    if sample.n <= rows:
        return sample
    chosen = random_rows(sample.n, rows, torch.Generator(device="cpu").manual_seed(seed), sample.device)
    return sample.take(chosen.sort().values)


def _common(x: Measure, y: Measure, repeated: float) -> int:
    """Return how many rows of x occur in y; none where more than a share `repeated` of x repeats within it."""
    if x.n < 2 or x.flat.shape[1] != y.flat.shape[1]:
        return 0
    mix = torch.randint(1 << 62, (x.flat.shape[1],), generator=torch.Generator(device="cpu").manual_seed(0), device="cpu") | 1
    # a row's key is a sum of the bits of its numbers, multiplied by random odd numbers: equal rows have equal keys
    keys = [((m.flat.double() + 0.0).view(torch.int64) * mix.to(m.device)).sum(1) for m in (x, y)]
    repeats = int((keys[0].sort().values.diff() == 0).sum())
    return int(torch.isin(*keys).sum()) if repeats <= repeated * x.n else 0


def _shuffled(n: int, seed: int) -> Tensor:
    """Return the numbers below n in random order."""
    return torch.randperm(n, generator=torch.Generator(device="cpu").manual_seed(seed), device="cpu")


def _sentence(error: BaseException) -> str:
    """Return an error's message in one line, with its kind where that says more."""
    words = " ".join(str(error).split()) or "no reason was given"
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def _holm(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with Holm's step-down correction of their p-values."""
    order = sorted((row.pvalue, place) for place, row in enumerate(rows) if row.pvalue is not None)
    corrected, highest = list(rows), 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[place] = replace(rows[place], holm=highest)
    return corrected


def _solves_each(divergence: Divergence) -> bool:
    """Whether a permutation test has to solve the divergence anew for every relabelling."""
    return type(divergence).null is Divergence.null
