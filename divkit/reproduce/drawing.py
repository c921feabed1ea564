"""How the figures look: one style, colours that stay apart for every kind of colour vision, axes that are ready to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["COLOURS", "INK", "PALE", "RULE", "STYLE", "calm", "panels"]

COLOURS = ("#0b5c8f", "#d1600a", "#2d8a4e", "#8a3f8f", "#b08900", "#5b6b7a", "#c2305c", "#3aa6b9")
INK, RULE, PALE = "#333333", "#b9b6ae", "#ececec"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "text.usetex": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "divkit",
}


def panels(rows: int = 1, columns: int = 1, width: float = 4.2, height: float = 3.2) -> tuple[Figure, NDArray[Any]]:
    """Return a figure with a grid of axes, each `width` by `height` inches: ``figure, axes[i, j]``."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False))


def calm(ax: Axes) -> Axes:
    """Take the ticks off axes, for pictures."""
    ax.set(xticks=[], yticks=[])
    return ax
