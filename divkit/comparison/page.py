"""What the report says, as a value: everything is computed and worded here, and nothing is marked up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divkit.comparison.findings import Findings, Row
from divkit.comparison.headline import Headline, headline
from divkit.comparison.readings import Reading, reading
from divkit.core.estimate import Bias
from divkit.support.words import Name, numbers, plain, probability, seconds

__all__ = ["Entry", "Mark", "Page", "entries"]

BIAS = {Bias.NONE: "none", Bias.BELOW: "too low", Bias.ABOVE: "too high", Bias.UNKNOWN: "unknown"}
MARGIN = 3.0  # percent of a plot's width that its marks may reach into


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
    """One divergence, in the words and digits of the page."""

    name: Name
    reading: Reading
    value: str
    interval: tuple[str, str] | None
    yardstick: str
    bias: str
    bias_sentence: str
    solved: bool
    status: str
    pvalue: str
    holm: str
    seconds: str
    shared: str
    mark: Mark | None
    reasons: tuple[str, ...]
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Page:
    """The table and what surrounds it."""

    headline: Headline
    entries: list[Entry]
    tested: bool
    scale: str
    notes: list[str]
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    command: str

    @classmethod
    def of(cls, comparison: Findings, most: Sequence[str]) -> Page:
        """`most` names the columns that differ clearly, largest first."""
        made = entries(comparison.rows)
        hidden = ("versions", "command")
        return cls(
            headline=headline(comparison, most),
            entries=made,
            tested=any(row.pvalue is not None for row in comparison.rows),
            notes=[_stopped(note) for note in comparison.notes],  # they may begin with a name
            scale=_sentence(str(comparison.settings.get("scale", ""))),
            settings=[(key.replace("_", " "), shown(v)) for key, v in comparison.settings.items() if key not in hidden],
            versions=[(str(k), str(v)) for k, v in comparison.settings.get("versions", {}).items()],
            command="\n".join(plain(line) for line in str(comparison.settings.get("command", "")).splitlines()),
        )


def entries(rows: Sequence[Row]) -> list[Entry]:
    """One per row, with their plots' zeros under one another."""
    return [_entry(row, mark) for row, mark in zip(rows, marks(rows))]


def marks(rows: Sequence[Row]) -> list[Mark | None]:
    """Every row on its own scale: from its value at no difference, which stands at one place for all, to its farthest mark.

    Units differ from row to row, so lengths cannot be compared between rows; where the yardstick and the ends of the interval
    stand relative to the value can.
    """
    scaled: list[list[float | None] | None] = []
    for row in rows:
        e = row.estimate
        if e is None or not math.isfinite(e.value):
            scaled.append(None)
            continue
        rest = reading(row.name).rest
        given = (e.value, *e.ci(), row.yardstick)
        found = [v - rest if v is not None and math.isfinite(v) else None for v in given]
        unit = max(abs(v) for v in found if v is not None) or 1.0
        scaled.append([v / unit if v is not None else None for v in found])
    below = max((-v for found in scaled if found for v in found if v is not None), default=0.0)
    below = max(below, 0.0)

    def place(v: float | None) -> float | None:
        return None if v is None else round(MARGIN + (100 - 2 * MARGIN) * (v + below) / (1 + below), 2)

    rest = place(0.0) or 0.0
    return [found and Mark(rest, place(found[0]) or 0.0, *(place(v) for v in found[1:])) for found in scaled]  # type: ignore[misc]


def _entry(row: Row, mark: Mark | None) -> Entry:
    e, name = row.estimate, Name.of(row.name)
    reasons = dict(row.reasons)
    if e is None:
        return Entry(
            name=name,
            reading=reading(row.name),
            value="—",
            interval=None,
            yardstick="—",
            bias="—",
            bias_sentence="",
            solved=False,
            status="no value",
            pvalue=_probability(row.pvalue),
            holm=_probability(row.holm),
            seconds=seconds(row.seconds),
            shared=row.shared,
            mark=None,
            reasons=tuple(reasons.values()) or ("no value, for a reason that was not recorded",),
            details=(),
        )
    low, high = e.ci()
    known = math.isfinite(low) and math.isfinite(high)
    yardstick = math.nan if row.yardstick is None else row.yardstick
    value, low_text, high_text, yardstick_text = numbers([e.value, low, high, yardstick], e.stderr)
    if not known:
        reasons.setdefault("stderr", str(e.notes.get("stderr", "the standard error is not a finite number")))
    if not math.isfinite(e.value):
        reasons.setdefault("value", "the value is not a finite number")
    if not e.converged:
        reasons["status"] = f"{e.solution.status.value}; the value, its interval and its test are those of an unsolved problem"
    return Entry(
        name=name,
        reading=reading(row.name),
        value=value,
        interval=(low_text, high_text) if known else None,
        yardstick=yardstick_text,
        bias=BIAS[e.bias],
        bias_sentence=e.bias.value,
        solved=e.converged and math.isfinite(e.value),
        status=e.solution.status.value,
        pvalue=_probability(row.pvalue),
        holm=_probability(row.holm),
        seconds=seconds(row.seconds),
        shared=row.shared,
        mark=mark,
        reasons=tuple(reasons.values()),
        details=_details(row),
    )


def _details(row: Row) -> tuple[tuple[str, str], ...]:
    e = row.estimate
    if e is None:
        return ()
    found = [("standard error", numbers([e.stderr], e.stderr)[0])]
    if e.solution.lower is not None and e.solution.upper is not None:
        lower, upper = (f"{v:.7g}" for v in (e.solution.lower, e.solution.upper))
        found.append(("certified bracket of the samples' value", f"{lower} to {upper}"))
    if e.solution.steps:
        found.append(("steps", f"{e.solution.steps:,}, measured error {e.solution.error:.2g}"))
    notes = {key: shown(value) for key, value in e.notes.items() if key != "stderr" and _tells(value)}
    for key, value in e.settings.items():  # what a relative setting came to is a note of the same name
        text, came_to = shown(value), notes.pop(key, None)
        found.append((key.replace("_", " "), text if came_to in (None, text) else f"{text}, here {came_to}"))
    found += [(key.replace("_", " "), text) for key, text in notes.items()]
    return tuple(found)


def shown(value: Any) -> str:
    """A setting or note as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def _sentence(text: str) -> str:
    return _stopped(text[:1].upper() + text[1:])


def _stopped(text: str) -> str:
    return text + "." * (text[-1] not in ".!?…") if text.strip() else ""


def _tells(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | list | tuple | Mapping)


def _probability(p: float | None) -> str:
    return "—" if p is None or not math.isfinite(p) else probability(p)
