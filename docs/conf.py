"""Sphinx configuration; parts of four pages are printed from the source when the documentation is built."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import house  # noqa: E402

import divkit as dk  # noqa: E402

project = "divkit"
author = copyright = "divkit developers"
version = release = dk.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc"]
default_role = "autolink"  # `name`: a link where the name is documented, else emphasis
nitpick_ignore_regex = [("py:obj", r".*")]
autosummary_generate = False
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
html_static_path = ["_static"]
html_title = f"divkit {version}"
pygments_style = "friendly"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature's annotations are in the Parameters
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
suppress_warnings = ["config.cache"]

TABLES = (
    (("D(P‖Q)", "integral"), ("f(u)", "generator"), ("T* = f′(u)", "maximiser"), ("at most", "supremum")),
    (("f*(t)", "conjugate"), ("for", "domain"), ("g_f(v)", "activation")),
)


def _table() -> str:
    """The records of `dk.fdiv.TABLE` as two reStructuredText tables: the divergence, and its conjugate."""
    lines = []
    for columns in TABLES:
        lines += [
            ".. list-table::",
            "   :header-rows: 1",
            "",
            "   * - name",
            *(f"     - {_plain(head)}" for head, _ in columns),
        ]
        for record in dk.fdiv.TABLE.values():
            texts = {**vars(record.formulas), "supremum": f"{record.supremum:.4g}".replace("inf", "∞")}
            lines += [f"   * - ``{record.name}``", *(f"     - {_plain(texts[field])}" for _, field in columns)]
        lines.append("")
    return "\n".join(lines) + "\n"


def _cases() -> str:
    """All cases of `divkit reproduce`: what each shows, and its budgets."""
    from divkit.app.reproduction import listing
    from divkit.reproduce import CASES

    lines = [".. list-table::", "   :header-rows: 1", "", "   * - case", "     - what it shows", "     - short", "     - full"]
    for name, title, short, full in listing(CASES.values()):
        lines += [f"   * - ``{name}``", *(f"     - {_plain(text)}" for text in (title, short, full))]
    return "\n".join(lines) + "\n"


def _notes() -> str:
    """The keys of notes by kind: what each is, and what it means."""
    from divkit.core.notes import Note, NoteKind

    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 24 30 46", "", "   * - key", "     - kind", "     - meaning"]
    for kind in NoteKind:
        for note in (note for note in Note if note.kind is kind):
            lines += [f"   * - ``{note}``", f"     - {kind.value}", f"     - {_plain(note.meaning)}"]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    for mark in "\\*|`_":
        text = text.replace(mark, "\\" + mark)
    return text


def _generate(_: Any) -> None:
    folder = HERE / "_generated"
    folder.mkdir(exist_ok=True)
    (folder / "house.svg").write_text(house.draw(), encoding="utf-8")
    (folder / "cases.inc").write_text(_cases(), encoding="utf-8")
    (folder / "fdivergences.inc").write_text(_table(), encoding="utf-8")
    (folder / "notes.inc").write_text(_notes(), encoding="utf-8")


LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`|`[^`]*`)")


def _escape(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings hold mathematics as plain text: |v| is no substitution and (n, *event) no emphasis."""
    for i, line in enumerate(lines):
        if ">>>" in line:
            continue
        parts = LITERAL.split(line)
        parts[::2] = [re.sub(r"(?<![*\w])\*(?=\w+[,)])", r"\\*", part.replace("|", "\\|")) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app: Any) -> None:
    """Write the generated parts before any page is read; prepare docstrings before numpydoc does."""
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _escape, priority=100)
