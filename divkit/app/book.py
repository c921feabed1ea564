"""The reproduction report: everything that was run, on one page without a script, its pictures inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from divkit.app.reproduction import LEGEND, line, processor, spent, summary
from divkit.reproduce import CASES, Result, write

__all__ = ["bind", "render"]

TITLES = {"paper": "paper", "exact": "exact", "ours": "ours", "stderr": "±", "difference": "difference", "verdict": "verdict"}
ZOOM = 0.72  # css pixels per pixel of a picture: lettering of the page's size, the same in all pictures


def bind(finished: Mapping[str, Result], broken: Mapping[str, str], path: Path) -> None:
    """Write the page, replacing what is there only once the new one is whole.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    write(path, render(finished, broken).encode())


def render(finished: Mapping[str, Result], broken: Mapping[str, str]) -> str:
    """The page: a verdict per case, then each case with its protocol, rows and picture."""
    now = datetime.now().astimezone()
    cases = [
        {
            "case": CASES[name],
            "result": result,
            "lines": [line(row) for row in result.rows],
            "sources": list(dict.fromkeys(row.paper_source for row in result.rows if row.paper_source)),
            "legend": [
                said for word, said in LEGEND.items() if any(f"; {word}" in (r.paper_source or "") for r in result.rows)
            ],
            "used": [key for key in TITLES if any(getattr(line(row), key) != "—" for row in result.rows)],
            "summary": summary(result),
            "spent": spent(result),
            "processor": processor(result),
            "missed": [line(row) for row in result.rows if row.passed is False],
            "picture": "data:image/png;base64," + base64.b64encode(result.picture).decode(),
            "width": round(ZOOM * int.from_bytes(result.picture[16:20], "big")),
        }
        for name, result in finished.items()
    ]
    return _template().render(
        cases=cases,
        titles=TITLES,
        broken=broken,
        missing=[case for name, case in CASES.items() if name not in finished and name not in broken],
        held=sum(result.judged - result.missed for result in finished.values()),
        judged=sum(result.judged for result in finished.values()),
        took=round(sum(r.processor for r in finished.values() if math.isfinite(r.processor)) / 60),
        now=f"{now.day} {now:%B %Y, %H:%M %Z}",
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=PackageLoader("divkit.app")
    )
    return environment.get_template("reproduction.html.j2")
