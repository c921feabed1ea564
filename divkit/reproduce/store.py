"""Results on disk: written whole or not at all, found again, and finished parts of an interrupted run kept."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl

from divkit.reproduce import drawing
from divkit.reproduce.case import Case, Keep, Quantity, Setup
from divkit.support.writing import write

__all__ = ["Result", "load", "perform", "write"]

FIELDS = ("case", "protocol", "seed", "full", "seconds", "processor")
PARTS = ".parts"  # directory of unfinished cases


@dataclass(frozen=True)
class Result:
    """The result of a finished case."""

    case: str
    protocol: str
    seed: int
    full: bool
    seconds: float  # of the clock
    processor: float  # seconds of all cores together; NaN in results of before it was measured
    rows: tuple[Quantity, ...]
    picture: bytes  # png

    @property
    def missed(self) -> int:
        """The number of rows that failed."""
        return sum(row.passed is False for row in self.rows)

    @property
    def judged(self) -> int:
        """The number of rows that passed or failed."""
        return sum(row.passed is not None for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what is written as JSON."""
        return {key: getattr(self, key) for key in FIELDS} | {"rows": [row.to_dict() for row in self.rows]}


def perform(case: Case, setup: Setup, directory: Path | None) -> Result:
    """Run a case, and write ``NAME.json`` and ``NAME.png`` where a directory is given, the JSON last.

    Raises
    ------
    OSError
        Where they cannot be written; nothing half-written stays behind.
    """
    protocol, started, used = case.stated(setup.full), time.monotonic(), time.process_time()
    parts = None
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        parts = directory / PARTS / f"{case.name}-{setup.seed}-{zlib.crc32(protocol.encode()):08x}"
        setup = replace(setup, keep=_keeper(parts))
    with mpl.rc_context(drawing.STYLE):
        outcome = case.run(setup)
        out = io.BytesIO()
        outcome.figure.savefig(out, format="png", dpi=150, metadata={"Software": None})
    seconds = round(time.monotonic() - started, 2)
    processor = round(time.process_time() - used, 2)
    result = Result(case.name, protocol, setup.seed, setup.full, seconds, processor, tuple(outcome.rows), out.getvalue())
    if directory is not None:
        write(directory / f"{case.name}.png", result.picture)
        text = json.dumps(result.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)
        write(directory / f"{case.name}.json", text.encode())
    if parts is not None:
        shutil.rmtree(parts, ignore_errors=True)
    return result


def load(case: Case, setup: Setup, directory: Path) -> Result | None:
    """Return the stored result of the same protocol and seed, or None where there is none.

    Raises
    ------
    ValueError
        Where ``NAME.json`` is there and is no result of this case: it is somebody's and not overwritten.
    """
    path = directory / f"{case.name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["case"] != case.name:
            raise ValueError("another case")
        rows = tuple(Quantity.of(row) for row in content["rows"])
        fields = {"processor": math.nan} | {key: content[key] for key in FIELDS if key != "processor" or key in content}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no result of {case.name}; choose another directory with --out, or overwrite it with --force."
        ) from error
    same = (fields["protocol"], fields["seed"], fields["full"]) == (case.stated(setup.full), setup.seed, setup.full)
    picture = directory / f"{case.name}.png"
    return Result(**fields, rows=rows, picture=picture.read_bytes()) if same and picture.is_file() else None


def _keeper(directory: Path) -> Keep:
    """Return a `Keep` that stores each part in a file named by its key and a checksum of key and function's arguments."""

    def keep(key: str, make: Callable[[], Any]) -> Any:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:80]
        text = re.sub(r" at 0x[0-9a-f]+", "", f"{key} {make!r}")  # addresses differ from run to run
        path = directory / f"{safe}-{zlib.crc32(text.encode()):08x}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(make())
        directory.mkdir(parents=True, exist_ok=True)
        write(path, text.encode())
        return json.loads(text)  # the same whether it is new or was stored

    return keep
