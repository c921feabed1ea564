"""A comparison in a terminal: one table whose digits are those that the error allows, and what it rests on."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from divkit.comparison.findings import Findings, Row, Sample
from divkit.comparison.page import BIAS
from divkit.core.estimate import Status
from divkit.support.words import Name, numbers, plain, probability, seconds

__all__ = ["captured", "listing", "plain_text", "show"]

STATUS = {
    Status.CONVERGED: "solved",
    Status.MAX_STEPS: "NOT SOLVED",
    Status.NONFINITE: "NOT FINITE",
    Status.STALLED: "STALLED",
}
NAMED = 8  # columns named above the table
GAP = 2  # between columns
SAID = ("p", "p (Holm)", "yardstick", "seconds")  # what needs its title beside it where there is no table
NARROW = 50  # below, two columns of text are hard to read


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Row], str]
    left: bool = False


def show(comparison: Findings, console: Console) -> None:
    """Print what was compared, the table and how to read it, in the width of the console."""
    for line in _above(comparison):
        console.print(Text(line))
    console.print()
    columns, gone = _fitting(_columns(comparison), comparison.rows, console.width)
    if _width(columns, comparison.rows) <= console.width:
        console.print(_table(columns, comparison.rows))
    else:
        for row in comparison.rows:
            console.print(Text(" ".join(f"{c.title} {c.cell(row)}" if c.title in SAID else c.cell(row) for c in columns)))
    console.print()
    below = _below(comparison, [column.title for column in gone])
    if console.width < NARROW:
        for head, rest in below:
            console.print(Text(f"{head}: {rest}"))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold", max_width=20)
    grid.add_column(overflow="fold")
    for head, rest in below:
        grid.add_row(Text(head, "bold"), Text(rest))
    console.print(grid)


def plain_text(comparison: Findings, width: int) -> str:
    """The same without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, emoji=False, highlight=False)
    return captured(console, lambda: show(comparison, console))


def captured(console: Console, printing: Callable[[], None]) -> str:
    """What is printed to the console, without the blanks that fill its lines."""
    with console.capture() as capture:
        printing()
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def listing(rows: Iterable[Sequence[str]], titles: Sequence[str], console: Console) -> None:
    """A table of words."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=place == 0 and console.width >= NARROW)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _table(columns: Sequence[_Column], rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right")
    for row in rows:
        solved = row.estimate is not None and row.estimate.converged
        table.add_row(*(Text(column.cell(row)) for column in columns), style="" if solved else "yellow")
    return table


def _above(comparison: Findings) -> list[str]:
    sources = list(dict.fromkeys(comparison.source))
    names = ", ".join(Name.of(name, 24).short for name in sources[:NAMED]) + (" …" if len(sources) > NAMED else "")
    width = f" as {len(comparison.columns)} coordinates" if len(comparison.columns) != len(sources) else ""
    columns = [f"columns: {len(sources)}{width} ({names})"] if sources else []
    return [_sample("x", comparison.x), _sample("y", comparison.y), *columns, f"scale: {comparison.settings['scale']}"]


def _sample(letter: str, sample: Sample) -> str:
    dropped = f", {sample.dropped:,} dropped" if sample.dropped else ""
    name = "" if sample.label == letter else f"{Name.of(sample.label, 60).short}: "
    return f"{letter}: {name}{sample.rows:,} rows{dropped}"


def _columns(comparison: Findings) -> list[_Column]:
    """In the order of the table."""
    tested = sum(row.pvalue is not None for row in comparison.rows)
    tests = [_Column("p", lambda row: _maybe(row.pvalue)), _Column("p (Holm)", lambda row: _maybe(row.holm))]
    return [
        _Column("divergence", lambda row: Name.of(row.name).short, left=True),
        _Column("value", lambda row: _digits(row)[0]),
        _Column("95 % interval", lambda row: _digits(row)[1]),
        _Column("yardstick", lambda row: _digits(row)[2]),
        *tests[: min(tested, 2)],
        _Column("bias", lambda row: BIAS[row.estimate.bias] if row.estimate else "", left=True),
        _Column("status", _status, left=True),
        _Column("seconds", lambda row: seconds(row.seconds)),
    ]


def _width(columns: Sequence[_Column], rows: Sequence[Row]) -> int:
    return sum(GAP + max(len(column.title), *(len(column.cell(row)) for row in rows)) for column in columns) - GAP


def _fitting(columns: list[_Column], rows: Sequence[Row], width: int) -> tuple[list[_Column], list[_Column]]:
    """What fits the width, the least needed left out first; a status that is not "solved" is never left out."""
    solved = all(row.estimate is not None and row.estimate.converged for row in rows)
    shown, gone = list(columns), list[_Column]()
    for title in ("seconds", *(["status"] if solved else []), "bias", "p", "yardstick"):
        if _width(shown, rows) <= width:
            break
        gone += [column for column in shown if column.title == title]
        shown = [column for column in shown if column.title != title]
    return shown, gone


def _below(comparison: Findings, gone: Sequence[str]) -> list[tuple[str, str]]:
    """What is to be known beside the numbers: heads and sentences."""
    lines = [(row.name, f"{key}: {why}") for row in comparison.rows for key, why in row.reasons.items()]
    for row in comparison.rows:
        if row.estimate is not None and not row.estimate.converged:
            solution = row.estimate.solution
            lines.append((row.name, f"{solution.status.value} (error {solution.error:.2g} after {solution.steps} steps)"))
    lines += [("shared", f"{label}: {seconds(taken)} s") for label, taken in comparison.shared]
    lines.append(("interval", "holds the sampling noise; bias comes on top"))
    if "yardstick" not in gone:
        lines.append(("yardstick", "the same between two random halves of x: what no difference looks like"))
    if "bias" not in gone:
        lines.append(("bias", "of the estimator, in expectation"))
    if gone:
        lines.append(("left out", f"{', '.join(gone)}: a wider terminal or --json shows all"))
    lines += [("note", note) for note in comparison.notes]
    settings = comparison.settings
    lines.append(("seconds", f"{seconds(settings['seconds'])} in all, yardsticks and tests included; seed {settings['seed']}"))
    return [(plain(head), plain(rest)) for head, rest in lines]


def _digits(row: Row) -> tuple[str, str, str]:
    """Value, interval and yardstick, with the same last digit."""
    nothing = "—"
    if row.estimate is None:
        return nothing, nothing, nothing
    given = row.estimate.value, *row.estimate.ci(), math.nan if row.yardstick is None else row.yardstick
    value, low, high, yardstick = numbers(given, row.estimate.stderr)
    return value, nothing if nothing in (low, high) else f"[{low}, {high}]", yardstick


def _maybe(p: float | None) -> str:
    return "—" if p is None else probability(p)


def _status(row: Row) -> str:
    return "FAILED" if row.estimate is None else STATUS[row.estimate.solution.status]
