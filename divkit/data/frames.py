"""Tables as divkit holds them: named numpy columns, each of one kind, read from any data frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divkit.support.words import quoted

__all__ = ["Column", "Kind", "Table", "complete_names", "is_frame", "shown", "table"]

shown = quoted  # the name it had here


class Kind(Enum):
    """What a column holds, in the words that messages use."""

    NUMBER = "numbers"
    WORD = "words"
    DATE = "dates or times"
    OTHER = "nested or mixed values"


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Parameters
    ----------
    name : str
        Verbatim: whoever shows it escapes it.
    kind : Kind
    values : ndarray (n,)
        float64 with NaN for missing cells where the kind is NUMBER; else objects, str or None for missing.
    dtype : str
        What the column was called where it came from.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    dtype: str = "text"

    @property
    def example(self) -> str:
        """A parenthesis for messages with the first word that is no number, or nothing."""
        for word in self.values if self.kind is Kind.WORD else ():
            try:
                float(word)
            except ValueError:
                return f" (such as {quoted([word])})"
        return ""

    @property
    def missing(self) -> NDArray[np.bool_]:  # (n,)
        """The rows without a value."""
        gaps = np.isnan(self.values) if self.kind is Kind.NUMBER else [value is None for value in self.values]
        return np.asarray(gaps, dtype=bool)

    def take(self, index: NDArray[Any]) -> Column:  # index: (k,) row numbers, or (n,) booleans
        """Return the column of some rows."""
        return replace(self, values=self.values[index])


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length.

    Raises
    ------
    ValueError
        For no columns, two of one name, or columns of different lengths.

    Examples
    --------
    >>> ages = Column("age", Kind.NUMBER, np.array([31.0, 45.0]))
    >>> people = Table((ages,))
    >>> people.names, people.rows, people.take(np.array([1]))["age"].values.tolist()
    (('age',), 2, [45.0])
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("a table needs at least one column (0 found).")
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise ValueError(f"column names must be unique: {quoted(twice)} occur more than once; rename them.")
        lengths = {len(column.values) for column in self.columns}
        if len(lengths) > 1:
            raise ValueError(f"columns must have one length, got {sorted(lengths)}.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def rows(self) -> int:
        return len(self.columns[0].values)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, name: str) -> Column:
        return self.columns[self.names.index(name)]

    def take(self, index: NDArray[Any]) -> Table:  # index: (k,) row numbers, or (n,) booleans
        """Return the table of some rows, in the order of `index`."""
        return Table(tuple(column.take(index) for column in self.columns), self.notes)


def table(frame: Any, label: str = "table") -> Table:
    """Read a data frame: pandas, polars, pyarrow, whatever narwhals knows, or a `Table`, which is returned as it is.

    Integers, floats, decimals and booleans are numbers; strings and categories are words. Columns of another kind are kept
    without their values, so that they can be refused by name where they are used.

    Parameters
    ----------
    frame : data frame
    label : str
        What messages call it.

    Raises
    ------
    TypeError
        Where `frame` is no data frame.
    ValueError
        For no columns or columns of the same name.
    """
    if isinstance(frame, Table):
        return frame
    import narwhals as nw

    try:
        wrapped = nw.from_native(frame, eager_only=True)
        names = complete_names(str(name) for name in wrapped.columns)
    except nw.exceptions.DuplicateError as error:
        raise ValueError(f"{label}: column names must be unique; rename them ({' '.join(str(error).split())}).") from None
    except (TypeError, AttributeError):
        raise TypeError(
            f"{label} is a {type(frame).__name__}; a data frame is required here (pandas, polars or pyarrow.Table). "
            f"Collect a lazy frame first; give arrays for both x and y, or data frames for both."
        ) from None
    try:
        return Table(tuple(_column(name, series) for name, series in zip(names, wrapped.iter_columns())))
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def complete_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, verbatim, with ``column 3`` for the third where it is empty."""
    return tuple(name if name.strip() else f"column {place}" for place, name in enumerate(names, 1))


def is_frame(data: Any) -> bool:
    """Say whether `data` is a data frame or a `Table`: it has columns, which arrays and tensors have not."""
    return hasattr(data, "columns")


def _column(name: str, series: Any) -> Column:
    """Return a narwhals series as a column."""
    import narwhals as nw

    dtype, rows = series.dtype, len(series)
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    present = series.drop_nulls()
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        words = np.full(rows, None, dtype=object)
        words[~missing] = [str(value) for value in present.to_list()]
        return Column(name, Kind.WORD, words, str(dtype))
    values = np.asarray(present.to_numpy())
    known = dtype.is_numeric() or dtype == nw.Boolean
    if known or values.dtype.kind in "fiub" or len(values) == 0:  # big-endian and sparse columns have no known dtype
        numbers = np.full(rows, np.nan)
        numbers[~missing] = values.astype(np.float64)
        return Column(name, Kind.NUMBER, numbers, str(dtype))
    kind = Kind.DATE if dtype.is_temporal() else Kind.OTHER
    return Column(name, kind, np.full(rows, None, dtype=object), str(dtype))
