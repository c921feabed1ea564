"""A comparison under way: equal problems solved once, yardsticks, tests, and rows that say why they are empty."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from divkit.comparison.findings import Row
from divkit.core.divergence import Divergence
from divkit.core.estimate import Solution
from divkit.core.modes import without_graph
from divkit.data.frames import shown
from divkit.data.measure import Measure
from divkit.support.progress import Progress
from divkit.testing import Adaptive, TestResult, test

__all__ = ["Run"]

LEVEL = 0.05
ADAPTIVE_ROWS = 2000  # a side, for the adaptive test: about three seconds
COMMON, RARE = 0.05, 0.9  # of rows: in both samples, which is worth a word; that differ, where rows seldom repeat by chance
TEST_ROWS = 300  # where each relabelling is solved by itself
FAILURES = (ValueError, ArithmeticError, RuntimeError, MemoryError)  # of one divergence: the others still have a say


class Run:
    """A comparison under way: the samples in the sizes that divergences can take, halves of x, and what was solved."""

    def __init__(self, x: Measure, y: Measure, made: list[tuple[str, Divergence]], max_rows: int, seed: int) -> None:
        self.made, self.max_rows, self.seed = made, max_rows, seed
        x, y = x.detach(), y.detach()
        self.full = x, y
        whole_x, small = _Data(x, y), _Data(_part(x, max_rows, seed), _part(y, max_rows, seed + 1))
        self.data = {False: whole_x, True: small}
        self.halves = {key: self._halves(data.x) for key, data in self.data.items()}
        counts = Counter(self._key(divergence) for _, divergence in made)
        self.together = {
            key: f"one problem for {', '.join(name for name, d in made if self._key(d) == key)}"
            for key, count in counts.items()
            if count > 1
        }
        self.shared: list[tuple[str, float]] = []
        self.verdict: TestResult | None = None
        self.said = ""

    def _key(self, divergence: Divergence) -> Hashable:
        return divergence.quadratic, divergence.problem

    def _halves(self, x: Measure) -> _Data | None:
        if x.n < 2:
            return None
        order = _shuffled(x.n, self.seed + 2).to(x.device)
        return _Data(x.take(order[: x.n // 2]), x.take(order[x.n // 2 :]))

    def rows(self, progress: Progress) -> list[Row]:
        with progress("divergences", 2 * len(self.made)) as done:
            return [self._row(name, divergence, done) for name, divergence in self.made]

    def _row(self, name: str, divergence: Divergence, done: Callable[[int], object]) -> Row:
        started, elsewhere = time.perf_counter(), 0.0
        data, label = self.data[divergence.quadratic], self.together.get(self._key(divergence), "")
        try:
            solution, seconds = data.solution(divergence)
            if label and seconds:
                self.shared.append((label, seconds))
                elsewhere = seconds
            found = divergence.assess(data.x, data.y, solution, name)
        except FAILURES as error:
            done(2)
            return Row(name, None, seconds=time.perf_counter() - started, shared=label, reasons={"value": _sentence(error)})
        taken = time.perf_counter() - started - elsewhere
        done(1)
        yardstick, reasons = self._yardstick(divergence)
        done(1)
        for key in ("value", "stderr"):
            number = getattr(found, key)
            if not math.isfinite(number):
                reasons[key] = str(found.notes.get(key, f"the {key} of these samples is {number}"))
        return Row(name, found, yardstick, seconds=taken, shared=label, reasons=reasons)

    def _yardstick(self, divergence: Divergence) -> tuple[float | None, dict[str, str]]:
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
        made = _holm([self._tested(row, d, permutations, progress) for row, (_, d) in zip(rows, self.made)])
        x, y = (_part(part, ADAPTIVE_ROWS, self.seed + 3 + side) for side, part in enumerate(self.full))
        try:
            with progress("adaptive test", permutations) as done:
                found = test(Adaptive(), x, y, permutations=permutations, seed=self.seed, progress=done)
        except FAILURES as error:
            self.said = f"no adaptive test: {_sentence(error)}"
        else:
            self.verdict = found
            differ = "differ" if found.pvalue <= LEVEL else "are not shown to differ"
            self.said = f"by the adaptive test over many kernels the two {differ} at 5 %: {found.sentence()}"
        return made

    def _tested(self, row: Row, divergence: Divergence, permutations: int, progress: Progress) -> Row:
        if row.estimate is None:
            return row
        data = self.data[divergence.quadratic]
        x, y = data.x, data.y
        if _alone(divergence):
            x, y = _part(x, TEST_ROWS, self.seed + 3), _part(y, TEST_ROWS, self.seed + 4)
        try:
            with progress(f"{row.name}, relabelled", permutations) as done:
                result = test(divergence, x, y, permutations=permutations, seed=self.seed, progress=done)
        except FAILURES as error:
            return replace(row, reasons={**row.reasons, "pvalue": _sentence(error)})
        return replace(row, pvalue=result.pvalue)

    def notes(self, labels: tuple[str, str], *, tested: bool) -> Iterator[str]:
        """What was done to the rows, in sentences."""
        if (common := _common(*self.full)) >= COMMON * min(self.full[0].n, self.full[1].n):
            here, there = (shown([label]) for label in labels)
            yield f"{common} of {self.full[0].n} rows of {here} are in {there} too: intervals and tests suppose independence"
        parts = zip(labels, self.full, (self.data[True].x, self.data[True].y))
        cut = [f"{part.n} of {every.n} rows of {shown([label])}" for label, every, part in parts if part.n < every.n]
        quadratic = [name for name, d in self.made if d.quadratic]
        if cut and quadratic:
            yield f"{', '.join(quadratic)}: a seeded subsample of {' and '.join(cut)} (--max-rows, max_rows=)"
        alone = [name for name, d in self.made if _alone(d)]
        if tested and alone and max(self.full[0].n, self.full[1].n) > TEST_ROWS:
            yield f"{', '.join(alone)}: p from {TEST_ROWS} random rows a side, as each relabelling is solved by itself"
        if tested:
            yield "p by permutation; p (Holm) is corrected for the number of divergences"
            yield self.said


@dataclass(eq=False)
class _Data:
    """Two samples and the problems solved on them."""

    x: Measure
    y: Measure
    solved: dict[Hashable, tuple[Solution, float]] = field(default_factory=dict)

    def solution(self, divergence: Divergence) -> tuple[Solution, float]:
        """Of this problem, and the seconds it took; from the second call on 0."""
        if divergence.problem in self.solved:
            return self.solved[divergence.problem][0], 0.0
        started = time.perf_counter()
        divergence.require(self.x, self.y)
        with without_graph(self.x.device):
            found = divergence.solve(self.x, self.y)
        self.solved[divergence.problem] = found, time.perf_counter() - started
        return self.solved[divergence.problem]


def _part(m: Measure, rows: int, seed: int) -> Measure:
    """A random subsample, in the order of the rows."""
    if m.n <= rows:
        return m
    return m.take(_shuffled(m.n, seed)[:rows].sort().values.to(m.device))


def _common(x: Measure, y: Measure) -> int:
    """How many rows of x occur in y; none where rows of x repeat, as discrete ones do."""
    if x.n < 2 or x.flat.shape[1] != y.flat.shape[1]:
        return 0
    mix = torch.randint(1 << 62, (x.flat.shape[1],), generator=torch.Generator(device="cpu").manual_seed(0), device="cpu") | 1
    keys = [((m.flat.double() + 0.0).view(torch.int64) * mix.to(m.device)).sum(1) for m in (x, y)]
    repeated = int((keys[0].sort().values.diff() == 0).sum())
    return int(torch.isin(*keys).sum()) if repeated <= (1 - RARE) * x.n else 0


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator(device="cpu").manual_seed(seed), device="cpu")


def _sentence(error: BaseException) -> str:
    words = " ".join(str(error).split()) or "no reason was given"
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def _holm(rows: Sequence[Row]) -> list[Row]:
    """Holm's step-down correction of the p-values there are."""
    order = sorted((row.pvalue, place) for place, row in enumerate(rows) if row.pvalue is not None)
    made, highest = list(rows), 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        made[place] = replace(rows[place], holm=highest)
    return made


def _alone(divergence: Divergence) -> bool:
    return type(divergence).null is Divergence.null
