"""Learned features before a closed form: a critic that maps points to vectors, and a divergence of those vectors."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from divkit.core.divergence import Divergence
from divkit.core.estimate import Bias, Terms
from divkit.critic.abilities import Scores
from divkit.critic.ascent import score
from divkit.critic.dual import FeatureDual
from divkit.data.measure import Measure

__all__ = ["CramerSurrogate", "Featured"]


@dataclass(frozen=True)
class Featured(FeatureDual):
    r"""The supremum :math:`\sup_h D(h_\# P, h_\# Q)` over feature maps h.

    It is MMD GAN's loss for an MMD, and Cramér GAN's in full for the energy distance. Each fold is judged by its own features.
    With an unbiased D the value is a lower bound of the supremum in expectation; with 1-Lipschitz features
    (``groupsort(outputs=16)``) and the energy distance it is also at most 2 W₁. A feature map of any slope makes D as large as
    it likes: constrain it by its layers or by `Clip`. A gradient penalty needs one function of a point, as
    `CramerSurrogate` has. Source: Li, Chang, Cheng, Yang, Póczos (2017); Bińkowski, Sutherland, Arbel, Gretton (2018).

    Parameters
    ----------
    divergence : Divergence
        A closed form, whose `terms` are differentiable in the points.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from divkit.critic import Ascent, Featured, Variational, groupsort
    >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> learned = Variational(Featured(dk.get("energy")), groupsort(outputs=4), Ascent(folds=2, doubt=0.0))
    >>> bool(learned.estimate(x, x + 2).value > 1)
    True
    """

    divergence: Divergence = field()  # no default: `Dual` has a method of this name

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"featured-{self.divergence.name}"

    @property
    def problem(self) -> Hashable:
        return type(self), self.divergence

    @property
    def bias(self) -> Bias:  # type: ignore[override]
        return Bias.BELOW if self.divergence.bias is Bias.NONE else Bias.UNKNOWN

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        p, q = _on(x, s), _on(y, t)
        with torch.no_grad():
            solution = self.divergence.solve(p.detach(), q.detach())
        return self.divergence.terms(p, q, solution)

    def witness(self, network: nn.Module, y: Measure) -> Scores:
        def refuse(m: Measure) -> Tensor:
            raise ValueError(
                f"{self.name} has no one function of a point for a gradient penalty to hold; use features that are Lipschitz "
                f"by construction, such as groupsort(outputs=16), or Clip, or CramerSurrogate."
            )

        return refuse


@dataclass(frozen=True)
class CramerSurrogate(FeatureDual):
    r"""Cramér GAN as published: pairs of generated points stand in for expectations.

    The critic maximises :math:`f(x) - f(y)`, :math:`f(z) = \|h(z) - h(y')\| - \|h(z)\|`, whose gradient a penalty holds; a
    model descends :math:`\|h(x) - h(y)\| + \|h(x) - h(y')\| - \|h(y) - h(y')\|`, the energy distance of the features without
    its real–real term, which is constant for the model but not for h. What is reported is `report` of the features, complete.
    Source: Bellemare, Danihelka, Dabney, Mohamed, Lakshminarayanan, Hoyer, Munos (2017).

    Parameters
    ----------
    report : Divergence
        The energy distance, ``dk.get("energy")``, or another of the features.
    """

    report: Divergence
    name = "cramer-surrogate"
    bias = Bias.UNKNOWN

    @property
    def problem(self) -> Hashable:
        return type(self)

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        s, t = _rows(s), _rows(t)
        return Terms(_length(s - _other(t, len(s))) - _length(s), _length(t) - _length(t - _other(t, len(t))))

    def terms(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return Featured(self.report).ascend(s, t, x, y)

    def descend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Tensor:
        s, t = _rows(s), _rows(t)
        same = t[torch.arange(len(s), device=t.device) % len(t)]
        real = _length(s - same) + _length(s - _other(t, len(s)))
        return Terms(real, -_length(t - _other(t, len(t)))).value(x, y)

    def witness(self, network: nn.Module, y: Measure) -> Scores:
        def f(m: Measure) -> Tensor:
            h = _rows(score(network, m))
            return _length(h - _other(_rows(score(network, y)), len(h))) - _length(h)

        return f


def _on(m: Measure, features: Tensor) -> Measure:
    """Return the measure of a measure's features, with its weights."""
    return Measure._of(_rows(features), None if m.uniform else m.weights)


def _rows(features: Tensor) -> Tensor:  # (n,) or (n, k) -> (n, k)
    """Return features with one row a point."""
    return features.reshape(len(features), -1)


def _other(t: Tensor, count: int) -> Tensor:
    """Return another row of t for each of `count` rows: its neighbour in a ring, so that rows of t meet all but themselves."""
    return t[(1 + torch.arange(count, device=t.device)) % len(t)]


def _length(rows: Tensor) -> Tensor:
    """Return the Euclidean norm of each row."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms
