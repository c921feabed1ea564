"""The report's first sentence: what differs, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from divkit.comparison.findings import Findings, Row
from divkit.comparison.readings import reading
from divkit.support.words import Name, joined, probability
from divkit.testing import TestResult

__all__ = ["Headline", "Piece", "headline"]

Piece = str | Name


class Headline(NamedTuple):
    """What differs, and how sure that is: text in which names from outside are kept apart."""

    verdict: list[Piece]
    evidence: list[Piece]


def headline(findings: Findings, clear: Sequence[str], level: float = 0.05) -> Headline:
    """Judge by the adaptive test and the corrected p-values where there are any, else by intervals against yardsticks.

    `clear` names the columns that differ clearly, largest first; a test is significant where its p-value is at most `level`.
    """
    x, y = Name.of(findings.x.label), Name.of(findings.y.label)
    solved = [row for row in findings.rows if _solved(row)]
    tests = [row.holm for row in solved if row.holm is not None and math.isfinite(row.holm)]
    intervals = [above for row in solved if (above := _lies_above(row)) is not None]
    count, adaptive = len(findings.rows) - len(solved), findings.verdict
    of_all = f" {count}\u00a0of\u00a0{len(findings.rows)} values"
    uncounted = f"{of_all} could not be had or solved, and {'is' if count == 1 else 'are'} not counted." if count else ""
    if not tests and not intervals and adaptive is None:
        why = "No value has both an interval and a yardstick to hold it against." + uncounted
        return Headline(["Whether ", x, " and ", y, " differ cannot be said."], [why])
    verb, evidence = "", ""
    if tests:
        verb, evidence = _by_tests(tests, level)
    elif adaptive is None:
        verb, evidence = _by_intervals(intervals)
    if adaptive is not None:
        verb, evidence = _by_adaptive_test(adaptive, level, (verb, evidence))
    evidence += uncounted
    if not verb:
        verdict: list[Piece] = ["No difference was found between ", x, " and ", y, "."]
        return Headline(verdict, [f"{evidence} That is no proof that they are alike."])
    if verb == "differ" and not clear and findings.x.measure.flat.shape[1] > 1:
        evidence += " No column differs clearly by itself: the difference lies in how they go together, or is spread over many."
    columns = [", most of all in ", *joined([Name.of(name) for name in clear[:3]])] if clear else []
    return Headline([x, " and ", y, f" {verb}", *(p for p in columns if isinstance(p, str | Name)), "."], [evidence])


def _by_tests(holm: list[float], level: float) -> tuple[str, str]:
    """Return the verb of the verdict, empty for no difference, and the evidence: corrected p-values."""
    few, smallest = sum(p <= level for p in holm), probability(min(holm))
    corrected = f"smallest p-value {smallest}, corrected for the number of tests" if len(holm) > 1 else f"p-value {smallest}"
    verb = ("are" if few > 1 else "is") + " not" * (few == 0 and len(holm) == 1)
    evidence = f"{_share(few, len(holm), 'permutation test')} {verb} significant at 5 % ({corrected})."
    return "differ" if few else "", evidence


def _by_adaptive_test(adaptive: TestResult, level: float, others: tuple[str, str]) -> tuple[str, str]:
    """Return verb and evidence where there is an adaptive test, which decides.

    Where the `others`, verb and evidence of the single tests, find a difference that it does not, the two may differ.
    """
    significant = adaptive.pvalue <= level
    first = f"The adaptive test over many kernels is {'' if significant else 'not '}significant at 5\u00a0%"
    evidence = f"{first} (p-value {probability(adaptive.pvalue)}). {others[1]}".rstrip()
    return "differ" if significant else "may differ" if others[0] else "", evidence


def _by_intervals(above: list[bool]) -> tuple[str, str]:
    """Return verb and evidence of intervals, each True if it lies above its yardstick."""
    few, count = sum(above), len(above)
    verb = ("lie" if few > 1 else "lies") if few or count > 1 else "does not lie"
    evidence = f"{_share(few, count, 'interval')} {verb} above what two halves of one sample give."
    return "" if few == 0 else "differ" if 2 * few >= count else "may differ", evidence


def _share(few: int, count: int, noun: str) -> str:
    """Return so many of all, in words."""
    if count == 1:
        return f"The {noun}"
    return f"{'None of the' if few == 0 else 'All' if few == count else f'{few} of'} {count} {noun}s"


def _solved(row: Row) -> bool:
    """Whether a row has a value that can be counted on."""
    return row.estimate is not None and row.estimate.converged and math.isfinite(row.estimate.value)


def _lies_above(row: Row) -> bool | None:
    """Whether a row's whole interval lies above its yardstick, and above no difference; None where it lacks one of these."""
    if row.estimate is None or row.yardstick is None or not math.isfinite(row.estimate.ci()[0] + row.yardstick):
        return None
    return row.estimate.ci()[0] > max(row.yardstick, reading(row.name).rest)
