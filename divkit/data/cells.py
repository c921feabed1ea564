"""Cells of a delimited text file, record by record."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

__all__ = ["records"]

LONGEST_LINE = 2**24  # characters, room for a million columns: a longer line is taken for a broken file


def records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each record; blank lines are skipped, except between the cells of one column.

    Raises
    ------
    csv.Error
        For unbalanced quotes, with the line: under another separator the file may be sound.
    ValueError
        For what no separator can mend, with the line: text that is not UTF-8, NUL bytes, endless lines.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_lines(file), delimiter=separator, skipinitialspace=True, strict=True)
        width, blank = 0, list[int]()
        try:
            for cells in reader:
                if not cells:
                    blank.append(reader.line_num)
                    continue
                if width == 1:  # in a single column a blank line is a missing cell, unless it ends the file
                    yield from ((line, [""]) for line in blank)
                width = width or len(cells)
                blank.clear()
                yield reader.line_num, cells
        except csv.Error as error:
            raise csv.Error(f"line {reader.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise ValueError(_undecodable(path)) from None


def _lines(file: TextIO) -> Iterator[str]:
    """Yield lines of text; refuse endless ones and NUL bytes."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise ValueError(f"line {number} is longer than {LONGEST_LINE} characters: no table has such records.")
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL byte: this is no text file, or not in UTF-8. Save it as UTF-8 text.")
        yield line


def _undecodable(path: Path) -> str:
    """Return a message with the first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return f"line {number}: byte 0x{byte:02x} is not UTF-8 (perhaps Latin-1 or UTF-16). Save the file as UTF-8."
    return "the file is not UTF-8. Save it as UTF-8."
