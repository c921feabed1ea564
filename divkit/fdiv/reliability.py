"""Reliability of a logit: predicted against observed shares of x in bins of rows.

A row with logit v is of x with probability σ(v) where x and y have equal total weight. Among rows of about equal logits the
share of x must then be the mean of σ(v).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from divkit.support.checks import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Reliability", "reliability"]


class Reliability(NamedTuple):
    """Predicted and observed shares of x in bins of equal mass by the logit, x and y having equal total weight.

    Attributes
    ----------
    predicted : Tensor (bins,)
        The mean over a bin of σ(logit), the probability that a row is of x.
    observed : Tensor (bins,)
        The share of the bin's weight that is of x.
    stderr : Tensor (bins,)
        The standard error of `observed`.
    """

    predicted: Tensor
    observed: Tensor
    stderr: Tensor

    @property
    def worst(self) -> float:
        """The largest deviation in standard errors."""
        return float(((self.predicted - self.observed).abs() / self.stderr).max())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw observed against predicted shares with bars of two standard errors, on `ax` or on a new figure's axes."""
        from matplotlib.figure import Figure  # for those who want a picture

        ax = ax or Figure(figsize=(4.0, 4.0), layout="constrained").add_subplot()
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
        bars, label = (2 * self.stderr).tolist(), "observed ± 2 standard errors"
        ax.errorbar(self.predicted.tolist(), self.observed.tolist(), yerr=bars, fmt="o", markersize=4, label=label)
        ax.set(xlabel="predicted probability of x", ylabel="observed share of x", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend(loc="upper left", frameon=False)
        return ax


@torch.no_grad()
def reliability(s: Tensor, t: Tensor, w: Tensor, v: Tensor, bins: int = 10) -> Reliability:
    """Return predicted and observed shares of x for logits s (n,) of x and t (m,) of y, with normalised weights w and v.

    Examples
    --------
    >>> s, t = torch.tensor([2.0, 2.0, 2.0, -2.0]), torch.tensor([-2.0, -2.0, -2.0, 2.0])
    >>> reliability(s, t, torch.full((4,), 0.25), torch.full((4,), 0.25), bins=2).observed.tolist()
    [0.25, 0.75]
    """
    whole("bins", bins)
    logits = torch.cat([s, t]).double()
    mass = torch.cat([w, v]).double() / 2
    of_x = torch.cat([torch.ones_like(s), torch.zeros_like(t)]).double()
    order = torch.sort(logits, stable=True).indices
    place = torch.empty_like(order)
    place[order] = ((mass[order].cumsum(0) - mass[order] / 2) * bins).long().clamp(0, bins - 1)
    place = _tied(logits, place, order)

    def total(values: Tensor) -> Tensor:  # (n + m,) -> (bins,)
        return torch.zeros(bins, dtype=torch.float64, device=values.device).index_add(0, place, values)

    filled = total(mass) > 0
    both = total(mass)[filled]
    predicted, observed = total(mass * torch.sigmoid(logits))[filled] / both, total(mass * of_x)[filled] / both
    squares_x, squares_y = total(mass.square() * of_x)[filled], total(mass.square() * (1 - of_x))[filled]
    stderr = (observed.square() * squares_y + (1 - observed).square() * squares_x).sqrt() / both
    return Reliability(predicted, observed, stderr.clamp(min=float(mass.min())))


def _tied(logits: Tensor, place: Tensor, order: Tensor) -> Tensor:  # -> (n + m,)
    """Return the rows' bins with equal logits in the bin of the first of them; `order` sorts the logits."""
    ranked = logits[order]
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[1:] = ranked[1:] != ranked[:-1]
    first = new.nonzero()[:, 0][new.long().cumsum(0) - 1]
    shared = torch.empty_like(place)
    shared[order] = place[order][first]
    return shared
