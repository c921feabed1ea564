"""The house keeps its order: who may import whom, what stays lazy, and what no room contains."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
RIVALS = {"geomloss", "dcor", "hyppo", "pted", "lap", "lapx", "torchmetrics", "alibi_detect", "keops", "pykeops"}
HEAVY = ("torch", "sklearn", "pandas", "pyarrow", "matplotlib", "ot")


def _house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


house = _house()
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in house.files()}


def test_every_room_is_in_the_plan() -> None:
    plan = (ROOT / "docs" / "architecture.rst").read_text(encoding="utf-8")
    assert set(house.rooms()) <= set(house.ROOMS)
    assert not [room for room in house.rooms() if f"``{room}``" not in plan]


def test_rooms_import_only_from_above_themselves() -> None:
    broken = [f"{edge.where}: {edge.source} imports {edge.target}" for edge in house.imports() if not house.allowed(edge)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("source", "target", "late"),
    [
        ("fdiv", "kernel", False),
        ("kernel", "criterion", False),
        ("truths", "fdiv", True),
        ("core", "comparison", True),
        ("data", "core", True),
        ("core", "divkit", False),
        ("comparison", "app", True),
    ],
)
def test_the_rule_refuses(source: str, target: str, late: bool) -> None:
    assert not house.allowed(house.Import(source, target, late, ""))


def test_relative_and_late_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fdiv").mkdir()
    text = "from .. import data\nfrom ..pairs import sums\nfrom .table import KL\ndef f():\n    import divkit.app.cli\n"
    (tmp_path / "fdiv" / "bound.py").write_text(text)
    monkeypatch.setattr(house, "ROOT", tmp_path)
    found = {(edge.target, edge.late) for edge in house.imports()}
    assert found == {("data", False), ("pairs", False), ("app", True)}


def test_modules_by_name_are_imported_at_the_doors_only() -> None:
    doors = {house.ROOT / "core" / "registry.py"}
    found = {path for path, tree in TREES.items() if any(_called(node) == "import_module" for node in ast.walk(tree))}
    assert found <= doors


def test_rivals_stay_outside() -> None:
    """They are oracles of tests and opponents of benchmarks; the library never needs one."""
    found = [f"{path.name}: {name}" for path, tree in TREES.items() for name in _roots(tree) & RIVALS]
    assert not found


def test_no_room_prints_or_is_unfinished() -> None:
    found = []
    for path, tree in TREES.items():
        shows = path.is_relative_to(house.ROOT / "app") or path == house.ROOT / "comparison" / "terminal.py"
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == "NotImplementedError":
                found.append(f"{path.name}:{node.lineno}: NotImplementedError")
            if _called(node) == "print" and not shows and "file=" not in ast.unparse(node):
                found.append(f"{path.name}:{node.lineno}: print")
    assert not found, "\n".join(found)


def test_importing_divkit_imports_nothing_heavy() -> None:
    assert _loaded("import divkit") == []


def test_names_import_no_classifiers() -> None:
    """Two seconds that only a classifier's user waits for."""
    assert "sklearn" not in _loaded("import divkit; divkit.get('kl'), divkit.core.registry.options('kl-classifier')")


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "no.csv", "nor.csv"]])
def test_help_and_a_wrong_file_name_import_nothing_heavy(arguments: list[str]) -> None:
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["divkit"]
    module, _, function = entry.partition(":")
    run = f"sys.argv = {['divkit', *arguments]!r}\ntry:\n    from {module} import {function} as run; run()\n"
    assert _loaded(run + "except SystemExit: pass") == []


def _loaded(code: str) -> list[str]:
    """Which heavy packages a fresh process has imported after some code."""
    script = f"import sys\n{code}\nprint('loaded', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def _called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def _roots(tree: ast.AST) -> set[str]:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}
