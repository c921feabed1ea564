"""The command line as a user meets it: streams, exit codes, one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import divkit
from divkit.app import cli, process
from divkit.support.words import plain

RUN = (sys.executable, "-m", "divkit")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    generator = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 0.5)):
        np.save(tmp_path / f"{name}.npy", generator.normal(shift, 1, (60, 3)))
        rows = [f"{age:.1f},{work}" for age, work in zip(generator.normal(40 + shift, 9, 30), generator.choice(["s", "t"], 30))]
        (tmp_path / f"{name}.csv").write_text("\n".join(["age,work", *rows]) + "\n")
    (tmp_path / "gaps.csv").write_text("age,work\n1,s\nNA,t\n3,s\n4,t\n")
    (tmp_path / "ragged.csv").write_text("age,work\n1,s\n2\n")
    (tmp_path / "dates.csv").write_text("age,work\n2020-01-01,s\n2020-01-02,t\n")
    np.save(tmp_path / "one.npy", np.ones((1, 3)))
    (tmp_path / "there.html").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inside(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """A run in this process, without signals and streams of its own."""
    code = cli._run(arguments.split())
    found = capsys.readouterr()
    return code, found.out, found.err


def outside(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=120, env=env, check=False)


def test_help_is_light() -> None:
    code = (
        "import sys; sys.argv = ['divkit', '--help']\nfrom divkit.app.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numpy', 'scipy', 'sklearn', 'ot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compare" in done.stdout


def test_version_and_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert inside("--version", capsys) == (0, f"{divkit.__version__}\n", "")
    assert outside().stdout.startswith("Usage: divkit")


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = inside("list", capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()[2:]
    assert [name for name in divkit.names() if not any(line.startswith(name + " ") for line in lines)] == []
    code, out, _ = inside("list --formulas", capsys)
    assert code == 0
    for text in ("kl", "∫ p log(p/q)", "u log u", "e^{t−1}"):
        assert text in out


def test_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = inside("compare a.csv b.csv -d energy -d sliced-w2 --test --permutations 19", capsys)
    assert (code, err) == (0, "")
    for text in ("x: a.csv: 30 rows", "columns: 2 as 3 coordinates (age, work)", "standard deviation", "p (Holm)", "yardstick"):
        assert text in out
    assert inside("compare a.csv b.csv -d energy --columns age --scale none", capsys)[1].count("units") == 1


def test_json_is_one_object(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = inside("compare a.npy b.npy -d energy -d mmd:bandwidth=2 --json --seed 3 --max-rows 50", capsys)
    assert (code, err) == (0, "")
    found = json.loads(out, parse_constant=lambda word: pytest.fail(word))
    assert found["x"] == {"label": "a.npy", "rows": 60, "dropped": 0}
    assert [e["name"] for e in found["estimates"]] == ["energy", "mmd:bandwidth=2"]
    wanted = {"name", "value", "stderr", "ci", "bias", "converged", "lower", "upper", "pvalue", "yardstick", "settings"}
    assert all(wanted <= e.keys() for e in found["estimates"])
    assert found["settings"]["command"].startswith("divkit")
    assert any("seeded subsample of 50 of 60" in note for note in found["notes"])
    again = json.loads(inside("compare a.npy b.npy -d energy --json --seed 3 --max-rows 50", capsys)[1])
    assert again["estimates"][0]["value"] == found["estimates"][0]["value"]


def test_missing_rows_are_counted(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inside("compare gaps.csv b.csv -d energy --missing drop", capsys)
    assert code == 0
    assert "x: gaps.csv: 3 rows, 1 dropped" in out


def test_report(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = inside("compare a.npy b.npy -d energy --report new.html --json", capsys)
    assert (code, err) == (0, "report written to new.html\n")
    json.loads(out)
    assert "energy" in (files / "new.html").read_text()
    assert inside("compare a.npy b.npy -d energy --report there.html --force", capsys)[0] == 0
    assert (files / "there.html").read_text() != "mine"
    assert not [p for p in files.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare", "two files are needed: divkit compare P Q, or divkit compare --demo."),
        ("compare a.csv", "two files are needed"),
        ("compare --demo a.csv", "--demo brings its own samples"),
        ("compare no.csv b.csv", "no.csv: no such file."),
        ("compare ragged.csv b.csv", "ragged.csv: "),
        ("compare dates.csv a.csv", "dates.csv: column 'age' holds dates"),
        ("compare gaps.csv b.csv", "gaps.csv: Input contains NaN"),
        ("compare a.csv b.npy", "a.csv holds a table and b.npy an array; give two tables or two arrays."),
        ("compare a.csv b.csv -d enrgy", "unknown divergence 'enrgy'; did you mean energy"),
        ("compare a.csv b.csv -d energy,kl", "-d takes one name; repeat it: -d energy -d kl."),
        ("compare a.csv b.csv -d alpha:order", "write NAME:key=value"),
        ("compare a.csv b.csv --scale iqr", "scale must be none, sd or mad; got 'iqr'"),
        ("compare a.csv b.csv --missing fill", "missing must be refuse or drop; got 'fill'"),
        ("compare a.csv b.csv --max-rows 1", "max_rows must be a whole number of at least 2; got 1"),
        ("compare a.csv b.csv --max-rows few", "Invalid value for '--max-rows'"),
        ("compare a.csv b.csv --permutations 0", "permutations must be a whole number"),
        ("compare a.csv b.csv --seed=-1", "seed must be a whole number"),
        ("compare a.csv b.csv --columns height", "a.csv has no column 'height'; it has 'age', 'work'"),
        ("compare a.npy b.npy --columns age", "selects columns of tables by name"),
        ("compare a.csv b.csv --report there.html", "--report there.html exists; choose another name, or overwrite it"),
        ("compare a.csv b.csv --report no/r.html", "--report no/r.html: there is no directory no; create it first."),
        ("compare a.csv b.csv --report .", "--report . is a directory"),
        ("compare one.npy one.npy -d energy", "energy: Found array with 1 sample(s) while a minimum of 2 is required"),
        ("compare a.csv b.csv --bogus", "No such option: --bogus"),
        ("compare a.csv b.csv c.csv", "unexpected extra argument"),
        ("bogus", "No such command 'bogus'"),
    ],
)
def test_one_line_for_what_is_wrong(files: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    code, out, err = inside(arguments, capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("divkit: ")


def test_unwritable_directory_is_refused_first(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    code, _, err = inside("compare no.csv no.csv --report r.html", capsys)
    assert (code, "cannot be written to; choose another" in err) == (2, True)


def test_unexpected_errors(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(cli, "_read", broken)
    code, _, err = inside("compare a.csv b.csv", capsys)
    assert (code, err) == (1, "divkit: KeyError: 'odd' (--debug shows where).\n")
    code, _, err = inside("compare a.csv b.csv --debug", capsys)
    assert code == 1
    assert err.startswith("Traceback")


def test_interrupt(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_read", interrupted)
    assert inside("compare a.csv b.csv", capsys) == (130, "", "divkit: interrupted.\n")


def test_names_with_commas() -> None:
    assert cli._names('age, "height, in cm",work') == ["age", "height, in cm", "work"]


def test_demo_in_a_hostile_place() -> None:
    """Warnings as errors, an ASCII stream 20 columns wide, no colours: no traceback, no control codes."""
    odd = {"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "ascii", "LANG": "C", "COLUMNS": "20", "NO_COLOR": "1"}
    done = outside("compare", "--demo", "-d", "energy", **odd)
    assert done.returncode == 0
    assert "energy 0.85" in done.stdout
    assert done.stdout.isascii()
    assert plain(done.stdout.replace("\n", " ")) == done.stdout.replace("\n", " ")
    assert done.stderr.startswith("Ten measurements of 442 diabetes patients")
    assert done.stderr.count("\n") == 1


def test_closed_stdout(files: Path) -> None:
    with subprocess.Popen([*RUN, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process_:
        assert process_.stdout
        process_.stdout.close()
        assert process_.stderr
        assert process_.stderr.read() == ""
        assert process_.wait(60) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupt_reaches_compiled_code(files: Path) -> None:
    """Even inside the network simplex, which does not look for signals and would run for a minute."""
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(files / f"{name}.npy", generator.normal(size=(20_000, 2)))
    run = [*RUN, "compare", "a.npy", "b.npy", "-d", "w2", "--max-rows", "20000"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    # the background jobs of a shell ignore it, and so do their children
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        begun = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    finally:
        signal.signal(signal.SIGINT, heard)
    with begun as process_:
        time.sleep(5)
        process_.send_signal(signal.SIGINT)
        out, err = process_.communicate(timeout=30)
    assert process_.returncode == 130
    assert out == ""
    assert err.strip() == "divkit: interrupted."


@pytest.mark.parametrize(
    ("text", "ascii_"),
    [
        ("d/dθ ± ∞", "d/dtheta +- inf"),
        ("1.2·10⁻⁷", "1.2*10^-7"),
        ("−0.3 … —", "-0.3 ... -"),
        ("10¹²", "10^12"),
        ("D(P‖Q)", "D(P||Q)"),
        ("日", "?"),
    ],
)
def test_ascii_streams(text: str, ascii_: str) -> None:
    import codecs

    codecs.register_error("divkit", process._similar)
    assert text.encode("ascii", "divkit").decode() == ascii_
