"""The house as built: which room imports which, read from the source, and drawn as an SVG picture.

`tests/test_architecture.py` holds the imports to these rules; the documentation draws its picture from the same reading.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1] / "divkit"

GROUND = ("checks", "registry", "measure", "results", "columns", "cleaning", "tables", "pairs", "sorting")
ABOVE = (
    *("divergence", "critic", "fdiv", "transport", "kernel", "criterion", "testing", "metrics"),
    *("comparison", "truths", "models", "reproduce", "app"),
)
ROOMS = (*GROUND, *ABOVE)  # each imports only from rooms before itself
APART = ({"fdiv", "transport", "kernel"},)  # rooms on one floor that never import each other
ALONE = ("truths",)  # judges the others, so it shares nothing with them
LATE = {  # imports against the order, inside a function or for the type checker only; registry finds the families by name
    ("registry", "divergence"),  # a type
    ("measure", "tables"),  # when a data frame comes in
    ("comparison", "app"),  # when a report is written
}

FLOORS = (
    ("divergence",),
    ("critic",),
    ("fdiv", "transport", "kernel"),
    ("criterion", "testing", "metrics"),
    ("comparison", "models"),
    ("reproduce",),
    ("app",),
)


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
    if edge.late and (source, target) in LATE:
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


def edges() -> set[tuple[str, str]]:
    """Imports between the ground (as one room) and the rooms above, without those that follow from others."""
    found = {(_merged(i.source), _merged(i.target)) for i in imports() if (i.source, i.target) not in LATE}
    found = {(a, b) for a, b in found if a != b}
    return {(a, b) for a, b in found if not any(c != b and _reaches(c, b, found) for source, c in found if source == a)}


def _merged(room: str) -> str:
    return "ground" if room in GROUND else room


def _reaches(start: str, goal: str, found: set[tuple[str, str]]) -> bool:
    return any(b == goal or _reaches(b, goal, found) for a, b in found if a == start)


WIDTH, BOX, STEP, ROW = 760, 30, 62, 132


def draw() -> str:
    """The picture as SVG text: the ground below, an arrow from each room to what it imports."""
    here = set(rooms())
    floors = [[room for room in floor if room in here] for floor in FLOORS]
    floors = [floor for floor in floors if floor]
    height = (len(floors) + 1) * STEP + 30
    place: dict[str, tuple[float, float]] = {"ground": (WIDTH / 2, height - 40)}
    for level, floor in enumerate(floors, start=1):
        for i, room in enumerate(floor):
            place[room] = ((WIDTH - ROW) / 2 + (i - (len(floor) - 1) / 2) * ROW * 1.4, height - 40 - level * STEP)
    if "truths" in here:
        place["truths"] = (WIDTH - 70, height - 40 - STEP)
    parts = [_arrow(place[a], place[b], b == "ground") for a, b in sorted(edges()) if a in place and b in place]
    for room, (x, y) in place.items():
        wide = WIDTH - 20 if room == "ground" else ROW
        label = "  ·  ".join(r for r in GROUND if r in here) if room == "ground" else room
        parts.append(_box(x, y, wide, label))
    style = (
        "text{font:14px sans-serif;text-anchor:middle;dominant-baseline:central;fill:#1c2733}"
        "rect{fill:#eef3f8;stroke:#4a6785;rx:5}path{stroke:#7d94ab;fill:none}"
    )
    marker = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#7d94ab;stroke:none"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>The rooms of divkit and their imports</title><style>{style}</style><defs>{marker}</defs>"
        f'<rect x="0" y="0" width="{WIDTH}" height="{height}" style="fill:#ffffff;stroke:none"/>{"".join(parts)}</svg>\n'
    )


def _box(x: float, y: float, wide: float, label: str) -> str:
    rect = f'<rect x="{x - wide / 2:g}" y="{y - BOX / 2:g}" width="{wide:g}" height="{BOX}"/>'
    return f'{rect}<text x="{x:g}" y="{y:g}">{escape(label)}</text>'


def _arrow(start: tuple[float, float], end: tuple[float, float], grounded: bool) -> str:
    (x, y), (u, v) = start, end
    u = x if grounded else u
    y, v = y + BOX / 2, v - BOX / 2 - 2
    bend = (v - y) / 2
    return f'<path d="M{x:g} {y:g}C{x:g} {y + bend:g} {u:g} {v - bend:g} {u:g} {v:g}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    Path(__file__).with_name("house.svg").write_text(draw(), encoding="utf-8")
