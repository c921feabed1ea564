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

LEVEL = 0.05

Piece = str | Name


class Headline(NamedTuple):
    """What differs, and how sure that is: text in which names from outside are kept apart."""

    verdict: list[Piece]
    evidence: list[Piece]


def headline(comparison: Findings, most: Sequence[str]) -> Headline:
    """By the adaptive test and the corrected p-values where there are any, else by intervals against yardsticks."""
    x, y = Name.of(comparison.x.label), Name.of(comparison.y.label)
    counted = [row for row in comparison.rows if _counts(row)]
    tested = [row.holm for row in counted if row.holm is not None and math.isfinite(row.holm)]
    cleared = [_clear(row) for row in counted if _judged(row)]
    unsolved = len(comparison.rows) - len(counted)
    gone = (
        f" {unsolved}\u00a0of\u00a0{len(comparison.rows)} values could not be had or solved, and {_is(unsolved)} not counted."
    )
    verdict = comparison.verdict
    if not tested and not cleared and verdict is None:
        why = "No value has both an interval and a yardstick to hold it against." + gone * bool(unsolved)
        return Headline(["Whether ", x, " and ", y, " differ cannot be said."], [why])
    verb, said = _by_tests(tested) if tested else _by_intervals(cleared) if verdict is None else ("", "")
    if verdict is not None:
        verb, said = _by_verdict(verdict, found=bool(verb), said=said)
    said += gone * bool(unsolved)
    if not verb:
        return Headline(
            ["No difference was found between ", x, " and ", y, "."], [f"{said} That is no proof that they are alike."]
        )
    if verb == "differ" and not most and comparison.x.measure.flat.shape[1] > 1:
        said += " No column differs clearly by itself: the difference lies in how they go together, or is spread over many."
    named = [Name.of(name) for name in most[:3]]
    where = [", most of all in ", *joined(named)] if named else []
    return Headline([x, " and ", y, f" {verb}", *(p for p in where if isinstance(p, str | Name)), "."], [said])


def _by_tests(holm: list[float]) -> tuple[str, str]:
    few, smallest = sum(p <= LEVEL for p in holm), probability(min(holm))
    corrected = f"smallest p-value {smallest}, corrected for the number of tests" if len(holm) > 1 else f"p-value {smallest}"
    verb = ("are" if few > 1 else "is") + " not" * (few == 0 and len(holm) == 1)
    said = f"{_share(few, len(holm), 'permutation test')} {verb} significant at 5 % ({corrected})."
    return "differ" if few else "", said


def _by_verdict(verdict: TestResult, *, found: bool, said: str) -> tuple[str, str]:
    """The adaptive test decides; where it alone finds nothing, the two may differ."""
    significant = verdict.pvalue <= LEVEL
    first = f"The adaptive test over many kernels is {'' if significant else 'not '}significant at 5\u00a0%"
    told = f"{first} (p-value {probability(verdict.pvalue)}). {said}".rstrip()
    return "differ" if significant else "may differ" if found else "", told


def _by_intervals(clear: list[bool]) -> tuple[str, str]:
    few, count = sum(clear), len(clear)
    verb = ("lie" if few > 1 else "lies") if few or count > 1 else "does not lie"
    said = f"{_share(few, count, 'interval')} {verb} above what two halves of one sample give."
    return "" if few == 0 else "differ" if 2 * few >= count else "may differ", said


def _share(few: int, count: int, noun: str) -> str:
    if count == 1:
        return f"The {noun}"
    return f"{'None of the' if few == 0 else 'All' if few == count else f'{few} of'} {count} {noun}s"


def _counts(row: Row) -> bool:
    return row.estimate is not None and row.estimate.converged and math.isfinite(row.estimate.value)


def _judged(row: Row) -> bool:
    return row.estimate is not None and row.yardstick is not None and math.isfinite(row.estimate.ci()[0] + row.yardstick)


def _clear(row: Row) -> bool:
    if row.estimate is None or row.yardstick is None:
        return False
    return row.estimate.ci()[0] > max(row.yardstick, reading(row.name).rest)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
