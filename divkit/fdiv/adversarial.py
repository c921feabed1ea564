"""Adversarial training in the papers' own form: f-GAN's objective of a record, and the generator's log trick."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from torch import Tensor

from divkit.core.estimate import Bias, Terms
from divkit.critic import Dual
from divkit.data.measure import Measure
from divkit.fdiv.logit import STEEPEST
from divkit.fdiv.records import FDivergence

__all__ = ["Adversarial", "NonSaturating"]


@dataclass(frozen=True)
class Adversarial(Dual):
    r"""f-GAN's game :math:`F = E_P\, g_f(V) - E_Q\, f^*(g_f(V))`: the critic V maximises it, the model minimises it.

    The paper's own parametrisation T = g_f(V), which is another ascent of the bound that `Bound` takes in the logit log p/q;
    for `gan` both are the same, E_P log D + E_Q log(1 − D) with D = σ(V). V is cut to ±30. Nats.
    Source: Goodfellow et al. (2014); Nowozin, Cseke, Tomioka (2016).

    Parameters
    ----------
    record : FDivergence

    Examples
    --------
    >>> import torch, divkit as dk
    >>> criterion = dk.Criterion(Adversarial(dk.fdiv.PEARSON))
    >>> float(criterion(torch.zeros(8, 1), torch.zeros(8, 1))) <= 0.0  # a bound of a divergence that is zero
    True
    """

    record: FDivergence
    bias = Bias.BELOW

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.record.name}, adversarial"

    @property
    def problem(self) -> Hashable:
        return type(self), self.record

    def activated(self, v: Tensor) -> Tensor:
        """Return T = g_f(V), in float64; for |V| > 30 even that would not have f*(T), as 2 − eᵗ keeps four digits there."""
        return self.record.activation(v.double().clamp(-STEEPEST, STEEPEST))

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return Terms(self.activated(s), -self.record.conjugate(self.activated(t)))


@dataclass(frozen=True)
class NonSaturating(Adversarial):
    r"""The game of `Adversarial` for a model whose samples maximise what the critic says of the other side.

    A generator's y maximise :math:`E_Q\, g_f(V)`, for `gan` :math:`E_Q \log D`; an encoder's x, in a divergence of codes and
    prior, minimise :math:`E_P\, f^*(g_f(V))`, for `gan` :math:`-E_P \log(1 - D)`. At the optimal critic of `gan` the
    generator's gradient is that of KL(Q‖P) − 2 JS. Source: Goodfellow et al. (2014), section 3; Nowozin et al. (2016),
    section 3.2; Arjovsky, Bottou (2017).

    Examples
    --------
    >>> import torch
    >>> from divkit import Measure, fdiv
    >>> y, scores = Measure(torch.zeros(1, 1)), torch.tensor([-20.0], requires_grad=True)  # surely fake, says the critic
    >>> for dual in (fdiv.Adversarial(fdiv.GAN), fdiv.NonSaturating(fdiv.GAN)):
    ...     loss = dual.descend(torch.zeros(1), scores, y, y)
    ...     print(round(float(torch.autograd.grad(loss, scores)[0].abs()), 3))
    0.0
    1.0
    """

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.record.name}, non-saturating"

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        return x.mean(self.record.conjugate(self.activated(s))) - y.mean(self.activated(t))
