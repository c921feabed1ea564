"""Bounds that are nonlinear functionals of means: Donsker–Varadhan, Rényi in both variational forms, χ² by moments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Note, Notes
from divkit.critic.abilities import ScorePair
from divkit.data.measure import Measure
from divkit.fdiv.diagnoses import tail_notes
from divkit.fdiv.logit import STEEPEST, LogitDual
from divkit.fdiv.records import FDivergence
from divkit.fdiv.table import GAN
from divkit.support.checks import positive

__all__ = ["ConjugateRenyi", "DonskerVaradhan", "HammersleyChapmanRobbins", "Renyi"]


class _Functional(LogitDual):
    """A dual φ(E_P g(v), E_Q h(v)) of a logit: evaluated once on all held-out rows, as a mean in a logarithm is biased."""

    bias = Bias.UNKNOWN  # below for a fixed critic, and above by the variance of a mean inside a logarithm or a quotient

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        limit = self.witnessed(x, y)
        return self.linear(s.double().clamp(-limit, limit), t.double().clamp(-limit, limit), x, y)

    @torch.no_grad()
    def diagnose(self, s: Tensor, t: Tensor, x: Measure, y: Measure, terms: Terms, cut: ScorePair) -> Notes:
        limit = self.witnessed(x, y)
        clipped = [((v.abs() > limit) | (far != 0)).double() for v, far in zip((s, t), cut)]
        return {Note.CLIPPED_SHARE: float(x.mean(clipped[0]) + y.mean(clipped[1])) / 2, **tail_notes(terms)}

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        return self.linear(s.double().clamp(-STEEPEST, STEEPEST), t.double().clamp(-STEEPEST, STEEPEST), x, y).value(x, y)

    def linear(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        """Return the terms of the functional, linearised at these samples' means."""
        return Terms.of_means(self.functional, (x, self.left(s)), (y, self.right(t)))

    def left(self, s: Tensor) -> Tensor:  # (n,) -> (n, k)
        """Return g(v), the numbers whose means over P enter φ."""
        return s[:, None]

    def right(self, t: Tensor) -> Tensor:  # (m,) -> (m, l)
        """Return h(v), the numbers whose means over Q enter φ."""
        return t.exp()[:, None]

    def functional(self, left: Tensor, right: Tensor) -> Tensor:
        """Return φ of the means: Donsker and Varadhan's unless a subclass has its own."""
        return left[0] - right[0].log()


@dataclass(frozen=True)
class DonskerVaradhan(_Functional):
    r"""The bound of KL :math:`E_P v - \log E_Q e^v`, the `kl` bound at its best shift. Source: Donsker, Varadhan (1983).

    Parameters
    ----------
    train : FDivergence
        Whose bound trains the logit.
    """

    train: FDivergence = field(default=GAN)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "kl-dv"


@dataclass(frozen=True)
class Renyi(_Functional):
    r"""The Rényi divergence :math:`\frac{1}{\alpha-1} \log \int p^\alpha q^{1-\alpha}` by a logit v.

    .. math:: \frac{\alpha}{\alpha-1} \log E_P e^{(\alpha-1) v} - \log E_Q e^{\alpha v}

    The supremum is at v = log p/q plus any constant. Nats. Source: Birrell, Dupuis, Katsoulakis, Rey-Bellet, Wang (2021), times
    α for the standard normalisation.

    Parameters
    ----------
    order : float
        α, positive and not 1.
    train : FDivergence

    Raises
    ------
    ValueError
        For an order that is not positive or is 1.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = 1 + torch.randn(2000, 1, generator=generator), torch.randn(2000, 1, generator=generator)
    >>> e = dk.estimate("renyi:order=.5", x, y)
    >>> abs(e.value - 0.25) < 4 * e.stderr  # α δ²/2 for unit Gaussians δ apart
    True
    """

    order: float
    train: FDivergence = field(default=GAN)

    def __post_init__(self) -> None:
        checked_order(self.order)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"renyi(order={self.order:g})"

    def left(self, s: Tensor) -> Tensor:
        return torch.exp((self.order - 1) * s)[:, None]

    def right(self, t: Tensor) -> Tensor:
        return torch.exp(self.order * t)[:, None]

    def functional(self, left: Tensor, right: Tensor) -> Tensor:
        return self.order / (self.order - 1) * left[0].log() - right[0].log()


@dataclass(frozen=True)
class ConjugateRenyi(Renyi):
    r"""The Rényi divergence by its convex conjugate form, linear in the mean over Q.

    .. math:: -\alpha E_Q g + \frac{\alpha}{\alpha-1} \log E_P g^{(\alpha-1)/\alpha} + \log\alpha + 1,
       \qquad g = e^{\alpha v - c}

    The supremum is at :math:`e^c = \alpha E_Q e^{\alpha v}`, where it equals `Renyi`. Each half of the rows is judged with
    the c of the other half, so that the value stays a lower bound in expectation over Q. Source: Birrell, Pantazis, Dupuis,
    Katsoulakis, Rey-Bellet (2023), times α for the standard normalisation.
    """

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"renyi-conjugate(order={self.order:g})"

    def linear(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        odd = torch.arange(len(t), device=t.device) % 2 == 1
        shifts = torch.zeros_like(t)
        with torch.no_grad():
            for half in (odd, ~odd):
                mass = (y.weights * ~half).sum()
                if float(mass) > 0:  # a half without weight borrows nothing
                    shifts[half] = torch.log((y.weights * ~half) @ torch.exp(self.order * t) / mass)
        g = torch.exp(self.order * t - shifts)  # αe^{−c} cancels: −α E_Q g = −E_Q e^{αv}/E' e^{αv}
        constant = 1 - y.mean(shifts)
        return Terms.of_means(
            lambda left, right: self.order / (self.order - 1) * left[0].log() - right[0] + constant,
            (x, self.left(s)),
            (y, g[:, None]),
        )


@dataclass(frozen=True)
class HammersleyChapmanRobbins(_Functional):
    r"""Pearson's χ² by :math:`(E_P T - E_Q T)^2 / \mathrm{Var}_Q T` with T = e^v, its bound at the best shift and scale.

    Source: Hammersley (1950); Chapman, Robbins (1951).

    Parameters
    ----------
    train : FDivergence
    """

    train: FDivergence = field(default=GAN)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "pearson-hcr"

    def left(self, s: Tensor) -> Tensor:
        return s.expm1()[:, None]  # less one: a shift changes nothing, and near P = Q squares keep their digits

    def right(self, t: Tensor) -> Tensor:
        return torch.stack([t.expm1(), t.expm1().square()], 1)

    def functional(self, left: Tensor, right: Tensor) -> Tensor:
        variance = right[1] - right[0].square()
        gap = (left[0] - right[0]).square()
        return gap / variance if bool(variance > 0) else 0 * gap  # a constant T witnesses nothing


def checked_order(order: float) -> None:
    """Refuse an order that has no Rényi divergence of its own."""
    positive("order", order)
    if order == 1 or not math.isfinite(order):
        raise ValueError(f"order must be a positive number other than 1, whose Rényi divergence is 'kl'; got {order!r}.")
