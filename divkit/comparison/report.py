"""A comparison as one HTML file: no script, nothing loaded from elsewhere, every foreign name escaped."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from divkit.comparison.findings import Findings
from divkit.comparison.page import Page
from divkit.comparison.pictures import COLOURS
from divkit.comparison.sections import Excerpt, cloud, panels, weighty
from divkit.core.estimate import Bias, Status
from divkit.support.words import Name, plain, probability
from divkit.support.writing import write as replace_file

__all__ = ["render", "template", "write"]


def write(findings: Findings, path: str | Path) -> None:
    """Write the report to `path`, replacing what is there only once the new file is whole.

    Raises
    ------
    OSError
        Where the file cannot be written; nothing half-written stays behind.
    """
    replace_file(Path(path), render(findings).encode("utf-8", "replace"))


def render(findings: Findings) -> str:
    """Return the report as a page: a headline, the table, what lies behind it, and how to read and repeat it."""
    seed = findings.settings.seed
    excerpt = Excerpt.of(findings, seed)
    now = datetime.now().astimezone()
    x, y = findings.x, findings.y
    return template("divkit.comparison", "report.html.j2").render(
        sides=[(Name.of(side.label, 60), side, len(rows)) for side, rows in ((x, excerpt.x), (y, excerpt.y))],
        page=Page.of(findings, excerpt.clear),
        findings=findings,
        columns=len(excerpt.features),
        panels=panels(excerpt),
        cloud=cloud(excerpt, seed),
        weighty=weighty(findings, excerpt),
        weighted=excerpt.weighted,
        sampled=len(excerpt.x) < x.measure.n or len(excerpt.y) < y.measure.n,
        colours=COLOURS,
        now=f"{now.day} {now:%B %Y, %H:%M %Z}",
        biases=list(Bias),
        statuses=list(Status),
    )


@cache
def template(package: str, name: str) -> Template:
    """Return a page's template from a package's folder of templates, read once: all that it shows is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=PackageLoader(package)
    )
    environment.filters |= {"plain": plain, "probability": probability, "thousands": lambda count: f"{count:,}"}
    return environment.get_template(name)
