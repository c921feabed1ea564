"""Files: what is read, what is said about it, and one line of refusal for everything else."""

from __future__ import annotations

import io
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from divkit.data.encoding import encode
from divkit.data.files import read
from divkit.data.frames import Table

NAN = float("nan")


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def npz_bytes(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def npy_of(array: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # numpy remarks on a rare version of the format
        np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.eye(3), np.arange(5), np.zeros((2, 3, 4, 4), np.uint8), np.ones((2, 2), ">f4")])
def test_npy(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        made = read(tmp_path / name)
        assert isinstance(made, np.ndarray)
        assert made.dtype == array.dtype
        np.testing.assert_array_equal(made, array)


@pytest.mark.parametrize("key", ["points", "x"])
def test_npz_of_several(tmp_path: Path, key: str) -> None:
    np.savez(tmp_path / "a.npz", **{key: np.eye(2), "labels": np.zeros(9)})  # type: ignore[arg-type]
    made = read(tmp_path / "a.npz")
    assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made, np.eye(2))


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.putenv, ("DIVKIT_PAYLOAD_RAN", "yes"))


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000, 1000000), }"
OBJECTS = np.array([Payload()], dtype=object)
NPZ = npz_bytes(x=np.random.default_rng(0).normal(size=99))
INSIDE = len(NPZ) // 2
BAD_BYTES: dict[str, tuple[str, bytes, str]] = {
    "objects": ("a.npy", npy_of(OBJECTS), "holds Python objects, which could run code"),
    "objects in npz": ("a.npz", npz_bytes(x=OBJECTS), "holds Python objects, which could run code"),
    "claims": ("a.npy", npy_bytes(HUGE, b"\0" * 8), "truncated or forged: shape .* takes 800000000000000 bytes, 8 follow"),
    "truncated": ("a.npy", npy_of(np.eye(9))[:-1], "truncated or forged: shape .* takes 648 bytes, 647 follow"),
    "truncated header": ("a.npy", npy_of(np.eye(9))[:20], "is damaged, or no npy file .EOF: reading array header"),
    "no magic": ("a.npy", b"not an array at all", "magic string is not correct"),
    "two bytes": ("a.npy", b"\x93N", "EOF: reading magic string"),
    "named fields": ("a.npy", npy_of(np.zeros(2, dtype=[("é", "f8")])), "holds an array with named fields"),
    "fields named beyond Latin-1": ("a.npy", npy_of(np.zeros(2, dtype=[("名", "f8")])), "holds an array with named fields"),
    "negative": ("a.npy", npy_bytes(HUGE.replace("(100000000, 1000000)", "(-2, 2)"), b"\0" * 32), "is damaged, or no npy file"),
    "several": ("a.npz", npz_bytes(u=np.eye(2), v=np.eye(2)), r"holds 2 arrays \('u', 'v'\); keep one, or call it 'points'"),
    "none": ("a.npz", npz_bytes(), r"holds 0 arrays"),
    "no zip": ("a.npz", b"not a zip at all", "is damaged, or no npz file .File is not a zip file.. Write it again"),
    "cut zip": ("a.npz", NPZ[:-10], "is damaged, or no npz file .File is not a zip file.. Write it again"),
    "flipped zip": ("a.npz", NPZ[:INSIDE] + bytes([NPZ[INSIDE] ^ 255]) + NPZ[INSIDE + 1 :], "is damaged, or no npy file"),
    "no parquet": ("a.parquet", b"not parquet at all", "is damaged, or no parquet file"),
    "extension": ("a.xlsx", b"x", "the extension '.xlsx' is not known; give one of .csv, .tsv, .parquet, .npy, .npz"),
    "packed": ("a.csv.gz", b"x", "the extension '.gz' is not known"),
    "no extension": ("a", b"x", "the extension '' is not known"),
    "empty npy": ("a.npy", b"", r"is empty \(0 bytes\)"),
    "empty parquet": ("a.parquet", b"", r"is empty \(0 bytes\)"),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bad_bytes(tmp_path: Path, case: str) -> None:
    refused(tmp_path, *BAD_BYTES[case])
    assert os.environ.get("DIVKIT_PAYLOAD_RAN") is None


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 2**12)  # 16 MB of memory
    bomb = npz_bytes(x=np.zeros((4096, 4096)))
    assert len(bomb) < 2**18
    refused(tmp_path, "a.npz", bomb, r"holds \d+ bytes, more than half of the memory \(16777216 bytes\)")


def test_large_files_where_memory_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(2**34)  # a hole: nothing is written
    with pytest.raises(ValueError, match=r"a.csv: holds 17179869184 bytes, more than half of the memory \(17179869184 bytes\)"):
        read(tmp_path / "a.csv")


def test_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1, None, 3], "work": ["a", "b", None]}).to_parquet(tmp_path / "a.parquet")
    made = read(tmp_path / "a.parquet")
    assert isinstance(made, Table)
    np.testing.assert_array_equal(made["age"].values, [1, NAN, 3])
    assert made["work"].values.tolist() == ["a", "b", None]


def test_parquet_and_csv_agree(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [1.5, 2.5], "work": ["a", "b"]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    e = encode(read(tmp_path / "a.parquet"), read(tmp_path / "a.csv"))
    np.testing.assert_array_equal(e.x, e.y)


def test_parquet_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"a": [1.0], "nest": [[1, 2]]}), path)
    with pytest.raises(ValueError, match=r"column 'nest' holds nested or mixed values \(List"):
        encode(read(path), read(path))
    pa.parquet.write_table(pa.table({"a": pa.array([], pa.float64())}), path)
    with pytest.raises(ValueError, match=r"a.parquet: Found array with 0 sample\(s\) \(shape=\(0, 1\)\)"):
        read(path)
    pa.parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(ValueError, match=r"a.parquet: .*column names must be unique"):
        read(path)
    pa.parquet.write_table(pa.table({"a": np.zeros(2**20)}), path)
    monkeypatch.setattr(os, "sysconf", lambda name: 2**11)
    with pytest.raises(ValueError, match=r"holds 8388608 bytes, more than half of the memory"):
        read(path)


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"a.parquet: parquet files need pyarrow: pip install 'divkit\[io\]'"):
        read(tmp_path / "a.parquet")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.csv: no such file"):
        read(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"is a directory; name a file in it"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match=r"pipe.csv: is a pipe or a device; save the data to a file first"):
        read(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match=r"null (byte|character)"):
        read(Path("a\0.csv"))
    with pytest.raises(ValueError, match=r"^'line\\nbreak.csv': no such file"):
        read(Path("line\nbreak.csv"))
    with pytest.raises(ValueError, match="File name too long"):
        read(Path("x" * 5000 + ".csv"))


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.npy").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as a user who may read everything
    with pytest.raises(ValueError, match=r"a.npy: cannot be read \(Permission denied\); check the path and its permissions"):
        read(tmp_path / "a.npy")


def test_encrypted_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy_of(np.eye(2)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag "encrypted"
    refused(tmp_path, "a.npz", bytes(content), "is damaged, or no npz file .*is encrypted")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.parquet"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    np.save(tmp_path / "a.npy", np.eye(3))
    np.savez_compressed(tmp_path / "a.npz", x=np.eye(3))
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]})
    frame.to_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    sound = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(sound)
        for place in random.integers(0, len(sound), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged[: random.integers(1, len(sound) + 1)] if random.random() < 0.3 else damaged))
        try:
            read(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
