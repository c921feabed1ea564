"""Delimited text (csv, tsv) becomes a table, strictly: what cannot be read for sure is refused with its line."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import isinf, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divkit.data.cells import records
from divkit.data.frames import Column, Kind, Table, complete_names
from divkit.support.checks import enough
from divkit.support.words import quoted

__all__ = ["read_delimited"]

SEPARATORS = ("\t", ";", "|", ",")  # the comma last: it also occurs within numbers and sentences
MISSING = frozenset({"", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL", "Null"})
DECIMAL_COMMA, DECIMAL_POINT = (re.compile(rf"[+-]?\d*{mark}\d+([eE][+-]?\d+)?") for mark in (",", r"\."))


@dataclass(frozen=True)
class Portions:
    """Sizes of what is read at once.

    Parameters
    ----------
    sample : int
        Rows that decide on separator and decimal mark.
    block : int
        Cells converted at once, which bounds the memory that text takes.
    """

    sample: int = 200
    block: int = 2**20


@dataclass(frozen=True)
class _Layout:
    """How a file is written: its separator, decimal mark and header."""

    path: Path
    separator: str
    decimal: str
    names: tuple[str, ...]
    header: bool
    notes: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each record below the header."""
        for line, cells in islice(records(self.path, self.separator), int(self.header), None):
            if len(cells) != len(self.names):
                raise ValueError(
                    f"line {line} has {len(cells)} cell(s), but the first row has {len(self.names)} (separator "
                    f"{self.separator!r}). Complete the row, and quote cells that contain the separator."
                )
            yield line, cells


def read_delimited(path: Path, separators: tuple[str, ...] = SEPARATORS, portions: Portions = Portions()) -> Table:
    """Read UTF-8 text, a record per line, its cells divided by one of the separators.

    The separator and the decimal mark are recognised. A first row of numbers alone means that there is no header. A column is
    numbers where every cell is a number or missing (empty, NA, NaN, null), dates where every cell is an ISO date, else words.

    Raises
    ------
    ValueError
        With the line, for ragged rows, infinite numbers, text that is not UTF-8, NUL bytes, unbalanced quotes and lines of over
        16 million characters; also for a file without rows and for duplicate names.
    """
    try:
        layout = _layout(path, separators, portions.sample)
        words: dict[int, tuple[int, str]] = {}  # column -> the line and text of its first cell that is no number
        chunks = _sweep(layout, words, portions.block)
        if any(chunk.dtype != object for j in words for chunk in chunks[j]):
            chunks = _sweep(layout, words, portions.block)  # a word came after whole blocks of numbers, whose text is gone
    except csv.Error as error:
        raise ValueError(f"{error}. Is a quotation mark missing, or single inside a quoted cell?") from None
    if not chunks[0]:
        enough("the file holds a header and no rows", 0, 1)
    columns = tuple(_column(name, np.concatenate(chunk)) for name, chunk in zip(layout.names, chunks))
    return Table(columns, tuple(_notes(layout, columns, words)))


def _layout(path: Path, separators: Sequence[str], size: int) -> _Layout:
    """Recognise how a file is written, from its first rows."""
    samples = {separator: _sample(path, separator, size) for separator in separators}
    separator = max(separators, key=lambda s: _fitness(*samples[s]))  # the first of equals
    rows, error = samples[separator]
    if error:
        raise error
    if not rows:
        raise ValueError("the file holds blank lines only.")
    first, cells = rows[0], [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)] if separator != "," else []
    decimal = "," if commas and not any(DECIMAL_POINT.fullmatch(cell) for cell in cells) else "."
    notes = [f"commas read as decimal marks: {commas[0]!r} is {_number(commas[0], ','):g}"] if decimal == "," else []
    numbers = [cell for cell in first if _is_number(cell.strip(), decimal)]
    header = not all(cell in numbers or cell.strip() in MISSING for cell in first) or not numbers
    unnamed = [f"column {place}" for place, cell in enumerate(first, 1) if not cell.strip()]
    if not header:
        notes.append("no header: the first line holds numbers alone, so the columns are named 'column 1' and so on")
    elif numbers:
        notes.append(f"the first line was read as column names, though it holds numbers: {quoted(numbers)}")
    if header and unnamed:
        notes.append(f"{quoted(unnamed)}: no name in the header; if it numbers the rows, leave it out with --columns")
    names = complete_names(first if header else [""] * len(first))
    return _Layout(path, separator, decimal, names, header, tuple(notes))


def _sample(path: Path, separator: str, size: int) -> tuple[list[list[str]], csv.Error | None]:
    """Return the first rows, and the error that ended them early."""
    rows: list[list[str]] = []
    try:
        rows.extend(cells for _, cells in islice(records(path, separator), size))
    except csv.Error as error:
        return rows, error
    return rows, None


def _fitness(rows: list[list[str]], error: csv.Error | None) -> tuple[float, ...]:
    """Rate a separator by the rows that it makes: rows of one width are best, then a wide first row."""
    widths = [len(cells) for cells in rows]
    if not error and widths and 1 < widths[0] == min(widths) == max(widths):
        return (2.0,)
    first = widths[0] if rows else 1.5  # an error in the first row shows that the separator occurs there
    return (1.0, first, sum(widths))


def _sweep(layout: _Layout, words: dict[int, tuple[int, str]], size: int) -> list[list[NDArray[Any]]]:
    """Read all columns in pieces: float64, or objects for the columns in `words`, to which new ones are added."""
    chunks: list[list[NDArray[Any]]] = [[] for _ in layout.names]
    rows = layout.rows()
    while block := list(islice(rows, max(1, size // len(layout.names)))):
        lines = [line for line, _ in block]
        for j, column in enumerate(zip(*(cells for _, cells in block))):
            if j not in words:
                numbers, word = _numbers(column, lines, layout, layout.names[j])
                if word is None:
                    chunks[j].append(np.asarray(numbers))
                    continue
                words[j] = word
            texts = [None if cell in MISSING else sys.intern(cell) for cell in map(str.strip, column)]
            chunks[j].append(np.array(texts, dtype=object))
    return chunks


def _numbers(
    column: tuple[str, ...], lines: list[int], layout: _Layout, name: str
) -> tuple[NDArray[np.float64] | list[float], tuple[int, str] | None]:
    """Convert cells up to the first word, and return that word with its line."""
    with suppress(ValueError):  # the common case, many times faster: plain numbers alone
        plain = np.fromiter(map(float, column), float, len(column))
        if layout.decimal == "." and "_" not in "".join(column) and not np.isinf(plain).any():
            return plain, None
    numbers: list[float] = []
    for cell, line in zip(map(str.strip, column), lines):
        try:
            number = _number(cell, layout.decimal)
        except ValueError:
            return numbers, (line, cell)
        if isinf(number):
            raise ValueError(
                f"line {line}, column {quoted([name])}: Input contains infinity or a value too large for dtype('float64'): "
                f"{quoted([cell])}. Correct it, or write NA where the value is missing."
            )
        numbers.append(number)
    return numbers, None


def _number(cell: str, decimal: str) -> float:
    """Return the number that a cell spells, NaN where it is missing; ValueError for anything else."""
    if cell in MISSING:
        return nan
    if "_" in cell or (decimal == "," and "." in cell):  # Python reads 1_000, and 1.000,5 has no one meaning
        raise ValueError(cell)
    return float(cell.replace(decimal, "."))


def _is_number(cell: str, decimal: str) -> bool:
    """Say whether a cell spells a number."""
    with suppress(ValueError):
        return cell not in MISSING and _number(cell, decimal) is not None
    return False


def _column(name: str, values: NDArray[Any]) -> Column:
    """Return a column: numbers, dates where every cell is an ISO date, or words."""
    if values.dtype != object:
        return Column(name, Kind.NUMBER, values)
    return Column(name, Kind.DATE if all(map(_is_date, set(values) - {None})) else Kind.WORD, values)


def _is_date(cell: str) -> bool:
    """Say whether a cell is an ISO date."""
    with suppress(ValueError):
        return "-" in cell and datetime.fromisoformat(cell) is not None
    return False


def _notes(layout: _Layout, columns: Sequence[Column], words: dict[int, tuple[int, str]]) -> Iterator[str]:
    """Yield remarks on how the file was read."""
    yield from layout.notes
    missing = sum(int(column.missing.sum()) for column in columns)
    if missing:
        yield f"{missing} cell(s) read as missing (empty, NA, NaN or null)"
    for j, (line, cell) in words.items():
        if any(_is_number(word, layout.decimal) for word in set(columns[j].values) - {None}):
            name = quoted([columns[j].name])
            yield f"column {name} holds numbers and words (line {line}: {quoted([cell])}): all read as words"
