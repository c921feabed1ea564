"""The README and the documentation do what they say: their Python and console blocks run, their tables hold every name.

A line ``#> text`` after a statement is what the block prints there; numbers may differ in the last digit.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import divkit as dk
from divkit.core import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.rst"))]
STEPS = re.compile(r"steps=[\d_]+")  # of a gallery page: as in earnest on the page, two here
NUMBER = re.compile(r"-?\d+\.\d+")
SETUP = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e "
COMMANDS = [
    SETUP + ". && .venv/bin/divkit compare --demo --report report.html",
    SETUP + "'.[test]' && .venv/bin/python -m pytest -n 2 --dist worksteal --doctest-modules",
]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Code blocks of a Markdown or reStructuredText page."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        matches = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    else:
        matches = re.finditer(r"^ *\.\. code-block:: (\w+)\n((?:\n| +.*\n?)+)", _outdented(text), re.MULTILINE)
    return [Block(page.name, text.count("\n", 0, m.start()) + 1, m[1], textwrap.dedent(m[2]).strip() + "\n") for m in matches]


def _outdented(text: str) -> str:
    """Move code blocks that sit inside list items to the margin, so that what follows them there is not taken for code."""
    lines, shift = [], 0
    for line in text.split("\n"):
        directive = re.match(r"( *)\.\. code-block::", line)
        depth = len(line) - len(line.lstrip())
        if directive:
            shift = len(directive[1])
        elif line.strip() and depth <= shift:
            shift = 0
        lines.append(line[shift:] if line.strip() else line)
    return "\n".join(lines)


PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
CONSOLE = sorted(
    {
        line[2:]
        for page in PAGES
        for b in blocks(page)
        if b.language == "console"
        for line in b.text.splitlines()
        if line.startswith("$ divkit")
    }
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    rng = np.random.default_rng(0)
    for name, shift in (("real", 0.0), ("generated", 0.3)):
        header = "height,weight"
        np.savetxt(tmp_path / f"{name}.csv", rng.normal(size=(200, 2)) + shift, delimiter=",", header=header, comments="")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _registry_kept() -> Iterator[None]:
    """Forget the names that a page registers."""
    before = set(dk.names())
    yield
    for name in set(dk.names()) - before:
        del registry._FACTORIES[name]


@pytest.mark.usefixtures("data", "_registry_kept")
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_blocks(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language != "python":
            continue
        if page.parent.name == "gallery":
            assert STEPS.search(block.text), f"{block.page}:{block.line} says for how many steps its picture was trained"
            block = block._replace(text=STEPS.sub("steps=2", block.text))
        printed, expected = _run(block, names), re.findall(r"^ *#> ?(.*)$", block.text, re.MULTILINE)
        if expected:
            assert len(printed) == len(expected), f"{block.page}:{block.line} printed {printed}"
            for got, want in zip(printed, expected):
                assert _like(got, want), f"{block.page}:{block.line} printed {got!r}, and says {want!r}"


@pytest.mark.parametrize("command", CONSOLE)
def test_console_blocks(command: str, data: Path) -> None:
    script = Path(sys.executable).with_name("divkit")
    process = subprocess.run(
        [str(script), *shlex.split(command)[1:]],
        cwd=data,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip()
    assert "Traceback" not in process.stderr
    if "--report" in command:
        assert "<html" in (data / "report.html").read_text(encoding="utf-8")


def test_the_readme_sets_everything_up_in_two_commands() -> None:
    commands = [block.text.strip() for block in blocks(ROOT / "README.md") if "venv" in block.text]
    assert commands == COMMANDS


def test_every_name_is_in_the_conventions_and_the_readme() -> None:
    page = (ROOT / "docs" / "conventions.rst").read_text(encoding="utf-8").partition("Other packages' numbers")[0]
    conventions = re.findall(r"^   \* - ``([\w-]+)``", page, re.MULTILINE)
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Names")[2].partition("\n\n`divkit list`")[0]
    readme = re.findall(r"`([\w-]+)(?::[^`]*)?`", table)
    assert sorted(conventions) == sorted(readme) == sorted(dk.names())


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()]


def test_blocks_in_lists_are_found() -> None:
    texts = [block.text for block in blocks(ROOT / "docs" / "architecture.rst") if block.language == "python"]
    assert len(texts) == 3
    assert all(text.startswith(("from", "record")) for text in texts)
    assert not any("An f-divergence" in text for text in texts)


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".rst"], ids=lambda page: page.name)
def test_lines_are_as_short_as_those_of_the_code(page: Path) -> None:
    assert not [line for line in page.read_text(encoding="utf-8").splitlines() if len(line) > 128]


def _run(block: Block, names: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    code = compile("\n" * block.line + block.text, block.page, "exec")
    with contextlib.redirect_stdout(out):
        exec(code, names)  # our own pages
    return out.getvalue().splitlines()


def _like(got: str, want: str) -> bool:
    """Equal but for the last digit of decimal numbers."""
    if NUMBER.sub("#", got) != NUMBER.sub("#", want):
        return False
    pairs = zip(NUMBER.findall(got), NUMBER.findall(want))
    return all(abs(float(a) - float(b)) < 1.5 * 10.0 ** -len(b.partition(".")[2]) for a, b in pairs)
