"""Calibration of a logit v on rows that it was not fitted to: v becomes slope · v + shift, clipped to what can be believed.

Slope and shift maximise the logistic log-likelihood of the labels, E_P log σ(v) + E_Q log σ(−v) times half the number of rows,
less the logarithm of a normal prior around slope 1 and shift 0 (Platt, 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from divkit.critic.logistic import regress

__all__ = ["CalibrationSettings", "believable", "platt"]


@dataclass(frozen=True)
class CalibrationSettings:
    """Choices of a logit's calibration.

    Attributes
    ----------
    held : float
        The share of the training rows that a scikit-learn classifier does not see, for calibration.
    prior : float
        Standard deviation of the normal prior on slope − 1 and on the shift.
    stderrs : float
        A first-order condition holds within so many standard errors. Five folds judge two conditions each: at 3.3 one run in a
        hundred fails by chance.
    flat : float
        A mean slope of the logistic loss that counts as zero in any case: on separable samples all rows pull one way.
    rows, expected : int, float
        A logit of x is believed if `rows` rows of x, and `expected` rows of y in expectation, have a larger one; a logit of y
        likewise if they have a smaller one.
    """

    held: float = 0.2
    prior: float = 0.25
    stderrs: float = 3.3
    flat: float = 0.01
    rows: int = 3
    expected: float = 0.4


def platt(
    scores: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    rows: float,
    settings: CalibrationSettings = CalibrationSettings(),
) -> tuple[tuple[float, float], bool]:
    """Return slope and shift for scores (n,) of x and (m,) of y, and whether the first-order conditions hold within noise.

    Each side's `weights` sum to one; together they count as `rows` observations against the prior.
    """
    v = torch.cat(scores)
    signs = torch.cat([torch.ones_like(scores[0]), -torch.ones_like(scores[1])])
    mass = (torch.cat(weights) * rows / 2).to(v)
    features = torch.stack([v, torch.ones_like(v)], 1)
    centre = torch.tensor([1.0, 0.0]).to(v)
    theta = regress(features, signs, mass, torch.full_like(centre, settings.prior**-2), centre, exact=True)
    p = torch.sigmoid(-signs * (features @ theta))
    residual = mass[:, None] * features * (signs * p)[:, None]
    noise = residual.square().sum(0).sqrt()
    settled = bool((residual.sum(0).abs() <= settings.stderrs * noise + settings.flat * mass.sum()).all())
    slope, shift = theta.tolist() if float(theta[0]) > 0 else (1.0, 0.0)
    return (slope, shift), settled


def believable(
    logits: tuple[Tensor, Tensor], mass: tuple[Tensor, Tensor], settings: CalibrationSettings = CalibrationSettings()
) -> tuple[float, float]:
    """Return the smallest and the largest logit to be believed, from logits (n,) of x and (m,) of y whose rows count as `mass`.

    Where the logit exceeds c, y has at most e^{−c} times x's share of the mass. If that is much less than one row of y, these
    samples were fitted as well by any larger logit, and a new row of y out there would ruin the value.
    """
    s, t = logits
    n, m = (float(side.sum()) for side in mass)
    return min(-_largest(-t, mass[1], n, settings), 0.0), max(_largest(s, mass[0], m, settings), 0.0)


def _largest(v: Tensor, mass: Tensor, others: float, settings: CalibrationSettings) -> float:
    """Return the largest c which enough of these logits exceed, and beyond which enough of the `others` rows are expected."""
    v, order = v.sort(descending=True)
    expected = others * mass[order].cumsum(0) / mass.sum()
    rows = min(settings.rows, 1 + len(v) // 50)
    return float(torch.minimum(v, torch.log(expected / settings.expected))[rows - 1 :].max())
