"""What the report says, as a value: everything is computed and worded here, and nothing is marked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from divkit.comparison.entries import Entry, as_text, entries
from divkit.comparison.findings import Findings
from divkit.comparison.headline import Headline, headline
from divkit.support.words import plain

__all__ = ["Page"]


@dataclass(frozen=True)
class Page:
    """The table and what surrounds it."""

    headline: Headline
    entries: list[Entry]
    tested: bool
    scale: str
    notes: list[str]
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    command: str

    @classmethod
    def of(cls, findings: Findings, clear: Sequence[str]) -> Page:
        """Return the page of a comparison; `clear` names the columns that differ clearly, largest first."""
        settings = dict(findings.settings)
        scale, versions, command = settings["scale"], settings.pop("versions"), settings.pop("command")
        return cls(
            headline=headline(findings, clear),
            entries=entries(findings.rows),
            tested=any(row.pvalue is not None for row in findings.rows),
            scale=_stopped(scale[:1].upper() + scale[1:]),
            notes=[_stopped(note) for note in findings.notes],  # they may begin with a name
            settings=[(key.replace("_", " "), as_text(value)) for key, value in settings.items()],
            versions=list(versions.items()),
            command="\n".join(plain(line) for line in command.splitlines()),
        )


def _stopped(text: str) -> str:
    """Return a sentence with the full stop that it may lack."""
    return text + "." * (text[-1] not in ".!?…") if text.strip() else ""
