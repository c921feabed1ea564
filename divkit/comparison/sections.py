"""The report's three looks behind the numbers: columns, both clouds, and the rows that weigh most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from divkit.comparison import pictures
from divkit.comparison.differences import Feature, Gap, Matrix, bars, features, gaps, histogram, sample, view
from divkit.comparison.findings import Findings, Row, Sample
from divkit.core.estimate import Estimate
from divkit.data.measure import Measure
from divkit.support.words import Name, numbers, percent

__all__ = ["Contribution", "Excerpt", "Level", "Panel", "Picture", "Weighty", "cloud", "panels", "weighty"]


@dataclass(frozen=True, eq=False)
class Excerpt:
    """What the sections look at: the rows, or a sample of them, and the columns ranked by how far apart they are."""

    x: Matrix
    y: Matrix
    features: list[Feature]
    ranked: list[Gap]
    weighted: bool
    units: tuple[float, ...]  # what each coordinate was divided by, or nothing

    @classmethod
    def of(cls, findings: Findings, seed: int) -> Excerpt:
        """Return what a report needs of a comparison's data."""
        x, y = (_rows(side, seed + place) for place, side in enumerate((findings.x, findings.y)))
        named = len(findings.columns) == x.shape[1]
        names = findings.columns if named else [f"coordinate {place}" for place in range(1, x.shape[1] + 1)]
        grouped = features(names, findings.source if named else names, findings.categorical)
        weighted = not (findings.x.measure.uniform and findings.y.measure.uniform)
        return cls(x, y, grouped, gaps(x, y, grouped), weighted, findings.units)

    @property
    def clear(self) -> list[str]:
        """The columns farther apart than chance explains."""
        return [gap.feature.name for gap in self.ranked if gap.clear]


class Level(NamedTuple):
    """One level of a category: its percentages in x and in y, as numbers and as text."""

    name: Name
    x: float
    x_text: str
    y: float
    y_text: str


@dataclass(frozen=True)
class Panel:
    """One column: its gap, and a picture for numbers or bars for words."""

    name: Name
    distance: str
    chance: str
    clear: bool
    caption: str
    picture: str = ""
    means: tuple[str, ...] = ()
    bars: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Picture:
    """An image as an address, and what it shows, as the end of a sentence."""

    uri: str
    origin: str


@dataclass(frozen=True)
class Contribution:
    """One row of x or y: by how much leaving it out lowers the value."""

    side: int  # 0 for x, 1 for y
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
    summary: str


def panels(excerpt: Excerpt, most: int = 8) -> list[Panel]:
    """Return the columns that differ most, or all if there are few."""
    return [_panel(excerpt, gap) for gap in excerpt.ranked[:most]]


def cloud(excerpt: Excerpt, seed: int) -> Picture | None:
    """Return both clouds in two dimensions; None for a single column."""
    plane = view(excerpt.x, excerpt.y, excerpt.features, seed=seed)
    if plane is None:
        return None
    far = pictures.outside(plane)
    origin = plane.origin + (f"; {far} far points lie outside the frame" if far else "")
    return Picture(pictures.data_uri(pictures.cloud_figure(plane)), origin)


def weighty(findings: Findings, excerpt: Excerpt, most: int = 10) -> Weighty | None:
    """Return the `most` weighty rows of the first solved divergence that has an error and one influence value per row.

    Leaving row i out takes wᵢ(aᵢ − ā) from the value Σ wᵢaᵢ, to first order. None where no divergence tells.
    """
    sides = findings.x.measure, findings.y.measure
    row = next((row for row in findings.rows if _has_row_influences(row, sides)), None)
    if row is None or row.estimate is None:
        return None
    e = row.estimate
    changes = np.concatenate([_changes(measure, e, place) for place, measure in enumerate(sides)])
    size = np.abs(changes)
    largest = np.argpartition(-size, min(most, len(size)) - 1)[:most]
    rows = []
    for place in largest[np.argsort(-size[largest], kind="stable")].tolist():
        side, index = (0, place) if place < sides[0].n else (1, place - sides[0].n)
        change = float(changes[place])
        point = torch.cat([part[index].reshape(-1) for part in sides[side].parts]).double().numpy(force=True)
        rows.append(
            Contribution(
                side=side,
                row=f"{index:,}",
                errors=change / e.stderr,
                in_errors=numbers([change / e.stderr], 0.1)[0],
                change=percent(change / e.value) if e.value else "—",
                unusual=_unusual(excerpt, point),
            )
        )
    errors = [contribution.errors for contribution in rows]
    low, high = min(0.0, *errors), max(0.0, *errors)
    unit = 98 / ((high - low) or 1.0)
    return Weighty(Name.of(row.name), rows, 1 - low * unit, unit, _concentration(changes, max(map(abs, errors))))


def _changes(measure: Measure, e: Estimate, place: int) -> NDArray[np.float64]:
    """Return for each row of x (`place` 0) or y (1) what leaving it out takes from the value."""
    influence = e.influence[place].detach().double()
    changes: NDArray[np.float64] = (measure.weights.double() * (influence - measure.mean(influence))).numpy(force=True)
    return changes


def _concentration(changes: NDArray[np.float64], largest: float, decides: float = 0.5) -> str:
    """Say how much one row weighs, and the top hundredth; a row of more than `decides` standard errors is worth a look."""
    top = max(1, round(0.01 * len(changes)))
    squares = -np.partition(-(changes**2), top - 1)
    share = float(squares[:top].sum() / squares.sum()) if squares.sum() > 0 else 0.0
    advice = "No row decides alone" if largest < decides else "Look at the first of them"
    weight = f"the largest weighs {largest:.2g} standard errors"
    return f"{advice}: {weight}, and {top:,} of {len(changes):,} rows carry {percent(share)} of the variance."


def _unusual(
    excerpt: Excerpt, point: NDArray[np.float64], *, far: float = 2.0, rare: float = 0.05, columns: int = 200, most: int = 3
) -> list[tuple[Name, str]]:
    """Return the `most` columns in which a row is farthest out: no values, only which way.

    A number is far out by `far` pooled standard deviations, a word where a share of less than `rare` has it. Of more than so
    many `columns` only those are looked at that differ most.
    """
    ranked: list[tuple[float, Name, str]] = []
    few = len(excerpt.features) <= columns
    for feature in excerpt.features if few else [gap.feature for gap in excerpt.ranked[:columns]]:
        places = list(feature.columns)
        pooled = np.concatenate([excerpt.x[:, places], excerpt.y[:, places]])
        if feature.levels:
            share = float((pooled[:, int(np.argmax(point[places]))] > 0).mean())
            if share < rare:
                ranked.append((1 / math.sqrt(max(share, 1e-9)), Name.of(feature.name, 24), "rare"))
            continue
        spread = float(pooled.std())
        z = (float(point[places[0]]) - float(pooled.mean())) / spread if spread > 0 else 0.0
        if abs(z) >= far:
            ranked.append((abs(z), Name.of(feature.name, 24), "high" if z > 0 else "low"))
    ranked.sort(key=lambda entry: -entry[0])
    return [(name, how) for _, name, how in ranked[:most]]


def _has_row_influences(row: Row, sides: tuple[Measure, Measure]) -> bool:
    """Say whether an estimate converged, has a positive standard error, and an influence value for each row of both samples."""
    e = row.estimate
    if e is None or not e.converged or not math.isfinite(e.stderr) or e.stderr <= 0:
        return False
    return tuple(len(part) for part in e.influence) == (sides[0].n, sides[1].n)


def _rows(side: Sample, seed: int) -> Matrix:
    """Return the rows to look at of one sample, as a matrix."""
    measure = side.measure
    parts = [part.detach().reshape(len(part), -1) for part in measure.parts]
    data: NDArray[np.floating] = (parts[0] if len(parts) == 1 else torch.cat(parts, 1)).numpy(force=True)
    return sample(data, seed, None if measure.uniform else measure.weights.detach().double().numpy(force=True))


def _panel(excerpt: Excerpt, gap: Gap) -> Panel:
    """Return the panel of one column."""
    name, feature = Name.of(gap.feature.name), gap.feature
    distance, chance = (f"{v:.2f}" for v in (gap.distance, gap.chance))
    if feature.levels:
        shares = bars(excerpt.x, excerpt.y, feature)
        caption = f"{shares.rest} more level{'s' * (shares.rest > 1)}" if shares.rest else ""
        levels = tuple(
            Level(Name.of(level, 22), 100 * p, percent(p), 100 * q, percent(q))
            for level, p, q in zip(shares.levels, shares.x, shares.y)
        )
        return Panel(name, distance, chance, gap.clear, caption, bars=levels)
    place = feature.columns[0]
    unit = excerpt.units[place] if excerpt.units else 1.0
    x, y = (side[:, place] for side in (excerpt.x, excerpt.y))
    spread = float(np.concatenate([x, y]).std())
    means = numbers([unit * float(x.mean()), unit * float(y.mean())], unit * spread / 10)
    counts = histogram(unit * x, unit * y)
    remarks = ["logarithmic axis"] if counts.logarithmic else []
    if counts.outside > 0:
        remarks.append(f"{percent(counts.outside)} of rows beyond the ends")
    picture = pictures.data_uri(pictures.distribution_figure(counts))
    return Panel(name, distance, chance, gap.clear, ", ".join(remarks), picture, means)
