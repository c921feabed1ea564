"""Whether a logit means what it says: predicted against observed shares of x, and their plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from divkit.support.checks import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Reliability", "reliability"]

BAND = 2.0  # standard errors drawn


class Reliability(NamedTuple):
    """Rows in bins of equal mass by their logit, x and y of equal total weight.

    Attributes
    ----------
    predicted : Tensor (bins,)
        The mean over a bin of σ(logit), the probability that a row is of x.
    observed : Tensor (bins,)
        The share of the bin's weight that is of x.
    stderr : Tensor (bins,)
        Of `observed`.
    """

    predicted: Tensor
    observed: Tensor
    stderr: Tensor

    @property
    def worst(self) -> float:
        """The largest deviation in standard errors."""
        return float(((self.predicted - self.observed).abs() / self.stderr).max())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Observed against predicted shares with bands of two standard errors, on `ax` or on a new figure's."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(4.0, 4.0), layout="constrained").add_subplot()
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
        ax.errorbar(
            self.predicted.tolist(),
            self.observed.tolist(),
            yerr=(BAND * self.stderr).tolist(),
            fmt="o",
            markersize=4,
            label=f"observed ± {BAND:g} standard errors",
        )
        ax.set(xlabel="predicted probability of x", ylabel="observed share of x", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend(loc="upper left", frameon=False)
        return ax


@torch.no_grad()
def reliability(s: Tensor, t: Tensor, w: Tensor, v: Tensor, bins: int = 10) -> Reliability:
    """Predicted and observed shares of logits s (n,) of x and t (m,) of y, with normalised weights w and v.

    Examples
    --------
    >>> s, t = torch.tensor([2.0, 2.0, 2.0, -2.0]), torch.tensor([-2.0, -2.0, -2.0, 2.0])
    >>> found = reliability(s, t, torch.full((4,), 0.25), torch.full((4,), 0.25), bins=2)
    >>> found.observed.tolist()
    [0.25, 0.75]
    """
    whole("bins", bins)
    logits = torch.cat([s, t]).double()
    mass = torch.cat([w, v]).double() / 2
    ours = torch.cat([torch.ones_like(s), torch.zeros_like(t)]).double()
    order = torch.sort(logits, stable=True).indices
    place = torch.empty_like(order)
    place[order] = ((mass[order].cumsum(0) - mass[order] / 2) * bins).long().clamp(0, bins - 1)
    place = _together(logits, place, order)

    def total(values: Tensor) -> Tensor:
        return torch.zeros(bins, dtype=torch.float64, device=values.device).index_add(0, place, values)

    kept = total(mass) > 0
    x, both = total(mass * ours)[kept], total(mass)[kept]
    predicted, observed = total(mass * torch.sigmoid(logits))[kept] / both, x / both
    spread = total(mass.square() * (1 - ours))[kept], total(mass.square() * ours)[kept]
    stderr = (observed.square() * spread[0] + (1 - observed).square() * spread[1]).sqrt() / both
    return Reliability(predicted, observed, stderr.clamp(min=float(mass.min())))


def _together(logits: Tensor, place: Tensor, order: Tensor) -> Tensor:
    """Equal logits share the bin of the first of them."""
    ranked = logits[order]
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[1:] = ranked[1:] != ranked[:-1]
    first = new.nonzero()[:, 0][new.long().cumsum(0) - 1]
    out = torch.empty_like(place)
    out[order] = place[order][first]
    return out
