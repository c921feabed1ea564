"""`divkit reproduce`: cases run or found again, their rows as a table in the terminal and as a page of everything."""

from __future__ import annotations

import base64
import math
import textwrap
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text

from divkit.app.workers import apart
from divkit.reproduce import CASES, OTHER_DATA, UNCONFIRMED, Case, Result, Row, Setup, load, perform, write
from divkit.support.spelling import meant
from divkit.support.words import numbers, seconds

__all__ = [
    "MARKS",
    "Line",
    "bind",
    "budget",
    "every",
    "find",
    "line",
    "listing",
    "one",
    "processor",
    "render",
    "show",
    "spent",
    "verdict",
]

TITLES = {"paper": "paper", "exact": "exact", "ours": "ours", "stderr": "±", "difference": "difference", "verdict": "verdict"}
ZOOM = 0.72  # css pixels per pixel of a picture: lettering of the page's size, the same in all pictures
MARKS = {UNCONFIRMED: "°", OTHER_DATA: "†"}
LEGEND = {UNCONFIRMED: "° recalled, not read again: unconfirmed", OTHER_DATA: "† on other data than ours"}
MOST = 8  # cases at a time unless more are asked for: each holds most of a gigabyte
NARROW = 70  # below, rows are lines of their own


@dataclass(frozen=True)
class Line:
    """A row in the digits of a page."""

    quantity: str
    paper: str
    exact: str
    ours: str
    stderr: str
    difference: str
    verdict: str
    note: str


def find(name: str) -> Case:
    """A case by its name.

    Raises
    ------
    ValueError
        If there is none; it names those that there are.
    """
    if name not in CASES:
        raise ValueError(f"there is no case {name!r}; {meant(name, CASES, '`divkit reproduce` lists them.')}")
    return CASES[name]


def one(case: Case, setup: Setup, directory: Path | None, force: bool) -> tuple[Result, bool]:
    """The result of a case, and whether it was found rather than made."""
    if directory is not None and not force and (found := load(case, setup, directory)) is not None:
        return found, True
    return perform(case, setup, directory), False


def every(setup: Setup, directory: Path, force: bool, jobs: int | None, say: Callable[[str], None]) -> list[str]:
    """Run what is not there yet, `jobs` cases at a time, rewriting the page after each; the errors of those that broke."""

    jobs = jobs or min(torch.get_num_threads(), MOST)
    finished: dict[str, Result] = {}
    broken: dict[str, str] = {}
    with setup.progress("reproduce", len(CASES)) as done, closing(_results(setup, directory, force, jobs)) as results:
        for name, result, found in results:
            if isinstance(result, Result):
                finished[name] = result
                say(f"{name}: {summary(result)}{', found' if found else ''}")
            else:
                broken[name] = result
                say(f"{name}: BROKEN: {result}")
            bind(finished, broken, directory / "index.html")
            done(1)
    return [f"{name}: {why}" for name, why in broken.items()]


def _results(setup: Setup, directory: Path, force: bool, jobs: int) -> Generator[tuple[str, Result | str, bool]]:
    """Each case with its result or its error, and whether it was found: in this process, or in several of their own."""
    wanted = dict(CASES)
    if not force:
        for name, case in CASES.items():
            with suppress(ValueError):  # the case's own process says what is wrong
                if (result := load(case, setup, directory)) is not None:
                    del wanted[name]
                    yield name, result, True
    if jobs == 1:
        for name, case in wanted.items():
            try:
                yield name, *one(case, setup, directory, force)
            except Exception as error:  # the others can still be had
                yield name, f"{type(error).__name__}: {error}", False
        return
    options = [
        f"--out={directory}",
        f"--seed={setup.seed}",
        *(["--full"] if setup.full else []),
        *(["--force"] if force else []),
    ]
    for name, wrong in apart(list(wanted), options, jobs, torch.get_num_threads()):
        yield name, wrong or load(wanted[name], setup, directory) or "left no result", False


def summary(result: Result) -> str:
    """How many rows hold."""
    if not result.judged:
        return f"{len(result.rows)} rows, none judged"
    return f"{result.judged - result.missed} of {result.judged} rows hold"


def spent(result: Result) -> str:
    """What a case took, by the clock and of the processor."""
    return f"{seconds(result.seconds)} s, {processor(result)} s of processor"


def processor(result: Result) -> str:
    """Seconds of all cores together."""
    return seconds(result.processor) if math.isfinite(result.processor) else "—"


def verdict(row: Row) -> str:
    """The last column."""
    return {True: "holds", False: "MISSED", None: "—"}[row.passed]


def line(row: Row) -> Line:
    """A row's numbers with as many digits as they deserve: at most six, the second of the error or of the tolerance."""
    given = (row.paper, row.exact, row.ours)
    size = min((abs(v) for v in given if v and math.isfinite(v)), default=0.0)
    unit = max(row.stderr or (row.tolerance if row.exact is not None else None) or size / 100, size / 1e4)
    paper, exact, ours = (numbers([math.nan if v is None else v], unit)[0] for v in given)
    source = row.paper_source or ""
    mark = "".join(sign for word, sign in MARKS.items() if f"; {word}" in source)
    return Line(
        quantity=row.quantity,
        paper=paper + mark,
        exact=exact,
        ours=ours,
        stderr=f"{row.stderr:.2g}" if row.stderr is not None else "—",
        difference="—" if row.difference is None else f"{row.difference:+.2g}".replace("-", "−"),
        verdict=verdict(row),
        note=row.note,
    )


def show(case: Case, result: Result, console: Console) -> None:
    """Print a case: protocol, rows, verdict."""
    console.print(Text(f"{case.name}: {case.title}", "bold"))
    console.print(Text(result.protocol))
    console.print(Text(f"seed {result.seed}, {spent(result)}"))
    console.print()
    for text, style in _lines([line(row) for row in result.rows], console.width):
        console.print(Text(text, style), soft_wrap=True)
    console.print()
    for source in dict.fromkeys(row.paper_source for row in result.rows if row.paper_source):
        console.print(Text(f"paper: {source}"))
    for word, sentence in LEGEND.items():
        if any(f"; {word}" in (row.paper_source or "") for row in result.rows):
            console.print(Text(sentence))
    console.print(Text(summary(result), "bold" if result.missed else ""))


def _lines(lines: Sequence[Line], width: int) -> Iterator[tuple[str, str]]:
    """The table as lines with their styles: numbers under their titles, a row's note below it over the whole width."""
    if width < NARROW:
        for each in lines:
            said = f"{each.quantity}: paper {each.paper}, exact {each.exact}, ours {each.ours}: {each.verdict}"
            yield from ((part, "") for part in textwrap.wrap(said, max(width, 10), subsequent_indent="  "))
        return
    titles = {"paper": "paper", "exact": "exact", "ours": "ours", "stderr": "±", "difference": "difference"}
    used = [key for key in titles if any(getattr(each, key) != "—" for each in lines)]
    sizes = {key: max(len(titles[key]), *(len(getattr(each, key)) for each in lines)) for key in used}
    room = width - sum(size + 2 for size in sizes.values()) - 2 - len("verdict")

    def row(first: str, cells: Mapping[str, str], last: str) -> str:
        return first.ljust(room) + "".join(f"  {cells[key]:>{sizes[key]}}" for key in used) + f"  {last}"

    yield row("quantity", titles, "verdict"), "bold"
    yield "─" * width, ""
    for each in lines:
        style = "yellow" if each.verdict == "MISSED" else ""
        first, *rest = textwrap.wrap(each.quantity, room)
        yield row(first, vars(each), each.verdict), style
        yield from ((text, style) for text in rest)
        yield from ((text, "dim") for text in textwrap.wrap(each.note, width, initial_indent="    ", subsequent_indent="    "))


def budget(minutes: float | None) -> str:
    """How long a form takes.

    >>> budget(0.2), budget(5.0), budget(150.0), budget(None)
    ('< 1 min', '5 min', '2.5 h', '—')
    """
    if minutes is None:
        return "—"
    if minutes < 1:
        return "< 1 min"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def listing(cases: Iterable[Case]) -> list[tuple[str, str, str, str]]:
    """Name, title and budgets of all cases."""
    return [(case.name, case.title, budget(case.minutes), budget(case.full_minutes)) for case in cases]


def bind(finished: Mapping[str, Result], broken: Mapping[str, str], path: Path) -> None:
    """Write the page, replacing what is there only once the new one is whole.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    write(path, render(finished, broken).encode())


def render(finished: Mapping[str, Result], broken: Mapping[str, str]) -> str:
    """The page: a verdict per case, then each case with its protocol, rows and picture."""
    now = datetime.now().astimezone()
    cases = [
        {
            "case": CASES[name],
            "result": result,
            "lines": [line(row) for row in result.rows],
            "sources": list(dict.fromkeys(row.paper_source for row in result.rows if row.paper_source)),
            "legend": [
                said for word, said in LEGEND.items() if any(f"; {word}" in (r.paper_source or "") for r in result.rows)
            ],
            "used": [key for key in TITLES if any(getattr(line(row), key) != "—" for row in result.rows)],
            "summary": summary(result),
            "spent": spent(result),
            "processor": processor(result),
            "missed": [line(row) for row in result.rows if row.passed is False],
            "picture": "data:image/png;base64," + base64.b64encode(result.picture).decode(),
            "width": round(ZOOM * int.from_bytes(result.picture[16:20], "big")),
        }
        for name, result in finished.items()
    ]
    page: str = _template().render(
        cases=cases,
        titles=TITLES,
        broken=broken,
        missing=[case for name, case in CASES.items() if name not in finished and name not in broken],
        held=sum(result.judged - result.missed for result in finished.values()),
        judged=sum(result.judged for result in finished.values()),
        took=round(sum(r.processor for r in finished.values() if math.isfinite(r.processor)) / 60),
        now=f"{now.day} {now:%B %Y, %H:%M %Z}",
    )
    return page


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=PackageLoader("divkit.app")
    )
    return environment.get_template("reproduction.html.j2")
