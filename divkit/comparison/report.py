"""A comparison as one HTML file: no script, nothing loaded from elsewhere, every foreign name escaped."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from divkit.comparison.findings import Findings
from divkit.comparison.page import Page
from divkit.comparison.pictures import COLOURS
from divkit.comparison.sections import Data, cloud, panels, weighty
from divkit.core.estimate import Bias, Status
from divkit.support.words import Name, plain, probability
from divkit.support.writing import write as replace_file

__all__ = ["render", "write"]


def write(comparison: Findings, path: str | Path) -> None:
    """Write the report to `path`, replacing what is there only once the new file is whole.

    Raises
    ------
    OSError
        Where the file cannot be written; nothing half-written stays behind.
    """
    replace_file(Path(path), render(comparison).encode("utf-8", "replace"))


def render(comparison: Findings) -> str:
    """The report as a page: a headline, the table, the columns, clouds and rows behind it, and how to read and repeat it."""
    seed = comparison.settings.get("seed")
    seed = seed if isinstance(seed, int) else 0
    data = Data.of(comparison, seed)
    now = datetime.now().astimezone()
    return _template().render(
        sides=[(Name.of(side.label, 60), side, len(rows)) for side, rows in ((comparison.x, data.x), (comparison.y, data.y))],
        page=Page.of(comparison, data.clear),
        comparison=comparison,
        columns=len(data.found),
        panels=panels(data),
        cloud=cloud(data, seed),
        weighty=weighty(comparison, data),
        weighted=data.weighted,
        sampled=len(data.x) < comparison.x.measure.n or len(data.y) < comparison.y.measure.n,
        colours=COLOURS,
        now=f"{now.day} {now:%B %Y, %H:%M %Z}",
        biases=list(Bias),
        statuses=list(Status),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("divkit.comparison")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader
    )
    environment.filters |= {"plain": plain, "probability": probability, "thousands": lambda count: f"{count:,}"}
    return environment.get_template("report.html.j2")
