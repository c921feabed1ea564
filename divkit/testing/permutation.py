"""The permutation test of P = Q: exact at every sample size, whatever the divergence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import torch
from torch import Tensor

from divkit import registry
from divkit.checks import whole
from divkit.divergence import Divergence
from divkit.measure import Measure, pair

__all__ = ["TestResult", "test"]

ENTRIES = 1 << 23  # of a batch of labels: in float64 they take 64 MB
LOOP = 32  # relabellings between two reports of progress where each is solved by itself
TIE = 1e-9  # of the largest value: rounding in float64 is far below, values of relabellings that differ are far above
COARSE = 0.05  # a test that cannot give a p-value below this rejects next to never


@dataclass(frozen=True)
class TestResult:
    """A p-value, and what it rests on.

    Parameters
    ----------
    name : str
    statistic, pvalue : float
    n, m : int
    permutations : int
        Relabellings beside the observed one.
    exhaustive : bool
        Whether these are all there are.
    notes : tuple of str
    """

    __test__ = False  # it is not pytest's

    name: str
    statistic: float
    pvalue: float
    n: int
    m: int
    permutations: int
    exhaustive: bool
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Say it in words."""
        which = "all" if self.exhaustive else "randomly drawn"
        return (
            f"{self.name} = {self.statistic:.4g} between {self.n} and {self.m} samples, p = {self.pvalue:.4g}: the share of "
            f"{self.permutations + 1} relabellings of the pooled sample ({which}, the observed one included) whose value is at "
            f"least as large."
        )


def test(
    divergence: str | Divergence,
    x: Any,
    y: Any,
    *,
    permutations: int = 999,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> TestResult:
    r"""Test P = Q by relabelling the pooled sample.

    .. math:: p = \frac{1 + \#\{b : T_b \ge T - \tau\}}{1 + B}

    over B random relabellings, or over all others where there are no more than that; τ allows for rounding. Under P = Q the
    p-value is at most α with probability at most α. Source: Phipson and Smyth (2010); Hemerik and Goeman (2018).

    Parameters
    ----------
    divergence : str or Divergence
    x, y : Measure or array-like (n, *event), (m, *event)
        Without weights: weighted rows are not exchangeable.
    permutations : int
    seed : int
    progress : callable, optional
        Called with the number of relabellings done since its last call.

    Raises
    ------
    ValueError
        For weights, fewer than two samples on a side, and a divergence that is NaN under some relabelling.

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
    whole("permutations", permutations)
    whole("seed", seed, 0)
    name, made = registry.named(divergence)
    p, q = pair(x, y)
    for label, measure in (("x", p), ("y", q)):
        _require(label, measure)
    made.require(p, q)
    total = _relabellings(p.n, q.n, permutations + 1)
    exhaustive = total <= permutations + 1
    count = total - 1 if exhaustive else permutations
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(p.device.type, enabled=False):
        pooled = _double(p.detach().cat(q.detach()))
        labels = _all(p.n, pooled.n) if exhaustive else _drawn(p.n, pooled.n, count, seed)
        statistic, larger = _count(made, pooled, p.n, labels, progress)
    notes = _notes(count, exhaustive)
    return TestResult(name, statistic, (1 + larger) / (1 + count), p.n, q.n, count, exhaustive, notes)


test.__test__ = False  # type: ignore[attr-defined]  # nor is this, where a test file imports it


def _require(label: str, measure: Measure) -> None:
    if not measure.uniform:
        raise ValueError(f"{label} has weights: weighted rows are not exchangeable, as the test needs them. Resample.")
    if measure.n < 2:
        raise ValueError(f"Found array with {measure.n} sample(s) while a minimum of 2 is required: {label} for a test.")


def _double(pooled: Measure) -> Measure:
    """In float64: in less, rounding would break the ties that discrete data have."""
    return pooled.on(*(part.double() for part in pooled.parts))


def _relabellings(n: int, m: int, limit: int) -> int:
    """Binomial(n + m, n), or something beyond `limit` where it is."""
    total = 1
    for i in range(1, min(n, m) + 1):
        total = total * (max(n, m) + i) // i
        if total > limit:
            break
    return total


def _all(n: int, size: int) -> Iterator[Tensor]:
    """Each labelling but the observed, which comes first."""
    return (_label(torch.tensor(rows, device="cpu"), size) for rows in islice(combinations(range(size), n), 1, None))


def _drawn(n: int, size: int, count: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return (_label(torch.randperm(size, generator=generator, device="cpu")[:n], size) for _ in range(count))


def _label(rows: Tensor, size: int) -> Tensor:  # -> (N,) bool, True for x
    label = torch.zeros(size, dtype=torch.bool, device="cpu")
    label[rows] = True
    return label


def _count(
    divergence: Divergence, pooled: Measure, n: int, labels: Iterator[Tensor], progress: Callable[[int], object] | None
) -> tuple[float, int]:
    """The observed value, and how many others are as large."""
    alone = type(divergence).null is Divergence.null
    size = min(max(1, ENTRIES // pooled.n), LOOP) if alone else max(1, ENTRIES // pooled.n)
    statistic, tolerance, larger = math.nan, math.nan, 0
    observed = _label(torch.arange(n, device="cpu"), pooled.n)
    for batch in iter(lambda: list(islice(labels, size)), []):
        values = divergence.null(pooled, torch.stack([observed, *batch]).to(pooled.device)).double()
        if bool(values.isnan().any()):
            raise ValueError(
                f"{divergence.name} is NaN under {int(values.isnan().sum())} of {len(values)} relabellings; no p-value can be "
                f"had. Look at the data's scale, or choose another divergence."
            )
        if math.isnan(statistic):
            statistic = float(values[0])
            finite = values[values.isfinite()].abs()
            tolerance = TIE * float(finite.max()) if len(finite) else 0.0
        larger += int((values[1:] >= statistic - tolerance).sum())
        if progress:
            progress(len(batch))
    return statistic, larger


def _notes(count: int, exhaustive: bool) -> tuple[str, ...]:
    floor = 1 / (1 + count)
    said = f"no p-value below {floor:.3g} is possible with {1 + count} relabellings"
    notes = (f"{said}, all that the samples admit",) if exhaustive else ()
    if floor >= COARSE:
        remedy = "more samples are needed" if exhaustive else "raise permutations"
        warnings.warn(f"{said}; {remedy}.", UserWarning, stacklevel=3)
    return notes
