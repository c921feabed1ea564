"""Cases in general: rows that judge, results that survive interruptions, the command, the page."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from divkit import reproduce
from divkit.app import cli
from divkit.app.reproduction import Cells, find, render
from divkit.app.workers import run_apart
from divkit.reproduce import CASES, OTHER_DATA, UNCONFIRMED, Case, Outcome, Row, Setup, at_least, at_most, load, near, perform
from divkit.reproduce.drawing import panels

KEYS = {"quantity", "paper", "paper_source", "exact", "ours", "stderr", "tolerance", "passed"}  # the contract


def toy(setup: Setup) -> Outcome:
    figure, axes = panels()
    axes[0, 0].plot([0, 1])
    source = f"Somebody (2016), table 3; {UNCONFIRMED}"
    rows = [
        near("a <b>", 1.01, 1.0, 0.1, paper=1.2, paper_source=source, stderr=0.02),
        near("infinite", math.inf, math.inf, 0.1),
        near("missed", 2.0, 1.0, 0.1),
        at_least("modes", 7.0, 8.0, note="of 8"),
        Row("shown", 0.5),
    ]
    return Outcome(rows, figure)


TOY = Case("toy", "A toy", "Nothing is done.", toy, short="Short.", full="Long.", full_minutes=90.0)


@pytest.fixture
def only_toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy as the only case, and a directory."""
    from divkit.app import reproduction

    for module in (reproduce, reproduction):
        monkeypatch.setattr(module, "CASES", {"toy": TOY})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_judge() -> None:
    assert [row.passed for row in toy(Setup()).rows] == [True, True, False, False, None]
    assert not near("one infinite", math.inf, 1.0, 0.1).passed
    assert not near("not a number", math.nan, 1.0, 0.1).passed
    assert at_most("share", 0.5, 0.6).passed
    assert at_least("modes", 7.0, 8.0, note="of 8").note == "of 8; wanted at least 8"
    assert near("d", 1.5, 1.0, 0.1).difference == 0.5
    assert Row("d", 1.5, paper=1.0, paper_source="p").difference == 0.5
    assert Row("d", math.inf, 1.0).difference is Row("d").difference is None


@pytest.mark.parametrize("given", [{"paper": 1.0}, {"paper_source": "p"}])
def test_a_number_needs_its_source(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a paper's number and its source go together; give both or neither"):
        Row("d", **given)


def test_json_is_valid_and_complete(tmp_path: Path) -> None:
    result = perform(TOY, Setup(seed=3), tmp_path)
    found = json.loads((tmp_path / "toy.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert {"case", "protocol", "seed", "rows"} <= found.keys()
    assert (found["case"], found["protocol"], found["seed"]) == ("toy", "Nothing is done. Short.", 3)
    assert all(row.keys() >= KEYS for row in found["rows"])
    assert found["rows"][1]["exact"] is None
    assert found["rows"][1]["reasons"]["exact"] == "inf"
    assert (tmp_path / "toy.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy.json", "toy.png"]
    assert load(TOY, Setup(seed=3), tmp_path) == result


def test_only_the_same_protocol_and_seed_are_found(tmp_path: Path) -> None:
    perform(TOY, Setup(), tmp_path)
    assert load(TOY, Setup(), tmp_path) is not None
    assert load(TOY, Setup(seed=1), tmp_path) is None
    assert load(TOY, Setup(full=True), tmp_path) is None
    assert load(replace(TOY, protocol="Else."), Setup(), tmp_path) is None
    (tmp_path / "toy.png").unlink()
    assert load(TOY, Setup(), tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"case": "another", "rows": []}', '{"case": "toy", "rows": [{}]}'])
def test_a_foreign_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(ValueError, match=r"toy\.json is no result of toy; choose another directory with --out"):
        load(TOY, Setup(), tmp_path)


def test_finished_parts_are_kept(tmp_path: Path) -> None:
    made: list[str] = []

    def run(setup: Setup) -> Outcome:
        for key in ("first, of two", "second"):
            assert setup.keep(key, lambda key=key: made.append(key) or [1.5, len(made)])[0] == 1.5
            if len(made) == 1:
                raise KeyboardInterrupt
        return toy(setup)

    case = replace(TOY, run=run)
    with pytest.raises(KeyboardInterrupt):
        perform(case, Setup(), tmp_path)
    assert not (tmp_path / "toy.json").exists()
    made.append("killed")
    perform(case, Setup(), tmp_path)
    assert made == ["first, of two", "killed", "second"]
    assert not list((tmp_path / ".parts").iterdir())


def test_a_part_of_other_settings_is_another(tmp_path: Path) -> None:
    """What the function was given counts, functions in it by their names: their addresses differ from run to run."""
    made: list[float] = []
    alive: list[Any] = []  # so that no address comes back

    def trained(network: Any, rate: float) -> float:
        made.append(rate)
        return rate

    def run(setup: Setup, rate: float) -> Outcome:
        def network() -> None: ...

        alive.append(network)
        assert setup.keep("part", partial(trained, network, rate)) == rate
        raise KeyboardInterrupt

    for rate in (0.1, 0.1, 0.2, 0.1):
        with pytest.raises(KeyboardInterrupt):
            perform(replace(TOY, run=partial(run, rate=rate)), Setup(), tmp_path)
    assert made == [0.1, 0.2]


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perform(TOY, Setup(), tmp_path)
    before = (tmp_path / "toy.json").read_bytes()

    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        perform(TOY, Setup(seed=1), tmp_path)
    assert (tmp_path / "toy.json").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".divkit")]


def test_digits_and_marks() -> None:
    shown = Cells.of(toy(Setup()).rows[0])
    assert (shown.paper, shown.exact, shown.ours, shown.verdict) == ("1.200°", "1.000", "1.010", "holds")
    other = Cells.of(Row("d", 2.0, paper=3.0, paper_source=f"Else (2018); {OTHER_DATA}"))
    assert (other.paper, other.exact, other.difference, other.verdict) == ("3.000†", "—", "−1", "—")


def test_an_unknown_case() -> None:
    with pytest.raises(ValueError, match="there is no case 'saturaton'; did you mean saturation"):
        find("saturaton")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_the_page(only_toy: Path) -> None:
    page = render({"toy": perform(TOY, Setup(), None)}, {"other": "ValueError: <i>"})
    assert "2 of 4 quantities hold" in page
    assert "a &lt;b&gt;" in page
    assert "ValueError: &lt;i&gt;" in page
    assert "default-src 'none'" in page
    assert page.count("data:image/png;base64,") == 1
    assert 'width="454"' in page  # 4.2 inches
    found = _Tags()
    found.feed(page)
    assert not {"script", "b", "i", "link"} & set(found.tags)


def run(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli._run(["reproduce", *arguments.split()])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_the_command(only_toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("", capsys)
    assert (code, err) == (0, "")
    assert "toy" in out
    assert "90 min" in out
    code, out, err = run("toy --out new --seed 2", capsys)
    assert (code, err) == (0, "")
    assert "1.200°" in out
    assert "MISSED" in out
    assert "2 of 4 rows hold" in out
    assert "° recalled" in out
    assert run("toy --out new --seed 2", capsys)[2] == "toy: found in new; --force runs it again\n"
    assert json.loads((only_toy / "new" / "toy.json").read_text())["seed"] == 2


def test_all(only_toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("--all --out new --jobs 1", capsys)
    assert (code, err) == (0, "report written to new/index.html\n")
    assert out.startswith("toy: 2 of 4 rows hold")
    assert run("--all --out new --jobs 1", capsys)[1].endswith(", found\n")
    assert not run("--all --out new --jobs 1 --force", capsys)[1].endswith(", found\n")
    assert "2 of 4 quantities hold" in (only_toy / "new" / "index.html").read_text()


def test_a_broken_case_does_not_end_the_others(
    only_toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setup: Setup) -> Outcome:
        raise KeyError("odd")

    from divkit.app import reproduction

    for module in (reproduce, reproduction):
        monkeypatch.setattr(module, "CASES", {"bad": replace(TOY, name="bad", run=broken), "toy": TOY})
    code, out, err = run("--all --out new --jobs 1", capsys)
    assert code == 1
    assert out.startswith("bad: BROKEN: KeyError: 'odd'\ntoy: 2 of 4")
    assert "1 of 2 cases broke: bad: KeyError: 'odd'" in err
    assert "broken" in (only_toy / "new" / "index.html").read_text()


def test_cases_of_their_own_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from divkit.app import reproduction

    few = {name: CASES[name] for name in ("saturation", "gumbel-max", "linear-vae")} | {"bad": replace(TOY, name="bad")}
    for module in (reproduce, reproduction):
        monkeypatch.setattr(module, "CASES", few)
    out = tmp_path / "new"
    kept = perform(CASES["saturation"], Setup(), out)
    code, said, err = run(f"--all --out {out} --jobs 2", capsys)
    assert code == 1
    lines = said.splitlines()
    assert lines[0] == "saturation: 24 of 24 rows hold, found"
    assert sorted(line.split(":")[0] for line in lines) == ["bad", "gumbel-max", "linear-vae", "saturation"]
    assert "bad: BROKEN: there is no case 'bad'" in said  # the process knows nothing of it
    assert "1 of 4 cases broke" in err
    assert load(CASES["saturation"], Setup(), out) == kept
    alone = perform(CASES["gumbel-max"], Setup(), None)
    found = load(CASES["gumbel-max"], Setup(), out)
    assert found is not None
    assert found.rows == alone.rows


def test_what_runs_is_ended_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    ended = run_apart(["linear-vae", "fgan-gauss", "saturation"], [f"--out={tmp_path}"], 2, 1)
    assert next(ended)[0] == "linear-vae"  # seconds, where fgan-gauss takes minutes
    ended.close()
    assert [process.returncode for process in started] == [0, -signal.SIGTERM]
    assert not (tmp_path / "fgan-gauss.json").exists()


def test_a_process_that_was_killed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "kill"))
    (tmp_path / "kill").write_text("#!/bin/sh\necho note: something >&2\nkill -9 $$\n")
    (tmp_path / "kill").chmod(0o755)
    assert list(run_apart(["toy"], [], 2, 2)) == [("toy", "ended by signal 9")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nothing", "there is no case 'nothing'"),
        ("toy --all", "--all runs every case; leave out toy, or --all."),
        ("toy --jobs 2", "it goes with --all"),
        ("toy --out file", "--out file is a file; name a directory."),
        ("toy --seed=-1", "Invalid value for '--seed'"),
        ("toy --seed few", "Invalid value for '--seed'"),
    ],
)
def test_one_line_for_what_is_wrong(only_toy: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    (only_toy / "file").write_text("")
    code, out, err = run(arguments, capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", CASES)
def test_cases_say_what_they_do(name: str) -> None:
    case = CASES[name]
    assert case.name == name
    assert case.title
    assert not case.title.endswith(".")
    assert case.protocol.endswith(".")
    assert (case.full_minutes is None) == (case.full == "") == (case.short == "")
