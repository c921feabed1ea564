"""The Kantorovich dual of W₁: a 1-Lipschitz critic, and the lower bound that a critic of any slope certifies."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from divkit import pairs
from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Note, Notes
from divkit.critic.abilities import Calibration, Scores, Sides
from divkit.critic.choice import Choice, factories
from divkit.critic.dual import Dual
from divkit.critic.networks import Factory
from divkit.critic.penalties import segments, slopes
from divkit.data.measure import Measure
from divkit.data.sampling import random_rows

__all__ = ["Kantorovich"]


@dataclass(frozen=True)
class Kantorovich(Dual):
    r"""The dual :math:`W_1(P, Q) = \sup_{\mathrm{Lip}(T) \le 1} E_P T - E_Q T`, in units of the data.

    A critic that is 1-Lipschitz by construction (`groupsort`, `spectral`) makes the cross-fitted value a lower bound in
    expectation. A clipped critic reports K W₁ for a K that nobody knows, one under a gradient penalty is a little too steep:
    their value is no bound. `Solution.lower` is one for any critic: of its values t on y, divided by its measured slope, the
    dual potentials :math:`u_i = \min_j |x_i - y_j| + t_j` and :math:`v_j = \min_i |x_i - y_j| - u_i` are feasible, so that the
    sum of their means is at most the exact W₁ of the samples. Source: Kantorovich and Rubinstein (1958); Arjovsky, Chintala,
    Bottou (2017).

    Parameters
    ----------
    probes : int
        The slope of a critic is measured at so many points of x, of y and of segments between them.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> x = torch.rand(100, 1, generator=torch.Generator().manual_seed(0))
    >>> e = dk.estimate("w1-dual", x, x + 1.0, steps=200)
    >>> e.bias, round(e.value, 1), e.solution.lower <= 1.0 + 1e-6
    (<Bias.BELOW: 'a lower bound in expectation'>, 1.0, True)
    """

    probes: int = 2000
    name = "w1-dual"

    @property
    def problem(self) -> Hashable:
        return type(self)

    def bias_with(self, critic: Factory | Choice) -> Bias:
        hard = all(getattr(factory, "constant", math.inf) <= 1 for factory in factories(critic))
        return Bias.BELOW if hard else Bias.UNKNOWN

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        return Terms(s, -t)

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Return the shift that centres the scores, so that critics of several folds differ by no constant."""
        means = [m.mean(scores(m)) for side in (fit, held) for m in side]
        return Calibration(shift=-float(sum(means)) / len(means))

    def certify(self, critics: Sequence[Scores], x: Measure, y: Measure) -> tuple[float, Notes]:
        """Return a lower bound of the samples' W₁ by the mean critic, and the largest gradient norm that was measured."""
        x, y = (m.take((m.weights > 0).nonzero()[:, 0]) for m in (x, y))
        generator = torch.Generator().manual_seed(0)
        p, q = (m.take(random_rows(m.n, self.probes, generator, m.device)) for m in (x, y))
        norms = torch.cat([slopes(critic, m).detach() for critic in critics for m in (p, q, segments(p, q, generator))])
        frame = pairs.frame(x, y)
        with torch.no_grad():
            t = torch.stack([critic(y).double() for critic in critics]).mean(0) / frame.scale
        steepest = float(norms.max())
        divisors = {steepest, float(norms.mean())} - {0.0} or {1.0}
        best = max(_certified(x, y, frame, t / divisor) for divisor in divisors)
        return best * frame.unit(1), {Note.LIPSCHITZ: steepest}


def _certified(x: Measure, y: Measure, frame: pairs.Frame, t: Tensor) -> float:
    """Return the value of the feasible potentials that any numbers t on y give."""
    px, py = frame.x.double(), frame.y.double()
    u, _ = pairs.minimum(_Length(), px, py, -t)
    v, _ = pairs.minimum(_Length(), py, px, u)
    return float(x.mean(u) + y.mean(v))


class _Length(pairs.PairFunction):
    """The distance |x − y|."""

    singular = True

    def value(self, s: Tensor) -> Tensor:
        return s.sqrt_()

    def value_and_slope(self, s: Tensor) -> tuple[Tensor, Tensor, float]:
        length = s.sqrt_()
        return length, length.clamp(min=torch.finfo(torch.float64).eps).reciprocal_(), 1.0
