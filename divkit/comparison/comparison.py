"""A comparison that shows itself: as a table, and as an HTML report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from divkit.comparison.findings import Findings

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Findings):
    """Several divergences between two sample sets; shown, as in a notebook, it is its `table`.

    The fields are those of `Findings`.
    """

    def table(self, width: int = 100) -> str:
        """Return the table that the command line prints, as plain text of at most `width` letters."""
        from divkit.comparison import terminal  # its libraries load only where something is shown

        return terminal.plain_text(self, width)

    def __repr__(self) -> str:
        return self.table()

    def report(self, path: str | Path) -> None:
        """Write an HTML report to `path`, replacing what is there."""
        from divkit.comparison import report

        report.write(self, Path(path))
