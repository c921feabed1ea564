"""`divkit reproduce`: cases run or found on disk, and their rows as a table in the terminal and as a page of everything."""

from __future__ import annotations

import base64
import math
import textwrap
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from divkit.app.workers import run_apart
from divkit.comparison.report import template
from divkit.reproduce import CASES, OTHER_DATA, UNCONFIRMED, Case, Result, Row, Setup, load, perform, write
from divkit.support.spelling import meant
from divkit.support.words import numbers, seconds

__all__ = ["Cells", "Sheet", "every", "find", "listing", "one", "render", "show"]

TITLES = {"paper": "paper", "exact": "exact", "ours": "ours", "stderr": "±", "difference": "difference", "verdict": "verdict"}
MARKS = {UNCONFIRMED: "°", OTHER_DATA: "†"}  # behind a paper's number
LEGEND = {UNCONFIRMED: "° recalled, not read again: unconfirmed", OTHER_DATA: "† on other data than ours"}


def find(name: str) -> Case:
    """Return a case by its name.

    Raises
    ------
    ValueError
        If there is none; it names those that there are.
    """
    if name not in CASES:
        raise ValueError(f"there is no case {name!r}; {meant(name, CASES, '`divkit reproduce` lists them.')}")
    return CASES[name]


def listing(cases: Iterable[Case]) -> list[tuple[str, str, str, str]]:
    """Return name, title and budgets of all cases."""
    return [(case.name, case.title, _budget(case.minutes), _budget(case.full_minutes)) for case in cases]


def one(case: Case, setup: Setup, directory: Path | None, force: bool) -> tuple[Result, bool]:
    """Return the result of a case, and whether it was there already."""
    if directory is not None and not force and (result := load(case, setup, directory)) is not None:
        return result, True
    return perform(case, setup, directory), False


def every(setup: Setup, directory: Path, force: bool, jobs: int | None, say: Callable[[str], None]) -> list[str]:
    """Run what is not there yet, `jobs` cases at a time, rewriting the page after each; return the errors that ended cases."""
    jobs = jobs or min(torch.get_num_threads(), 8)  # each case holds most of a gigabyte
    finished: dict[str, Result] = {}
    broken: dict[str, str] = {}
    with setup.progress("reproduce", len(CASES)) as done, closing(_results(setup, directory, force, jobs)) as results:
        for name, result, old in results:
            if isinstance(result, Result):
                finished[name] = result
                say(f"{name}: {_summary(result)}{', found' if old else ''}")
            else:
                broken[name] = result
                say(f"{name}: BROKEN: {result}")
            write(directory / "index.html", render(finished, broken).encode())
            done(1)
    return [f"{name}: {why}" for name, why in broken.items()]


def _results(setup: Setup, directory: Path, force: bool, jobs: int) -> Generator[tuple[str, Result | str, bool]]:
    """Yield each case with its result or its error, and whether it was there: run here, or in several processes."""
    missing = dict(CASES)
    if not force:
        for name, case in CASES.items():
            with suppress(ValueError):  # the case's own process says what is wrong
                if (result := load(case, setup, directory)) is not None:
                    del missing[name]
                    yield name, result, True
    if jobs == 1:
        for name, case in missing.items():
            try:
                yield name, *one(case, setup, directory, force)
            except Exception as error:  # the others can still be had
                yield name, f"{type(error).__name__}: {error}", False
        return
    flags = [flag for flag, wanted in (("--full", setup.full), ("--force", force)) if wanted]
    options = [f"--out={directory}", f"--seed={setup.seed}", *flags]
    for name, wrong in run_apart(list(missing), options, jobs, torch.get_num_threads()):
        yield name, wrong or load(missing[name], setup, directory) or "left no result", False


@dataclass(frozen=True)
class Cells:
    """A row in the digits of a page."""

    quantity: str
    paper: str
    exact: str
    ours: str
    stderr: str
    difference: str
    verdict: str
    note: str

    @classmethod
    def of(cls, row: Row) -> Cells:
        """Return a row's numbers with as many digits as they deserve: at most six, the second of the error or tolerance."""
        values = (row.paper, row.exact, row.ours)
        size = min((abs(v) for v in values if v and math.isfinite(v)), default=0.0)
        unit = max(row.stderr or (row.tolerance if row.exact is not None else None) or size / 100, size / 1e4)
        paper, exact, ours = (numbers([math.nan if v is None else v], unit)[0] for v in values)
        return cls(
            quantity=row.quantity,
            paper=paper + "".join(mark for word, mark in MARKS.items() if _says(row, word)),
            exact=exact,
            ours=ours,
            stderr=f"{row.stderr:.2g}" if row.stderr is not None else "—",
            difference="—" if row.difference is None else f"{row.difference:+.2g}".replace("-", "−"),
            verdict={True: "holds", False: "MISSED", None: "—"}[row.passed],
            note=row.note,
        )


@dataclass(frozen=True)
class Sheet:
    """A case's result in words: `used` are the columns that hold anything, `spent` and `processor` say what it took."""

    case: Case
    result: Result
    lines: list[Cells]
    used: list[str]
    sources: list[str]
    legend: list[str]
    summary: str
    spent: str
    processor: str

    @classmethod
    def of(cls, case: Case, result: Result) -> Sheet:
        """Return the words and digits of a result."""
        lines = [Cells.of(row) for row in result.rows]
        processor = seconds(result.processor) if math.isfinite(result.processor) else "—"
        return cls(
            case=case,
            result=result,
            lines=lines,
            used=[key for key in TITLES if any(getattr(line, key) != "—" for line in lines)],
            sources=list(dict.fromkeys(row.paper_source for row in result.rows if row.paper_source)),
            legend=[sentence for word, sentence in LEGEND.items() if any(_says(row, word) for row in result.rows)],
            summary=_summary(result),
            spent=f"{seconds(result.seconds)} s, {processor} s of processor",
            processor=processor,
        )

    @property
    def missed(self) -> list[Cells]:
        """The rows that do not hold."""
        return [line for line, row in zip(self.lines, self.result.rows) if row.passed is False]

    @property
    def picture(self) -> str:
        """The picture as an address."""
        return "data:image/png;base64," + base64.b64encode(self.result.picture).decode()

    @property
    def width(self) -> int:
        """The picture's width on the page, in which all pictures have lettering of the page's size."""
        return round(0.72 * int.from_bytes(self.result.picture[16:20], "big"))


def show(case: Case, result: Result, console: Console) -> None:
    """Print a case: protocol, rows, verdict."""
    sheet = Sheet.of(case, result)
    console.print(Text(f"{case.name}: {case.title}", "bold"))
    console.print(Text(result.protocol))
    console.print(Text(f"seed {result.seed}, {sheet.spent}"))
    console.print()
    for text, style in _table(sheet, console.width):
        console.print(Text(text, style), soft_wrap=True)
    console.print()
    for sentence in (*(f"paper: {source}" for source in sheet.sources), *sheet.legend):
        console.print(Text(sentence))
    console.print(Text(sheet.summary, "bold" if result.missed else ""))


def _table(sheet: Sheet, width: int, narrow: int = 70) -> Iterator[tuple[str, str]]:
    """Yield the table's lines with their styles: numbers under their titles, a row's note below it over the whole width.

    In fewer than `narrow` letters a row is a sentence.
    """
    if width < narrow:
        for line in sheet.lines:
            sentence = f"{line.quantity}: paper {line.paper}, exact {line.exact}, ours {line.ours}: {line.verdict}"
            yield from ((part, "") for part in textwrap.wrap(sentence, max(width, 10), subsequent_indent="  "))
        return
    used = [key for key in sheet.used if key != "verdict"]
    sizes = {key: max(len(TITLES[key]), *(len(getattr(line, key)) for line in sheet.lines)) for key in used}
    room = width - sum(size + 2 for size in sizes.values()) - 2 - len("verdict")

    def row(first: str, cells: Mapping[str, str], last: str) -> str:
        return first.ljust(room) + "".join(f"  {cells[key]:>{sizes[key]}}" for key in used) + f"  {last}"

    yield row("quantity", TITLES, "verdict"), "bold"
    yield "─" * width, ""
    for line in sheet.lines:
        style = "yellow" if line.verdict == "MISSED" else ""
        first, *rest = textwrap.wrap(line.quantity, room)
        yield row(first, vars(line), line.verdict), style
        yield from ((text, style) for text in rest)
        yield from ((text, "dim") for text in textwrap.wrap(line.note, width, initial_indent="    ", subsequent_indent="    "))


def render(finished: Mapping[str, Result], broken: Mapping[str, str]) -> str:
    """Return the page: a verdict per case, then each case with its protocol, rows and picture."""
    now, results = datetime.now().astimezone(), finished.values()
    return template("divkit.app", "reproduction.html.j2").render(
        cases=[Sheet.of(CASES[name], result) for name, result in finished.items()],
        titles=TITLES,
        broken=broken,
        missing=[case for name, case in CASES.items() if name not in finished and name not in broken],
        held=sum(result.judged - result.missed for result in results),
        judged=sum(result.judged for result in results),
        took=round(sum(result.processor for result in results if math.isfinite(result.processor)) / 60),
        now=f"{now.day} {now:%B %Y, %H:%M %Z}",
    )


def _summary(result: Result) -> str:
    """Say how many rows hold."""
    if not result.judged:
        return f"{len(result.rows)} rows, none judged"
    return f"{result.judged - result.missed} of {result.judged} rows hold"


def _says(row: Row, word: str) -> bool:
    """Whether the source of a paper's number ends in a word such as "unconfirmed"."""
    return f"; {word}" in (row.paper_source or "")


def _budget(minutes: float | None) -> str:
    """Return how long a form takes.

    >>> _budget(0.2), _budget(5.0), _budget(150.0), _budget(None)
    ('< 1 min', '5 min', '2.5 h', '—')
    """
    if minutes is None:
        return "—"
    if minutes < 1:
        return "< 1 min"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
