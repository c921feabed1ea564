"""The report's three looks behind the numbers: columns, both clouds, and the rows that weigh most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from divkit.comparison import pictures
from divkit.comparison.differences import Bars, Feature, Gap, Matrix, bars, features, gaps, histogram, sample, view
from divkit.comparison.findings import Findings, Row, Sample
from divkit.support.words import Name, numbers, percent

__all__ = ["Contribution", "Data", "Panel", "Picture", "Weighty", "cloud", "panels", "weighty"]

PANELS = 8
ROWS = 10
UNUSUAL = 2.0  # pooled standard deviations
DECIDES = 0.5  # standard errors
RARE = 0.05  # share of a level


@dataclass(frozen=True, eq=False)
class Data:
    """What the sections look at: the rows, or a sample of them, and the columns ranked by how far apart they are."""

    x: Matrix
    y: Matrix
    found: list[Feature]
    ranked: list[Gap]
    weighted: bool
    units: tuple[float, ...]  # what each coordinate was divided by, or nothing

    @classmethod
    def of(cls, comparison: Findings, seed: int) -> Data:
        x, y = (_rows(side, seed + place) for place, side in enumerate((comparison.x, comparison.y)))
        named = len(comparison.columns) == x.shape[1]
        names = comparison.columns if named else [f"coordinate {place}" for place in range(1, x.shape[1] + 1)]
        found = features(names, comparison.source if named else names, comparison.categorical)
        weighted = not (comparison.x.measure.uniform and comparison.y.measure.uniform)
        return cls(x, y, found, gaps(x, y, found), weighted, comparison.units)

    @property
    def clear(self) -> list[str]:
        """Columns farther apart than chance explains."""
        return [gap.feature.name for gap in self.ranked if gap.clear]


@dataclass(frozen=True)
class Panel:
    """One column: its gap, and a picture for numbers or bars for words."""

    name: Name
    distance: str
    chance: str
    clear: bool
    picture: str
    means: tuple[str, ...]
    caption: str
    bars: list[tuple[Name, float, str, float, str]]  # level, share in x, as text, share in y, as text


@dataclass(frozen=True)
class Picture:
    uri: str
    said: str


@dataclass(frozen=True)
class Contribution:
    """One row of x or y: by how much leaving it out lowers the value."""

    side: int
    row: str
    errors: float
    in_errors: str
    change: str
    unusual: list[tuple[Name, str]]


@dataclass(frozen=True)
class Weighty:
    """The rows that weigh most in one divergence, and how concentrated it is."""

    divergence: Name
    rows: list[Contribution]
    zero: float  # of the bars, in percent of their width
    unit: float  # percent per standard error
    said: str


def panels(data: Data) -> list[Panel]:
    """The columns that differ most, or all if there are few."""
    return [_panel(data, gap) for gap in data.ranked[:PANELS]]


def cloud(data: Data, seed: int) -> Picture | None:
    """Both clouds in two dimensions; None for a single column."""
    found = view(data.x, data.y, data.found, seed=seed)
    if found is None:
        return None
    gone = pictures.outside(found)
    said = found.said + (f"; {gone} far points lie outside the frame" if gone else "")
    return Picture(pictures.data_uri(pictures.cloud_figure(found)), said)


def weighty(comparison: Findings, data: Data) -> Weighty | None:
    """For the first solved divergence with a standard error and one influence value per row; None where there is none."""
    row = next((row for row in comparison.rows if _tells_rows(comparison, row)), None)
    if row is None or row.estimate is None:
        return None
    e = row.estimate
    sides = comparison.x.measure, comparison.y.measure
    parts = []
    for measure, influence in zip(sides, e.influence):
        values = influence.detach().double()
        parts.append((measure.weights.double() * (values - measure.mean(values))).numpy(force=True))
    pooled = np.concatenate(parts)
    first = np.argpartition(-np.abs(pooled), min(ROWS, len(pooled)) - 1)[:ROWS]
    order = first[np.argsort(-np.abs(pooled[first]), kind="stable")]
    top = max(1, round(0.01 * len(pooled)))
    squares = -np.partition(-(pooled**2), top - 1)
    share = float(squares[:top].sum() / squares.sum()) if squares.sum() > 0 else 0.0
    rows = []
    for place in order[:ROWS].tolist():
        side, index = (0, place) if place < len(parts[0]) else (1, place - len(parts[0]))
        change = float(pooled[place])
        rows.append(
            Contribution(
                side=side,
                row=f"{index:,}",
                errors=change / e.stderr,
                in_errors=numbers([change / e.stderr], 0.1)[0],
                change=percent(change / e.value) if e.value else "—",
                unusual=_unusual(
                    data, torch.cat([part[index].reshape(-1) for part in sides[side].parts]).double().numpy(force=True)
                ),
            )
        )
    largest = max(abs(found.errors) for found in rows)
    said = "No row decides alone" if largest < DECIDES else "Look at the first of them"
    said += (
        f": the largest weighs {largest:.2g} standard errors, and {top:,} of {len(pooled):,} rows carry {percent(share)} of the"
    )
    low, high = (of(0.0, *(found.errors for found in rows)) for of in (min, max))
    unit = 98 / ((high - low) or 1.0)
    return Weighty(Name.of(row.name), rows, 1 - low * unit, unit, said + " variance.")


def _tells_rows(comparison: Findings, row: Row) -> bool:
    e = row.estimate
    if e is None or not e.converged or not math.isfinite(e.stderr) or e.stderr <= 0:
        return False
    return tuple(len(part) for part in e.influence) == (comparison.x.measure.n, comparison.y.measure.n)


def _rows(side: Sample, seed: int) -> Matrix:
    measure = side.measure
    parts = [part.detach().reshape(len(part), -1) for part in measure.parts]
    data: NDArray[np.floating] = (parts[0] if len(parts) == 1 else torch.cat(parts, 1)).numpy(force=True)
    return sample(data, seed, None if measure.uniform else measure.weights.detach().double().numpy(force=True))


def _panel(data: Data, gap: Gap) -> Panel:
    name, feature = Name.of(gap.feature.name), gap.feature
    distance, chance = (f"{v:.2f}" for v in (gap.distance, gap.chance))
    if feature.levels:
        found: Bars = bars(data.x, data.y, feature)
        shares = [
            (Name.of(level, 22), 100 * p, percent(p), 100 * q, percent(q))
            for level, p, q in zip(found.levels, found.x, found.y)
        ]
        rest = f"{found.rest} more level{'s' * (found.rest > 1)}" if found.rest else ""
        return Panel(name, distance, chance, gap.clear, "", (), rest, shares)
    place = feature.columns[0]
    unit = data.units[place] if data.units else 1.0
    x, y = (side[:, place] for side in (data.x, data.y))
    spread = float(np.concatenate([x, y]).std())
    means = numbers([unit * float(x.mean()), unit * float(y.mean())], unit * spread / 10)
    drawn = histogram(unit * x, unit * y)
    said = ["logarithmic axis"] * drawn.logarithmic + [f"{percent(drawn.outside)} of rows beyond the ends"] * (
        drawn.outside > 0
    )
    caption = ", ".join(said)
    return Panel(name, distance, chance, gap.clear, pictures.data_uri(pictures.distribution_figure(drawn)), means, caption, [])


def _unusual(data: Data, point: NDArray[np.float64]) -> list[tuple[Name, str]]:
    """The columns in which a row is far out, farthest first: no values, only which way."""
    told: list[tuple[float, Name, str]] = []
    for feature in _few(data.found, data.ranked):
        places = list(feature.columns)
        pooled = np.concatenate([data.x[:, places], data.y[:, places]])
        if feature.levels:
            share = float((pooled[:, int(np.argmax(point[places]))] > 0).mean())
            if share < RARE:
                told.append((1 / math.sqrt(max(share, 1e-9)), Name.of(feature.name, 24), "rare"))
            continue
        spread = float(pooled.std())
        z = (float(point[places[0]]) - float(pooled.mean())) / spread if spread > 0 else 0.0
        if abs(z) >= UNUSUAL:
            told.append((abs(z), Name.of(feature.name, 24), "high" if z > 0 else "low"))
    return [(name, how) for _, name, how in sorted(told, key=lambda found: -found[0])[:3]]


def _few(found: Sequence[Feature], ranked: Sequence[Gap], most: int = 200) -> Sequence[Feature]:
    return found if len(found) <= most else [gap.feature for gap in ranked[:most]]
