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
from divkit.reproduce.case import Case, Keep, Row, Setup
from divkit.support.writing import write

__all__ = ["Result", "load", "perform", "write"]

KEPT = ("case", "protocol", "seed", "full", "seconds", "processor")
PARTS = ".parts"  # directory of unfinished cases
DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Result:
    """A finished case."""

    case: str
    protocol: str
    seed: int
    full: bool
    seconds: float  # of the clock
    processor: float  # seconds of all cores together; NaN in results of before it was measured
    rows: tuple[Row, ...]
    picture: bytes  # png

    @property
    def missed(self) -> int:
        """How many rows failed."""
        return sum(row.passed is False for row in self.rows)

    @property
    def judged(self) -> int:
        """How many rows passed or failed."""
        return sum(row.passed is not None for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """What is written as JSON."""
        rows = [row.to_dict() for row in self.rows]
        kept = {key: getattr(self, key) for key in KEPT}
        return {**kept, "rows": rows}


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
        outcome.figure.savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
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
    """The finished result of the same protocol and seed, or None where there is none.

    Raises
    ------
    ValueError
        Where ``NAME.json`` is there and holds something else than this case: it is somebody's and not overwritten.
    """
    path = directory / f"{case.name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["case"] != case.name:
            raise ValueError("another case")
        rows = tuple(Row.of(row) for row in found["rows"])
        kept = {"processor": math.nan} | {key: found[key] for key in KEPT if key != "processor" or key in found}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no result of {case.name}; choose another directory with --out, or overwrite it with --force."
        ) from error
    same = (kept["protocol"], kept["seed"], kept["full"]) == (case.stated(setup.full), setup.seed, setup.full)
    picture = directory / f"{case.name}.png"
    return Result(**kept, rows=rows, picture=picture.read_bytes()) if same and picture.is_file() else None


def _keeper(directory: Path) -> Keep:
    """Keep each part as a file of its own, named by its key and a checksum of that and of its function's arguments."""

    def keep(key: str, make: Callable[[], Any]) -> Any:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:80]
        said = re.sub(r" at 0x[0-9a-f]+", "", f"{key} {make!r}")  # addresses differ from run to run
        path = directory / f"{safe}-{zlib.crc32(said.encode()):08x}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(make())
        directory.mkdir(parents=True, exist_ok=True)
        write(path, text.encode())
        return json.loads(text)  # the same whether it was just made or found

    return keep
