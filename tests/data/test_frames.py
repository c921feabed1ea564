"""Columns: every data frame's kinds come down to numbers, words and what is not compared; names stay verbatim."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from divkit.data.encoding import Encoded, encode
from divkit.data.frames import Column, Kind, Table, complete_names, table
from divkit.support.words import quoted

NAN = float("nan")


def test_column_kinds_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None], dtype="Int64"),
            "boolean": pd.array([True, None], dtype="boolean"),
            "arrow": pd.array([1.5, None], dtype="double[pyarrow]"),
            "big endian": np.array([1.0, 2.0]).astype(">f8"),
            "sparse": pd.arrays.SparseArray([0.0, 1.0]),
            "empty": [None, None],
            "codes": pd.Categorical([1, None]),
            "words": ["a", None],
            "when": pd.to_datetime(["2020-01-01", "2021-01-01"]),
            "long": pd.to_timedelta([1, 2]),
            "lists": [[1], [2]],
            "mixed": ["a", 3],
            "complex": [1j, 2j],
        }
    )
    kinds = {column.name: column.kind for column in table(frame).columns}
    assert [name for name, kind in kinds.items() if kind is Kind.NUMBER] == list(frame.columns[:5])
    assert [name for name, kind in kinds.items() if kind is Kind.WORD] == ["empty", "codes", "words"]
    assert [name for name, kind in kinds.items() if kind is Kind.DATE] == ["when", "long"]
    assert [name for name, kind in kinds.items() if kind is Kind.OTHER] == ["lists", "mixed", "complex"]
    np.testing.assert_array_equal(table(frame)["nullable"].values, [1, NAN])
    assert table(frame)["codes"].values.tolist() == ["1", None]
    assert table(frame)["codes"].missing.tolist() == [False, True]


def test_column_kinds_of_arrow() -> None:
    large = pa.array([2**63, 1], pa.uint64())  # beyond the integers that a float64 holds exactly
    frame = pa.table({"large": large, "nothing": pa.nulls(2), "word": ["a", None], "nest": [[1], [2]]})
    read = table(frame)
    assert [column.kind for column in read.columns] == [Kind.NUMBER, Kind.NUMBER, Kind.WORD, Kind.OTHER]
    np.testing.assert_array_equal(read["large"].values, [2.0**63, 1])


def test_names_in_messages_are_inert_and_short() -> None:
    said = quoted(["\x1b[2J\n\u200f", "x" * 10_000, *map(str, range(20))])
    assert said.isprintable()
    assert len(said) < 250
    assert said.endswith("and 14 more")


def test_empty_names_are_completed() -> None:
    assert complete_names(["a", "", " "]) == ("a", "column 2", "column 3")
    assert table(pd.DataFrame([[1, 2]])).names == ("0", "1")
    assert table(pd.DataFrame({("a", "b"): [1.0]})).names == ("('a', 'b')",)


def test_table_checks_itself() -> None:
    one, two = Column("a", Kind.NUMBER, np.ones(1)), Column("b", Kind.NUMBER, np.ones(2))
    with pytest.raises(ValueError, match=r"columns must have one length, got \[1, 2\]"):
        Table((one, two))
    with pytest.raises(ValueError, match="at least one column"):
        Table(())
    with pytest.raises(ValueError, match="'a' occur more than once"):
        Table((one, one))
    assert len(Table((two,))) == 2
    assert isinstance(encode(Table((two,)), Table((two,))), Encoded)
