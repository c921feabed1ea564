"""The house as built: which room imports which, read from the source, and drawn as an SVG picture.

`tests/test_architecture.py` holds the imports to these rules; the documentation draws its picture from the same reading.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1] / "divkit"

ROOMS = (  # each imports only from rooms before itself
    *("support", "data", "core", "lines", "pairs", "critic", "fdiv", "transport", "kernel", "testing", "comparison"),
    *("truths", "metrics", "models", "reproduce", "app", "__main__"),
)
APART = ({"fdiv", "transport", "kernel"},)  # rooms on one floor that never import each other
ALONE = ("truths",)  # judges the others, so it shares nothing with them
FRONT = {("app", "divkit")}  # the front door, for its version


class Import(NamedTuple):
    source: str  # room
    target: str  # room
    late: bool  # inside a function, or under TYPE_CHECKING
    where: str  # file:line


def rooms() -> tuple[str, ...]:
    """The rooms that exist."""
    return tuple(sorted({_room(path) for path in files()} - {"__init__"}))


def files() -> list[Path]:
    """All source files."""
    return sorted(path for path in ROOT.rglob("*.py"))


def imports() -> list[Import]:
    """Every import of one room by another; those of ``divkit/__init__.py``, all of them late, are left out."""
    found = []
    for path in files():
        source = _room(path)
        if source == "__init__":
            continue
        for node, late in _walk(ast.parse(path.read_text(encoding="utf-8")), late=False):
            for target in _targets(node, path):
                if target != source:
                    found.append(Import(source, target, late, f"{path.relative_to(ROOT.parent)}:{node.lineno}"))
    return found


def allowed(edge: Import) -> bool:
    """Whether an import obeys the order of the rooms."""
    source, target = edge.source, edge.target
    if edge.late and (source, target) in FRONT:
        return True
    if source not in ROOMS or target not in ROOMS or source in ALONE:
        return False
    if any({source, target} <= group for group in APART):
        return False
    return ROOMS.index(target) < ROOMS.index(source)


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _walk(node: ast.AST, *, late: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(child)
        yield from _walk(child, late=late or inside)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _targets(node: ast.stmt, path: Path) -> set[str]:
    """Rooms that an import statement reaches; ``divkit`` itself where a name of the front door is taken."""
    if isinstance(node, ast.Import):
        dotted = [alias.name.split(".") for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = ["divkit", *path.relative_to(ROOT).parts[:-1]]
        start = base[: len(base) - node.level + 1] if node.level else []
        stem = [*start, *(node.module.split(".") if node.module else [])]
        dotted = [[*stem, alias.name] for alias in node.names]
    else:
        return set()
    return {name[1] if len(name) > 1 else "divkit" for name in dotted if name[0] == "divkit"}


CELL, MARGIN = 24, 96


def draw() -> str:
    """The picture as SVG text: one row per room, a dot under each room that it imports, a ring where that happens late."""
    order = [room for room in ROOMS if room in rooms()]
    place = {room: i for i, room in enumerate(order)}
    size = MARGIN + CELL * len(order) + 8
    steps = "".join(f"H{MARGIN + CELL * i}V{MARGIN + CELL * i}" for i in range(1, len(order)))
    parts = [f'<path class="closed" d="M{MARGIN} {MARGIN}{steps}H{size - 8}V{MARGIN}z"/>']
    for room, i in place.items():
        middle = MARGIN + CELL * (i + 0.5)
        parts.append(f'<path class="rule" d="M{MARGIN} {middle + CELL / 2}H{size - 8}"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{middle}" text-anchor="end">{room}</text>')
        parts.append(f'<text transform="translate({middle} {MARGIN - 8}) rotate(-90)">{room}</text>')
    reached = {(edge.source, edge.target): False for edge in imports() if not edge.late}
    late = {(edge.source, edge.target): True for edge in imports() if edge.late}
    for (source, target), ring in {**late, **reached}.items():
        if source in place and target in place:
            x, y = (MARGIN + CELL * (place[room] + 0.5) for room in (target, source))
            title = f"<title>{source} imports {target}{' when needed' if ring else ''}</title>"
            parts.append(f'<circle class="{"late" if ring else "early"}" cx="{x}" cy="{y}" r="6">{title}</circle>')
    style = (
        "text{font:13px sans-serif;dominant-baseline:central;fill:#1c2733}.closed{fill:#f1e9e4}.rule{stroke:#d5dde5}"
        "circle{stroke:#2f5d8a;stroke-width:1.5}.early{fill:#2f5d8a}.late{fill:#ffffff}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}" role="img">'
        f"<title>Rows import columns; above the diagonal nothing may be imported early</title><style>{style}</style>"
        f'<rect width="{size}" height="{size}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
