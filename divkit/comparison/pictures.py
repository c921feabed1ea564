"""The report's pictures. They hold marks and numbers only: names belong to the page, which can escape and show any script."""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from divkit.comparison.differences import Histogram, View

__all__ = ["COLOURS", "cloud", "cloud_figure", "data_uri", "distribution", "distribution_figure", "outside", "short_number"]

COLOURS = ("#0b5c8f", "#d1600a")  # blue and orange that stay apart for every kind of colour vision, and on a grey printer
INK, RULE = "#444444", "#b9b6ae"

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "divkit",  # with no date the same picture is the same bytes
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.unicode_minus": True,
    "text.usetex": False,
    "path.simplify": True,
}


def distribution(ax: Axes, counts: Histogram) -> Axes:
    """Draw both shares per bin: x as an area, y as a line, so that neither hides the other."""
    tops = np.append(counts.x, counts.x[-1:])
    ax.fill_between(counts.edges, tops, step="post", color=COLOURS[0], alpha=0.22, linewidth=0)
    ax.stairs(counts.x, counts.edges, color=COLOURS[0], linewidth=1.1)
    ax.stairs(counts.y, counts.edges, color=COLOURS[1], linewidth=1.5)
    ax.set_xlim(counts.edges[0], counts.edges[-1])
    ax.set_ylim(0, 1.04 * max(counts.x.max(), counts.y.max()))
    if counts.logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(LogLocator(10, numticks=5) if counts.logarithmic else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    ax.yaxis.set_visible(False)
    _calm(ax, "left", "top", "right")
    return ax


def cloud(ax: Axes, plane: View) -> Axes:
    """Draw both samples' points in random order."""
    points = np.concatenate([plane.x, plane.y])
    colours = np.repeat(np.array(COLOURS), [len(plane.x), len(plane.y)])
    order = np.random.default_rng(0).permutation(len(points))
    size = float(np.clip(9000 / len(points), 5, 22))
    ax.scatter(points[order, 0], points[order, 1], c=colours[order], s=size, alpha=0.6, linewidths=0, rasterized=True)
    low, high = _window(points)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel("linear discriminant", color=INK)
    ax.set_ylabel("widest direction besides", color=INK)
    _calm(ax, "top", "right")
    return ax


def distribution_figure(counts: Histogram) -> Figure:
    """Return `distribution` at the size of a panel."""
    with _style():
        figure = Figure(figsize=(2.3, 1.05), layout="constrained")
        distribution(figure.subplots(), counts)
    return figure


def cloud_figure(plane: View) -> Figure:
    """Return `cloud` with the distribution of each axis along its side."""
    with _style():
        figure = Figure(figsize=(6.6, 4.5), layout="constrained")
        axes = figure.subplots(2, 2, width_ratios=(6, 1), height_ratios=(1, 4.2))
        middle = cloud(axes[1, 0], plane)
        axes[0, 1].set_axis_off()
        bins = int(np.clip(1.5 * np.sqrt(min(len(plane.x), len(plane.y))), 8, 40))
        for place, (side, bounds) in enumerate(((axes[0, 0], middle.get_xlim()), (axes[1, 1], middle.get_ylim()))):
            edges = np.linspace(*bounds, bins + 1)
            for column, colour, fill in ((plane.x[:, place], COLOURS[0], 0.22), (plane.y[:, place], COLOURS[1], 0.0)):
                shares = np.histogram(column, edges)[0] / len(column)
                orientation = "vertical" if place == 0 else "horizontal"
                side.stairs(shares, edges, fill=True, color=colour, alpha=fill, linewidth=0, orientation=orientation)
                side.stairs(shares, edges, color=colour, linewidth=1.2, orientation=orientation)
            (side.set_xlim if place == 0 else side.set_ylim)(*bounds)
            side.set_axis_off()
    return figure


def data_uri(figure: Figure) -> str:
    """Return the figure as an SVG inside an address, its points as pixels."""
    out = io.BytesIO()
    undated = {"Date": None, "Creator": None}
    with _style():
        figure.savefig(out, format="svg", dpi=190, transparent=True, metadata=undated)
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def outside(plane: View) -> int:
    """Return how many points lie beyond the frame that `cloud` draws."""
    points = np.concatenate([plane.x, plane.y])
    low, high = _window(points)
    return int(((points < low) | (points > high)).any(1).sum())


def short_number(value: float) -> str:
    """Return a tick's label, without mathematical typesetting.

    >>> short_number(-0.5), short_number(2e6), short_number(1500.0)
    ('−0.5', '2e6', '1500')
    """
    text = f"{value:.6g}" if abs(value) < 1e5 else f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return text.replace("-", "−")


def _style() -> AbstractContextManager[None]:
    """Return a context in which figures have the report's style, whatever the user's settings are."""
    context: AbstractContextManager[None] = mpl.rc_context(_STYLE)
    return context


def _window(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds that a few far points do not stretch: these are cut off where they would more than double the range."""
    low, high = points.min(0), points.max(0)
    inner_low, inner_high = np.quantile(points, [0.005, 0.995], axis=0)
    inner = np.maximum(inner_high - inner_low, 1e-9)
    low, high = np.maximum(low, inner_low - inner / 2), np.minimum(high, inner_high + inner / 2)
    pad = 0.03 * np.maximum(high - low, 1e-9)
    return low - pad, high + pad


def _calm(ax: Axes, *hidden: str) -> None:
    """Hide some of the frame's sides and draw the rest in grey."""
    for name in hidden:
        ax.spines[name].set_visible(False)
    for name in ("bottom", "left"):
        ax.spines[name].set_color(RULE)
    ax.tick_params(color=RULE, labelcolor=INK, length=3, width=0.7, pad=2, labelsize=8.5)
