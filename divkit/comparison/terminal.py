"""A comparison in a terminal: one table whose digits are those that the error allows, and what it rests on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from divkit.comparison.entries import NOTHING, Entry, entries
from divkit.comparison.findings import Findings, Sample
from divkit.support.words import Name, plain, seconds

__all__ = ["captured", "listing", "plain_text", "show"]

TITLED = ("p", "p (Holm)", "yardstick", "seconds")  # cells that need their title beside them where there is no table
GAP = 2  # blanks between two columns
NARROW = 50  # letters: in fewer, two columns of text are hard to read


@dataclass(frozen=True)
class _Column:
    """A column of the table, and how an entry fills it."""

    title: str
    cell: Callable[[Entry], str]
    left: bool = False


def show(findings: Findings, console: Console) -> None:
    """Print what was compared, the table and how to read it, in the width of the console."""
    for line in _above(findings):
        console.print(Text(line))
    console.print()
    rows = entries(findings.rows)
    columns, left_out = _fitting(_columns(rows), rows, console.width)
    if _width(columns, rows) <= console.width:
        console.print(_table(columns, rows))
    else:
        for row in rows:
            console.print(Text(" ".join(f"{c.title} {c.cell(row)}" if c.title in TITLED else c.cell(row) for c in columns)))
    console.print()
    below = _below(findings, [column.title for column in left_out])
    if console.width < NARROW:
        for head, sentence in below:
            console.print(Text(f"{head}: {sentence}"))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold", max_width=20)
    grid.add_column(overflow="fold")
    for head, sentence in below:
        grid.add_row(Text(head, "bold"), Text(sentence))
    console.print(grid)


def plain_text(findings: Findings, width: int) -> str:
    """Return what `show` prints, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, emoji=False, highlight=False)
    return captured(console, lambda: show(findings, console))


def captured(console: Console, printing: Callable[[], None]) -> str:
    """Return what is printed to the console, without the blanks that fill its lines."""
    with console.capture() as capture:
        printing()
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def listing(rows: Iterable[Sequence[str]], titles: Sequence[str], console: Console) -> None:
    """Print a table of words."""
    table = _empty_table()
    for place, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=place == 0 and console.width >= NARROW)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _table(columns: Sequence[_Column], rows: Sequence[Entry]) -> Table:
    """Return the table of the divergences, those without a solved value in yellow."""
    table = _empty_table()
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right")
    for row in rows:
        table.add_row(*(Text(column.cell(row)) for column in columns), style="" if row.solved else "yellow")
    return table


def _empty_table() -> Table:
    """Return a table without columns, in the style of all tables."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)


def _above(findings: Findings, most: int = 8) -> list[str]:
    """Return the lines above the table: samples, columns of which no more than `most` are named, and units."""
    sources = list(dict.fromkeys(findings.source))
    names = ", ".join(Name.of(name, 24).short for name in sources[:most]) + (" …" if len(sources) > most else "")
    width = f" as {len(findings.columns)} coordinates" if len(findings.columns) != len(sources) else ""
    columns = [f"columns: {len(sources)}{width} ({names})"] if sources else []
    return [_sample("x", findings.x), _sample("y", findings.y), *columns, f"scale: {findings.settings.scale}"]


def _sample(letter: str, sample: Sample) -> str:
    """Return a line on one sample."""
    dropped = f", {sample.dropped:,} dropped" if sample.dropped else ""
    name = "" if sample.label == letter else f"{Name.of(sample.label, 60).short}: "
    return f"{letter}: {name}{sample.rows:,} rows{dropped}"


def _columns(rows: Sequence[Entry]) -> list[_Column]:
    """Return the columns in their order; p-values as far as there are any, Holm's where there are several."""
    tested = sum(row.pvalue != NOTHING for row in rows)
    tests = [_Column("p", lambda row: row.pvalue), _Column("p (Holm)", lambda row: row.holm)]
    return [
        _Column("divergence", lambda row: row.name.short, left=True),
        _Column("value", lambda row: row.value),
        _Column("95 % interval", lambda row: f"[{', '.join(row.interval)}]" if row.interval else NOTHING),
        _Column("yardstick", lambda row: row.yardstick),
        *tests[: min(tested, 2)],
        _Column("bias", lambda row: row.bias, left=True),
        _Column("status", lambda row: row.status, left=True),
        _Column("seconds", lambda row: row.seconds),
    ]


def _width(columns: Sequence[_Column], rows: Sequence[Entry]) -> int:
    """Return how many letters the table is wide."""
    return sum(GAP + max(len(column.title), *(len(column.cell(row)) for row in rows)) for column in columns) - GAP


def _fitting(columns: list[_Column], rows: Sequence[Entry], width: int) -> tuple[list[_Column], list[_Column]]:
    """Return the columns that fit the width, and those left out, the least needed first; a failure is never left out."""
    fit, left_out = list(columns), list[_Column]()
    for title in ("seconds", *(["status"] if all(row.solved for row in rows) else []), "bias", "p", "yardstick"):
        if _width(fit, rows) <= width:
            break
        left_out += [column for column in fit if column.title == title]
        fit = [column for column in fit if column.title != title]
    return fit, left_out


def _below(findings: Findings, left_out: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is to be known beside the numbers: heads and sentences."""
    lines = [(row.name, f"{key}: {why}") for row in findings.rows for key, why in row.reasons.items()]
    for row in findings.rows:
        if row.estimate is not None and not row.estimate.converged:
            solution = row.estimate.solution
            lines.append((row.name, f"{solution.status.value} (error {solution.error:.2g} after {solution.steps} steps)"))
    lines += [("shared", f"{label}: {seconds(duration)} s") for label, duration in findings.shared]
    lines.append(("interval", "holds the sampling noise; bias comes on top"))
    if "yardstick" not in left_out:
        lines.append(("yardstick", "the same between two random halves of x: what no difference looks like"))
    if "bias" not in left_out:
        lines.append(("bias", "of the estimator, in expectation"))
    if left_out:
        lines.append(("left out", f"{', '.join(left_out)}: a wider terminal or --json shows all"))
    lines += [("note", note) for note in findings.notes]
    settings = findings.settings
    lines.append(("seconds", f"{seconds(settings.seconds)} in all, yardsticks and tests included; seed {settings.seed}"))
    return [(plain(head), plain(sentence)) for head, sentence in lines]
