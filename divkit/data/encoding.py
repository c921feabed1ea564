"""Two tables become two matrices under one encoding: columns matched by name, categories as scaled indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divkit.data.cleaning import Missing, Scale, complete, complete_array, positions, refuse_infinite, rescale
from divkit.data.frames import Column, Kind, Table, table
from divkit.support.words import quoted

__all__ = ["Encoded", "Missing", "Scale", "Table", "encode"]


@dataclass(frozen=True)
class Levels:
    """Limits to the number of different words in a column of categories.

    Parameters
    ----------
    most : int
        Above it, a column of words identifies rows instead of grouping them, and is refused.
    few : int
        Up to it, nobody takes them for names of rows; above it, a note says so where half of the rows differ.
    """

    most: int = 1000
    few: int = 20


@dataclass(frozen=True, eq=False)
class Encoded:
    """Two sample sets in one coordinate system.

    Parameters
    ----------
    x, y : ndarray (n, d), (m, d)
        float64 where they come from tables; arrays keep their dtype and event shape unless they are rescaled.
    names, source : tuple of str
        One per matrix column: what it is, such as ``"workclass=Private"``, and the table column that it comes from.
    categorical : tuple of str
        The table columns read as categories: two rows that differ in one of them alone have distance 1.
    scale : str, a sentence
    kept : tuple of ndarray
        Which rows of x and of y are left: False for those dropped for missing values.
    notes : tuple of str
    units : tuple of float
        What each matrix column was divided by.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    names: tuple[str, ...]
    source: tuple[str, ...]
    categorical: tuple[str, ...]
    scale: str
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    notes: tuple[str, ...]
    units: tuple[float, ...]

    @property
    def dropped(self) -> tuple[int, int]:
        """The numbers of rows of x and of y that were dropped."""
        x, y = (int(np.count_nonzero(~kept)) for kept in self.kept)
        return x, y


@dataclass(frozen=True, eq=False)
class _Block:
    """The matrix columns that one table column becomes."""

    source: Column
    values: NDArray[np.float64]  # (n + m, k)
    names: tuple[str, ...]  # k of them
    unit: float = 1.0
    notes: tuple[str, ...] = ()


def encode(
    x: Any,
    y: Any,
    *,
    columns: Sequence[str] | None = None,
    scale: Scale = Scale.NONE,
    missing: Missing = Missing.REFUSE,
    labels: tuple[str, str] = ("x", "y"),
    levels: Levels = Levels(),
) -> Encoded:
    r"""Encode two data frames, or clean and rescale two arrays, by the same rules.

    Columns are matched by name. A category with :math:`k` levels becomes :math:`k` columns :math:`e_{level} / \sqrt 2`, so that
    a mismatch is a distance of one; these are never rescaled. Messages count rows from 0.

    Parameters
    ----------
    x, y : data frame, Table, or ndarray (n, *event)
        Both tables or both arrays. One-dimensional arrays are read as ``(n, 1)``.
    columns : sequence of str, optional
        The table columns to use, in this order; all by default.
    scale : Scale
        Divisors come from the pooled rows, each row weighing the same. An array must be a matrix to be rescaled.
    missing : Missing
    labels : tuple of str
        Names of x and y in messages.
    levels : Levels

    Raises
    ------
    ValueError
        For columns that differ, that hold dates, nested values, infinite values, more than 1000 different words, or numbers
        on one side and words on the other; for missing values unless they are dropped; for no samples left.
    TypeError
        For arrays that hold no numbers, and for what is neither a data frame nor an array.

    Examples
    --------
    >>> import pandas as pd
    >>> x = pd.DataFrame({"age": [30, 40], "work": ["state", "private"]})
    >>> y = pd.DataFrame({"work": ["private", "private"], "age": [40, 30]})
    >>> e = encode(x, y)
    >>> e.names, float(np.linalg.norm(e.x[1] - e.y[0])), float(np.linalg.norm(e.x[0] - e.y[1]).round(12))
    (('age', 'work=private', 'work=state'), 0.0, 1.0)
    """
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        if columns is not None:
            raise ValueError("columns= (--columns) selects columns of tables by name; x and y are arrays: index them instead.")
        return _arrays(x, y, scale, missing, labels)
    tables = table(x, labels[0]), table(y, labels[1])
    names = _common_columns(tables[0], tables[1], columns, labels)
    complete_columns, kept = zip(*(_rows(t, names, missing, label) for t, label in zip(tables, labels)))
    blocks = [_encode_column(a, b, scale, labels, levels) for a, b in zip(*complete_columns)]
    pooled = np.concatenate([block.values for block in blocks], axis=1)
    n = len(complete_columns[0][0].values)
    words = [block.source.name for block in blocks if block.source.kind is Kind.WORD]
    notes = [f"{label}: {note}" for label, t in zip(labels, tables) for note in t.notes]
    if words:
        notes.append(f"read as categories, where a mismatch counts as distance 1: {quoted(words)}")
    return Encoded(
        x=pooled[:n],
        y=pooled[n:],
        names=tuple(name for block in blocks for name in block.names),
        source=tuple(block.source.name for block in blocks for _ in block.names),
        categorical=tuple(words),
        scale=scale.sentence,
        kept=kept,
        notes=(*notes, *_dropped(kept, labels), *(note for block in blocks for note in block.notes)),
        units=tuple(block.unit for block in blocks for _ in block.names),
    )


def _arrays(x: NDArray[Any], y: NDArray[Any], scale: Scale, missing: Missing, labels: tuple[str, str]) -> Encoded:
    """Clean two arrays, and rescale two matrices."""
    (a, kept_a), (b, kept_b) = (complete_array(data, missing, label) for data, label in zip((x, y), labels))
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"{labels[0]} has shape {a.shape} and {labels[1]} {b.shape}: all axes but the first must agree.")
    names = positions(a) if a.ndim == 2 else ()
    notes: list[str] = []
    units = [1.0] * len(names)
    if scale is not Scale.NONE:
        if not names:
            raise ValueError(f"scale={scale.value} needs matrices, got {labels[0]} of shape {a.shape}; use --scale none.")
        pooled = np.concatenate([a, b]).astype(np.float64)
        for j, name in enumerate(names):
            pooled[:, j], units[j], remarks = rescale(pooled[:, j], scale, name)
            notes.extend(remarks)
        a, b = pooled[: len(a)], pooled[len(a) :]
    notes = _dropped((kept_a, kept_b), labels) + notes
    return Encoded(a, b, names, names, (), scale.sentence, (kept_a, kept_b), tuple(notes), tuple(units))


def _common_columns(x: Table, y: Table, columns: Sequence[str] | None, labels: tuple[str, str]) -> list[str]:
    """Return the names of the columns to use: the chosen ones, or all, which both tables must have."""
    in_x, in_y = set(x.names), set(y.names)
    if columns is None:
        alone = [name for name in x.names if name not in in_y], [name for name in y.names if name not in in_x]
        if alone[0] or alone[1]:
            only = "; ".join(f"only {label} has {quoted(names)}" for label, names in zip(labels, alone) if names)
            raise ValueError(f"the columns differ: {only}. Rename them, or choose common ones with --columns (columns=).")
        return list(x.names)
    if isinstance(columns, str) or not columns:
        raise ValueError(f"columns must be a non-empty list of column names, got {columns!r}.")
    for label, t, present in zip(labels, (x, y), (in_x, in_y)):
        absent = [name for name in columns if name not in present]
        if absent:
            raise ValueError(f"{label} has no column {quoted(absent)}; it has {quoted(t.names)}.")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns names a column twice: {quoted(columns)}.")
    return list(columns)


def _rows(t: Table, names: list[str], missing: Missing, label: str) -> tuple[list[Column], NDArray[np.bool_]]:
    """Return the named columns, of rows without gaps, and which rows these are; refuse infinite numbers and dates."""
    by_name = {column.name: column for column in t.columns}
    chosen = [by_name[name] for name in names]
    for column in chosen:
        if column.kind in (Kind.DATE, Kind.OTHER):
            raise ValueError(
                f"{label}: column {quoted([column.name])} holds {column.kind.value} ({column.dtype}), which are not compared. "
                f"Convert it to numbers or words, or choose other columns with --columns (columns=)."
            )
    keep = complete(np.column_stack([column.missing for column in chosen]), missing, label, names)
    for column in chosen:
        if column.kind is Kind.NUMBER:
            refuse_infinite(column.values[:, None], label, [column.name])
    return [column.take(keep) for column in chosen], keep


def _encode_column(a: Column, b: Column, scale: Scale, labels: tuple[str, str], limits: Levels) -> _Block:
    """Return the matrix columns of one column of both tables: numbers rescaled, words as indicators."""
    if a.kind is not b.kind:
        kinds = " and ".join(f"{c.kind.value}{c.example} in {label}" for c, label in zip((a, b), labels))
        raise ValueError(f"column {quoted([a.name])} holds {kinds}. Convert one, or choose others with --columns (columns=).")
    pooled = np.concatenate([a.values, b.values])
    if a.kind is Kind.NUMBER:
        values, unit, notes = rescale(pooled, scale, a.name)
        return _Block(a, values[:, None], (a.name,), unit, notes)
    levels, codes = np.unique(pooled, return_inverse=True)
    if len(levels) > limits.most:
        raise ValueError(
            f"column {quoted([a.name])} has {len(levels)} different words{a.example}; more than {limits.most} tell rows apart "
            f"instead of grouping them. Leave it out with --columns (columns=), or correct it if it should hold numbers."
        )
    count = f"{len(levels)} different words in {len(codes)} rows"
    remark = f"column {quoted([a.name])} has {count}: it tells rows apart more than it groups them"
    notes = (remark,) if len(levels) > max(limits.few, len(codes) / 2) else ()
    # two different levels then have distance one
    return _Block(a, np.eye(len(levels))[codes] / np.sqrt(2), tuple(f"{a.name}={level}" for level in levels), notes=notes)


def _dropped(kept: Sequence[NDArray[np.bool_]], labels: tuple[str, str]) -> list[str]:
    """Return notes on the rows that were dropped."""
    return [
        f"{label}: {np.count_nonzero(~rows)} of {len(rows)} rows dropped for missing values"
        for label, rows in zip(labels, kept)
        if not rows.all()
    ]
