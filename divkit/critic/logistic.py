r"""Logistic regression of samples x against y, by Newton's method.

With features φ (k,) of a point, coefficients θ, labels ±1 (+1 for x) and masses μ of the rows, θ minimises

.. math:: \sum_i \mu_i\, \log(1 + e^{-\pm\theta\cdot\varphi_i}) + \tfrac12 \sum_j \lambda_j (\theta_j - c_j)^2,

the negative log-posterior under a normal prior of centre c and precision λ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from divkit.data.measure import Measure

__all__ = ["Regressions", "regress"]


def regress(
    features: Tensor, signs: Tensor, mass: Tensor, precision: Tensor, centre: Tensor, *, exact: bool = False
) -> Tensor:  # features: (n, k); signs, mass: (n,); precision, centre: (k,) -> (k,)
    """Return the coefficients θ, up to 1e-9 of the objective, or to 1e-12 themselves where they must be `exact`."""

    def objective(theta: Tensor) -> float:
        loss = mass @ nn.functional.softplus(-signs * (features @ theta))
        return float(loss + (precision * (theta - centre).square()).sum() / 2)

    theta, now = centre.clone(), math.inf
    least, smallest = (0.0, 1e-6) if exact else (1e-9, 0.0)  # gain in shares of the objective, and step, that end the search
    for _ in range(30):
        p = torch.sigmoid(-signs * (features @ theta))
        gradient = -features.T @ (mass * signs * p) + precision * (theta - centre)
        hessian = features.T @ ((mass * p * (1 - p))[:, None] * features) + torch.diag(precision)
        step: Tensor = torch.linalg.solve(hessian, gradient)
        if float(step.abs().max()) < smallest:  # Newton's error is squared; rounding would hide what the step gains
            return theta - step
        size, before = 1.0, now
        for _ in range(20):  # halve until the objective falls
            trial = theta - size * step
            now = objective(trial)
            if now <= before:
                break
            size /= 2
        theta = trial
        if before - now < least * abs(now):
            break
    return theta


@dataclass(frozen=True)
class Regressions:
    """Regressions on the first few of the features, fitted to some rows and compared on others.

    Parameters
    ----------
    fit, held : tuple of Measure
        Rows of x and of y to fit to, and to compare on.
    fit_features, held_features : tuple of Tensor (n, k)
        Their features.
    """

    fit: tuple[Measure, Measure]
    held: tuple[Measure, Measure]
    fit_features: tuple[Tensor, Tensor]
    held_features: tuple[Tensor, Tensor]

    def coefficients(self, width: int, prior: float) -> Tensor:  # -> (k,)
        """Return the coefficients of the first `width` features, each side with equal mass; zero for the others.

        `prior` is the standard deviation of the normal prior of each.
        """
        x, y = self.fit
        features = torch.cat([side[:, :width] for side in self.fit_features])
        mass = torch.cat([x.weights, y.weights]).double() * (len(features) / 2)
        signs = torch.cat([torch.ones(x.n), -torch.ones(y.n)]).to(features)
        precision = torch.full((width,), prior**-2, dtype=features.dtype, device=features.device)
        theta = features.new_zeros(self.fit_features[0].shape[1])
        theta[:width] = regress(features, signs, mass, precision, torch.zeros_like(precision))
        return theta

    def gain(self, one: Tensor, other: Tensor) -> float:
        """Return how much smaller the other coefficients' loss is on the held-out rows, in standard errors."""
        gain_x, gain_y = _gains(self.held_features, one, other)
        error = float(gain_x.var() / len(gain_x) + gain_y.var() / len(gain_y)) ** 0.5
        total = float(self.held[0].mean(gain_x) + self.held[1].mean(gain_y))
        return total / error if error > 0 else 0.0

    def beyond_chance(self, one: Tensor, other: Tensor) -> bool:
        """Say whether the other, more numerous coefficients fit better by more than as many would to noise.

        Twice the gain in log-likelihood, of as many rows as the smaller side allows, is then χ² with that many degrees
        of freedom.
        """
        x, y = self.fit
        gain_x, gain_y = _gains(self.fit_features, one, other)
        more = int((other != 0).sum() - (one != 0).sum())
        statistic = 4 / (1 / x.effective + 1 / y.effective) * float(x.mean(gain_x) + y.mean(gain_y))
        return statistic > 2 * more + 2 * math.sqrt(2 * max(more, 0))


def _gains(features: tuple[Tensor, Tensor], one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's logistic loss with one set of coefficients less that with another."""
    softplus, (x, y) = nn.functional.softplus, features
    return softplus(-(x @ one)) - softplus(-(x @ other)), softplus(y @ one) - softplus(y @ other)
