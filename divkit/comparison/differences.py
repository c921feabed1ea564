"""Where two samples differ: the columns, one view of both clouds, the rows that weigh most. Numbers only, no drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["Bars", "Feature", "Gap", "Histogram", "View", "bars", "features", "gaps", "histogram", "sample", "view"]

Matrix = NDArray[np.floating]

CELLS = 5_000_000  # that are looked at: seconds of sorting, and more rows would not change a picture
MOST_ROWS, LEAST_ROWS = 200_000, 500
VIEW_COLUMNS = 200  # the linear discriminant needs a covariance matrix: of the columns that differ most
TAIL = 6.0  # a side of the distribution this many times the other, or the quartiles' distance, is a long tail
LEVELS = 40  # a column of fewer different values is drawn value by value


@dataclass(frozen=True)
class Feature:
    """A column of the user's table: one matrix column, or the several that a category was encoded in."""

    name: str
    columns: tuple[int, ...]
    levels: tuple[str, ...] = ()  # of a category, one per matrix column


@dataclass(frozen=True)
class Gap:
    """How far apart one column's two distributions are, in pooled standard deviations.

    `distance` is the Wasserstein-1 distance over the pooled standard deviation s, s² = ½ E d(Z, Z′)² for pooled rows Z, Z′;
    d is the absolute difference of numbers, and of words 1 where they mismatch. `chance` is what two samples of one
    distribution and these sizes have on average: √(2/π) √(1/n + 1/m) ∫ √(F(1 − F)) / s, F the pooled distribution function.
    `limit` is what the largest of all columns passes by chance about once in twenty times, or less often: the distance is a
    supremum over 1-Lipschitz functions, whose means fluctuate by at most σ = √(1/n + 1/m) in these units, so that
    chance + (z − √(2/π)) σ, z the two-sided normal quantile at 5 % over the number of columns, is exact for two values.
    """

    feature: Feature
    distance: float
    chance: float
    limit: float

    @property
    def clear(self) -> bool:
        return self.distance > self.limit


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of x and of y per bin (k,), in bins with edges (k + 1,); `outside` is the share of all rows beyond these.

    The bins of a positive column of long tail are of one width in the logarithm.
    """

    edges: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    outside: float
    logarithmic: bool = False


@dataclass(frozen=True)
class Bars:
    """Shares of x and of y per level, the levels that differ most first, and how many are left out."""

    levels: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    rest: int


@dataclass(frozen=True, eq=False)
class View:
    """A projection of both samples to the plane, (k, 2) each, and of what it was made."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    said: str


def features(names: Sequence[str], source: Sequence[str], categorical: Sequence[str]) -> list[Feature]:
    """Matrix columns grouped by the table column that they come from."""
    words, found = set(categorical), dict[str, list[int]]()
    for place, name in enumerate(source):
        found.setdefault(name if name in words else f"{place}\0{name}", []).append(place)
    return [
        Feature(source[places[0]], tuple(places), tuple(names[p].removeprefix(f"{source[p]}=") for p in places))
        if source[places[0]] in words
        else Feature(source[places[0]], tuple(places))
        for places in found.values()
    ]


def sample(data: Matrix, seed: int, weights: NDArray[np.float64] | None = None) -> Matrix:
    """The rows, or as many random ones as pictures need, in their order and in float64; drawn by their weights if unequal."""
    most = int(np.clip(CELLS // (2 * data.shape[1]), LEAST_ROWS, MOST_ROWS))
    rng = np.random.default_rng(seed)
    if weights is not None:
        data = data[np.sort(rng.choice(len(data), min(len(data), most), p=weights / weights.sum()))]
    elif len(data) > most:
        data = data[np.sort(rng.choice(len(data), most, replace=False, shuffle=False))]
    return np.asarray(data, dtype=np.float64)


def gaps(x: Matrix, y: Matrix, found: Sequence[Feature]) -> list[Gap]:
    """Every feature's gap, largest first."""
    numeric = [f for f in found if not f.levels]
    made = [(f, *_word_gap(x[:, f.columns], y[:, f.columns])) for f in found if f.levels]
    for start in range(0, len(numeric), 256):
        part = numeric[start : start + 256]
        places = [f.columns[0] for f in part]
        made += zip(part, *_number_gaps(x[:, places], y[:, places]))
    quantile = float(ndtri(1 - 0.025 / len(found)))
    above = (quantile - math.sqrt(2 / math.pi)) * math.sqrt(1 / len(x) + 1 / len(y))
    return sorted((Gap(f, distance, chance, chance + above) for f, distance, chance in made), key=lambda gap: -gap.distance)


def _number_gaps(x: Matrix, y: Matrix) -> tuple[list[float], list[float]]:
    n, m = len(x), len(y)
    pooled = np.ascontiguousarray(np.concatenate([x, y]).T)  # a column at a time sorts three times faster
    pooled -= pooled.mean(1, keepdims=True)
    pooled /= np.maximum(np.abs(pooled).max(1, keepdims=True), np.finfo(float).tiny)
    order = np.argsort(pooled, axis=1)
    steps = np.diff(np.take_along_axis(pooled, order, 1), axis=1)
    below = np.cumsum(np.where(order < n, 1 / n, -1 / m), axis=1)[:, :-1]
    share = np.arange(1, n + m) / (n + m)
    spread = pooled.std(1)
    scale = np.where(spread > 0, spread, np.inf)
    distance = np.einsum("ij,ij->i", np.abs(below), steps) / scale
    chance = math.sqrt(2 / math.pi * (1 / n + 1 / m)) * (steps @ np.sqrt(share * (1 - share))) / scale
    return distance.tolist(), chance.tolist()


def _word_gap(x: Matrix, y: Matrix) -> tuple[float, float]:
    n, m = len(x), len(y)
    p, q = (x > 0).mean(0), (y > 0).mean(0)
    share = (n * p + m * q) / (n + m)
    scale = math.sqrt(max(1 - float(share @ share), 0.0) / 2) or math.inf
    chance = math.sqrt(2 / math.pi * (1 / n + 1 / m)) * float(np.sqrt(share * (1 - share)).sum()) / 2
    return float(np.abs(p - q).sum()) / 2 / scale, chance / scale


def histogram(x: Matrix, y: Matrix) -> Histogram:  # x: (n,), y: (m,)
    """Both columns in shared bins; tails that would squeeze the rest are cut, and counted."""
    pooled = np.concatenate([x, y])
    values = np.unique(pooled)
    if len(values) <= LEVELS:
        width = float(np.diff(values).min()) if len(values) > 1 else 1.0
        if len(values) > 1 and (values[-1] - values[0]) / width <= 2 * LEVELS:
            edges = np.arange(values[0] - width / 2, values[-1] + width, width)
            return _binned(x, y, edges)
    low, quarter, middle, three_quarters, high = np.quantile(pooled, [0.005, 0.25, 0.5, 0.75, 0.995])
    if values[0] > 0 and high - middle > TAIL * (middle - low):
        edges = _edges(np.log(pooled), math.log(low), math.log(high))
        return _binned(x, y, np.exp(edges), logarithmic=True)
    reach = TAIL * (three_quarters - quarter)
    if reach > 0:
        low, high = max(low, quarter - reach), min(high, three_quarters + reach)
    if values[-1] - values[0] <= 2 * (high - low) or not high > low:
        low, high = values[0], values[-1]
    return _binned(x, y, _edges(pooled, low, high) if high > low else np.array([low - 0.5, low + 0.5]))


def _edges(pooled: Matrix, low: float, high: float) -> NDArray[np.float64]:
    """Bins of Freedman and Diaconis's (1981) width for half the rows, as many as a small picture can show."""
    inside = pooled[(pooled >= low) & (pooled <= high)]
    quartiles = np.quantile(inside, [0.25, 0.75])
    width = 2 * float(quartiles[1] - quartiles[0]) / (len(inside) / 2) ** (1 / 3)
    count = int(np.clip((high - low) / width, 10, 48)) if width > 0 else 24
    return np.linspace(low, high, count + 1)


def _binned(x: Matrix, y: Matrix, edges: NDArray[np.float64], *, logarithmic: bool = False) -> Histogram:
    of_x, of_y = (np.histogram(column, edges)[0] / len(column) for column in (x, y))
    beyond = sum(int(((column < edges[0]) | (column > edges[-1])).sum()) for column in (x, y))
    return Histogram(edges, of_x, of_y, beyond / (len(x) + len(y)), logarithmic)


def bars(x: Matrix, y: Matrix, feature: Feature, most: int = 6) -> Bars:
    """Shares of a category's levels."""
    p, q = ((side[:, feature.columns] > 0).mean(0) for side in (x, y))
    order = np.argsort(-np.abs(p - q), kind="stable")[:most]
    levels = tuple(feature.levels[k] for k in order)
    return Bars(levels, tuple(p[order].tolist()), tuple(q[order].tolist()), len(feature.levels) - len(order))


def view(x: Matrix, y: Matrix, found: Sequence[Feature], *, rows: int = 2000, seed: int = 0) -> View | None:
    """Two axes of the standardised columns: the linear discriminant, and the widest direction at right angles to it.

    The discriminant is found on one half of the rows and the other half is shown, because every small sample of many columns
    can be separated in a direction that was chosen for it. None for a single column.
    """
    if x.shape[1] < 2 or min(len(x), len(y)) < 2:
        return None
    (fit_x, x), (fit_y, y) = _halves(x, rows, seed), _halves(y, rows, seed + 1)
    ranked = [gap.feature for gap in gaps(fit_x, fit_y, found)] if x.shape[1] > VIEW_COLUMNS else found
    places = [place for feature in ranked for place in feature.columns][:VIEW_COLUMNS]
    centre, spread = (getattr(np.concatenate([fit_x, fit_y])[:, places], of)(0) for of in ("mean", "std"))
    scale = np.where(spread > 0, spread, np.inf)
    fit_x, fit_y, x, y = ((side[:, places] - centre) / scale for side in (fit_x, fit_y, x, y))
    first = _discriminant(fit_x, fit_y)
    rest = np.concatenate([fit_x, fit_y])
    second = np.linalg.svd(rest - (rest @ first)[:, None] * first, full_matrices=False)[2][0]
    axes = np.column_stack([first, second])  # (d, 2)
    most = (
        f"those of the {len(places)} coordinates that differ most, " if len(places) < sum(len(f.columns) for f in found) else ""
    )
    said = f"{most}found on {len(fit_x):,} + {len(fit_y):,} rows and show {len(x):,} + {len(y):,} others"
    return View(x @ axes, y @ axes, said)


def _halves(data: Matrix, rows: int, seed: int) -> tuple[Matrix, Matrix]:
    """Two disjoint random parts of at most `rows` each."""
    order = np.random.default_rng(seed).permutation(len(data))[: 2 * rows]
    half = len(order) // 2
    first, second = (np.asarray(data[np.sort(part)], dtype=np.float64) for part in (order[:half], order[half:]))
    return first, second


def _discriminant(x: Matrix, y: Matrix) -> NDArray[np.float64]:  # -> (d,), of length one, from y to x
    """Fisher's, with Ledoit and Wolf's (2004) shrinkage of the common covariance."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(np.concatenate([x - x.mean(0), y - y.mean(0)]), assume_centered=True)
    direction: NDArray[np.float64] = np.linalg.lstsq(covariance, x.mean(0) - y.mean(0), rcond=None)[0]
    length = float(np.linalg.norm(direction))
    found: NDArray[np.float64] = direction / length if length > 0 else np.eye(x.shape[1])[0]
    return found
