"""Delimited text: separators, decimal marks, headers and missing cells; doubts are said, and what is broken refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from divkit.data import cells, delimited
from divkit.data.encoding import Missing, encode
from divkit.data.files import read
from divkit.data.frames import Kind, Table

NAN = float("nan")


def parsed(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Table:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    made = read(path)
    assert isinstance(made, Table)
    return made


def values(made: Table) -> dict[str, list[Any]]:
    return {column.name: column.values.tolist() for column in made.columns}


def test_csv_of_numbers_and_words(tmp_path: Path) -> None:
    made = parsed(tmp_path, 'age, work,"a ""b"""\r\n30, state gov ,1e3\r\n-4.5,"x,\ny",.5\r\n')
    assert values(made) == {"age": [30, -4.5], "work": ["state gov", "x,\ny"], 'a "b"': [1000, 0.5]}
    assert [column.kind for column in made.columns] == [Kind.NUMBER, Kind.WORD, Kind.NUMBER]
    assert made.notes == ()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_marks_and_line_ends(tmp_path: Path, separator: str, mark: bytes, end: str) -> None:
    text = end.join(row.replace(",", separator) for row in ("a,b,c", "1,u,2.5", "3,v,4.5", ""))
    assert values(parsed(tmp_path, mark + text.encode())) == {"a": [1, 3], "b": ["u", "v"], "c": [2.5, 4.5]}


def test_tsv_keeps_other_separators(tmp_path: Path) -> None:
    assert values(parsed(tmp_path, "a;b\tc\n1\t2;3\n", "data.TSV")) == {"a;b": [1], "c": ["2;3"]}


def test_decimal_commas(tmp_path: Path) -> None:
    made = parsed(tmp_path, "a;b;c\n1,5;2;u\n-0,25;1,5e3;v\n")
    assert values(made) == {"a": [1.5, -0.25], "b": [2, 1500], "c": ["u", "v"]}
    assert made.notes == ("commas read as decimal marks: '1,5' is 1.5",)
    assert values(parsed(tmp_path, "1,5;2,5\n3,5;4,5\n")) == {"column 1": [1.5, 3.5], "column 2": [2.5, 4.5]}


def test_thousands_are_not_guessed(tmp_path: Path) -> None:
    mixed = parsed(tmp_path, "a;b\n1.234,5;1\n2,5;2\n")
    assert mixed["a"].kind is Kind.WORD
    assert any("column 'a' holds numbers and words (line 2: '1.234,5')" in note for note in mixed.notes)
    quoted = parsed(tmp_path, 'a,b\n"1,234",1\n')
    assert quoted["a"].values.tolist() == ["1,234"]
    assert parsed(tmp_path, "a,b\n1_000,1\n")["a"].kind is Kind.WORD


def test_no_header(tmp_path: Path) -> None:
    made = parsed(tmp_path, "1,2\n3,4\n")
    assert values(made) == {"column 1": [1, 3], "column 2": [2, 4]}
    assert made.notes == ("no header: the first line holds numbers alone, so the columns are named 'column 1' and so on",)


def test_doubtful_headers_are_said(tmp_path: Path) -> None:
    numbered = parsed(tmp_path, "id,2001\n1,2\n")
    assert numbered.notes == ("the first line was read as column names, though it holds numbers: '2001'",)
    unnamed = parsed(tmp_path, ",a\n0,1\n")
    assert unnamed.names == ("column 1", "a")
    assert unnamed.notes == ("'column 1': no name in the header; if it numbers the rows, leave it out with --columns",)


def test_missing_cells_are_counted(tmp_path: Path) -> None:
    made = parsed(tmp_path, "a,b\n1,NA\n,u\nNaN,null\n4,None\n")
    np.testing.assert_array_equal(made["a"].values, [1, NAN, NAN, 4])
    assert made["b"].values.tolist() == [None, "u", None, "None"]
    assert made.notes == ("4 cell(s) read as missing (empty, NA, NaN or null)",)
    with pytest.raises(ValueError, match=r"Input contains NaN. 4 missing value\(s\) in 3 of 4 rows"):
        encode(made, made)
    assert encode(made, made, missing=Missing.DROP).dropped == (3, 3)


def test_blank_lines(tmp_path: Path) -> None:
    assert values(parsed(tmp_path, "a,b\n\n1,2\n\n\n")) == {"a": [1], "b": [2]}
    np.testing.assert_array_equal(parsed(tmp_path, "a\n1\n\n2\n\n")["a"].values, [1, NAN, 2])


def test_numbers_and_words_in_one_column(tmp_path: Path) -> None:
    made = parsed(tmp_path, "a\n1\n2\nabc\n")
    assert made["a"].values.tolist() == ["1", "2", "abc"]
    assert made.notes == ("column 'a' holds numbers and words (line 4: 'abc'): all read as words",)


@pytest.mark.parametrize("block", [1, 2, 4, 2**20])
def test_a_late_word_keeps_the_text_before_it(tmp_path: Path, block: int) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1.0,1.0\n2,NA\nx,2\n3,3\n")
    made = delimited.read_delimited(tmp_path / "a.csv", portions=delimited.Portions(block=block))
    assert made["a"].values.tolist() == ["1.0", "2", "x", "3"]
    np.testing.assert_array_equal(made["b"].values, [1, NAN, 2, 3])


@pytest.mark.parametrize("when", ["2020-01-31", "2020-01-31 10:00:00", "2020-01-31T10:00:00.5+02:00"])
def test_iso_dates_are_refused_by_name(tmp_path: Path, when: str) -> None:
    made = parsed(tmp_path, f"when,a\n{when},1\nNA,2\n")
    assert made["when"].kind is Kind.DATE
    with pytest.raises(ValueError, match=r"column 'when' holds dates or times \(text\).*--columns"):
        encode(made, made)
    assert encode(made, made, columns=["a"]).names == ("a",)
    assert parsed(tmp_path, f"when,a\n{when},1\n10-19,2\n")["when"].kind is Kind.WORD


def test_a_wide_file(tmp_path: Path) -> None:
    wide = ",".join(f"c{j}" for j in range(3000)) + "\n" + ",".join("1" * 3000) + "\n"
    made = parsed(tmp_path, wide)
    assert encode(made, made).x.shape == (1, 3000)


BAD_TEXT: dict[str, tuple[bytes, str]] = {
    "ragged": (b"a,b\n1,2\n3,4,5\n", r"line 3 has 3 cell\(s\), but the first row has 2 \(separator ','\). Complete"),
    "short": (b"a;b;c\n1;2;3\n1;2\n", r"line 3 has 2 cell\(s\), but the first row has 3 \(separator ';'\)"),
    "ragged after quoted line break": (b'a,b\n"1\n",2\n3\n', r"line 4 has 1 cell"),
    "one decimal comma column": (b"price\n1,5\n", r"line 2 has 2 cell\(s\), but the first row has 1"),
    "overflow": (b"a,b\n1,2\n3,1e400\n", r"line 3, column 'b': Input contains infinity .*dtype\('float64'\): '1e400'"),
    "infinity": (b"a,b\n1,2\n-inf,1\n", "line 3, column 'a': Input contains infinity"),
    "decimal infinity": (b"a;b\n1,5;2\n1,0e400;1\n", "line 3, column 'a': Input contains infinity .*'1,0e400'"),
    "header only": (b"a,b\n", r"Found array with 0 sample\(s\) .*a header and no rows"),
    "blank": (b"\n\n", "the file holds blank lines only"),
    "empty": (b"", r"is empty \(0 bytes\)"),
    "latin-1": ("a,b\n1,é\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8 .*Save the file as UTF-8"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), "line 1 holds a NUL byte"),
    "NUL": (b"a,b\n1,2\n\0,3\n", "line 3 holds a NUL byte"),
    "open quote": (b'a,b\n1,"2\n3,4\n', "line 3: unexpected end of data. Is a quotation mark missing"),
    "quote inside": (b'a,b\n1,"2"3\n', "line 2: ',' expected after '\"'. Is a quotation mark missing"),
    "endless cell": (b'a,b\n1,"' + b"x" * 200_000, "line 2: field larger than field limit"),
    "quote in the first row": (b'a,"b"x\n1,2\n', "line 1: ',' expected after '\"'"),
    "ragged and quoted": (b'a;b\n"1";2\n3\n', r"line 3 has 1 cell\(s\), .*separator ';'"),
    "same names": (b"a,a\n1,2\n", "column names must be unique: 'a' occur more than once"),
    "same as a completed name": (b"column 2,\nu,2\n", "column names must be unique: 'column 2'"),
}


def refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text(tmp_path: Path, case: str) -> None:
    content, message = BAD_TEXT[case]
    refused(tmp_path, content, message)


def test_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "LONGEST_LINE", 100)
    refused(tmp_path, b"a,b\n" + b"1" * 101, "line 2 is longer than 100 characters")


def test_undecodable_without_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sound.csv"
    path.write_text("a\n1\n")
    assert cells._undecodable(path) == "the file is not UTF-8. Save it as UTF-8."
