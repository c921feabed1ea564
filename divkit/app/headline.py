"""The report's first sentence: what differs, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from divkit.app.readings import reading
from divkit.app.words import Name, joined, probability
from divkit.comparison import Comparison, Row

__all__ = ["Piece", "headline"]

Piece = str | Name
LEVEL = 0.05


def headline(comparison: Comparison, most: Sequence[str]) -> list[Piece]:
    """One or two plain sentences, by the corrected p-values where there are any, else by intervals against yardsticks."""
    x, y = Name.of(comparison.x.label), Name.of(comparison.y.label)
    counted = [row for row in comparison.rows if row.estimate is not None and row.estimate.converged]
    tested = [row.holm for row in counted if row.holm is not None and math.isfinite(row.holm)]
    cleared = [_clear(row) for row in counted if _judged(row)]
    if not tested and not cleared:
        return ["Whether ", x, " and ", y, " differ cannot be said: no value has both an interval and a yardstick."]
    verb, said = _by_tests(tested) if tested else _by_intervals(cleared)
    verdict: list[Piece] = [x, " and ", y, f" {verb}: "] if verb else ["No difference was found between ", x, " and ", y, ": "]
    pieces = [*verdict, said]
    if verb and most:
        named = [Name.of(name) for name in most[:3]]
        pieces += [" They are farthest apart in ", *(p for p in joined(named) if isinstance(p, str | Name)), "."]
    if not verb:
        pieces.append(" That is no proof that they are alike.")
    unsolved = len(comparison.rows) - len(counted)
    if unsolved:
        pieces.append(
            f" {unsolved} of {len(comparison.rows)} values could not be had or solved, and {_is(unsolved)} not counted."
        )
    return pieces


def _by_tests(holm: list[float]) -> tuple[str, str]:
    few = sum(p <= LEVEL for p in holm)
    sure = f"significant at 5 % (smallest p-value {probability(min(holm))}, corrected for their number)"
    if few == 0:
        return "", f"none of {_tests(len(holm))} is {sure}."
    return "differ", f"{few} of {_tests(len(holm))} {_is(few)} {sure}."


def _by_intervals(clear: list[bool]) -> tuple[str, str]:
    few, all_of = sum(clear), f"{len(clear)} interval{'s' * (len(clear) > 1)}"
    if few == 0:
        return "", f"none of {all_of} lies above what two halves of one sample give."
    verb = "differ" if 2 * few >= len(clear) else "may differ"
    return verb, f"{few} of {all_of} {'lie' if few > 1 else 'lies'} above what two halves of one sample give."


def _tests(count: int) -> str:
    return f"{count} permutation test{'s' * (count > 1)}"


def _judged(row: Row) -> bool:
    return row.estimate is not None and row.yardstick is not None and math.isfinite(row.estimate.ci()[0] + row.yardstick)


def _clear(row: Row) -> bool:
    if row.estimate is None or row.yardstick is None:
        return False
    return row.estimate.ci()[0] > max(row.yardstick, reading(row.name).rest)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
