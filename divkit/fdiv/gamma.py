"""f-divergences over a class of functions: between an f-divergence and an integral probability metric."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from divkit.core.estimate import Bias, Terms
from divkit.core.notes import Notes
from divkit.critic import Dual
from divkit.critic.abilities import Calibration, ScorePair, Scores, Sides
from divkit.data.measure import Measure
from divkit.fdiv.diagnoses import tail_notes
from divkit.fdiv.records import FDivergence
from divkit.support.checks import positive

__all__ = ["GammaBound"]


@dataclass(frozen=True)
class GammaBound(Dual):
    r"""The (f, Γ)-divergence :math:`\sup_{g \in \Gamma} E_P\, g - \inf_\nu \{\nu + E_Q\, f^*(g - \nu)\}`.

    Γ is L times what the critic can be: with critics of Lipschitz constant one, ``Shrunk(groupsort())``, the value is finite
    for every P and Q, at most the f-divergence and at most L W₁. For `kl` between point masses |a| apart it is L|a|. With a
    penalty in place of such critics the class is wider, and the value no bound. Source: Birrell, Dupuis, Katsoulakis, Pantazis,
    Rey-Bellet (2022).

    Parameters
    ----------
    record : FDivergence
    lipschitz : float
        L, per unit of the data's distance.

    Raises
    ------
    ValueError
        If L is not positive and finite.

    Examples
    --------
    >>> import torch, divkit as dk
    >>> from divkit.fdiv.gamma import GammaBound
    >>> distance = dk.fdiv.Given(GammaBound(dk.fdiv.KL, lipschitz=2.0), lambda x: -x[:, 0])  # a critic of slope −1
    >>> round(distance.estimate(torch.zeros(20, 1), torch.full((20, 1), 3.0)).value, 6)  # L |a|
    6.0
    """

    record: FDivergence
    lipschitz: float = 1.0
    bias = Bias.UNKNOWN  # below for given critics, and above by the choice of ν

    def __post_init__(self) -> None:
        positive("lipschitz", self.lipschitz)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.record.name}-gamma(lipschitz={self.lipschitz:g})"

    @property
    def problem(self) -> Hashable:
        return self

    def in_units(self, unit: float) -> GammaBound:
        """Return the bound for scores that are still to be multiplied by `unit`."""
        return replace(self, lipschitz=self.lipschitz * unit)

    def ascend(self, s: Tensor, t: Tensor, x: Measure, y: Measure) -> Terms:
        g, h = self.lipschitz * s.double(), self.lipschitz * t.double()
        shift = best_shift(self.record, h.detach(), y)
        return Terms(g, -shift - self.record.conjugate(h - shift))

    def calibrate(self, scores: Scores, fit: Sides, held: Sides) -> Calibration:
        """Return the shift at which the best ν of the scores is 0, for critics of several folds to share, and a cut from above.

        Where f* has an end, one row of y with a score above all in training pushes every argument down to keep its own below
        that end: such records' scores are cut at the largest of y, others' at the largest of all. A cut critic is as Lipschitz.
        """
        (x_fit, y_fit), (x_held, y_held) = fit, held
        bounded = math.isfinite(self.record.domain.upper)
        cut = max(float(scores(m).max()) for m in ((y_fit, y_held) if bounded else (x_fit, y_fit, x_held, y_held)))
        shift = best_shift(self.record, self.lipschitz * scores(y_held).double(), y_held) / self.lipschitz
        return Calibration(shift=-shift, high=cut - shift)

    def diagnose(self, s: Tensor, t: Tensor, x: Measure, y: Measure, terms: Terms, cut: ScorePair) -> Notes:
        return tail_notes(terms)


@torch.no_grad()
def best_shift(record: FDivergence, h: Tensor, y: Measure, points: int = 16, zooms: int = 6) -> float:
    """Return the ν that minimises ν + E_Q f*(h − ν), convex, by `zooms` ever finer grids of so many `points`.

    At ν = max h − f'(1) no u = f*'(h − ν) exceeds one, at min h − f'(1) none is below; and h − ν must stay in the domain.
    Six grids of 16 points shrink the bracket by 6e-6, and the value's error with its square.
    """
    low = max(float(h.min()) - record.slope_at_one, float(h.max()) - record.domain.upper)
    high = float(h.max()) - record.slope_at_one
    for _ in range(zooms):
        shifts = torch.linspace(low, high, points, dtype=torch.float64, device=h.device)
        values = shifts + y.mean(record.conjugate(h[:, None] - shifts)).nan_to_num(nan=torch.inf)
        best = int(values.argmin())
        low, high = float(shifts[max(best - 1, 0)]), float(shifts[min(best + 1, points - 1)])
    return (low + high) / 2 if 0 < best < points - 1 else float(shifts[best])
