"""The picture of a logit's reliability; imported only when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from divkit.fdiv.reliability import Reliability

__all__ = ["draw"]


def draw(shares: Reliability, ax: Axes | None, stderrs: float = 2.0) -> Axes:
    """Draw observed against predicted shares, with bars of `stderrs` standard errors, on `ax` or on a new figure's axes."""
    ax = ax or Figure(figsize=(4.0, 4.0), layout="constrained").add_subplot()
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    ax.errorbar(
        shares.predicted.tolist(),
        shares.observed.tolist(),
        yerr=(stderrs * shares.stderr).tolist(),
        fmt="o",
        markersize=4,
        label=f"observed ± {stderrs:g} standard errors",
    )
    ax.set(xlabel="predicted probability of x", ylabel="observed share of x", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(loc="upper left", frameon=False)
    return ax
