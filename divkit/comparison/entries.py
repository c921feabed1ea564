"""The rows of a comparison in words and digits, made once for all who show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from divkit.comparison.findings import Row
from divkit.comparison.readings import Reading, reading
from divkit.core.estimate import Bias, Estimate, Status
from divkit.core.notes import Note
from divkit.support.words import Name, numbers, probability, seconds

__all__ = ["Entry", "Mark", "as_text", "entries", "marks"]

NOTHING = "—"  # stands where a row has no number
BIAS = {Bias.NONE: "none", Bias.BELOW: "too low", Bias.ABOVE: "too high", Bias.UNKNOWN: "unknown"}
STATUS = {
    Status.CONVERGED: "solved",
    Status.MAX_STEPS: "NOT SOLVED",
    Status.NONFINITE: "NOT FINITE",
    Status.STALLED: "STALLED",
}


@dataclass(frozen=True)
class Mark:
    """Where a row's marks stand in its plot, in percent of the width; None for what there is not."""

    rest: float
    value: float
    low: float | None
    high: float | None
    yardstick: float | None


@dataclass(frozen=True)
class Entry:
    """One divergence in words and digits; what has a default is that of a row without an estimate."""

    name: Name
    reading: Reading
    pvalue: str
    holm: str
    seconds: str
    reasons: tuple[str, ...]
    value: str = NOTHING
    interval: tuple[str, str] | None = None
    yardstick: str = NOTHING
    bias: str = NOTHING
    bias_sentence: str = ""
    solved: bool = False
    status: str = "FAILED"
    status_sentence: str = "no value"
    mark: Mark | None = None
    details: tuple[tuple[str, str], ...] = ()


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Return an entry for each row, with their plots' zeros under one another."""
    return [_entry(row, mark) for row, mark in zip(rows, marks(rows))]


def _entry(row: Row, mark: Mark | None) -> Entry:
    """Return the entry of a row, with its place in the plots."""
    e, reasons = row.estimate, dict(row.reasons)
    entry = Entry(
        name=Name.of(row.name),
        reading=reading(row.name),
        pvalue=_probability(row.pvalue),
        holm=_probability(row.holm),
        seconds=seconds(row.seconds),
        reasons=tuple(reasons.values()) or ("no value, for a reason that was not recorded",),
    )
    if e is None:
        return entry
    low, high = e.ci()
    known = math.isfinite(low) and math.isfinite(high)
    yardstick = math.nan if row.yardstick is None else row.yardstick
    value, low_text, high_text, yardstick_text = numbers([e.value, low, high, yardstick], e.stderr)
    if not known:
        reasons.setdefault("stderr", str(e.notes.get(Note.STDERR, "the standard error is not a finite number")))
    if not math.isfinite(e.value):
        reasons.setdefault("value", "the value is not a finite number")
    if not e.converged:
        reasons["status"] = f"{e.solution.status.value}; the value, its interval and its test are those of an unsolved problem"
    return replace(
        entry,
        reasons=tuple(reasons.values()),
        value=value,
        interval=(low_text, high_text) if known else None,
        yardstick=yardstick_text,
        bias=BIAS[e.bias],
        bias_sentence=e.bias.value,
        solved=e.converged and math.isfinite(e.value),
        status=STATUS[e.solution.status],
        status_sentence=e.solution.status.value,
        mark=mark,
        details=_details(e),
    )


def marks(rows: Sequence[Row], margin: float = 3.0) -> list[Mark | None]:
    """Place every row on its own scale: from its value at no difference, at one place for all, to its farthest mark.

    Units differ from row to row, so lengths cannot be compared between rows; where the yardstick and the ends of the interval
    stand relative to the value can. The outer `margin` percent of the width stay empty.
    """
    scaled: list[list[float | None] | None] = []
    for row in rows:
        e = row.estimate
        if e is None or not math.isfinite(e.value):
            scaled.append(None)
            continue
        rest = reading(row.name).rest
        offsets = [v - rest if v is not None and math.isfinite(v) else None for v in (e.value, *e.ci(), row.yardstick)]
        unit = max(abs(v) for v in offsets if v is not None) or 1.0
        scaled.append([v / unit if v is not None else None for v in offsets])
    below = max((-v for offsets in scaled if offsets for v in offsets if v is not None), default=0.0)
    below = max(below, 0.0)

    def place(v: float | None) -> float | None:
        """Return the percentage of the width at which a number of units from the rest stands."""
        return None if v is None else round(margin + (100 - 2 * margin) * (v + below) / (1 + below), 2)

    rest = place(0.0) or 0.0
    return [
        offsets and Mark(rest, place(offsets[0]) or 0.0, *(place(v) for v in offsets[1:]))  # type: ignore[misc]
        for offsets in scaled
    ]


def _details(e: Estimate) -> tuple[tuple[str, str], ...]:
    """Return what else is known of an estimate, each with its name."""
    details = [("standard error", numbers([e.stderr], e.stderr)[0])]
    if e.solution.lower is not None and e.solution.upper is not None:
        lower, upper = (f"{v:.7g}" for v in (e.solution.lower, e.solution.upper))
        details.append(("certified bracket of the samples' value", f"{lower} to {upper}"))
    if e.solution.steps:
        details.append(("steps", f"{e.solution.steps:,}, measured error {e.solution.error:.2g}"))
    notes = {str(key): as_text(value) for key, value in e.notes.items() if key != Note.STDERR}
    for key, value in e.settings.items():  # what a relative setting came to is a note of the same name
        text, outcome = as_text(value), notes.pop(key, None)
        details.append((key.replace("_", " "), text if outcome in (None, text) else f"{text}, here {outcome}"))
    details += [(key.replace("_", " "), text) for key, text in notes.items()]
    return tuple(details)


def as_text(value: Any) -> str:
    """Return a setting or a note as text.

    >>> as_text(True), as_text(0.25), as_text(12_000), as_text([1, None]), as_text({"numpy": "2.1"})
    ('yes', '0.25', '12,000', '1, none', 'numpy 2.1')
    """
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(as_text(item) for item in value)
    return str(value)


def _probability(p: float | None) -> str:
    """Return a p-value as text, or a dash."""
    return NOTHING if p is None or not math.isfinite(p) else probability(p)
