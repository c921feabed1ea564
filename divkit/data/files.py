"""Files become tables or arrays; an error is one line that begins with the path."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from divkit.data.delimited import read_delimited
from divkit.data.frames import Table, table
from divkit.support.checks import enough
from divkit.support.words import quoted

__all__ = ["check", "read"]

KEYS = ("points", "x")  # the arrays to read from an npz of several
HEADERS: dict[Any, Callable[[IO[bytes]], Any]] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def check(path: Path) -> None:
    """Refuse what `read` would refuse without looking inside, before anything slow begins."""
    with _named(path):
        _reader(path)


def read(path: Path) -> Table | NDArray[Any]:
    """Read samples: csv, tsv and parquet give a table, npy and npz an array (n, *event).

    Nothing in a file is executed (no pickles), and nothing is allocated on the word of a header alone.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        In one line, where the path is no readable regular file of a known kind, or its content is damaged, of no known meaning
        or larger than half of the memory.
    ImportError
        For parquet where pyarrow is not installed.
    """
    with _named(path):
        return _reader(path)(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the path before the messages of errors."""
    name = str(path) if str(path).isprintable() else repr(str(path))
    try:
        yield
    except OSError as error:
        raise ValueError(f"{name}: cannot be read ({error.strerror or error}); check the path and its permissions.") from error
    except ImportError as error:
        raise ImportError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _reader(path: Path) -> Callable[[Path], Table | NDArray[Any]]:
    """Return the function that reads a file of this extension; refuse what is no regular file, empty or too large."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ValueError("no such file.") from None
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("is a directory; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is a pipe or a device; save the data to a file first.")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"the extension {path.suffix!r} is not known; give one of {', '.join(READERS)} (unpacked).")
    if status.st_size == 0:
        raise ValueError("is empty (0 bytes).")
    _refuse_large(status.st_size)
    return READERS[path.suffix.lower()]


def _npy(path: Path) -> NDArray[Any]:
    """Read an npy file."""
    with path.open("rb") as file:
        return _array(file, path.stat().st_size)


def _npz(path: Path) -> NDArray[Any]:
    """Read the one array of an npz file, or the one with a name in `KEYS`."""
    with path.open("rb") as file:
        with _reporting_damage("npz"):
            archive = zipfile.ZipFile(file)
        members = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
        keys = [key for key in KEYS if key in members] or list(members)
        if not keys or (len(keys) > 1 and keys[0] not in KEYS):
            raise ValueError(f"holds {len(keys)} arrays ({quoted(keys)}); keep one, or call it {' or '.join(map(repr, KEYS))}.")
        member = members[keys[0]]
        _refuse_large(member.file_size)
        with _reporting_damage("npz"):
            content = archive.open(member)
        return _array(content, member.file_size)


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array from npy content of `size` bytes; allocate only what these bytes can fill."""
    with _reporting_damage("npy"):
        header = HEADERS.get(npy.read_magic(file))
        shape, _, dtype = header(file) if header else ((), False, None)  # the third version is for names of fields alone
    if dtype is None or dtype.names:
        raise ValueError("holds an array with named fields; save a plain array of numbers.")
    if dtype.hasobject:
        raise ValueError("holds Python objects, which could run code when loaded; save numbers (array.astype(float)).")
    claimed, present = prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > present:
        raise ValueError(
            f"is truncated or forged: shape {shape}, {dtype}, takes {claimed} bytes, {present} follow. Save it again."
        )
    _refuse_large(claimed)
    with _reporting_damage("npy"):
        file.seek(0)
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _parquet(path: Path) -> Table:
    """Read a parquet file."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ImportError("parquet files need pyarrow: pip install 'divkit[io]'.") from None
    with path.open("rb") as opened:
        with _reporting_damage("parquet"):
            file = ParquetFile(opened)
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
        enough("the file holds columns and no rows", rows, 1, shape=(0, columns))
        _refuse_large(rows * columns * np.dtype(float).itemsize)
        with _reporting_damage("parquet"):
            frame = file.read()
        return table(frame)


@contextmanager
def _reporting_damage(kind: str) -> Iterator[None]:
    """Turn a library's errors on broken bytes, a dozen kinds of them, into one message."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"is damaged, or no {kind} file ({reason}). Write it again.") from error


def _refuse_large(size: int) -> None:
    """Refuse more bytes than half of the memory."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not every system tells
        memory = 16 * 2**30
    if size > memory // 2:
        raise ValueError(f"holds {size} bytes, more than half of the memory ({memory} bytes); take a random part of its rows.")


READERS: dict[str, Callable[[Path], Table | NDArray[Any]]] = {
    ".csv": read_delimited,
    ".tsv": partial(read_delimited, separators=("\t",)),
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
}
