"""Where two samples differ: in which columns, and in one view of both clouds. Numbers only, no drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["Bars", "Binning", "Feature", "Gap", "Histogram", "View", "bars", "features", "gaps", "histogram", "sample", "view"]

Matrix = NDArray[np.floating]


@dataclass(frozen=True)
class Feature:
    """A column of the user's table: one matrix column, or the several that a category was encoded in, one for each level."""

    name: str
    columns: tuple[int, ...]
    levels: tuple[str, ...] = ()  # empty where the column holds numbers


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
        """Whether chance does not explain the distance."""
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
class Binning:
    """How the bins of a histogram are chosen.

    Parameters
    ----------
    levels : int
        A column of no more different values than this is drawn value by value, where they lie on a grid.
    cut : float
        Bins reach from this quantile of the pooled rows to its mirror image, where that leaves out most of the range.
    tail : float
        Where the upper side is this many times as long as the lower, bins are logarithmic; bins end this many times the
        distance of the quartiles beyond them.
    fewest, most : int
        The numbers of bins that a small picture can show.
    """

    levels: int = 40
    cut: float = 0.005
    tail: float = 6.0
    fewest: int = 10
    most: int = 48


@dataclass(frozen=True)
class Bars:
    """Shares of x and of y per level, the levels that differ most first, and how many are left out."""

    levels: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    rest: int


@dataclass(frozen=True, eq=False)
class View:
    """A projection of both samples to the plane, (k, 2) each, and what it was made of, as the end of a sentence."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    origin: str


def features(names: Sequence[str], source: Sequence[str], categorical: Sequence[str]) -> list[Feature]:
    """Group matrix columns by the table column that they come from."""
    words, places_of = set(categorical), dict[str, list[int]]()
    for place, name in enumerate(source):
        places_of.setdefault(name if name in words else f"{place}\0{name}", []).append(place)
    grouped = []
    for places in places_of.values():
        name = source[places[0]]
        levels = [names[place].removeprefix(f"{name}=") for place in places] if name in words else []
        grouped.append(Feature(name, tuple(places), tuple(levels)))
    return grouped


def sample(
    data: Matrix,
    seed: int,
    weights: NDArray[np.float64] | None = None,
    *,
    cells: int = 2_500_000,
    bounds: tuple[int, int] = (500, 200_000),
) -> Matrix:
    """Return the rows, or as many random ones as pictures need, in their order and in float64; unequal weights draw them.

    About `cells` numbers are looked at, which takes seconds of sorting, in a number of rows between `bounds`: more would not
    change a picture.
    """
    most = int(np.clip(cells // data.shape[1], *bounds))
    rng = np.random.default_rng(seed)
    if weights is not None:
        data = data[np.sort(rng.choice(len(data), min(len(data), most), p=weights / weights.sum()))]
    elif len(data) > most:
        data = data[np.sort(rng.choice(len(data), most, replace=False, shuffle=False))]
    return np.asarray(data, dtype=np.float64)


def gaps(x: Matrix, y: Matrix, features: Sequence[Feature]) -> list[Gap]:
    """Return every feature's gap, largest first."""
    numeric = [feature for feature in features if not feature.levels]
    distances = [(feature, *_word_gap(x[:, feature.columns], y[:, feature.columns])) for feature in features if feature.levels]
    for start in range(0, len(numeric), 256):  # the sorted columns of so many fit the memory
        part = numeric[start : start + 256]
        places = [feature.columns[0] for feature in part]
        distances += zip(part, *_number_gaps(x[:, places], y[:, places]))
    quantile = float(ndtri(1 - 0.025 / len(features)))
    above = (quantile - math.sqrt(2 / math.pi)) * math.sqrt(1 / len(x) + 1 / len(y))
    by_size = sorted(distances, key=lambda entry: -entry[1])
    return [Gap(feature, distance, chance, chance + above) for feature, distance, chance in by_size]


def _number_gaps(x: Matrix, y: Matrix) -> tuple[list[float], list[float]]:
    """Return `Gap.distance` and `Gap.chance` of columns of numbers, both from one sort of the pooled rows."""
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
    """Return `Gap.distance` and `Gap.chance` of one category, given the indicators of its levels."""
    n, m = len(x), len(y)
    p, q = (x > 0).mean(0), (y > 0).mean(0)
    share = (n * p + m * q) / (n + m)
    scale = math.sqrt(max(1 - float(share @ share), 0.0) / 2) or math.inf
    chance = math.sqrt(2 / math.pi * (1 / n + 1 / m)) * float(np.sqrt(share * (1 - share)).sum()) / 2
    return float(np.abs(p - q).sum()) / 2 / scale, chance / scale


def histogram(x: Matrix, y: Matrix, how: Binning = Binning()) -> Histogram:  # x: (n,), y: (m,)
    """Count both columns in shared bins; tails that would squeeze the rest are cut, and counted."""
    pooled = np.concatenate([x, y])
    values = np.unique(pooled)
    if len(values) <= how.levels:
        width = float(np.diff(values).min()) if len(values) > 1 else 1.0
        if len(values) > 1 and (values[-1] - values[0]) / width <= 2 * how.levels:
            edges = np.arange(values[0] - width / 2, values[-1] + width, width)
            return _binned(x, y, edges)
    low, quarter, middle, three_quarters, high = np.quantile(pooled, [how.cut, 0.25, 0.5, 0.75, 1 - how.cut])
    if values[0] > 0 and high - middle > how.tail * (middle - low):
        edges = _edges(np.log(pooled), math.log(low), math.log(high), how)
        return _binned(x, y, np.exp(edges), logarithmic=True)
    margin = how.tail * (three_quarters - quarter)
    if margin > 0:
        low, high = max(low, quarter - margin), min(high, three_quarters + margin)
    if values[-1] - values[0] <= 2 * (high - low) or not high > low:
        low, high = values[0], values[-1]
    return _binned(x, y, _edges(pooled, low, high, how) if high > low else np.array([low - 0.5, low + 0.5]))


def _edges(pooled: Matrix, low: float, high: float, how: Binning) -> NDArray[np.float64]:
    """Return bins of Freedman and Diaconis's (1981) width for half the rows."""
    inside = pooled[(pooled >= low) & (pooled <= high)]
    quartiles = np.quantile(inside, [0.25, 0.75])
    width = 2 * float(quartiles[1] - quartiles[0]) / (len(inside) / 2) ** (1 / 3)
    count = int(np.clip((high - low) / width, how.fewest, how.most)) if width > 0 else how.most // 2
    return np.linspace(low, high, count + 1)


def _binned(x: Matrix, y: Matrix, edges: NDArray[np.float64], *, logarithmic: bool = False) -> Histogram:
    """Count both columns in these bins."""
    of_x, of_y = (np.histogram(column, edges)[0] / len(column) for column in (x, y))
    outside = sum(int(((column < edges[0]) | (column > edges[-1])).sum()) for column in (x, y))
    return Histogram(edges, of_x, of_y, outside / (len(x) + len(y)), logarithmic)


def bars(x: Matrix, y: Matrix, feature: Feature, most: int = 6) -> Bars:
    """Return the shares of a category's levels, no more than `most` of them."""
    p, q = ((side[:, feature.columns] > 0).mean(0) for side in (x, y))
    order = np.argsort(-np.abs(p - q), kind="stable")[:most]
    levels = tuple(feature.levels[k] for k in order)
    return Bars(levels, tuple(p[order].tolist()), tuple(q[order].tolist()), len(feature.levels) - len(order))


def view(
    x: Matrix, y: Matrix, features: Sequence[Feature], *, rows: int = 2000, columns: int = 200, seed: int = 0
) -> View | None:
    """Project on two axes of the standardised columns: the linear discriminant, and the widest direction at right angles to it.

    The discriminant is found on one half of the rows and the other half is shown, because every small sample of many columns
    can be separated in a direction that was chosen for it. None for a single column.

    Parameters
    ----------
    rows : int
        At most so many of each sample are in each half.
    columns : int
        Of more, the discriminant takes those that differ most: it needs their covariance matrix.
    """
    if x.shape[1] < 2 or min(len(x), len(y)) < 2:
        return None
    (fit_x, x), (fit_y, y) = _halves(x, rows, seed), _halves(y, rows, seed + 1)
    ranked = [gap.feature for gap in gaps(fit_x, fit_y, features)] if x.shape[1] > columns else features
    places = [place for feature in ranked for place in feature.columns][:columns]
    pooled = np.concatenate([fit_x, fit_y])[:, places]
    centre, spread = pooled.mean(0), pooled.std(0)
    scale = np.where(spread > 0, spread, np.inf)
    fit_x, fit_y, x, y = ((side[:, places] - centre) / scale for side in (fit_x, fit_y, x, y))
    first = _discriminant(fit_x, fit_y)
    rest = np.concatenate([fit_x, fit_y])
    second = np.linalg.svd(rest - (rest @ first)[:, None] * first, full_matrices=False)[2][0]
    axes = np.column_stack([first, second])  # (d, 2)
    few = len(places) < sum(len(feature.columns) for feature in features)
    which = f"those of the {len(places)} coordinates that differ most, " if few else ""
    origin = f"{which}found on {len(fit_x):,} + {len(fit_y):,} rows and show {len(x):,} + {len(y):,} others"
    return View(x @ axes, y @ axes, origin)


def _halves(data: Matrix, rows: int, seed: int) -> tuple[Matrix, Matrix]:
    """Return two disjoint random parts of at most `rows` each."""
    order = np.random.default_rng(seed).permutation(len(data))[: 2 * rows]
    half = len(order) // 2
    first, second = (np.asarray(data[np.sort(part)], dtype=np.float64) for part in (order[:half], order[half:]))
    return first, second


def _discriminant(x: Matrix, y: Matrix) -> NDArray[np.float64]:  # -> (d,), of length one, from y to x
    """Return Fisher's discriminant, with Ledoit and Wolf's (2004) shrinkage of the common covariance."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(np.concatenate([x - x.mean(0), y - y.mean(0)]), assume_centered=True)
    direction: NDArray[np.float64] = np.linalg.lstsq(covariance, x.mean(0) - y.mean(0), rcond=None)[0]
    length = float(np.linalg.norm(direction))
    unit: NDArray[np.float64] = direction / length if length > 0 else np.eye(x.shape[1])[0]
    return unit
