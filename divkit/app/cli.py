"""The command line. Nothing heavy is imported before a command needs it, so that help comes at once."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from divkit.app.process import closed_pipe, prepared

if TYPE_CHECKING:
    from rich.console import Console

    from divkit.app.demo import Samples
    from divkit.comparison.comparison import Comparison

__all__ = ["app", "main"]

INTERRUPTED = 130  # the exit code after Ctrl-C, by the custom of shells
EXPECTED = (ValueError, TypeError, ImportError, OSError, MemoryError, ArithmeticError)  # errors whose message says enough

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Divergences and distances between two sets of samples, each value with its error.",
)


def main() -> None:
    """Run the command line and exit."""
    arguments = sys.argv[1:] or ["--help"]
    with prepared():
        code = _run(arguments)
        code = closed_pipe(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Return the exit code; whatever goes wrong is one line on stderr, after a traceback where --debug asks for it."""
    try:
        code = app(arguments, prog_name="divkit", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        known = isinstance(error, EXPECTED) or hasattr(error, "format_message")
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        _say(f"divkit: {message}" if known else f"divkit: {type(error).__name__}: {message} (--debug shows where).")
        return 2 if known else 1
    if code == INTERRUPTED:
        _say("divkit: interrupted.")
    return code if isinstance(code, int) else 0


def _say(text: str) -> None:
    """Print one line on stderr, whatever is in the text."""
    from divkit.support.words import plain

    print(plain(" ".join(text.split())), file=sys.stderr)


def _version(wanted: bool) -> None:
    """Print the version and end, where it is wanted."""
    if wanted:
        import divkit

        print(divkit.__version__)
        raise typer.Exit


@app.callback()
def _divkit(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def compare(
    x: Annotated[Path | None, typer.Argument(metavar="P", help="Samples: csv, tsv, parquet, npy or npz.")] = None,
    y: Annotated[Path | None, typer.Argument(metavar="Q", help="Samples to compare them with.")] = None,
    divergences: Annotated[
        list[str] | None,
        typer.Option("-d", "--divergence", metavar="NAME", help="From `divkit list`, such as alpha:order=.5. Repeatable."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Compare two groups of patients that come with scikit-learn.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Add permutation p-values.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    columns: Annotated[str | None, typer.Option(metavar="A,B", help="Use these columns of the tables only.")] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="none|sd|mad", help="Units of numeric columns; sd for tables, none for arrays.")
    ] = None,
    missing: Annotated[str, typer.Option(metavar="refuse|drop", help="Rows with missing values.")] = "refuse",
    max_rows: Annotated[int, typer.Option(metavar="N", help="Subsample above N rows where all pairs are compared.")] = 2000,
    permutations: Annotated[int, typer.Option(metavar="N", help="Relabellings of --test.")] = 199,
    seed: Annotated[int, typer.Option(metavar="N", help="Of subsamples, halves and relabellings.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the report.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
) -> None:
    """Compare two files of samples, or --demo."""
    if report is not None:
        _require_writable(report, force)
    if demo and (x or y):
        raise ValueError("--demo brings its own samples; leave out the files, or --demo.")
    if not demo and (x is None or y is None):
        raise ValueError("two files are needed: divkit compare P Q, or divkit compare --demo.")
    if x is not None and y is not None:
        from divkit.data.files import check

        check(x)
        check(y)
    from divkit.app import demo as patients
    from divkit.comparison.door import DEFAULT
    from divkit.comparison.door import compare as compared
    from divkit.core import registry
    from divkit.support.progress import bars

    for name in divergences or ():  # before any file is read
        if "," in name.partition(":")[0]:
            raise ValueError(f"-d takes one name; repeat it: {' '.join(f'-d {part.strip()}' for part in name.split(','))}.")
        registry.get(name)
    samples = _read(x, y) if x is not None and y is not None else patients.demo()
    comparison = compared(
        samples.x,
        samples.y,
        divergences or DEFAULT,
        columns=None if columns is None else _names(columns),
        scale=scale,
        missing=missing,
        max_rows=max_rows,
        test=test,
        permutations=permutations,
        seed=seed,
        labels=(samples.label_x, samples.label_y),
        progress=bars,
    )
    if all(row.estimate is None for row in comparison.rows):
        raise ValueError("; ".join(f"{row.name}: {row.reasons['value']}" for row in comparison.rows))
    if samples.sentence:
        _say(samples.sentence)
    _print(_with_command(comparison), as_json=as_json, report=report)


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A case; none lists them.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run all that are not there yet, and write a page of them.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write NAME.json and NAME.png there; --all: ./reproduction by default.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all random draws.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="The long form of the cases that have one.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run again what is there, and overwrite it.")] = False,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cases at a time with --all; as many as cores by default.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
) -> None:
    """Put a paper's numbers beside exact ones and ours."""
    if everything and name is not None:
        raise ValueError(f"--all runs every case; leave out {name}, or --all.")
    if jobs is not None and not everything:
        raise ValueError("--jobs says how many cases run at a time; it goes with --all.")
    from divkit.app import reproduction
    from divkit.comparison.terminal import listing
    from divkit.reproduce import CASES, Setup
    from divkit.support.progress import bars

    if name is None and not everything:
        titles = ("case", "what it shows", "takes", "--full")
        rows = reproduction.listing(CASES.values())
        _show(lambda console: listing(rows, titles, console))
        return
    setup = Setup(seed=seed, full=full, progress=bars)
    if name is not None:
        case = reproduction.find(name)
        if out is not None:
            _require_directory(out)
        result, old = reproduction.one(case, setup, out, force)
        if old:
            _say(f"{name}: found in {out}; --force runs it again")
        _show(lambda console: reproduction.show(case, result, console))
        return
    directory = Path("reproduction") if out is None else out
    _require_directory(directory)
    broken = reproduction.every(setup, directory, force, jobs, print)
    _say(f"report written to {directory / 'index.html'}")
    if broken:
        raise RuntimeError(f"{len(broken)} of {len(CASES)} cases broke: {'; '.join(broken).rstrip('.')}.")


@app.command()
def train(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model, such as wgan-gp; none lists models and data.")
    ] = None,
    data: Annotated[str, typer.Option(metavar="D", help="Data by name, or a file such as compare takes.")] = "digits",
    divergence: Annotated[
        str | None, typer.Option("-d", "--divergence", metavar="NAME", help="From `divkit list`; the paper's own by default.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the model.")] = 1000,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For checkpoint, metrics and pictures; runs/… by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in DIR.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of parameters, noise and the order of the data.")] = 0,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Points in a step.")] = None,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Adam's, for the model.")] = None,
    look: Annotated[int | None, typer.Option(metavar="N", help="Steps between checkpoints.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files for tensorboard too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
) -> None:
    """Train a generative model, with any divergence."""
    if model is None:
        from divkit.models import RECIPES
        from divkit.models.data import SETS

        print(f"models: {', '.join(RECIPES)}")
        print(f"data: {', '.join(SETS)}, or a file (csv, tsv, parquet, npy or npz)")
        return
    from divkit.app import training

    settings = {"steps": steps, "seed": seed, "batch": batch, "rate": rate, "look": look}
    summary = training.train(training.Order(model, data, divergence, out, settings, resume, tensorboard))
    title, directory, first, last = summary.title, summary.out, summary.history[0], summary.history[-1]
    if as_json:
        import json

        print(json.dumps({"title": title, "out": str(directory), "seconds": summary.seconds, "first": first, "last": last}))
        return
    change = f"objective {first['objective']:.4g} -> {last['objective']:.4g}"
    print(f"{title}: {last['step']} steps in {summary.seconds:.0f} s, {change}")
    print(f"written to {directory}: {', '.join(sorted(path.name for path in directory.iterdir() if path.name[0] != '.'))}")


@app.command(name="list")
def names(
    formulas: Annotated[bool, typer.Option("--formulas", help="The table of f-divergences with their functions.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
) -> None:
    """List the divergences by name."""
    from divkit.comparison.terminal import listing

    if formulas:
        from divkit.fdiv.table import TABLE

        titles = {"integral": "D(P‖Q)", "generator": "f(u)", "maximiser": "f′(u)", "conjugate": "f*(t)", "domain": "domain"}
        rows = [
            (record.name if place == 0 else "", title, getattr(record.formulas, key))
            for record in TABLE.values()
            for place, (key, title) in enumerate({**titles, "activation": "activation"}.items())
        ]
        _show(lambda console: listing(rows, ("name", "", "formula"), console))
        return
    from divkit.comparison.readings import reading
    from divkit.core import registry

    lines = [(name, reading(name).title, ", ".join(registry.options(name))) for name in registry.names()]
    _show(lambda console: listing(lines, ("name", "what it is", "options"), console))


def _read(x: Path, y: Path) -> Samples:
    """Return the samples in two files."""
    from divkit.app.demo import Samples
    from divkit.data.files import read
    from divkit.data.frames import Table

    samples = Samples(read(x), read(y), str(x), str(y))
    kinds = ["a table" if isinstance(data, Table) else "an array" for data in samples[:2]]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{x} holds {kinds[0]} and {y} {kinds[1]}; give two tables or two arrays.")
    return samples


def _names(text: str) -> list[str]:
    """Return the names in a list with commas between them; a name with a comma stands in quotes, as in csv."""
    import csv

    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def _require_writable(path: Path, force: bool) -> None:
    """Refuse a report that could not be written, before anything is computed."""
    if path.is_dir():
        raise ValueError(f"--report {path} is a directory; name a file in it.")
    if path.exists() and not force:
        raise ValueError(f"--report {path} exists; choose another name, or overwrite it with --force.")
    if not path.parent.is_dir():
        raise ValueError(f"--report {path}: there is no directory {path.parent}; create it first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"--report {path}: the directory {path.parent} cannot be written to; choose another.")


def _require_directory(path: Path) -> None:
    """Make a directory for results, before anything is computed."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"--out {path} is a file; name a directory.")
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"--out {path}: the directory cannot be written to; choose another.")


def _with_command(comparison: Comparison) -> Comparison:
    """Return the comparison with what was typed as the command that repeats it."""
    import shlex
    from dataclasses import replace

    settings = replace(comparison.settings, command=shlex.join(["divkit", *sys.argv[1:]]))
    return replace(comparison, settings=settings)


def _print(comparison: Comparison, *, as_json: bool, report: Path | None) -> None:
    """Write the report, and print the table or the JSON object."""
    if report is not None:
        comparison.report(report)
        _say(f"report written to {report}")
    if as_json:
        import json

        print(json.dumps(comparison.to_dict(), allow_nan=False, indent=2))
    else:
        from divkit.comparison.terminal import show

        _show(lambda console: show(comparison, console))


def _show(printing: Callable[[Console], None]) -> None:
    """Print what a function prints to a console that leaves names as they are."""
    from rich.console import Console

    from divkit.comparison.terminal import captured

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100  # None: as wide as the terminal
    colours: Any = None if "NO_COLOR" in os.environ else "auto"
    console = Console(width=width, color_system=colours, markup=False, emoji=False, highlight=False)
    print(captured(console, lambda: printing(console)), end="")
