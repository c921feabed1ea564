"""Tables: columns by name, categories at distance one, and a refusal by name for everything else."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divkit.data.encoding import Missing, Scale, encode
from divkit.data.frames import Column, Kind, Table

NAN = float("nan")


def polars(data: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(data)


@pytest.mark.parametrize("library", [pd.DataFrame, pa.table, polars])
def test_mixed_columns_by_hand(library: Any) -> None:
    x = library({"age": [30, 40], "work": ["state", "private"], "paid": [True, False]})
    y = library({"paid": [True], "work": ["none"], "age": [50]})
    e = encode(x, y)
    h = np.sqrt(0.5)
    assert e.names == ("age", "work=none", "work=private", "work=state", "paid")
    assert e.source == ("age", "work", "work", "work", "paid")
    assert e.categorical == ("work",)
    assert e.dropped == (0, 0)
    assert e.x.dtype == e.y.dtype == np.float64
    np.testing.assert_allclose(e.x, [[30, 0, 0, h, 1], [40, 0, h, 0, 0]], rtol=1e-15)
    np.testing.assert_allclose(e.y, [[50, h, 0, 0, 1]], rtol=1e-15)
    assert e.notes == ("read as categories, where a mismatch counts as distance 1: 'work'",)
    assert e.scale == "numeric columns keep their units"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdé"), st.sampled_from(["u", "v w", "<b>"])), min_size=2, max_size=8))
def test_squared_distance_counts_mismatches(rows: list[tuple[str, str]]) -> None:
    x = pd.DataFrame(rows[:1], columns=["p", "q"])
    y = pd.DataFrame(rows[1:], columns=["p", "q"])
    e = encode(x, y, scale=Scale.SD)
    squared = ((e.x[0] - e.y) ** 2).sum(1)
    mismatches = [sum(a != b for a, b in zip(rows[0], row)) for row in rows[1:]]
    np.testing.assert_allclose(squared, mismatches, atol=1e-14)


def test_columns_are_chosen_in_order_and_others_ignored() -> None:
    x = pd.DataFrame({"a": [1.0], "b": [2.0], "when": pd.to_datetime(["2020-01-01"])})
    y = pd.DataFrame({"c": [NAN], "b": [3.0], "a": [4.0]})
    e = encode(x, y, columns=["b", "a"])
    assert e.names == ("b", "a")
    assert e.x.tolist() == [[2, 1]]
    assert e.y.tolist() == [[3, 4]]


def test_drop_missing_rows_of_each_table() -> None:
    x = pd.DataFrame({"a": [1.0, NAN, 3.0], "w": ["u", "v", None]})
    y = pd.DataFrame({"a": [5.0], "w": ["u"]})
    e = encode(x, y, missing=Missing.DROP, labels=("real.csv", "made.csv"))
    assert e.dropped == (2, 0)
    assert e.names == ("a", "w=u")  # the levels of dropped rows are gone as well
    assert "real.csv: 2 of 3 rows dropped for missing values" in e.notes


def test_notes_of_the_reader_are_kept() -> None:
    made = Table((Column("a", Kind.NUMBER, np.array([1.0])),), ("no header",))
    assert encode(made, made, labels=("p", "q")).notes == ("p: no header", "q: no header")


@pytest.mark.parametrize("name", ["<img src=x>", "{{7*7}}", "a$^$b", "\x1b[2J", "=cmd()", "\u200f", "😀", "_x", "x" * 10_000])
def test_names_are_kept_verbatim(name: str) -> None:
    frame = pd.DataFrame({name: [1.0, 2.0], "w" + name: ["u", "v"]})
    e = encode(frame, frame)
    assert e.names == (name, f"w{name}=u", f"w{name}=v")


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def named(*names: Any) -> pd.DataFrame:
    return pd.DataFrame(np.ones((1, len(names))), columns=names)


def identifiers(letter: str) -> pd.DataFrame:
    return frame(i=[f"{letter}{k}" for k in range(600)])


DATES = frame(t=pd.to_datetime(["2020-01-01"]))
GAP = frame(a=[1.0, NAN], w=[None, "v"])
NUMBER = frame(a=[1.0])
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "differing columns": (frame(a=[1], b=[1]), frame(a=[1], c=[1]), {}, "only x has 'b'; only y has 'c'. Rename"),
    "one side lacks": (frame(a=[1], b=[1]), NUMBER, {}, "only x has 'b'. Rename them, or choose common ones with --columns"),
    "absent": (NUMBER, NUMBER, {"columns": ["z"]}, "x has no column 'z'; it has 'a'"),
    "absent in y": (frame(a=[1], b=[1]), NUMBER, {"columns": ["b"]}, "y has no column 'b'"),
    "no columns": (NUMBER, NUMBER, {"columns": []}, "columns must be a non-empty list"),
    "one string": (NUMBER, NUMBER, {"columns": "a"}, "columns must be a non-empty list of column names, got 'a'"),
    "twice": (NUMBER, NUMBER, {"columns": ["a", "a"]}, "columns names a column twice: 'a', 'a'"),
    "duplicates": (named("a", "a"), NUMBER, {}, "x: column names must be unique; rename them .*'a' 2 times"),
    "same as text": (named("1", 1), NUMBER, {}, "x: column names must be unique: '1' occur more than once"),
    "dates": (DATES, DATES, {}, r"x: column 't' holds dates or times \(Datetime.*or choose other columns with --columns"),
    "durations": (frame(t=pd.to_timedelta([1])),) * 2 + ({}, r"column 't' holds dates or times \(Duration"),
    "python dates": (frame(t=[datetime.date(2020, 1, 1)]),) * 2 + ({}, "column 't' holds nested or mixed values"),
    "nested": (frame(t=[[1]]), frame(t=[[1]]), {}, "column 't' holds nested or mixed values"),
    "number and word": (frame(a=["?", "1"]), NUMBER, {}, r"column 'a' holds words \(such as '\?'\) in x and numbers in y"),
    "missing": (GAP, GAP, {}, r"x: .* NaN. 2 missing value\(s\) in 2 of 2 rows, .* row 0 .*'w'.*--missing drop"),
    "missing in y": (NUMBER, frame(a=[NAN]), {}, "y: Input contains NaN. 1 missing"),
    "all dropped": (GAP, GAP, {"missing": Missing.DROP}, "x: 0 samples left after dropping .*all 2"),
    "no rows": (frame(a=[1.0])[:0], NUMBER, {}, r"Found array with 0 sample\(s\) \(shape=\(0, 1\)\) .*: x"),
    "no table columns": (pd.DataFrame(index=[0, 1]), NUMBER, {}, "x: a table needs at least one column"),
    "infinite": (NUMBER, frame(a=[0.0, -np.inf]), {}, r"y: .* infinity .*\('float64'\). 1 value\(s\), .*row 1 .*'a'"),
    "infinite, dropping": (NUMBER, frame(a=[np.inf]), {"missing": Missing.DROP}, "infinite values are never dropped"),
    "identifiers": (identifiers("p"), identifiers("q"), {}, r"'i' has 1200 different words \(such as 'p0'\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    x, y, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        encode(x, y, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("x", [np.ones((2, 1)), [[1.0]], pd.Series([1.0])])
def test_no_data_frame(x: Any) -> None:
    with pytest.raises(TypeError, match=f"x is a {type(x).__name__}; a data frame is required here"):
        encode(x, NUMBER)


def test_words_that_tell_rows_apart_are_said() -> None:
    """Names, remarks and ids in words: every pair of rows mismatches, whatever the distributions."""
    few, many = pd.DataFrame({"w": list("abcd") * 10}), pd.DataFrame({"w": [f"row {k}" for k in range(40)]})
    assert (
        "column 'w' has 44 different words in 80 rows: it tells rows apart more than it groups them" in encode(few, many).notes
    )
    assert len(encode(few, few).notes) == 1
